/**
 * @module `/healthz`: the agent's status, in full or the two parts that probes want.
 */
import { booleanParameter } from './body.ts';
import { type Reply, reply } from './reply.ts';
import type { Call, Route } from './router.ts';

function getHealthz({ context, request }: Call): Reply {
  const brief = booleanParameter(request.headers['brief'], 'brief', 'header');
  const k8s = 'require-k8s-connectivity';
  booleanParameter(request.headers[k8s], k8s, 'header');
  const status = context.status();
  if (!brief) return reply(status);
  return reply({ cilium: status.cilium, cluster: { ciliumHealth: { state: 'Ok' }, nodes: null } });
}

export const healthzRoutes: readonly Route[] = [
  { method: 'GET', path: '/healthz', operation: 'GetHealthz', run: getHealthz },
];
