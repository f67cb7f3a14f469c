import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { KvError } from './error.ts';
import { isMirrorMessage, type MirrorMessage, TableReplica, TableSource } from './mirror.ts';
import { Table } from './table.ts';

interface Row {
  readonly id: string;
  readonly group: number;
}

const rows = () =>
  new Table<Row>({
    name: 'rows',
    key: (row) => row.id,
    indexes: { group: (row) => [row.group] },
    columns: [],
  });

const sorted = (table: { all(): Iterable<Row> }) =>
  [...table.all()].sort((a, b) => a.id.localeCompare(b.id));

describe('mirror', () => {
  test('snapshot in parts, then increments', async () => {
    const table = rows();
    for (let id = 0; id < 10; id++) table.upsert({ id: `${id}`, group: id % 2 });
    const messages: MirrorMessage[] = [];
    using source = new TableSource(table, (message) => messages.push(message), {
      intervalMs: 0,
      rowsMax: 4,
    });
    expect(messages.map((message) => message.synced)).toEqual([false, false, true]);
    const replica = new TableReplica(rows());
    const synced = replica.whenSynced();
    for (const message of messages.splice(0)) replica.apply(structuredClone(message));
    await synced;
    expect(replica.by('group', 1)).toHaveLength(5);
    let heard = 0;
    using _ = replica.subscribe(() => heard++);
    table.delete('3');
    table.upsert({ id: '4', group: 9 });
    await Promise.resolve();
    expect(messages).toHaveLength(1);
    expect(isMirrorMessage(messages[0])).toBe(true);
    for (const message of messages.splice(0)) replica.apply(structuredClone(message));
    await Promise.resolve();
    expect(heard).toBe(1);
    expect(sorted(replica)).toEqual(sorted(table));
    expect(replica.sourceRevision).toBe(table.revision);
    expect(table.deletedHeld).toBe(0);
    expect(source.posted).toBe(4);
  });

  test('changes within the interval travel together', async () => {
    const table = rows();
    const messages: MirrorMessage[] = [];
    using source = new TableSource(table, (message) => messages.push(message), {
      intervalMs: 3_600_000,
    });
    table.upsert({ id: 'a', group: 1 });
    await Promise.resolve();
    table.upsert({ id: 'b', group: 1 });
    await Promise.resolve();
    expect(messages).toHaveLength(1);
    source.flush();
    expect(messages[1]?.keys).toEqual(['a', 'b']);
  });

  test('a lost message and a foreign one are refused', () => {
    const table = rows();
    const messages: MirrorMessage[] = [];
    using source = new TableSource(table, (message) => messages.push(message));
    const replica = new TableReplica(rows());
    table.upsert({ id: 'a', group: 1 });
    source.flush();
    table.upsert({ id: 'b', group: 1 });
    source.flush();
    replica.apply(messages[0]!);
    expect(() => replica.apply(messages[2]!)).toThrow(KvError);
    expect(() => replica.apply({ ...messages[1]!, table: 'other' })).toThrow('other');
  });

  test('a new source replaces what the old one left', () => {
    const replica = new TableReplica(rows());
    const table = rows();
    table.upsert({ id: 'old', group: 1 });
    table.upsert({ id: 'kept', group: 1 });
    new TableSource(table, (message) => replica.apply(message)).stop();
    table.delete('old');
    new TableSource(table, (message) => replica.apply(message)).stop();
    expect(sorted(replica)).toEqual([{ id: 'kept', group: 1 }]);
  });

  test('works over a real port', async () => {
    const { port1, port2 } = new MessageChannel();
    const table = rows();
    const replica = new TableReplica(rows());
    port2.onmessage = (event) => {
      if (isMirrorMessage(event.data)) replica.apply(event.data);
    };
    table.upsert({ id: 'a', group: 1 });
    using _ = new TableSource(table, (message) => port1.postMessage(message));
    await replica.whenSynced(AbortSignal.timeout(5000));
    expect(sorted(replica)).toEqual(sorted(table));
    port1.close();
    port2.close();
  });

  test('replica equals source after any order of changes and flushes', () => {
    const step = fc.record({
      kind: fc.constantFrom('upsert', 'upsert', 'delete', 'flush', 'restart'),
      id: fc.constantFrom('a', 'b', 'c', 'd', 'e', '__proto__', ''),
      group: fc.nat(3),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 200 }),
        fc.integer({ min: 1, max: 5 }),
        (steps, rowsMax) => {
          const table = rows();
          const replica = new TableReplica(rows());
          const start = () =>
            new TableSource(table, (message) => replica.apply(structuredClone(message)), {
              rowsMax,
            });
          let source = start();
          for (const { kind, id, group } of steps) {
            if (kind === 'upsert') table.upsert({ id, group });
            else if (kind === 'delete') table.delete(id);
            else if (kind === 'flush') source.flush();
            else {
              source.stop();
              source = start();
            }
          }
          source.flush();
          source.stop();
          expect(sorted(replica)).toEqual(sorted(table));
          for (let group = 0; group <= 3; group++) {
            expect(replica.by('group', group).length).toBe(table.by('group', group).length);
          }
          expect(replica.synced).toBe(true);
        },
      ),
      { numRuns: 100 },
    );
  });
});
