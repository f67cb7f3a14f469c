/**
 * @module
 * Frees conntrack entries that nobody asks for any more, and counts the others. The work is done in
 * the kernel by cil_ct_sweep; this only says how much at a time. Expiry itself is judged when a
 * packet looks an entry up, so a late sweep harms nothing.
 */
import { closeSync, readSync } from 'node:fs';
import { BpfLink } from '../../bpf/libbpf/link.ts';
import type { BpfMap } from '../../bpf/libbpf/map.ts';
import type { BpfProgram } from '../../bpf/libbpf/program.ts';

/** Entries that one system call visits: some 100 ns each, so that no run holds a core for long. */
const sliceEntries = 4096;
const slicePauseMs = 5;

const swept = { live: 0, expired: 1 } as const;

export interface SweepResult {
  readonly live: number;
  readonly expired: number;
  readonly seconds: number;
}

export interface SweeperOptions {
  /** Asked for by the first pass. */
  readonly program: () => BpfProgram;
  readonly map: BpfMap;
  readonly intervalMs: number;
  readonly onPass: (result: SweepResult) => void;
  readonly onError: (error: unknown) => void;
}

export class ConntrackSweeper implements Disposable {
  readonly #options: SweeperOptions;
  #link: BpfLink | undefined;
  readonly #buffer = new Uint8Array(sliceEntries);
  #timer: ReturnType<typeof setTimeout>;
  #stopped = false;

  constructor(options: SweeperOptions) {
    this.#options = options;
    this.#timer = setTimeout(() => void this.#pass(), options.intervalMs);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#link?.[Symbol.dispose]();
  }

  async #pass(): Promise<void> {
    try {
      const result = await this.sweep();
      if (result !== undefined) this.#options.onPass(result);
    } catch (error) {
      this.#options.onError(error);
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#pass(), this.#options.intervalMs);
    this.#timer.unref();
  }

  /** One walk over the whole table, in slices. Undefined when stopped on the way. */
  async sweep(): Promise<SweepResult | undefined> {
    const started = performance.now();
    const counts = [0, 0];
    const { program, map } = this.#options;
    this.#link ??= BpfLink.attachMapIterator(program(), map);
    const fd = this.#link.startIterator();
    try {
      for (;;) {
        const length = readSync(fd, this.#buffer);
        if (length === 0) break;
        for (let at = 0; at < length; at++) {
          const result = this.#buffer[at] === swept.expired ? swept.expired : swept.live;
          counts[result] = (counts[result] ?? 0) + 1;
        }
        await Bun.sleep(slicePauseMs);
        if (this.#stopped) return undefined;
      }
    } finally {
      closeSync(fd);
    }
    const seconds = (performance.now() - started) / 1000;
    return { live: counts[swept.live] ?? 0, expired: counts[swept.expired] ?? 0, seconds };
  }
}
