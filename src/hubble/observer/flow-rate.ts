/**
 * @module
 * Flows per second over the last minute, from one counter per second.
 */

const windowSeconds = 60;

export class FlowRate {
  readonly #counts = new Uint32Array(windowSeconds);
  readonly #startedAt: number;
  #second: number;

  constructor(nowSeconds: number) {
    this.#startedAt = Math.floor(nowSeconds);
    this.#second = this.#startedAt;
  }

  add(flows: number, nowSeconds: number): void {
    this.#advance(Math.floor(nowSeconds));
    const slot = this.#second % windowSeconds;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + flows;
  }

  perSecond(nowSeconds: number): number {
    this.#advance(Math.floor(nowSeconds));
    let sum = 0;
    for (const count of this.#counts) sum += count;
    const covered = Math.min(windowSeconds, Math.max(1, nowSeconds - this.#startedAt));
    return sum / covered;
  }

  /** Empties the counters of the seconds that passed; a clock that goes back changes nothing. */
  #advance(second: number): void {
    const passed = Math.min(windowSeconds, second - this.#second);
    for (let step = 1; step <= passed; step++)
      this.#counts[(this.#second + step) % windowSeconds] = 0;
    if (second > this.#second) {
      if (second - this.#second > windowSeconds) this.#counts.fill(0);
      this.#second = second;
    }
  }
}
