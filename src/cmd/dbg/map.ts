/**
 * @module `dbg map list|get`: the agent's own view of the maps that it writes, by REST.
 */
import type { Command } from '../command.ts';
import { formatLines } from '../text-table.ts';
import type { MapEntry, MapModel } from './models.ts';
import { type Session, showCommand } from './session.ts';

export const mapCommand: Command = {
  name: 'map',
  summary: 'Access userspace cached content of BPF maps',
  commands: [
    showCommand({
      name: 'list',
      summary: 'List open BPF maps; those of policy are in bpf policy',
      flags: [{ name: 'verbose', kind: 'boolean', help: 'print cache contents of all maps' }],
      doing: '',
      examples: [
        ['cilium dbg map list', 'names and sizes'],
        ['cilium dbg map list --verbose', 'with everything that is in them'],
      ],
      fetch: async (session, { flags }) => {
        const { maps } = await session.client.get<{ maps?: MapModel[] | null }>('/map');
        const all = maps ?? [];
        return { maps: flags.boolean('verbose') ? await withContents(session, all) : all };
      },
      table: ({ maps }, { flags }) =>
        flags.boolean('verbose') ? formatMapContents(maps) : formatMapList(maps),
    }),
    showCommand({
      name: 'get',
      summary: 'Display cached content of given BPF map',
      positionals: [{ name: 'name', help: 'as in `map list`' }],
      doing: '',
      examples: [['cilium dbg map get cilium_ipcache_v2', 'everything in one map']],
      fetch: (session, { args }) => getMap(session, args[0] ?? ''),
      table: (map) => (map.cache == null ? 'Cache is disabled\n\n' : formatEntries(map.cache)),
    }),
  ],
};

function getMap({ client }: Session, name: string): Promise<MapModel> {
  return client.get<MapModel>(`/map/${encodeURIComponent(name)}`, {
    route: '/map/{name}',
    answer: 'getMapNameNotFound',
  });
}

/** The list has no contents, so that it stays small when a map is not. */
async function withContents(session: Session, maps: readonly MapModel[]): Promise<MapModel[]> {
  const full: MapModel[] = [];
  for (const map of maps) full.push(await getMap(session, mapName(map)));
  return full;
}

function mapName({ path }: MapModel): string {
  return path?.slice(path.lastIndexOf('/') + 1) ?? '';
}

export function formatMapList(maps: readonly MapModel[]): string {
  const rows = maps.map((map) => {
    const errors = (map.cache ?? []).filter((entry) => entry['last-error'] !== undefined);
    return [
      mapName(map),
      String(map.entries ?? map.cache?.length ?? 0),
      String(errors.length),
      String(map.cache != null),
    ];
  });
  return formatLines([['Name', 'Num entries', 'Num errors', 'Cache enabled'], ...rows]);
}

export function formatMapContents(maps: readonly MapModel[]): string {
  return maps.map((map) => `## Map: ${mapName(map)}\n${contents(map)}\n`).join('');
}

function contents(map: MapModel): string {
  if (map.cache == null) return 'Cache is disabled\n';
  return map.cache.length === 0 ? 'Cache is empty\n' : formatEntries(map.cache);
}

export function formatEntries(entries: readonly MapEntry[]): string {
  const rows = entries.map((entry) => [
    entry.key ?? '',
    entry.value ?? '',
    entry['desired-action'] ?? '',
    entry['last-error'] ?? '',
    '',
  ]);
  return formatLines([['Key', 'Value', 'State', 'Error'], ...rows]);
}
