/**
 * @module
 * Empties the kernel's ring buffer into the parser every few milliseconds, and reads
 * how many events the kernel could not hand over. Programs never wake us: a wake-up
 * costs them more than the event.
 */
import type { Observer } from '../observer/observer.ts';

/** A ring buffer as its reader sees it; the record must be used before the callback returns. */
export interface EventSource {
  drain(onRecord: (view: DataView, offset: number, length: number) => void, budget: number): number;
}

/** How many events each CPU ever failed to hand over. */
export type LossCounters = () => readonly number[];

const busyIntervalMs = 5;
const idleIntervalMs = 10;
/** After a quiet second: nobody floods us, so what comes first may wait this long. */
const quietIntervalMs = 50;
const quietAfterMs = 1000;
/** Events between two looks of the followers, so that the flow ring does not overtake them. */
const batchEvents = 512;
/** Events in one tick: then clients get their turn. */
const tickEvents = 8192;
const lossIntervalMs = 100;

export class EventReader implements Disposable {
  readonly #source: EventSource;
  readonly #losses: LossCounters;
  readonly #observer: Observer;
  readonly #onError: (error: unknown) => void;
  readonly #lostBefore: number[] = [];
  #lossesReadAt = Number.NEGATIVE_INFINITY;
  #eventsAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #view: DataView | undefined;
  #words: Uint32Array = new Uint32Array(0);
  events = 0;

  constructor(
    source: EventSource,
    losses: LossCounters,
    observer: Observer,
    onError: (error: unknown) => void,
  ) {
    this.#source = source;
    this.#losses = losses;
    this.#observer = observer;
    this.#onError = onError;
  }

  start(): void {
    // Losses from before our time are nobody's news.
    this.#losses().forEach((count, cpu) => {
      this.#lostBefore[cpu] = count;
    });
    this.#schedule(idleIntervalMs);
  }

  /** Reads what is there, up to a limit; returns how many events. */
  tick(): number {
    let events = 0;
    for (;;) {
      const got = this.#source.drain(this.#onRecord, batchEvents);
      events += got;
      this.#observer.settle();
      if (got < batchEvents || events >= tickEvents) break;
    }
    this.events += events;
    this.#readLosses();
    return events;
  }

  [Symbol.dispose](): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #onRecord = (view: DataView, offset: number, length: number): void => {
    if (view !== this.#view) {
      // The reader hands out one view for ever, so this is done once.
      this.#view = view;
      this.#words = new Uint32Array(view.buffer, view.byteOffset, view.byteLength >> 2);
    }
    this.#observer.parser.record(this.#words, offset >> 2, length);
  };

  #readLosses(): void {
    const now = performance.now();
    if (now - this.#lossesReadAt < lossIntervalMs) return;
    this.#lossesReadAt = now;
    const counts = this.#losses();
    counts.forEach((count, cpu) => {
      const before = this.#lostBefore[cpu] ?? 0;
      if (count > before) this.#observer.lose(count - before, cpu);
      this.#lostBefore[cpu] = count;
    });
    this.#observer.settle();
  }

  #nextDelayMs(events: number): number {
    const now = performance.now();
    if (events > 0) {
      this.#eventsAt = now;
      return events >= tickEvents ? 0 : busyIntervalMs;
    }
    return now - this.#eventsAt > quietAfterMs ? quietIntervalMs : idleIntervalMs;
  }

  #schedule(delayMs: number): void {
    this.#timer = setTimeout(() => {
      let events = 0;
      try {
        events = this.tick();
      } catch (error) {
        this.#onError(error);
      }
      if (this.#timer === undefined) return;
      this.#schedule(this.#nextDelayMs(events));
    }, delayMs);
  }
}
