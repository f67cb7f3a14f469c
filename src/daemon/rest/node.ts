/**
 * @module `/cluster/nodes` and `/node/ids`: this node, the only one that an agent without a cluster
 * knows.
 */
import { nodeAddressing } from './addressing.ts';
import { RequestRejected } from './body.ts';
import type { RestContext } from './context.ts';
import { type Reply, reply, replyInvalid } from './reply.ts';
import type { Call, Route } from './router.ts';

/** Clients that are remembered for being told changes only; the oldest is forgotten. */
const clientsMax = 64;

/** By agent, so that several in one process (tests) do not share them. */
const clientsOf = new WeakMap<RestContext, Set<number>>();

function getClusterNodes({ context, request }: Call): Reply {
  const { nodeName } = context.settings;
  const full = { 'nodes-added': [nodeModel(context)], 'nodes-removed': null, self: nodeName };
  const header = request.headers['client-id'];
  if (header === undefined) return reply(full);
  if (!/^-?[0-9]{1,19}$/.test(header)) {
    const message = `client-id in header must be of type int64: ${JSON.stringify(header)}`;
    throw new RequestRejected(replyInvalid(422, message, 601));
  }
  const clients = clientsOf.get(context) ?? new Set<number>();
  clientsOf.set(context, clients);
  // The one node never changes: a known client hears of nothing.
  if (clients.has(Number(header))) {
    return reply({
      'client-id': Number(header),
      'nodes-added': null,
      'nodes-removed': null,
      self: nodeName,
    });
  }
  const id = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  const oldest = clients.values().next();
  if (clients.size >= clientsMax && !oldest.done) clients.delete(oldest.value);
  clients.add(id);
  return reply({ 'client-id': id, ...full });
}

function nodeModel(context: RestContext): object {
  const { ipam, settings } = context;
  const routers = [ipam.router(4), ipam.router(6)].filter((ip) => ip !== undefined);
  return {
    name: settings.nodeName,
    'primary-address': nodeAddressing(context),
    'secondary-addresses': routers.map((ip) => ({ ip })),
    source: 'local',
  };
}

/** Node ids number the nodes that tunnels lead to; there are none. */
function getNodeIds(): Reply {
  return reply([]);
}

export const nodeRoutes: readonly Route[] = [
  { method: 'GET', path: '/cluster/nodes', operation: 'GetClusterNodes', run: getClusterNodes },
  { method: 'GET', path: '/node/ids', operation: 'GetNodeIds', run: getNodeIds },
];
