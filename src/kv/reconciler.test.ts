import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { Reconciler, type ReconcileTarget } from './reconciler.ts';
import { pending, type Status } from './status.ts';
import { Table } from './table.ts';

interface Row {
  readonly id: string;
  readonly value: number;
  readonly note?: string;
  readonly status: Status;
}

const rows = () => new Table<Row>({ name: 'rows', key: (row) => row.id, columns: [] });
const row = (id: string, value: number): Row => ({ id, value, status: pending });
const setStatus = (before: Row, status: Status): Row => ({ ...before, status });

class MemoryTarget implements ReconcileTarget<Row, string> {
  readonly held = new Map<string, number>();
  readonly calls: string[] = [];
  fail: (operation: string) => unknown = () => undefined;

  update(wanted: Row): void {
    this.#call(`update ${wanted.id}`);
    this.held.set(wanted.id, wanted.value);
  }

  delete(key: string): void {
    this.#call(`delete ${key}`);
    this.held.delete(key);
  }

  prune(keys: ReadonlySet<string>): void {
    this.#call('prune');
    for (const key of this.held.keys()) if (!keys.has(key)) this.held.delete(key);
  }

  #call(operation: string): void {
    this.calls.push(operation);
    const error = this.fail(operation);
    if (error !== undefined) throw error;
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error('condition never came true');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

describe('reconciler', () => {
  test('carries rows over, writes their status once, and comes to rest', async () => {
    const table = rows();
    const target = new MemoryTarget();
    target.held.set('leftover', 1);
    table.upsert(row('a', 1));
    using reconciler = new Reconciler({ table, target, setStatus });
    table.upsert(row('b', 2));
    await reconciler.waitFor(table.revision);
    expect(table.get('a')?.status).toEqual({ kind: 'done' });
    await until(() => target.calls.includes('prune') && reconciler.revision === table.revision);
    table.delete('a');
    await reconciler.waitFor(table.revision);
    expect(target.calls).toEqual(['update a', 'update b', 'prune', 'delete a']);
    expect([...target.held]).toEqual([['b', 2]]);
    expect(table.revision).toBe(5);
  });

  test('a failing key is retried with backoff and says so; the others go on', async () => {
    const table = rows();
    const target = new MemoryTarget();
    let left = 3;
    target.fail = (operation) =>
      operation === 'update a' && left-- > 0
        ? new Error('update rows', { cause: new Error('ENOSPC') })
        : undefined;
    const outcomes: boolean[] = [];
    table.upsert(row('a', 1));
    table.upsert(row('b', 1));
    using reconciler = new Reconciler({
      table,
      target,
      setStatus,
      backoffMinMs: 1,
      backoffMaxMs: 4,
      metrics: {
        operation: (operation, _, ok) => operation === 'update' && outcomes.push(ok),
        errorsCurrent: () => {},
      },
    });
    await reconciler.waitFor(table.revision);
    expect(table.get('a')?.status).toEqual({
      kind: 'error',
      message: 'update rows: ENOSPC',
      attempts: 1,
    });
    expect(table.get('b')?.status.kind).toBe('done');
    await until(() => table.get('a')?.status.kind === 'done');
    expect(reconciler.errors).toBe(0);
    expect(outcomes).toEqual([false, true, false, false, true]);
  });

  test('a new wish cuts the backoff short, a change by somebody else does not', async () => {
    const table = rows();
    const target = new MemoryTarget();
    target.fail = () => new Error('no');
    table.upsert(row('a', 1));
    using reconciler = new Reconciler({ table, target, setStatus, backoffMinMs: 3_600_000 });
    await reconciler.waitFor(table.revision);
    table.upsert({ ...table.get('a')!, note: 'by another' });
    await reconciler.waitFor(table.revision);
    expect(target.calls.filter((call) => call === 'update a')).toHaveLength(1);
    target.fail = () => undefined;
    table.upsert(row('a', 2));
    await reconciler.waitFor(table.revision);
    expect(target.held.get('a')).toBe(2);
    expect(table.get('a')?.status.kind).toBe('done');
  });

  test('two reconcilers on one row, both failing, do not wake each other for ever', async () => {
    interface Twice {
      readonly id: string;
      readonly left: Status;
      readonly right: Status;
    }
    const table = new Table<Twice>({ name: 'twice', key: (twice) => twice.id, columns: [] });
    let calls = 0;
    const target = {
      update: () => {
        calls++;
        throw new Error('no');
      },
      delete: () => {},
    };
    table.upsert({ id: 'a', left: pending, right: pending });
    const backoffMinMs = 3_600_000;
    using one = new Reconciler<Twice>({
      table,
      target,
      backoffMinMs,
      getStatus: (twice) => twice.left,
      setStatus: (twice, left) => ({ ...twice, left }),
    });
    using two = new Reconciler<Twice>({
      table,
      target,
      backoffMinMs,
      getStatus: (twice) => twice.right,
      setStatus: (twice, right) => ({ ...twice, right }),
    });
    await until(() => one.revision === table.revision && two.revision === table.revision);
    const atRest = calls;
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(atRest);
    expect(calls).toBeLessThanOrEqual(4);
    expect(one.errors + two.errors).toBe(2);
  });

  test('unchanged rows get their status without the target hearing of them', async () => {
    const table = rows();
    const target = new MemoryTarget();
    using reconciler = new Reconciler({
      table,
      target,
      setStatus,
      unchanged: (a, b) => a.value === b.value,
    });
    table.upsert(row('a', 1));
    await reconciler.waitFor(table.revision);
    table.upsert({ ...row('a', 1), note: 'x' });
    await reconciler.waitFor(table.revision);
    expect(table.get('a')).toEqual({ id: 'a', value: 1, note: 'x', status: { kind: 'done' } });
    expect(target.calls.filter((call) => call === 'update a')).toHaveLength(1);
  });

  test('a row replaced while its update runs is carried over again', async () => {
    const table = rows();
    const gate = Promise.withResolvers<void>();
    const seen: number[] = [];
    using reconciler = new Reconciler<Row>({
      table,
      setStatus,
      target: {
        update: async (wanted) => {
          seen.push(wanted.value);
          if (seen.length === 1) await gate.promise;
        },
        delete: () => {},
      },
    });
    table.upsert(row('a', 1));
    await until(() => seen.length === 1);
    table.upsert(row('a', 2));
    gate.resolve();
    await reconciler.waitFor(table.revision);
    expect(seen).toEqual([1, 2]);
    expect(table.get('a')?.status.kind).toBe('done');
  });

  test('prune waits for the sources, and is retried', async () => {
    const table = rows();
    const target = new MemoryTarget();
    const initialized = Promise.withResolvers<void>();
    let left = 2;
    target.fail = (operation) =>
      operation === 'prune' && left-- > 0 ? new Error('no') : undefined;
    target.held.set('leftover', 1);
    using reconciler = new Reconciler({
      table,
      target,
      setStatus,
      backoffMinMs: 1,
      initialized: initialized.promise,
    });
    table.upsert(row('a', 1));
    await reconciler.waitFor(table.revision);
    expect(target.held.has('leftover')).toBe(true);
    initialized.resolve();
    await until(() => !target.held.has('leftover'));
    expect(target.calls.filter((call) => call === 'prune')).toHaveLength(3);
  });

  test('updateBatch: each row its own outcome, and all of them if the call itself fails', async () => {
    const table = rows();
    let whole: Error | undefined;
    const sizes: number[] = [];
    for (let id = 0; id < 7; id++) table.upsert(row(`${id}`, id));
    using reconciler = new Reconciler<Row>({
      table,
      setStatus,
      batch: 3,
      backoffMinMs: 3_600_000,
      target: {
        update: () => {},
        updateBatch: (batch) => {
          sizes.push(batch.length);
          if (whole !== undefined) throw whole;
          return batch.map((wanted) => (wanted.value === 4 ? 'full' : undefined));
        },
        delete: () => {},
      },
    });
    await reconciler.waitFor(table.revision);
    expect(sizes).toEqual([3, 3, 1]);
    expect([...table.all()].filter((each) => each.status.kind === 'error')).toHaveLength(1);
    whole = new Error('gone');
    table.upsert(row('0', 9));
    table.upsert(row('1', 9));
    await reconciler.waitFor(table.revision);
    expect(reconciler.errors).toBe(3);
  });

  test('stop ends waiting and touches nothing more; an aborted signal is a stop', async () => {
    const table = rows();
    const target = new MemoryTarget();
    const abort = new AbortController();
    const reconciler = new Reconciler({ table, target, setStatus, signal: abort.signal });
    const wait = reconciler.waitFor(99);
    const impatient = reconciler.waitFor(99, AbortSignal.abort(new Error('too long')));
    await expect(impatient).rejects.toThrow('too long');
    abort.abort();
    await expect(wait).rejects.toThrow('stopped');
    table.upsert(row('a', 1));
    await reconciler.stop();
    expect(target.calls.filter((call) => call !== 'prune')).toEqual([]);
  });

  test('converges with a target that fails at random, whatever the order of changes', async () => {
    const step = fc.record({
      kind: fc.constantFrom('upsert', 'upsert', 'delete', 'yield'),
      id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      value: fc.nat(5),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.infiniteStream(fc.nat(3)),
        fc.boolean(),
        async (steps, luck, slow) => {
          const table = rows();
          const target = new MemoryTarget();
          let failures = 80;
          target.fail = () =>
            luck.next().value === 0 && failures-- > 0 ? new Error('no') : undefined;
          const asked: ReconcileTarget<Row, string> = {
            update: (wanted) =>
              slow ? Promise.resolve().then(() => target.update(wanted)) : target.update(wanted),
            delete: (key) => target.delete(key),
            prune: (keys) => target.prune(keys),
          };
          target.held.set('leftover', 1);
          using reconciler = new Reconciler({
            table,
            target: asked,
            setStatus,
            backoffMinMs: 0.01,
            backoffMaxMs: 0.1,
            batch: 2,
          });
          for (const { kind, id, value } of steps) {
            if (kind === 'upsert') table.upsert(row(id, value));
            else if (kind === 'delete') table.delete(id);
            else await new Promise((resolve) => setImmediate(resolve));
          }
          await until(
            () =>
              reconciler.revision === table.revision &&
              reconciler.errors === 0 &&
              !target.held.has('leftover'),
          );
          const wanted = new Map([...table.all()].map((each) => [each.id, each.value]));
          expect(new Map(target.held)).toEqual(wanted);
          for (const each of table.all()) expect(each.status.kind).toBe('done');
          expect(table.deletedHeld).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  }, 30_000);
});
