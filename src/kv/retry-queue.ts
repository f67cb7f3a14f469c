/**
 * @module
 * Which keys are to be tried again, and when. A key waits twice as long after every failure, up to
 * a bound. Keys that failed equally often wait equally long, so one queue per number of failures
 * is in order of time by itself and no sorting is needed.
 */

import type { Key } from './table.ts';

export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
}

/** The wait after the given number of failures in a row (1 or more). */
export function backoffMs(options: BackoffOptions, failures: number): number {
  return Math.min(options.maxMs, options.minMs * 2 ** Math.min(failures - 1, 30));
}

export class RetryQueue<K extends Key> {
  readonly #options: BackoffOptions;
  readonly #failures = new Map<K, number>();
  /** By level of backoff: key → time at which it is due, in order of that time. */
  readonly #due: Map<K, number>[] = [];
  readonly #levelMax: number;

  constructor(options: BackoffOptions) {
    this.#options = options;
    let level = 1;
    while (backoffMs(options, level) < options.maxMs && level < 31) level++;
    this.#levelMax = level;
  }

  /** Keys that failed and have not worked since. */
  get size(): number {
    return this.#failures.size;
  }

  has(key: K): boolean {
    return this.#failures.has(key);
  }

  /** Counts a failure of the key, makes it wait, and returns its failures in a row. */
  fail(key: K, nowMs: number): number {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#unqueue(key);
    this.#failures.set(key, failures);
    const level = Math.min(failures, this.#levelMax);
    const queue = this.#due[level] ?? new Map<K, number>();
    this.#due[level] = queue;
    queue.set(key, nowMs + backoffMs(this.#options, failures));
    return failures;
  }

  /** The key works, or is not wanted any more. */
  forget(key: K): void {
    this.#unqueue(key);
    this.#failures.delete(key);
  }

  /** Takes the keys that are due, at most `max`. Their failures stay counted. */
  take(nowMs: number, max: number): K[] {
    const keys: K[] = [];
    for (const queue of this.#due) {
      if (queue === undefined) continue;
      for (const [key, dueMs] of queue) {
        if (dueMs > nowMs || keys.length >= max) break;
        queue.delete(key);
        keys.push(key);
      }
    }
    return keys;
  }

  /** When the next key is due; undefined if none waits. */
  nextMs(): number | undefined {
    let next: number | undefined;
    for (const queue of this.#due) {
      const first = queue?.values().next().value;
      if (first !== undefined && (next === undefined || first < next)) next = first;
    }
    return next;
  }

  #unqueue(key: K): void {
    const failures = this.#failures.get(key);
    if (failures !== undefined) this.#due[Math.min(failures, this.#levelMax)]?.delete(key);
  }
}
