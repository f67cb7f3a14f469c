/**
 * @module The numbers of identities, `<state-dir>/identities`: a JSON line for each that was given,
 * the latest last. What an agent leaves in the kernel names identities by number, so the next agent
 * must not give a number to others. Endpoints have theirs in their own state; this is for all.
 */
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Table } from '../../kv/table.ts';
import {
  type IdentityId,
  type IdentityRow,
  identityId,
  identityMax,
  identityMin,
  labelsKey,
} from './table.ts';

/** Nothing waits for the disk. */
const writeDelayMs = 20;
/** A disk that refuses is asked again this much later. */
const retryDelayMsDefault = 1000;
/** The file is written anew when it has this many lines more than twice the identities. */
const slackLines = 4096;

export class NumberLog implements Disposable {
  readonly #path: string;
  readonly #table: Table<IdentityRow, IdentityId>;
  readonly #onError: (error: unknown) => void;
  readonly #retryDelayMs: number;
  readonly #reader;
  readonly #subscription: Disposable;
  /** Labels by number, as the file has them; what is gone stays in it. */
  readonly #written = new Map<IdentityId, string>();
  /** Numbers of earlier agents, by which the kernel may still know addresses: they stay in the file. */
  #earlier: ReadonlyMap<IdentityId, readonly string[]> = new Map();
  /** 0 if the file is to be written anew. */
  #lines = 0;
  #failing = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    stateDirectory: string,
    table: Table<IdentityRow, IdentityId>,
    onError: (error: unknown) => void,
    retryDelayMs = retryDelayMsDefault,
  ) {
    this.#path = join(stateDirectory, 'identities');
    this.#table = table;
    this.#onError = onError;
    this.#retryDelayMs = retryDelayMs;
    this.#reader = table.reader('identity numbers');
    this.#subscription = table.subscribe(() => {
      this.#timer ??= setTimeout(() => this.flush(), writeDelayMs);
    });
  }

  /** Labels by number, as an earlier agent had them. What cannot be read is left out. */
  read(): Map<IdentityId, readonly string[]> {
    const known = new Map<IdentityId, readonly string[]>();
    let text = '';
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch {
      // No number was ever given.
    }
    for (const line of text.split('\n')) {
      const entry = parseLine(line);
      if (entry === undefined) continue;
      known.delete(entry[0]);
      known.set(...entry);
    }
    this.#earlier = known;
    return known;
  }

  /** The kernel knows no address by an earlier agent's number any more. */
  endEarlier(): void {
    this.#earlier = new Map();
  }

  /** Writes what is new, now. What the disk refuses is tried again; an error is told once. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const fresh: IdentityRow[] = [];
    for (const { key, row } of this.#reader.next()) {
      // Should it come back, its line is to be the latest.
      if (row === undefined) this.#written.delete(key as IdentityId);
      if (row === undefined || !isPods(row)) continue;
      if (this.#written.get(row.id) !== labelsKey(row.labels)) fresh.push(row);
    }
    if (fresh.length === 0 && !this.#failing) return;
    try {
      const linesMax = 2 * (this.#table.size + this.#earlier.size) + slackLines;
      if (this.#lines === 0 || this.#lines + fresh.length > linesMax) this.#rewrite();
      else {
        appendFileSync(this.#path, fresh.map(formatLine).join(''));
        this.#keep(fresh);
      }
      this.#failing = false;
    } catch (error) {
      this.#lines = 0;
      if (!this.#failing) this.#onError(error);
      this.#failing = true;
      this.#timer = setTimeout(() => this.flush(), this.#retryDelayMs);
      this.#timer.unref();
    }
  }

  #rewrite(): void {
    const rows = [...this.#table.all()].filter(isPods);
    const earlier = [...this.#earlier].map(([id, labels]) => ({ id, labels }));
    const left = earlier.filter(({ id }) => this.#table.get(id) === undefined);
    mkdirSync(join(this.#path, '..'), { recursive: true, mode: 0o750 });
    const text = [...left, ...rows].map(formatLine).join('');
    writeFileSync(`${this.#path}.new`, text, { mode: 0o640 });
    renameSync(`${this.#path}.new`, this.#path);
    this.#written.clear();
    this.#lines = left.length;
    this.#keep(rows);
  }

  #keep(rows: readonly IdentityRow[]): void {
    for (const { id, labels } of rows) this.#written.set(id, labelsKey(labels));
    this.#lines += rows.length;
  }

  [Symbol.dispose](): void {
    this.flush();
    clearTimeout(this.#timer);
    this.#subscription[Symbol.dispose]();
    this.#reader.close();
  }
}

function isPods({ id }: IdentityRow): boolean {
  return id >= identityMin && id <= identityMax;
}

function formatLine({ id, labels }: Pick<IdentityRow, 'id' | 'labels'>): string {
  return `${JSON.stringify([id, ...labels])}\n`;
}

function parseLine(line: string): [IdentityId, readonly string[]] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // Empty, or half written.
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  const [id, ...labels] = value as unknown[];
  const isNumber = Number.isInteger(id) && Number(id) >= identityMin && Number(id) <= identityMax;
  if (!isNumber || !labels.every((each) => typeof each === 'string')) return undefined;
  return [identityId(Number(id)), labels];
}
