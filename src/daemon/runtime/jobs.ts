/**
 * @module
 * Named work in the background: a job runs once, or until it succeeds, or again and again. Each has
 * a row that tells how its runs went (the status API's controllers) and a line in health. Errors
 * end in that row, never in the process.
 */

import { errorText } from '../../kv/error.ts';
import { backoffMs } from '../../kv/retry-queue.ts';
import { Table } from '../../kv/table.ts';
import type { Health, HealthReporter } from './health.ts';
import type { Logger } from './log.ts';

export interface JobRow {
  readonly name: string;
  readonly id: string;
  /** Undefined for a job that does not repeat. */
  readonly intervalMs: number | undefined;
  readonly running: boolean;
  readonly successes: number;
  readonly failures: number;
  readonly consecutiveFailures: number;
  readonly lastSuccessAt: string | undefined;
  readonly lastFailureAt: string | undefined;
  readonly lastFailure: string;
}

export const jobTable = () =>
  new Table<JobRow>({
    name: 'jobs',
    key: (row) => row.name,
    columns: [
      { name: 'name', value: (row) => row.name },
      { name: 'runs', value: (row) => String(row.successes + row.failures) },
      { name: 'failures', value: (row) => String(row.failures) },
      { name: 'last success', value: (row) => row.lastSuccessAt ?? 'never' },
      { name: 'last error', value: (row) => row.lastFailure },
    ],
  });

/** Must end soon after the signal is aborted. */
export type Job = (signal: AbortSignal) => void | Promise<void>;

export interface JobOptions {
  /** Failures are tried again after this long, doubling; default 1 s. */
  readonly backoffMinMs?: number;
  /** Default 60 s. */
  readonly backoffMaxMs?: number;
}

export interface JobsOptions {
  readonly health: Health;
  readonly log: Logger;
  readonly table?: Table<JobRow>;
  /** Called after each run, for metrics. */
  readonly ran?: (name: string, seconds: number, ok: boolean) => void;
}

/** A started job. */
export interface RunningJob {
  /** Runs a repeated job now, or soon after the run that is going on. */
  trigger(): void;
  /** Aborts it, waits for its end, and removes its row. */
  stop(): Promise<void>;
}

const backoffMinMsDefault = 1000;
const backoffMaxMsDefault = 60_000;

export class Jobs {
  readonly table: Table<JobRow>;
  readonly #options: JobsOptions;
  readonly #running = new Map<string, Runner>();
  #stopped = false;

  constructor(options: JobsOptions) {
    this.#options = options;
    this.table = options.table ?? jobTable();
  }

  /** Runs the job until it succeeds once. A name that is in use, or a stopped set, is an error. */
  once(name: string, job: Job, options: JobOptions = {}): RunningJob {
    return this.#start(name, job, undefined, options);
  }

  /** Runs the job now, and again `intervalMs` after each success. */
  every(name: string, intervalMs: number, job: Job, options: JobOptions = {}): RunningJob {
    return this.#start(name, job, intervalMs, options);
  }

  /** Aborts all jobs and waits for them, at most until the signal. May be called twice. */
  async stop(signal?: AbortSignal): Promise<void> {
    this.#stopped = true;
    const ends = Promise.all([...this.#running.values()].map((runner) => runner.stop()));
    if (signal === undefined) await ends;
    else await raceAbort(ends, signal);
  }

  #start(name: string, job: Job, intervalMs: number | undefined, options: JobOptions): RunningJob {
    if (this.#stopped) throw new Error(`start job ${name}: jobs are stopped`);
    if (this.#running.has(name)) throw new TypeError(`start job ${name}: it runs already`);
    const runner = new Runner(name, job, intervalMs, options, this.table, this.#options);
    this.#running.set(name, runner);
    void runner.ended.then(() => this.#running.delete(name));
    return {
      trigger: () => runner.trigger(),
      stop: async () => {
        await runner.stop();
        if (this.#running.has(name)) return;
        this.table.delete(name);
        this.#options.health.reporter(`job.${name}`).remove();
      },
    };
  }
}

class Runner {
  readonly ended: Promise<void>;
  readonly #name: string;
  readonly #job: Job;
  readonly #intervalMs: number | undefined;
  readonly #backoff: { readonly minMs: number; readonly maxMs: number };
  readonly #table: Table<JobRow>;
  readonly #options: JobsOptions;
  readonly #health: HealthReporter;
  readonly #abort = new AbortController();
  #triggered = false;
  #wake: (() => void) | undefined;

  constructor(
    name: string,
    job: Job,
    intervalMs: number | undefined,
    options: JobOptions,
    table: Table<JobRow>,
    jobs: JobsOptions,
  ) {
    this.#name = name;
    this.#job = job;
    this.#intervalMs = intervalMs;
    this.#backoff = {
      minMs: options.backoffMinMs ?? backoffMinMsDefault,
      maxMs: options.backoffMaxMs ?? backoffMaxMsDefault,
    };
    this.#table = table;
    this.#options = jobs;
    this.#health = jobs.health.reporter(`job.${name}`);
    table.upsert({
      name,
      id: crypto.randomUUID(),
      intervalMs,
      running: false,
      successes: 0,
      failures: 0,
      consecutiveFailures: 0,
      lastSuccessAt: undefined,
      lastFailureAt: undefined,
      lastFailure: '',
    });
    this.ended = this.#loop();
  }

  trigger(): void {
    this.#triggered = true;
    this.#wake?.();
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error(`job ${this.#name} is stopped`));
    this.#wake?.();
    await this.ended;
  }

  async #loop(): Promise<void> {
    // The caller's own synchronous section ends first.
    await Promise.resolve();
    let failures = 0;
    while (!this.#abort.signal.aborted) {
      this.#triggered = false;
      failures = (await this.#run()) ? 0 : failures + 1;
      if (failures === 0 && this.#intervalMs === undefined) return;
      const waitMs = failures > 0 ? backoffMs(this.#backoff, failures) : this.#intervalMs;
      if (!this.#triggered) await this.#sleep(waitMs ?? 0);
    }
    this.#health.stopped('stopped');
  }

  async #run(): Promise<boolean> {
    this.#change((row) => ({ ...row, running: true }));
    const startMs = performance.now();
    let error: unknown;
    let ok = true;
    try {
      await this.#job(this.#abort.signal);
    } catch (cause) {
      error = cause;
      ok = false;
    }
    const aborted = !ok && this.#abort.signal.aborted;
    if (!aborted) this.#options.ran?.(this.#name, (performance.now() - startMs) / 1000, ok);
    const at = new Date().toISOString();
    this.#change((row) => {
      if (aborted) return { ...row, running: false };
      if (ok) {
        const successes = row.successes + 1;
        return { ...row, running: false, successes, consecutiveFailures: 0, lastSuccessAt: at };
      }
      return {
        ...row,
        running: false,
        failures: row.failures + 1,
        consecutiveFailures: row.consecutiveFailures + 1,
        lastFailureAt: at,
        lastFailure: errorText(error),
      };
    });
    if (ok) this.#health.ok('last run succeeded');
    else if (!aborted) {
      this.#health.degraded('last run failed', error);
      this.#options.log.warn('job failed', { job: this.#name, error });
    }
    return ok;
  }

  #change(change: (row: JobRow) => JobRow): void {
    const row = this.#table.get(this.#name);
    if (row !== undefined) this.#table.upsert(change(row));
  }

  async #sleep(waitMs: number): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.ceil(waitMs));
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
  }
}

/** The promise's outcome, or the signal's reason if that comes first. */
export async function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
