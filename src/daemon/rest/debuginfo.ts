/**
 * @module `/debuginfo`: one document for a bug report. The environment is left out: it may hold
 * secrets.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { endpointModel } from '../endpoint/model.ts';
import { endpointOptions } from './endpoint.ts';
import { type Reply, reply } from './reply.ts';
import type { Call, Route } from './router.ts';

function getDebugInfo({ context }: Call): Reply {
  const options = endpointOptions(context);
  const { revision, rules } = context.policy([]);
  return reply({
    'cilium-version': context.settings.version,
    'kernel-version': release(),
    'cilium-status': context.status(),
    'endpoint-list': [...context.endpoints.all()].map((row) => endpointModel(row, options)),
    policy: { policy: JSON.stringify(rules, null, 2), revision },
    'cilium-memory-map': readFileSync('/proc/self/maps', 'utf8'),
    'environment-variables': [],
    'service-list': [],
    subsystem: {},
  });
}

export const debugInfoRoutes: readonly Route[] = [
  { method: 'GET', path: '/debuginfo', operation: 'GetDebuginfo', run: getDebugInfo },
];
