/**
 * @module
 * In-process tables: immutable rows by key, with indexes and a revision that grows with every
 * change. Reflectors and controllers write them; controllers, reconcilers, mirrors and commands
 * read them. A synchronous function is a transaction, because nothing else runs meanwhile.
 */

export type Key = string | number;

/** The latest state of one key. `row` is undefined if the key was deleted. */
export interface Change<Row> {
  readonly revision: number;
  readonly key: Key;
  readonly row: Row | undefined;
}

export interface Column<Row> {
  readonly name: string;
  readonly value: (row: Row) => string;
}

export interface TableSpec<Row, K extends Key> {
  /** Plural. */
  readonly name: string;
  readonly key: (row: Row) => K;
  readonly indexes?: Readonly<Record<string, (row: Row) => readonly Key[]>>;
  readonly columns: readonly Column<Row>[];
}

/** What can be read from a table, and from the copy of one in a worker. */
export interface TableView<Row extends object, K extends Key = string> {
  readonly name: string;
  readonly columns: readonly Column<Row>[];
  readonly size: number;
  get(key: K): Row | undefined;
  all(): IterableIterator<Row>;
  by(index: string, value: Key): readonly Row[];
  subscribe(listener: () => void): Disposable;
}

/** A place in a table's history. Deleted keys stay known until every open reader has passed them. */
export interface ChangeReader<Row> extends Disposable {
  readonly name: string;
  /** The table's revision at the last `next()`. */
  readonly revision: number;
  /** The latest state of every key that changed since the last call, in revision order. */
  next(): Change<Row>[];
  /** Lets go of the deleted keys. May be called twice. */
  close(): void;
}

/** The log is rewritten when more than half of it, and at least this many slots, is superseded. */
const logSlackSlotsMin = 256;

const freezeRows = process.env.NODE_ENV === 'test';

/**
 * Rows by key. Every key owns one slot of the log, at the place of its latest change; an older
 * slot of the same key is a hole. So the log is in revision order, never holds a key twice, and
 * is at most about twice as long as the number of keys.
 */
export class Table<Row extends object, K extends Key = string> implements TableView<Row, K> {
  readonly name: string;
  readonly columns: readonly Column<Row>[];
  readonly #key: (row: Row) => K;
  readonly #indexes = new Map<string, Index<Row, K>>();
  readonly #slots = new Map<K, number>();
  readonly #graves = new Map<K, number>();
  #logKeys: (K | undefined)[] = [];
  #logRows: (Row | undefined)[] = [];
  #logRevisions: number[] = [];
  #revision = 0;
  readonly #readers = new Set<Reader<Row>>();
  readonly #listeners = new Set<() => void>();
  #notifying = false;

  constructor(spec: TableSpec<Row, K>) {
    this.name = spec.name;
    this.columns = spec.columns;
    this.#key = spec.key;
    for (const [name, keysOf] of Object.entries(spec.indexes ?? {})) {
      this.#indexes.set(name, new Index(keysOf));
    }
  }

  get size(): number {
    return this.#slots.size;
  }

  /** The revision of the latest change; 0 if there never was one. */
  get revision(): number {
    return this.#revision;
  }

  /** Deleted keys still held for readers. A number that only grows means a reader that stopped. */
  get deletedHeld(): number {
    return this.#graves.size;
  }

  get(key: K): Row | undefined {
    const slot = this.#slots.get(key);
    return slot === undefined ? undefined : this.#logRows[slot];
  }

  /** In the order in which the keys were first inserted. Changing the table meanwhile is allowed. */
  *all(): IterableIterator<Row> {
    for (const slot of this.#slots.values()) {
      const row = this.#logRows[slot];
      if (row !== undefined) yield row;
    }
  }

  /** In the same order as `all()`. */
  keys(): IterableIterator<K> {
    return this.#slots.keys();
  }

  /** The rows that the named index files under the value. */
  by(index: string, value: Key): readonly Row[] {
    const found = this.#indexes.get(index);
    if (found === undefined) throw new TypeError(`table ${this.name} has no index ${index}`);
    const rows: Row[] = [];
    for (const key of found.keys(value)) {
      const row = this.get(key);
      if (row !== undefined) rows.push(row);
    }
    return rows;
  }

