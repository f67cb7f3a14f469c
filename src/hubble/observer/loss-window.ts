/**
 * @module
 * Collects losses so that the records of a loss do not flood what is left: the
 * first one is told at once, later ones of the same source and CPU are added up
 * and told once per window, with the time of the first and of the last.
 */
import type { LostRecord } from './flow-ring.ts';

export const lossWindowSeconds = 1;

export interface FlowTime {
  readonly seconds: number;
  readonly nanos: number;
}

interface OpenLoss {
  readonly source: number;
  readonly cpu: number | undefined;
  count: number;
  first: FlowTime;
  last: FlowTime;
  toldAt: number; // seconds with fraction, of the latest record
}

export class LossWindow {
  readonly #tell: (record: LostRecord) => void;
  readonly #open = new Map<string, OpenLoss>();
  readonly totals = new Map<number, number>(); // by source

  constructor(tell: (record: LostRecord) => void) {
    this.#tell = tell;
  }

  /** Counts a loss. */
  add(source: number, count: number, cpu: number | undefined, now: FlowTime): void {
    if (count <= 0) return;
    this.totals.set(source, (this.totals.get(source) ?? 0) + count);
    const key = `${source} ${cpu}`;
    let open = this.#open.get(key);
    if (open === undefined) {
      open = { source, cpu, count: 0, first: now, last: now, toldAt: Number.NEGATIVE_INFINITY };
      this.#open.set(key, open);
    }
    if (open.count === 0) open.first = now;
    open.count += count;
    open.last = now;
    this.#settle(open, now);
  }

  /** Tells what has waited for a window. Call it on every tick. */
  flush(now: FlowTime): void {
    for (const open of this.#open.values()) if (open.count > 0) this.#settle(open, now);
  }

  #settle(open: OpenLoss, now: FlowTime): void {
    const seconds = now.seconds + now.nanos / 1e9;
    if (seconds - open.toldAt < lossWindowSeconds) return;
    open.toldAt = seconds;
    this.#tell({
      source: open.source,
      count: open.count,
      cpu: open.cpu,
      firstSeconds: open.first.seconds,
      firstNanos: open.first.nanos,
      lastSeconds: open.last.seconds,
      lastNanos: open.last.nanos,
    });
    open.count = 0;
  }
}
