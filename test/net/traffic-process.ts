/**
 * @module The test's side of traffic.ts: starts it in a namespace and calls it.
 */
import { join } from 'node:path';
import { type Netns, withNetns } from '../../src/net/netns.ts';
import type { ConnectLoopReport, StreamReport, TrafficCalls } from './traffic-types.ts';

type Result<Name extends keyof TrafficCalls> = Awaited<ReturnType<TrafficCalls[Name]>>;
type Argument<Name extends keyof TrafficCalls> = Parameters<TrafficCalls[Name]>[0];

function spawnInside(netns: Netns) {
  const spawn = () =>
    Bun.spawn([process.execPath, join(import.meta.dir, 'traffic.ts')], {
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'inherit',
    });
  // In a box: a process has a `then`-free type, but the namespace must be left synchronously.
  const box: { child?: ReturnType<typeof spawn> } = {};
  withNetns(netns.fd, () => {
    box.child = spawn();
  });
  return box.child as ReturnType<typeof spawn>;
}

export class TrafficProcess {
  readonly #child: ReturnType<typeof spawnInside>;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;

  private constructor(child: ReturnType<typeof spawnInside>) {
    this.#child = child;
  }

  static async start(netns: Netns): Promise<TrafficProcess> {
    const process = new TrafficProcess(spawnInside(netns));
    const ready = Promise.withResolvers<unknown>();
    process.#waiting.set(0, ready);
    void process.#read();
    await ready.promise;
    return process;
  }

  async #read(): Promise<void> {
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) {
      rest += decoder.decode(chunk, { stream: true });
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#take(line);
    }
    for (const waiting of this.#waiting.values()) {
      waiting.reject(new Error('the traffic process ended'));
    }
  }

  #take(line: string): void {
    const { id, result, error } = JSON.parse(line);
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(`traffic: ${error}`));
  }

  call<Name extends keyof TrafficCalls>(
    name: Name,
    argument: Argument<Name>,
  ): Promise<Result<Name>> {
    const id = ++this.#lastId;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    this.#child.stdin.write(`${JSON.stringify({ id, call: name, with: argument })}\n`);
    this.#child.stdin.flush();
    return waiting.promise as Promise<Result<Name>>;
  }

  async stopStream(id: string): Promise<StreamReport> {
    return (await this.call('stop', { id })) as StreamReport;
  }

  async stopLoop(id: string): Promise<ConnectLoopReport> {
    return (await this.call('stop', { id })) as ConnectLoopReport;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#child.exited;
  }
}
