/**
 * @module
 * Keeps what a table no longer has for a while: an endpoint that changes its identity has the old
 * one in the kernel until its own reconciler comes round, and must find the old policy there.
 */

export class Linger<K, V> {
  readonly #kept = new Map<K, { readonly value: V; readonly untilMs: number }>();
  readonly #durationMs: number;
  readonly #now: () => number;

  constructor(durationMs: number, now: () => number = () => performance.now()) {
    this.#durationMs = durationMs;
    this.#now = now;
  }

  /** The wanted entries and those of `before` that went less than the duration ago. */
  extend(wanted: ReadonlyMap<K, V>, before: ReadonlyMap<K, V>): Map<K, V> {
    const now = this.#now();
    for (const [key, value] of before) {
      if (wanted.has(key) || this.#kept.has(key)) continue;
      this.#kept.set(key, { value, untilMs: now + this.#durationMs });
    }
    const extended = new Map(wanted);
    for (const [key, { value, untilMs }] of this.#kept) {
      if (wanted.has(key)) this.#kept.delete(key);
      else if (untilMs > now) extended.set(key, value);
      else if (!before.has(key)) this.#kept.delete(key);
    }
    return extended;
  }

  /** Milliseconds until the next entry goes; undefined if none waits. */
  get nextMs(): number | undefined {
    let next: number | undefined;
    for (const { untilMs } of this.#kept.values()) next = Math.min(next ?? untilMs, untilMs);
    return next === undefined ? undefined : Math.max(0, next - this.#now());
  }
}
