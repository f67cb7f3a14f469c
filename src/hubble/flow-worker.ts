/**
 * @module
 * The main thread's handle of the flow worker: starts it, mirrors tables to it, asks
 * it for its figures, starts it again when it dies. Packets and policy do not need it,
 * so its death is a problem for who looks at flows only.
 */
import { type MirrorMessage, TableSource } from '../kv/mirror.ts';
import type { Key, Table } from '../kv/table.ts';
import type {
  AgentNotice,
  FlowWorkerOptions,
  FlowWorkerStatus,
  FromFlowWorker,
  ToFlowWorker,
} from './protocol.ts';

const backoffMinMs = 100;
const backoffMaxMs = 30_000;
const statusTimeoutMs = 2_000;
const stopTimeoutMs = 2_000;
const startTimeoutMs = 10_000;
/** Notices kept for a worker that is being started again. */
const noticesMax = 64;

export class FlowWorkerError extends Error {
  override readonly name = 'FlowWorkerError';
}

export interface FlowWorkerHooks {
  /** Makes the thread; must be called beside main, where the compiled worker is found. */
  spawn(): Worker;
  /** Something is wrong but goes on: for the log and health. */
  problem(message: string): void;
  /** The worker serves (again), or does not. */
  healthy?(isServing: boolean): void;
}

type Mirrored = (post: (message: MirrorMessage) => void) => { stop(): void };

export class FlowWorker {
  readonly #options: FlowWorkerOptions;
  readonly #hooks: FlowWorkerHooks;
  readonly #tables: Mirrored[] = [];
  readonly #notices: { notice: AgentNotice; timeMs: number }[] = [];
  readonly #answers = new Map<number, (status: FlowWorkerStatus) => void>();
  #worker: Worker | undefined;
  #sources: { stop(): void }[] = [];
  #stopping = false;
  #request = 0;
  #backoffMs = backoffMinMs;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #onStopped: (() => void) | undefined;
  /** The TCP port it serves on, 0 for none. */
  port = 0;

  constructor(options: FlowWorkerOptions, hooks: FlowWorkerHooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  /** Names a table that the worker is to have: endpoints, identities, ipcache, policy cookies. Before `start`. */
  mirror<Row extends object, K extends Key>(table: Table<Row, K>): void {
    this.#tables.push((post) => new TableSource(table, post));
  }

  /** Resolves when it serves. Throws FlowWorkerError if it cannot; later deaths are repaired. */
  async start(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const deadline = setTimeout(
      () => reject(new FlowWorkerError('start flow worker: it does not answer')),
      startTimeoutMs,
    );
    this.#launch(resolve, (message) =>
      reject(new FlowWorkerError(`start flow worker: ${message}`)),
    );
    try {
      await promise;
    } catch (error) {
      this.#drop();
      throw error;
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Tells Hubble's clients what the agent does. */
  notice(notice: AgentNotice): void {
    const entry = { notice, timeMs: Date.now() };
    // A worker that starts again is told what it must not miss.
    this.#notices.push(entry);
    if (this.#notices.length > noticesMax) this.#notices.shift();
    this.#post({ kind: 'agent-notice', ...entry });
  }

  /** The worker's figures, or undefined when it is down or does not answer in time. */
  async status(): Promise<FlowWorkerStatus | undefined> {
    if (this.#worker === undefined) return undefined;
    const request = ++this.#request;
    const { promise, resolve } = Promise.withResolvers<FlowWorkerStatus | undefined>();
    const deadline = setTimeout(() => resolve(undefined), statusTimeoutMs);
    this.#answers.set(request, resolve);
    this.#post({ kind: 'status', request });
    try {
      return await promise;
    } finally {
      clearTimeout(deadline);
      this.#answers.delete(request);
    }
  }

  /** Ends the clients' streams and the thread. May be called twice. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    if (this.#worker === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const deadline = setTimeout(resolve, stopTimeoutMs);
    this.#onStopped = resolve;
    this.#post({ kind: 'stop' });
    await promise;
    clearTimeout(deadline);
    this.#drop();
  }

  #launch(onReady: () => void, onFailed: (message: string) => void): void {
    const worker = this.#hooks.spawn();
    this.#worker = worker;
    let isDead = false;
    const died = (message: string): void => {
      if (isDead || this.#worker !== worker) return;
      isDead = true;
      this.#drop();
      onFailed(message);
    };
    worker.onmessage = (event: MessageEvent<FromFlowWorker>) => {
      const message = event.data;
      if (message.kind === 'ready') {
        this.port = message.port;
        this.#hooks.healthy?.(true);
        onReady();
        // From now on a death is repaired rather than reported to who started it.
        onFailed = (text) => this.#restart(text);
      } else if (message.kind === 'failed') died(message.message);
      else if (message.kind === 'problem') this.#hooks.problem(message.message);
      else if (message.kind === 'status') this.#answers.get(message.request)?.(message.status);
      else this.#onStopped?.();
    };
    worker.onerror = (event) => died(event.message);
    worker.addEventListener('close', () => died('it ended'));
    this.#post({ kind: 'init', options: this.#options });
    const post = (message: MirrorMessage): void => {
      if (this.#worker === worker) worker.postMessage(message);
    };
    this.#sources = this.#tables.map((mirrored) => mirrored(post));
    for (const entry of this.#notices) this.#post({ kind: 'agent-notice', ...entry });
  }

  #restart(message: string): void {
    if (this.#stopping) return;
    this.#hooks.problem(`flow worker: ${message}; next attempt in ${this.#backoffMs} ms`);
    this.#timer = setTimeout(() => {
      this.#launch(
        () => {
          this.#backoffMs = backoffMinMs;
        },
        (text) => this.#restart(text),
      );
    }, this.#backoffMs);
    this.#backoffMs = Math.min(backoffMaxMs, this.#backoffMs * 2);
  }

  #post(message: ToFlowWorker): void {
    this.#worker?.postMessage(message);
  }

  #drop(): void {
    for (const source of this.#sources) source.stop();
    this.#sources = [];
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#hooks.healthy?.(false);
  }
}
