import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type Change, Table } from './table.ts';

interface Pod {
  readonly id: number;
  readonly name: string;
  readonly labels: readonly string[];
}

const pods = () =>
  new Table<Pod, number>({
    name: 'pods',
    key: (row) => row.id,
    indexes: { name: (row) => [row.name], label: (row) => row.labels },
    columns: [{ name: 'id', value: (row) => String(row.id) }],
  });

const pod = (id: number, name = `pod-${id}`, labels: readonly string[] = []): Pod => ({
  id,
  name,
  labels,
});

describe('table', () => {
  test('upsert, get, all, by, delete', () => {
    const table = pods();
    expect(table.upsert(pod(2, 'b', ['x', 'y']))).toBe(1);
    expect(table.upsert(pod(1, 'a', ['y']))).toBe(2);
    expect(table.upsert(pod(2, 'c', ['y']))).toBe(3);
    expect([...table.all()].map((row) => row.id)).toEqual([2, 1]);
    expect(table.by('label', 'x')).toEqual([]);
    expect(table.by('label', 'y').map((row) => row.id)).toEqual([2, 1]);
    expect(table.by('name', 'c')).toEqual([pod(2, 'c', ['y'])]);
    expect(table.delete(2)).toBe(true);
    expect(table.delete(2)).toBe(false);
    expect(table.get(2)).toBeUndefined();
    expect(table.by('label', 'y').map((row) => row.id)).toEqual([1]);
    expect(table.size).toBe(1);
    expect(() => table.by('nothing', 1)).toThrow('no index nothing');
  });

  test('the same object is no change, and rows are frozen in tests', () => {
    const table = pods();
    const row = pod(1, 'a', ['x']);
    table.upsert(row);
    expect(table.upsert(row)).toBe(1);
    expect(table.revision).toBe(1);
    expect(Object.isFrozen(row)).toBe(true);
    expect(Object.isFrozen(row.labels)).toBe(true);
  });

  test('changes are the latest state per key in revision order', () => {
    const table = pods();
    using reader = table.reader('test');
    table.upsert(pod(1));
    table.upsert(pod(2));
    table.upsert(pod(1, 'again'));
    table.delete(2);
    expect(table.changes(0).changes).toEqual([
      { revision: 3, key: 1, row: pod(1, 'again') },
      { revision: 4, key: 2, row: undefined },
    ]);
    expect(table.changes(3).changes.map((change) => change.key)).toEqual([2]);
    expect(reader.next()).toHaveLength(2);
    expect(reader.next()).toEqual([]);
  });

  test('deleted keys are held only while an open reader has not passed them', () => {
    const table = pods();
    table.upsert(pod(1));
    table.delete(1);
    expect(table.deletedHeld).toBe(0);
    const slow = table.reader('slow');
    const fast = table.reader('fast');
    table.upsert(pod(2));
    table.delete(2);
    fast.next();
    expect(table.deletedHeld).toBe(1);
    expect(slow.next()).toEqual([{ revision: 4, key: 2, row: undefined }]);
    expect(table.deletedHeld).toBe(0);
    table.upsert(pod(3));
    table.delete(3);
    expect(table.deletedHeld).toBe(1);
    fast.close();
    slow.close();
    slow.close();
    expect(table.deletedHeld).toBe(0);
    expect(slow.next()).toEqual([]);
  });

  test('listeners hear once per batch, also when one of them unsubscribes', async () => {
    const table = pods();
    const heard: string[] = [];
    const first = table.subscribe(() => {
      heard.push(`first ${table.size}`);
      second[Symbol.dispose]();
    });
    const second = table.subscribe(() => heard.push('second'));
    table.upsert(pod(1));
    table.upsert(pod(2));
    expect(heard).toEqual([]);
    await Promise.resolve();
    expect(heard).toEqual(['first 2']);
    first[Symbol.dispose]();
    table.upsert(pod(3));
    await Promise.resolve();
    expect(heard).toHaveLength(1);
  });

  test('rows may change while all() runs', () => {
    const table = pods();
    for (let id = 0; id < 600; id++) table.upsert(pod(id));
    let seen = 0;
    for (const row of table.all()) {
      seen++;
      table.upsert(pod(row.id, 'changed'));
      if (row.id % 2 === 0) table.delete(row.id + 1);
    }
    expect(seen).toBe(300);
    expect([...table.all()].every((row) => row.name === 'changed')).toBe(true);
  });

  test('agrees with a plain model after any operations', () => {
    const operation = fc.record({
      kind: fc.constantFrom('upsert', 'upsert', 'delete', 'read'),
      id: fc.nat(12),
      name: fc.constantFrom('a', 'b', 'c'),
      labels: fc.subarray(['x', 'y', 'z']),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 1200, size: 'max' }), (operations) => {
        const table = pods();
        const model = new Map<number, Pod>();
        const copy = new Map<number, Pod>();
        using reader = table.reader('copy');
        let last = 0;
        const apply = (changes: Change<Pod>[]) => {
          for (const change of changes) {
            expect(change.revision).toBeGreaterThan(last);
            last = change.revision;
            if (change.row === undefined) copy.delete(change.key as number);
            else copy.set(change.key as number, change.row);
          }
        };
        for (const step of operations) {
          if (step.kind === 'read') apply(reader.next());
          else if (step.kind === 'delete') {
            expect(table.delete(step.id)).toBe(model.delete(step.id));
          } else {
            const row = pod(step.id, step.name, step.labels);
            table.upsert(row);
            model.set(step.id, row);
          }
        }
        apply(reader.next());
        expect([...table.all()]).toEqual([...model.values()]);
        expect(copy.size).toBe(model.size);
        for (const [id, row] of model) expect(copy.get(id)).toBe(row);
        for (const label of ['x', 'y', 'z']) {
          const want = [...model.values()].filter((row) => row.labels.includes(label));
          const got = table.by('label', label).map((row) => row.id);
          expect(got.sort((a, b) => a - b)).toEqual(
            want.map((row) => row.id).sort((a, b) => a - b),
          );
        }
        expect(table.deletedHeld).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});
