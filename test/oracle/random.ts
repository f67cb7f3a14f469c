/**
 * @module Repeatable chance: the same seed gives the same numbers on every machine.
 */

/** A stream of numbers that depends on its seed only (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    // Neighbouring seeds must not give neighbouring streams.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
  }

  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** A whole number from first to last, both included. */
  int(first: number, last: number): number {
    return first + (this.#next() % (last - first + 1));
  }

  chance(probability: number): boolean {
    return this.#next() < probability * 4294967296;
  }

  /** Throws for an empty list. */
  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new Error('random: nothing to pick from');
    return list[this.int(0, list.length - 1)] as T;
  }

  /** Different members of the list, in its order; fewer when it has fewer. */
  some<T>(list: readonly T[], first: number, last: number): T[] {
    const wanted = Math.min(this.int(first, last), list.length);
    const chosen = new Set<number>();
    while (chosen.size < wanted) chosen.add(this.int(0, list.length - 1));
    return list.filter((_, index) => chosen.has(index));
  }

  /** As many results as chance says. */
  times<T>(first: number, last: number, make: (index: number) => T): T[] {
    return Array.from({ length: this.int(first, last) }, (_, index) => make(index));
  }
}
