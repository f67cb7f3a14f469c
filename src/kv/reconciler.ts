/**
 * @module
 * The loop behind every `reconciler.ts`: reads a table's changes, carries them to a target (kernel,
 * Envoy, Kubernetes), and writes the outcome into the status of the row. A key that fails is tried
 * again with bounded backoff; the others do not wait for it.
 */

import { errorText } from './error.ts';
import { backoffMs, RetryQueue } from './retry-queue.ts';
import { done, failed, type Status, sameStatus } from './status.ts';
import type { Change, ChangeReader, Key, Table } from './table.ts';

/** The world outside. Every operation may be repeated; deleting what is absent is success. */
export interface ReconcileTarget<Row, K extends Key> {
  /** Makes the target as the row says, whatever it holds for this key, perhaps a predecessor's. */
  update(row: Row): void | Promise<void>;
  /** Many rows in one go, in place of `update`. Returns the error of each, in order. */
  updateBatch?(
    rows: readonly Row[],
  ): readonly (unknown | undefined)[] | Promise<readonly (unknown | undefined)[]>;
  /** `row` is the last one that an update was attempted with. */
  delete(key: K, row: Row): void | Promise<void>;
  /** Removes what is at the target but not among the keys, for instance from an earlier life. */
  prune?(keys: ReadonlySet<K>): void | Promise<void>;
}

/** Where a reconciler reports what it did, without knowing the metrics registry. */
export interface ReconcilerMetrics {
  operation(operation: 'update' | 'delete' | 'prune', seconds: number, ok: boolean): void;
  errorsCurrent(keys: number): void;
}

export interface ReconcilerOptions<Row extends object, K extends Key> {
  readonly table: Table<Row, K>;
  readonly target: ReconcileTarget<Row, K>;
  readonly setStatus: (row: Row, status: Status) => Row;
  /** Reads it back. Unless given, the row's own `status` field. */
  readonly getStatus?: (row: Row) => Status | undefined;
  /** True if the target need not hear of the difference: then only the status is written. */
  readonly unchanged?: (attempted: Row, row: Row) => boolean;
  readonly backoffMinMs?: number;
  readonly backoffMaxMs?: number;
  /** A retry wakes up to this fraction later, so that nodes do not knock in step. 0 in tests. */
  readonly jitter?: number;
  /** Rows between two pauses that let other work run; also the length of an `updateBatch`. */
  readonly batch?: number;
  /** Every source has delivered everything once. `prune` waits for it. */
  readonly initialized?: Promise<unknown>;
  readonly metrics?: ReconcilerMetrics;
  readonly signal?: AbortSignal;
}

const backoffMinMsDefault = 10;
const backoffMaxMsDefault = 30_000;
const batchDefault = 256;

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

/** Starts by itself. Nothing that the target does makes it throw or stop. */
export class Reconciler<Row extends object, K extends Key = string> implements Disposable {
  readonly #options: ReconcilerOptions<Row, K>;
  readonly #table: Table<Row, K>;
  readonly #getStatus: (row: Row) => Status | undefined;
  readonly #batch: number;
  readonly #reader: ChangeReader<Row>;
  readonly #subscription: Disposable;
  readonly #retries: RetryQueue<K>;
  /** The row of the latest attempt, kept until the target has deleted it. */
  readonly #attempted = new Map<K, Row>();
  readonly #waiters = new Set<Waiter>();
  #handled = 0;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #prune: { wanted: boolean; failures: number; dueMs: number };

