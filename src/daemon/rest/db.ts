/**
 * @module `/db`: every table of the agent as text, for `cilium dbg db`. Not in upstream's API.
 */
import { type Reply, reply, replyEmpty } from './reply.ts';
import type { Call, Route } from './router.ts';

function listTables({ context }: Call): Reply {
  return reply([...context.tables].map(([name, table]) => ({ name, rows: table.size })));
}

function getTable({ context, parameters }: Call): Reply {
  const table = context.tables.get(parameters[0] ?? '');
  if (table === undefined) return replyEmpty(404);
  const { columns } = table;
  return reply({
    columns: columns.map((column) => column.name),
    rows: [...table.all()].map((row) => columns.map((column) => column.value(row))),
  });
}

export const dbRoutes: readonly Route[] = [
  { method: 'GET', path: '/db', operation: 'GetDb', run: listTables },
  { method: 'GET', path: '/db/{}', operation: 'GetDbTable', run: getTable },
];
