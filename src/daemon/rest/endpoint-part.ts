/**
 * @module `/endpoint/{id}/…`: configuration, labels, log and health of one endpoint.
 */
import {
  endpointConfiguration,
  endpointHealth,
  endpointLabels,
  endpointLog,
  optionsOf,
} from '../endpoint/model.ts';
import { isObject } from '../endpoint/request.ts';
import type { EndpointRow } from '../endpoint/table.ts';
import { isRefusal } from '../ipam/table.ts';
import { badBody, requireBody } from './body.ts';
import type { RestContext } from './context.ts';
import { endpointOf, endpointOptions } from './endpoint.ts';
import { type Reply, reply, replyEmpty, replyRefusal } from './reply.ts';
import type { Call, Operation, Route } from './router.ts';

function part(show: (row: EndpointRow, context: RestContext) => unknown): Operation {
  return (call) => {
    const row = endpointOf(call);
    return isRefusal(row) ? replyRefusal(row) : reply(show(row, call.context));
  };
}

const getConfiguration = part((row, context) =>
  endpointConfiguration(optionsOf(row, endpointOptions(context))),
);
const getLabels = part((row) => endpointLabels(row));
const getLog = part((row) => endpointLog(row));
const getHealth = part((row) => endpointHealth(row));

/** The option that each endpoint has for itself. */
const auditOption = 'PolicyAuditMode';
const switchWords: Readonly<Record<string, boolean>> = {
  enabled: true,
  true: true,
  disabled: false,
  false: false,
};

/**
 * Whether policy is only audited is each endpoint's own. The other options are shared with the agent,
 * so asking for what they already are is all that works.
 */
function patchConfiguration(call: Call): Reply {
  const row = endpointOf(call);
  if (isRefusal(row)) return replyRefusal(row);
  const body = requireBody(call.request, 'endpoint-configuration');
  const options = isObject(body) ? (body['options'] ?? {}) : undefined;
  if (!isObject(options)) throw badBody('endpoint-configuration', 'options: has to be an object');
  const current = optionsOf(row, endpointOptions(call.context));
  let audit = row.audit;
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(current, name)) return reply(`unknown option ${JSON.stringify(name)}`, 400);
    if (name === auditOption) {
      const wanted = switchWords[String(value).toLowerCase()];
      if (wanted === undefined) {
        return reply(`${name}: ${JSON.stringify(value)} is neither enabled nor disabled`, 400);
      }
      audit = wanted;
    } else if (value !== current[name]) {
      return reply(`${name}: is set for all endpoints at once, by PATCH /config`, 500);
    }
  }
  call.context.reflector.setAudit(row.id, audit);
  return replyEmpty();
}

function patchLabels(call: Call): Reply {
  const row = endpointOf(call);
  if (isRefusal(row)) return replyRefusal(row);
  const body = requireBody(call.request, 'configuration');
  if (!isObject(body)) throw badBody('configuration', 'configuration: has to be an object');
  const { user } = body;
  if (user === undefined || user === null || (Array.isArray(user) && user.length === 0)) {
    return replyEmpty();
  }
  return reply('user: an endpoint has the labels of its pod; user labels are not supported', 500);
}

export const endpointPartRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/endpoint/{}/config',
    operation: 'GetEndpointIDConfig',
    run: getConfiguration,
  },
  {
    method: 'PATCH',
    path: '/endpoint/{}/config',
    operation: 'PatchEndpointIDConfig',
    run: patchConfiguration,
  },
  { method: 'GET', path: '/endpoint/{}/labels', operation: 'GetEndpointIDLabels', run: getLabels },
  {
    method: 'PATCH',
    path: '/endpoint/{}/labels',
    operation: 'PatchEndpointIDLabels',
    run: patchLabels,
  },
  { method: 'GET', path: '/endpoint/{}/log', operation: 'GetEndpointIDLog', run: getLog },
  {
    method: 'GET',
    path: '/endpoint/{}/healthz',
    operation: 'GetEndpointIDHealthz',
    run: getHealth,
  },
];