  constructor(options: ReconcilerOptions<Row, K>) {
    this.#options = options;
    this.#table = options.table;
    this.#getStatus = options.getStatus ?? ownStatus;
    this.#batch = Math.max(1, options.batch ?? batchDefault);
    this.#retries = new RetryQueue({
      minMs: options.backoffMinMs ?? backoffMinMsDefault,
      maxMs: options.backoffMaxMs ?? backoffMaxMsDefault,
    });
    const hold = options.initialized !== undefined;
    this.#prune = { wanted: options.target.prune !== undefined && !hold, failures: 0, dueMs: 0 };
    options.initialized?.then(
      () => this.requestPrune(),
      // A source that never delivers leaves the target's surplus alone: deleting would be a guess.
      () => {},
    );
    this.#reader = this.#table.reader(`reconciler of ${this.#table.name}`);
    this.#subscription = this.#table.subscribe(() => this.#wake());
    options.signal?.addEventListener('abort', () => void this.stop(), { once: true });
    if (options.signal?.aborted === true) void this.stop();
    else queueMicrotask(() => this.#wake());
  }

  /** Keys whose latest operation failed. */
  get errors(): number {
    return this.#retries.size;
  }

  /** Every row up to this revision has been tried. */
  get revision(): number {
    return this.#handled;
  }

  /** Prunes after the next pass over the changes. */
  requestPrune(): void {
    if (this.#options.target.prune === undefined) return;
    this.#prune = { wanted: true, failures: 0, dueMs: 0 };
    this.#wake();
  }

  /**
   * Resolves when every row up to the revision is done or failed once. Rejects with the signal's
   * reason, or when the reconciler stops first.
   */
  async waitFor(revision: number, signal?: AbortSignal): Promise<void> {
    if (this.#handled >= revision) return;
    signal?.throwIfAborted();
    if (this.#stopped) throw new Error(`wait for ${this.#table.name}: reconciler is stopped`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = {
      revision,
      resolve: () =>
        this.#handled >= revision
          ? resolve()
          : reject(new Error(`wait for ${this.#table.name}: reconciler is stopped`)),
    };
    const abort = () => reject(signal?.reason);
    this.#waiters.add(waiter);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiters.delete(waiter);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Ends after the operation that is running. What the target holds stays. May be called twice. */
  async stop(): Promise<void> {
    if (!this.#stopped) {
      this.#stopped = true;
      if (this.#timer !== undefined) clearTimeout(this.#timer);
      this.#subscription[Symbol.dispose]();
      this.#reader.close();
      for (const waiter of [...this.#waiters]) waiter.resolve();
    }
    await this.#running;
  }

  [Symbol.dispose](): void {
    void this.stop();
  }

  #wake(): void {
    if (this.#stopped) return;
    this.#again = true;
    if (this.#running !== undefined) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#again) this.#wake();
      else this.#sleep();
    });
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      await this.#retryDue();
      const changes = this.#reader.next();
      const revision = this.#reader.revision;
      await this.#apply(changes);
      if (this.#stopped) return;
      this.#handled = revision;
      for (const waiter of this.#waiters) if (waiter.revision <= revision) waiter.resolve();
      if (this.#prune.wanted && this.#prune.dueMs <= performance.now()) await this.#pruneOnce();
      this.#options.metrics?.errorsCurrent(this.#retries.size);
    }
  }

  #sleep(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#stopped) return;
    let dueMs = this.#retries.nextMs();
    if (this.#prune.wanted) dueMs = Math.min(dueMs ?? this.#prune.dueMs, this.#prune.dueMs);
    if (dueMs === undefined) return;
    const waitMs = Math.max(0, dueMs - performance.now());
    const jitterMs = waitMs * (this.#options.jitter ?? 0) * Math.random();
    this.#timer = setTimeout(() => this.#wake(), Math.ceil(waitMs + jitterMs));
  }

  async #retryDue(): Promise<void> {
    const keys = this.#retries.take(performance.now(), this.#batch);
    if (keys.length === 0) return;
    const present: K[] = [];
    const rows: Row[] = [];
    for (const key of keys) {
      const row = this.#table.get(key);
      if (row === undefined) await this.#delete(key);
      else {
        this.#attempted.set(key, row);
        present.push(key);
        rows.push(row);
      }
    }
    await this.#update(present, rows);
    if (keys.length < this.#batch) return;
    // More may be due than one batch takes.
    this.#again = true;
    await pause();
  }

  /** Carries out changes in order, a batch of updates at a time. */
  async #apply(changes: readonly Change<Row>[]): Promise<void> {
    let keys: K[] = [];
    let rows: Row[] = [];
    let count = 0;
    for (const change of changes) {
      if (this.#stopped) return;
      const key = change.key as K;
      if (change.row === undefined) {
        await this.#update(keys, rows);
        keys = [];
        rows = [];
        await this.#delete(key);
      } else if (this.#wants(key, change.row)) {
        this.#attempted.set(key, change.row);
        keys.push(key);
        rows.push(change.row);
      }
      if (++count % this.#batch !== 0) continue;
      await this.#update(keys, rows);
      keys = [];
      rows = [];
      await pause();
    }
    await this.#update(keys, rows);
  }

  /** False for our own status writes, and for changes that the target need not hear of now. */
  #wants(key: K, row: Row): boolean {
    const attempted = this.#attempted.get(key);
    if (attempted === undefined) return true;
    if (attempted === row) return false;
    // Only a writer that asks for work (pending) cuts a backoff short. Otherwise two reconcilers
    // that both fail on one row would wake each other by their status for ever.
    if (this.#retries.has(key)) return this.#getStatus(row)?.kind === 'pending';
    if (this.#options.unchanged?.(attempted, row) !== true) return true;
    this.#attempted.set(key, row);
    this.#outcome(key, row, undefined);
    return false;
  }

  async #update(keys: readonly K[], rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const target = this.#options.target;
    if (target.updateBatch !== undefined) {
      const startMs = performance.now();
      let errors: readonly unknown[];
      try {
        errors = await target.updateBatch(rows);
        if (errors.length !== rows.length) throw new Error('update: outcomes are missing');
      } catch (cause) {
        errors = rows.map(() => cause ?? new Error('update: rejected'));
      }
      const ok = errors.every((error) => error === undefined);
      this.#measure('update', startMs, ok);
      for (const [at, row] of rows.entries()) this.#outcome(keys[at] as K, row, errors[at]);
      return;
    }
    for (const [at, row] of rows.entries()) {
      if (this.#stopped) return;
      const error = await this.#attempt('update', () => target.update(row));
      this.#outcome(keys[at] as K, row, error);
    }
  }

  async #delete(key: K): Promise<void> {
    const row = this.#attempted.get(key);
    // Never attempted here: if it is at the target, an earlier life put it there, and prune sees it.
    if (row === undefined) return;
    const error = await this.#attempt('delete', () => this.#options.target.delete(key, row));
    if (error !== undefined) {
      this.#retries.fail(key, performance.now());
      return;
    }
    this.#retries.forget(key);
    this.#attempted.delete(key);
  }

  /** Writes the outcome into the row, unless a newer row has taken its place meanwhile. */
  #outcome(key: K, row: Row, error: unknown): void {
    let status: Status = done;
    if (error === undefined) this.#retries.forget(key);
    else status = failed(errorText(error), this.#retries.fail(key, performance.now()));
    if (this.#table.get(key) !== row) return;
    const before = this.#getStatus(row);
    if (before !== undefined && sameStatus(before, status)) return;
    const written = this.#options.setStatus(row, status);
    this.#attempted.set(key, written);
    this.#table.upsert(written);
  }

  async #pruneOnce(): Promise<void> {
    const keys = new Set(this.#table.keys());
    // A failed delete is retried on its own; prune may take it too, which is harmless.
    const error = await this.#attempt('prune', () => this.#options.target.prune?.(keys));
    if (error === undefined) {
      this.#prune.wanted = false;
      return;
    }
    const failures = ++this.#prune.failures;
    const minMs = this.#options.backoffMinMs ?? backoffMinMsDefault;
    const maxMs = this.#options.backoffMaxMs ?? backoffMaxMsDefault;
    this.#prune.dueMs = performance.now() + backoffMs({ minMs, maxMs }, failures);
  }

  async #attempt(
    operation: 'update' | 'delete' | 'prune',
    run: () => void | Promise<void>,
  ): Promise<unknown> {
    const startMs = performance.now();
    let error: unknown;
    try {
      // Most targets answer at once; awaiting them would cost a turn per row.
      const running = run();
      if (running !== undefined) await running;
    } catch (cause) {
      error = cause ?? new Error(`${operation}: rejected`);
    }
    this.#measure(operation, startMs, error === undefined);
    return error;
  }

  #measure(operation: 'update' | 'delete' | 'prune', startMs: number, ok: boolean): void {
    this.#options.metrics?.operation(operation, (performance.now() - startMs) / 1000, ok);
  }
}

function ownStatus(row: object): Status | undefined {
  return 'status' in row ? (row.status as Status) : undefined;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
