/**
 * @module
 * Keeps what a table no longer has for a while: an endpoint that changes its identity has the old
 * one in the kernel until its own reconciler comes round, and must find the old policy there.
 */

export class Linger<K> {
  readonly #kept = new Map<K, { readonly drop: () => void; readonly untilMs: number }>();
  readonly #durationMs: number;
  readonly #now: () => number;

  constructor(durationMs: number, now: () => number = () => performance.now()) {
    this.#durationMs = durationMs;
    this.#now = now;
  }

  /** Calls `drop` in an `expire` after the duration, unless the key is released before. */
  hold(key: K, drop: () => void): void {
    if (!this.#kept.has(key))
      this.#kept.set(key, { drop, untilMs: this.#now() + this.#durationMs });
  }

  /** It is back. */
  release(key: K): void {
    this.#kept.delete(key);
  }

  /** Drops what has been held long enough. */
  expire(): void {
    const now = this.#now();
    // In the order of their time, since all are held equally long.
    for (const [key, { drop, untilMs }] of this.#kept) {
      if (untilMs > now) return;
      this.#kept.delete(key);
      drop();
    }
  }

  /** Milliseconds until the next one goes; undefined if none waits. */
  get nextMs(): number | undefined {
    const [first] = this.#kept.values();
    return first === undefined ? undefined : Math.max(0, first.untilMs - this.#now());
  }
}
