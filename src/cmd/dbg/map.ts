/**
 * @module `dbg map list|get`: the agent's own view of the maps that it writes, by REST.
 */
import type { Command } from '../command.ts';
import { formatLines } from '../text-table.ts';
import type { MapEntry, MapModel } from './models.ts';
import { showCommand } from './session.ts';

export const mapCommand: Command = {
  name: 'map',
  summary: 'Access userspace cached content of BPF maps',
  commands: [
    showCommand({
      name: 'list',
      summary: 'List all open BPF maps',
      flags: [{ name: 'verbose', kind: 'boolean', help: 'print cache contents of all maps' }],
      doing: '',
      fetch: ({ client }) => client.get<{ maps?: MapModel[] | null }>('/map'),
      table: ({ maps }, { flags }) =>
        flags.boolean('verbose') ? formatMapContents(maps ?? []) : formatMapList(maps ?? []),
    }),
    showCommand({
      name: 'get',
      summary: 'Display cached content of given BPF map',
      arguments: '<name>',
      count: [1, 1],
      doing: '',
      fetch: ({ client }, { args }) =>
        client.get<MapModel>(`/map/${encodeURIComponent(args[0] ?? '')}`, {
          route: '/map/{name}',
          answer: 'getMapNameNotFound',
        }),
      table: (map) => (map.cache == null ? 'Cache is disabled\n\n' : formatEntries(map.cache)),
    }),
  ],
};

function mapName({ path }: MapModel): string {
  return path?.slice(path.lastIndexOf('/') + 1) ?? '';
}

export function formatMapList(maps: readonly MapModel[]): string {
  const rows = maps.map((map) => {
    const errors = (map.cache ?? []).filter((entry) => entry['last-error'] !== undefined);
    return [
      mapName(map),
      String(map.cache?.length ?? 0),
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
