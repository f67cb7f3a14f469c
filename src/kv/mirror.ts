/**
 * @module
 * A table copied into a worker. `TableSource` (where the table is written) turns its changes into
 * messages, `TableReplica` (in the worker) applies them to a table of the same shape, which the
 * worker then only reads. First a snapshot in parts, then increments. Rows must be cloneable.
 */

import { KvError } from './error.ts';
import type { ChangeReader, Column, Key, Table, TableView } from './table.ts';

/** One message. `keys[i]` has the row `rows[i]`, or is deleted if that is undefined. */
export interface MirrorMessage {
  readonly kind: 'table-mirror';
  readonly table: string;
  /** Counts messages from 0; 0 starts a snapshot. */
  readonly sequence: number;
  /** The source's revision after this message. */
  readonly revision: number;
  /** False in all parts of a snapshot but the last. */
  readonly synced: boolean;
  readonly keys: readonly Key[];
  readonly rows: readonly (object | undefined)[];
}

export interface TableSourceOptions {
  /** Changes are collected for at least this long after the previous message. */
  readonly intervalMs?: number;
  /** Rows in one message at most. */
  readonly rowsMax?: number;
}

const intervalMsDefault = 10;
const rowsMaxDefault = 4096;

/** The message that the kind says it is; for a worker's `onmessage`, which hears other things too. */
export function isMirrorMessage(value: unknown): value is MirrorMessage {
  return typeof value === 'object' && value !== null && 'kind' in value
    ? value.kind === 'table-mirror'
    : false;
}

/**
 * Sends a table's rows and then its changes. The first change after a quiet time goes out at
 * once, later ones at most every `intervalMs`. Stop it when the worker ends; a restarted worker
 * gets a source of its own.
 */
export class TableSource<Row extends object, K extends Key> implements Disposable {
  readonly #table: Table<Row, K>;
  readonly #post: (message: MirrorMessage) => void;
  readonly #intervalMs: number;
  readonly #rowsMax: number;
  readonly #reader: ChangeReader<Row>;
  readonly #subscription: Disposable;
  #sequence = 0;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Posts the snapshot before it returns. */
  constructor(
    table: Table<Row, K>,
    post: (message: MirrorMessage) => void,
    options: TableSourceOptions = {},
  ) {
    this.#table = table;
    this.#post = post;
    this.#intervalMs = options.intervalMs ?? intervalMsDefault;
    this.#rowsMax = options.rowsMax ?? rowsMaxDefault;
    this.#reader = table.reader(`mirror of ${table.name}`);
    this.flush();
    this.#subscription = table.subscribe(() => this.#schedule());
  }

  /** Messages posted so far. */
  get posted(): number {
    return this.#sequence;
  }

  /** Posts what has changed now. Called by the timer; call it yourself before a shutdown. */
  flush(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    const changes = this.#reader.next();
    if (changes.length === 0 && this.#sequence > 0) return;
    const snapshot = this.#sequence === 0;
    for (let from = 0; from === 0 || from < changes.length; from += this.#rowsMax) {
      const part = changes.slice(from, from + this.#rowsMax);
      const last = from + part.length >= changes.length;
      this.#post({
        kind: 'table-mirror',
        table: this.#table.name,
        sequence: this.#sequence++,
        revision: last ? this.#reader.revision : (part.at(-1)?.revision ?? 0),
        synced: last || !snapshot,
        keys: part.map((change) => change.key),
        rows: part.map((change) => change.row),
      });
    }
    this.#sentAtMs = performance.now();
  }

  stop(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#subscription[Symbol.dispose]();
    this.#reader.close();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #schedule(): void {
    if (this.#timer !== undefined) return;
    const waitMs = this.#sentAtMs + this.#intervalMs - performance.now();
    if (waitMs <= 0) this.flush();
    else this.#timer = setTimeout(() => this.flush(), waitMs);
  }
}

/**
 * The reading side. Give it an empty table made by the same factory as the source's; nobody else
 * may write to it. Rows come in revision order, so `all()` may order keys differently than the
 * source does.
 */
export class TableReplica<Row extends object, K extends Key = string> implements TableView<Row, K> {
  readonly #table: Table<Row, K>;
  #sequence = -1;
  #sourceRevision = 0;
  #synced = false;
  #stale: Set<K> | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(table: Table<Row, K>) {
    if (table.size > 0) throw new TypeError(`replica of ${table.name}: the table is not empty`);
    this.#table = table;
  }

  get name(): string {
    return this.#table.name;
  }

  get columns(): readonly Column<Row>[] {
    return this.#table.columns;
  }

  get size(): number {
    return this.#table.size;
  }

  /** The source's revision that this copy has reached. */
  get sourceRevision(): number {
    return this.#sourceRevision;
  }

  /** True once a whole snapshot has arrived. */
  get synced(): boolean {
    return this.#synced;
  }

  get(key: K): Row | undefined {
    return this.#table.get(key);
  }

  all(): IterableIterator<Row> {
    return this.#table.all();
  }

  by(index: string, value: Key): readonly Row[] {
    return this.#table.by(index, value);
  }

  subscribe(listener: () => void): Disposable {
    return this.#table.subscribe(listener);
  }

  /** Resolves once a snapshot is complete; rejects with the signal's reason. */
  async whenSynced(signal?: AbortSignal): Promise<void> {
    if (this.#synced) return;
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => reject(signal?.reason);
    this.#waiting.add(resolve);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiting.delete(resolve);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Applies one message. Throws KvError if one was lost or is another table's. */
  apply(message: MirrorMessage): void {
    if (message.table !== this.name) {
      throw new KvError(`mirror of ${this.name}: got a message of table ${message.table}`);
    }
    // A new source starts over: what its snapshot does not name is gone.
    if (message.sequence === 0) this.#stale = new Set(this.#table.keys());
    else if (message.sequence !== this.#sequence + 1) {
      throw new KvError(
        `mirror of ${this.name}: message ${this.#sequence + 1} is missing, got ${message.sequence}`,
      );
    }
    this.#sequence = message.sequence;
    message.keys.forEach((key, at) => {
      this.#stale?.delete(key as K);
      const row = message.rows[at] as Row | undefined;
      if (row === undefined) this.#table.delete(key as K);
      else this.#table.upsert(row);
    });
    this.#sourceRevision = message.revision;
    if (message.synced) this.#complete();
  }

  #complete(): void {
    for (const key of this.#stale ?? []) this.#table.delete(key);
    this.#stale = undefined;
    this.#synced = true;
    for (const resolve of this.#waiting) resolve();
  }
}
