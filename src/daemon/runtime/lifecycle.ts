/**
 * @module
 * Starts the parts of a daemon in the order in which they were added and stops them in reverse.
 * Every step has a deadline, so that one part that hangs does not keep the others from stopping.
 */

import { errorText } from '../../kv/error.ts';
import { raceAbort } from './jobs.ts';
import type { Logger } from './log.ts';

export interface Part {
  readonly name: string;
  /** The signal is aborted at the deadline. What was half started must be undone by `start`. */
  start?(signal: AbortSignal): void | Promise<void>;
  /** Called once, and only if `start` succeeded. */
  stop?(signal: AbortSignal): void | Promise<void>;
  readonly startDeadlineMs?: number;
  readonly stopDeadlineMs?: number;
}

const startDeadlineMsDefault = 30_000;
const stopDeadlineMsDefault = 5_000;

/** How long each part took to start, in order. */
export interface StartedPart {
  readonly name: string;
  readonly milliseconds: number;
}

export class Lifecycle {
  readonly #log: Logger;
  readonly #parts: Part[] = [];
  readonly #running: Part[] = [];
  readonly #started: StartedPart[] = [];
  readonly #abort = new AbortController();
  #starting = false;
  /** The step of `start` that is going on; never rejects. */
  #current: Promise<void> = Promise.resolve();
  #stopping: Promise<readonly Error[]> | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  get started(): readonly StartedPart[] {
    return this.#started;
  }

  /** Aborted when stopping begins. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Adds a part after those that it needs. Not once starting has begun. */
  add(part: Part): this {
    if (this.#starting) throw new TypeError(`add ${part.name}: the daemon is already starting`);
    this.#parts.push(part);
    return this;
  }

  /** Starts all parts. If one fails, stops those before it and throws its error as the cause. */
  async start(): Promise<void> {
    if (this.#starting) throw new TypeError('start: the daemon is already starting');
    this.#starting = true;
    for (const part of this.#parts) {
      this.#abort.signal.throwIfAborted();
      const startMs = performance.now();
      try {
        const deadlineMs = part.startDeadlineMs ?? startDeadlineMsDefault;
        const step = this.#step(part.start?.bind(part), deadlineMs, this.#abort.signal);
        this.#current = step.catch(() => {});
        await step;
      } catch (cause) {
        const error = new Error(`start ${part.name}`, { cause });
        await this.stop();
        throw error;
      }
      this.#running.push(part);
      this.#started.push({ name: part.name, milliseconds: performance.now() - startMs });
      this.#log.debug('started', { part: part.name });
    }
    this.#abort.signal.throwIfAborted();
  }

  /** Stops what was started and returns what went wrong. Later calls wait for the first. */
  stop(): Promise<readonly Error[]> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<readonly Error[]> {
    this.#abort.abort(new Error('the daemon is stopping'));
    // A part that is just starting is told, and then stopped like the others if it got there.
    await this.#current;
    const errors: Error[] = [];
    for (let part = this.#running.pop(); part !== undefined; part = this.#running.pop()) {
      try {
        await this.#step(part.stop?.bind(part), part.stopDeadlineMs ?? stopDeadlineMsDefault);
      } catch (cause) {
        const error = new Error(`stop ${part.name}`, { cause });
        this.#log.error('part did not stop', { part: part.name, error: errorText(cause) });
        errors.push(error);
      }
    }
    return errors;
  }

  async #step(
    run: ((signal: AbortSignal) => void | Promise<void>) | undefined,
    deadlineMs: number,
    stop?: AbortSignal,
  ): Promise<void> {
    if (run === undefined) return;
    const deadline = new AbortController();
    const timer = setTimeout(
      () => deadline.abort(new Error(`not done within ${deadlineMs} ms`)),
      deadlineMs,
    );
    const signals = stop === undefined ? [deadline.signal] : [deadline.signal, stop];
    try {
      const running = run(AbortSignal.any(signals));
      if (running !== undefined) await raceAbort(running, deadline.signal);
    } finally {
      clearTimeout(timer);
    }
  }
}