  /**
   * Inserts or replaces the row of its key and returns the revision. The row must not be changed
   * afterwards. The very object that is already there is no change.
   */
  upsert(row: Row): number {
    const key = this.#key(row);
    const slot = this.#slots.get(key);
    const before = slot === undefined ? undefined : this.#logRows[slot];
    if (before === row && slot !== undefined) return this.#logRevisions[slot] ?? this.#revision;
    if (freezeRows) deepFreeze(row);
    const grave = slot ?? this.#graves.get(key);
    if (grave !== undefined) this.#clear(grave);
    this.#graves.delete(key);
    this.#slots.set(key, this.#append(key, row));
    for (const index of this.#indexes.values()) index.replace(key, before, row);
    this.#changed();
    return this.#revision;
  }

  /** True if the key was there. */
  delete(key: K): boolean {
    const slot = this.#slots.get(key);
    if (slot === undefined) return false;
    const before = this.#logRows[slot];
    this.#slots.delete(key);
    this.#clear(slot);
    if (this.#readers.size > 0) this.#graves.set(key, this.#append(key, undefined));
    else this.#revision++;
    for (const index of this.#indexes.values()) index.replace(key, before, undefined);
    this.#changed();
    return true;
  }

  /**
   * The latest state of every key that changed after the revision, in revision order. Deleted keys
   * are complete only for a caller that holds a reader open at or before that revision.
   */
  changes(since: number): { readonly changes: readonly Change<Row>[]; readonly revision: number } {
    return { changes: this.#collect(since), revision: this.#revision };
  }

  /** Opens a reader at the beginning: its first `next()` is every row of the table. */
  reader(name: string): ChangeReader<Row> {
    const reader = new Reader<Row>(name, {
      collect: (since) => this.#collect(since),
      current: () => this.#revision,
      passed: () => this.#sweep(),
      closed: () => {
        this.#readers.delete(reader);
        this.#sweep();
      },
    });
    this.#readers.add(reader);
    return reader;
  }

  /** Calls the listener once per batch of changes, in a microtask after they are all in. */
  subscribe(listener: () => void): Disposable {
    // A wrapper, so that the same function may subscribe twice.
    const entry = () => listener();
    this.#listeners.add(entry);
    return { [Symbol.dispose]: () => void this.#listeners.delete(entry) };
  }

  #append(key: K, row: Row | undefined): number {
    this.#compact();
    this.#revision++;
    this.#logKeys.push(key);
    this.#logRows.push(row);
    return this.#logRevisions.push(this.#revision) - 1;
  }

  #clear(slot: number): void {
    this.#logKeys[slot] = undefined;
    this.#logRows[slot] = undefined;
  }

  #compact(): void {
    const held = this.#slots.size + this.#graves.size;
    const slack = this.#logKeys.length - held;
    if (slack < logSlackSlotsMin || slack < held) return;
    const keys: K[] = [];
    const rows: (Row | undefined)[] = [];
    const revisions: number[] = [];
    for (let slot = 0; slot < this.#logKeys.length; slot++) {
      const key = this.#logKeys[slot];
      if (key === undefined) continue;
      const row = this.#logRows[slot];
      (row === undefined ? this.#graves : this.#slots).set(key, keys.length);
      keys.push(key);
      rows.push(row);
      revisions.push(this.#logRevisions[slot] ?? 0);
    }
    this.#logKeys = keys;
    this.#logRows = rows;
    this.#logRevisions = revisions;
  }

  #collect(since: number): Change<Row>[] {
    const changes: Change<Row>[] = [];
    for (let slot = this.#logRevisions.length - 1; slot >= 0; slot--) {
      const revision = this.#logRevisions[slot] ?? 0;
      if (revision <= since) break;
      const key = this.#logKeys[slot];
      if (key !== undefined) changes.push({ revision, key, row: this.#logRows[slot] });
    }
    return changes.reverse();
  }

  /** Forgets the deleted keys that every reader has passed. They are in revision order. */
  #sweep(): void {
    if (this.#graves.size === 0) return;
    let passed = this.#revision;
    for (const reader of this.#readers) passed = Math.min(passed, reader.revision);
    for (const [key, slot] of this.#graves) {
      if ((this.#logRevisions[slot] ?? 0) > passed) break;
      this.#graves.delete(key);
      this.#clear(slot);
    }
  }

  #changed(): void {
    if (this.#notifying || this.#listeners.size === 0) return;
    this.#notifying = true;
    queueMicrotask(() => {
      this.#notifying = false;
      for (const listener of [...this.#listeners]) {
        if (!this.#listeners.has(listener)) continue;
        try {
          listener();
        } catch (cause) {
          // A listener that throws is a programmer error. It is not lost: it goes where every
          // uncaught error of the process goes, after the others have heard about the batch.
          queueMicrotask(() => {
            throw cause;
          });
        }
      }
    });
  }
}

interface ReaderSource<Row> {
  collect(since: number): Change<Row>[];
  current(): number;
  passed(): void;
  closed(): void;
}

class Reader<Row> implements ChangeReader<Row> {
  readonly name: string;
  readonly #source: ReaderSource<Row>;
  #revision = 0;
  #open = true;

  constructor(name: string, source: ReaderSource<Row>) {
    this.name = name;
    this.#source = source;
  }

  get revision(): number {
    return this.#revision;
  }

  next(): Change<Row>[] {
    if (!this.#open) return [];
    const changes = this.#source.collect(this.#revision);
    this.#revision = this.#source.current();
    this.#source.passed();
    return changes;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#source.closed();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Index value → keys. Most values have one key, which is then stored without a set around it. */
class Index<Row extends object, K extends Key> {
  readonly #keysOf: (row: Row) => readonly Key[];
  readonly #entries = new Map<Key, K | Set<K>>();

  constructor(keysOf: (row: Row) => readonly Key[]) {
    this.#keysOf = keysOf;
  }

  keys(value: Key): Iterable<K> {
    const entry = this.#entries.get(value);
    if (entry === undefined) return [];
    return entry instanceof Set ? entry : [entry];
  }

  replace(key: K, before: Row | undefined, after: Row | undefined): void {
    const old = before === undefined ? [] : this.#keysOf(before);
    const now = after === undefined ? [] : this.#keysOf(after);
    for (const value of old) if (!now.includes(value)) this.#remove(value, key);
    for (const value of now) if (!old.includes(value)) this.#add(value, key);
  }

  #add(value: Key, key: K): void {
    const entry = this.#entries.get(value);
    if (entry === undefined) this.#entries.set(value, key);
    else if (entry instanceof Set) entry.add(key);
    else if (entry !== key) this.#entries.set(value, new Set([entry, key]));
  }

  #remove(value: Key, key: K): void {
    const entry = this.#entries.get(value);
    if (entry === key) this.#entries.delete(value);
    else if (entry instanceof Set) {
      entry.delete(key);
      if (entry.size === 0) this.#entries.delete(value);
    }
  }
}

/** Plain objects and arrays only: typed arrays cannot be frozen, other classes look after themselves. */
function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) return;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
}
