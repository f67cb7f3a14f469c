/**
 * @module `/statedb`: every table of the agent, as text and as rows, for `cilium dbg db`. Not in
 * upstream's API.
 */
import { type Reply, reply, replyEmpty } from './reply.ts';
import type { Call, Route } from './router.ts';

function listTables({ context }: Call): Reply {
  return reply(
    [...context.tables].map(([name, table]) => ({
      name,
      objects: table.size,
      zombies: table.deletedHeld,
      revision: table.revision,
    })),
  );
}

/** `cells` is `rows` by the table's columns. */
function getTable({ context, parameters }: Call): Reply {
  const table = context.tables.get(parameters[0] ?? '');
  if (table === undefined) return replyEmpty(404);
  const { name, columns } = table;
  const rows = [...table.all()];
  return reply({
    name,
    columns: columns.map((column) => column.name),
    cells: rows.map((row) => columns.map((column) => column.value(row))),
    rows,
  });
}

export const statedbRoutes: readonly Route[] = [
  { method: 'GET', path: '/statedb', operation: 'GetStatedb', run: listTables },
  { method: 'GET', path: '/statedb/{}', operation: 'GetStatedbTable', run: getTable },
];
