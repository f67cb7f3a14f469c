/**
 * @module `/map`: the pinned BPF maps, their entries as text.
 */
import { type Reply, reply, replyEmpty } from './reply.ts';
import type { Call, Route } from './router.ts';

/** Entries of one map in one answer: a full conntrack table must not become one string. */
const entriesMax = 65_536;

function getMap({ context, parameters }: Call): Reply {
  const [name = ''] = parameters;
  const entries = context.maps.entries(name, entriesMax);
  if (entries === undefined) return replyEmpty(404);
  return reply({ cache: entries, path: context.maps.path(name) });
}

/** Names, places and sizes (`entries`, ours); what is in them is read one map at a time. */
function listMaps({ context }: Call): Reply {
  const { maps } = context;
  return reply({
    maps: maps.names.map((name) => ({
      cache: [],
      entries: maps.count(name),
      path: maps.path(name),
    })),
  });
}

/** Changes of maps are not recorded, so no map has events. */
function getMapEvents(): Reply {
  return replyEmpty(404);
}

export const mapRoutes: readonly Route[] = [
  { method: 'GET', path: '/map', operation: 'GetMap', run: listMaps },
  { method: 'GET', path: '/map/{}', operation: 'GetMapName', run: getMap },
  { method: 'GET', path: '/map/{}/events', operation: 'GetMapNameEvents', run: getMapEvents },
];
