/**
 * @module `dbg db list|show`: the agent's tables as they are now, with the agent's own columns.
 */
import type { Command } from '../command.ts';
import { tableWords } from '../live-words.ts';
import { formatLines, formatTable } from '../text-table.ts';
import type { TableModel, TableSummary } from './models.ts';
import { showCommand } from './session.ts';

export const dbCommand: Command = {
  name: 'db',
  summary: 'Show the tables of the agent',
  commands: [
    showCommand({
      name: 'list',
      examples: [['cilium dbg db list', 'every table of the agent']],
      summary: 'List the tables',
      doing: 'cannot list tables',
      fetch: ({ client }) => client.get<TableSummary[]>('/statedb'),
      table: formatTableList,
    }),
    showCommand({
      name: 'show',
      summary: 'Show the rows of a table',
      positionals: [{ name: 'table', help: 'as in `db list`', live: tableWords }],
      examples: [
        ['cilium dbg db show endpoints', "with the agent's own columns"],
        ['cilium dbg db show policies -o json', 'every field of every row'],
      ],
      doing: 'cannot show table',
      fetch: ({ client }, { args }) =>
        client.get<TableModel>(`/statedb/${encodeURIComponent(args[0] ?? '')}`, {
          route: '/statedb/{table}',
          answer: 'no such table',
        }),
      table: ({ columns, cells }) => formatTable(columns ?? [], cells ?? []),
    }),
  ],
};

export function formatTableList(tables: readonly TableSummary[]): string {
  const sorted = [...tables].sort((a, b) => ((a.name ?? '') < (b.name ?? '') ? -1 : 1));
  return formatLines([
    ['Name', 'Object count', 'Zombie objects', 'Revision'],
    ...sorted.map((one) => [
      one.name ?? '',
      String(one.objects ?? 0),
      String(one.zombies ?? 0),
      String(one.revision ?? 0),
    ]),
  ]);
}
