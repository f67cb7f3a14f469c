/**
 * @module The load generator (traffic.c): compiled when a benchmark needs it, run in the namespaces
 * of two pods, commanded line by line.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Both ends of a pair run here; the last core has the fewest interrupts. */
export const benchCpu = availableParallelism() - 1;

/** What `rr`, `crr` and `udp` answer; times in nanoseconds. */
export interface Latencies {
  readonly count: number;
  readonly failed: number;
  readonly elapsed: number;
  readonly p50: number;
  readonly p99: number;
  readonly mean: number;
}

export class TrafficProgram implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'cilium-traffic-'));
  readonly path = join(this.#folder, 'traffic');

  constructor() {
    const source = join(import.meta.dir, 'traffic.c');
    const compiler = ['cc', 'gcc', 'clang', 'clang-19'].find((name) => Bun.which(name) !== null);
    if (compiler === undefined) throw new Error('compile traffic.c: install a C compiler');
    const result = Bun.spawnSync([compiler, '-O2', '-Wall', '-o', this.path, source]);
    if (result.exitCode !== 0) throw new Error(`compile traffic.c: ${result.stderr}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A running program that answers each line with a line. */
export class LineProcess implements Disposable {
  readonly #child;
  readonly #reader;
  readonly #decoder = new TextDecoder();
  #rest = '';

  constructor(command: readonly string[]) {
    this.#child = Bun.spawn([...command], { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit' });
    this.#reader = this.#child.stdout.getReader();
  }

  get pid(): number {
    return this.#child.pid;
  }

  async ask(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    await this.#child.stdin.flush();
    return await this.read();
  }

  async read(): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf('\n');
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return line;
      }
      const { value, done } = await this.#reader.read();
      if (done) throw new Error('traffic ended');
      this.#rest += this.#decoder.decode(value, { stream: true });
    }
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

export interface End {
  readonly netns: string;
  readonly ipv4: string;
}

/** A client in one namespace and a server in another. */
export class TrafficPair implements Disposable {
  readonly #server: LineProcess;
  readonly #client: LineProcess;

  private constructor(program: TrafficProgram, client: End, server: End, realtime: boolean) {
    const fifo = realtime ? '1' : '0';
    const run = (netns: string, ...words: string[]) =>
      new LineProcess(['nsenter', `--net=${netns}`, program.path, ...words]);
    this.#server = run(server.netns, 'serve', `${benchCpu}`, fifo);
    this.#client = run(client.netns, 'client', server.ipv4, `${benchCpu}`, fifo);
  }

  /** `realtime`: both ends go before everything else on their core. */
  static async open(
    program: TrafficProgram,
    client: End,
    server: End,
    realtime = true,
  ): Promise<TrafficPair> {
    const pair = new TrafficPair(program, client, server, realtime);
    await pair.#server.read();
    return pair;
  }

  async latencies(kind: 'rr' | 'crr' | 'udp', milliseconds: number): Promise<Latencies> {
    return JSON.parse(await this.#client.ask(`${kind} ${milliseconds}`));
  }

  /** One TCP stream; Gbit/s. */
  async stream(milliseconds: number): Promise<number> {
    const answer: { bytes: number; elapsed: number } = JSON.parse(
      await this.#client.ask(`stream ${milliseconds}`),
    );
    return (answer.bytes * 8) / answer.elapsed;
  }

  async flood(packets: number, perSecond: number): Promise<{ failed: number; elapsed: number }> {
    return JSON.parse(await this.#client.ask(`flood ${packets} ${perSecond}`));
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
    this.#server[Symbol.dispose]();
  }
}
