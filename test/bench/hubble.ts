/**
 * @module Flows to a client: `hubble observe -f -o json` while a pod opens new connections and is
 * refused, as fast as asked. Counted are the lines that come out and what is reported lost.
 */
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { allowPolicy } from './documents.ts';
import { type Figure, median, percent, spreadOf } from './figures.ts';
import { BenchNode, type Pod } from './node.ts';
import { TrafficPair, TrafficProgram } from './traffic.ts';

const runs = 5;
const runSeconds = 3;
const barPerSecond = 30_000;
const rates = [10_000, 20_000, 30_000, 45_000, 60_000] as const;
/** Nothing more comes when this long nothing came. */
const quietMs = 1000;

interface Delivery {
  readonly expected: number;
  readonly delivered: number;
  readonly lostLines: number;
  readonly perSecond: number;
}

export async function hubble(): Promise<Figure[]> {
  using program = new TrafficProgram();
  await using node = await BenchNode.start();
  symlinkSync('cilium', join(node.folder, 'hubble'));
  const client = await node.addPod('client', { app: 'client' });
  const server = await node.addPod('server', { app: 'server' });
  await node.applyPolicy(
    'deny.yaml',
    allowPolicy({
      ...{ name: 'deny', app: 'server', direction: 'ingress', peer: 'nobody' },
      ports: [{ port: 1, protocol: 'UDP' }],
    }),
  );
  using traffic = await TrafficPair.open(program, client, server, false);
  const perPacket = await flowsPerPacket(node, traffic, client);
  const figures: Figure[] = [];
  for (const rate of rates) {
    const results: Delivery[] = [];
    for (let run = 0; run < runs; run++) {
      results.push(await deliver(node, traffic, rate, perPacket));
    }
    figures.push(figureOf(rate, perPacket, results));
  }
  return figures;
}

async function flowsPerPacket(node: BenchNode, traffic: TrafficPair, _: Pod): Promise<number> {
  using watcher = await Watcher.start(node);
  await traffic.flood(1000, 1000);
  await watcher.quiet();
  const flows = Math.round(watcher.lines / 1000);
  if (flows === 0) throw new Error(`${watcher.lines} flows of 1000 packets`);
  return flows;
}

async function deliver(
  node: BenchNode,
  traffic: TrafficPair,
  rate: number,
  perPacket: number,
): Promise<Delivery> {
  using watcher = await Watcher.start(node);
  const packets = Math.floor((rate * runSeconds) / perPacket);
  const { elapsed } = await traffic.flood(packets, Math.floor(rate / perPacket));
  await watcher.quiet();
  return {
    expected: packets * perPacket,
    delivered: watcher.lines,
    lostLines: watcher.lost,
    perSecond: (packets * perPacket * 1e9) / elapsed,
  };
}

function figureOf(rate: number, perPacket: number, results: readonly Delivery[]): Figure {
  const share = results.map(({ delivered, expected }) => delivered / expected);
  const lost = results.reduce((sum, { lostLines }) => sum + lostLines, 0);
  const offered = median(results.map(({ perSecond }) => perSecond));
  return {
    name: `hubble observe -f -o json, ${rate} flows a second`,
    value: `${percent(median(share))} delivered, ${lost} notices of loss`,
    baseline: `${offered.toFixed(0)} a second offered, ${perPacket} a packet`,
    spread: `${spreadOf(share, 1, 100)} %`,
    ...(rate === barPerSecond
      ? { bar: 'nothing lost', met: share.every((one) => one >= 1) && lost === 0 }
      : {}),
  };
}

/** The client under test, and what it has written so far. */
class Watcher implements Disposable {
  readonly #child;
  lines = 0;
  lost = 0;
  #lastAt = performance.now();

  private constructor(node: BenchNode) {
    this.#child = Bun.spawn(
      [
        ...[join(node.folder, 'hubble'), 'observe', '-f', '-o', 'json'],
        ...['--server', `unix://${node.hubbleSocket}`, '--last', '0'],
      ],
      { stdout: 'pipe', stderr: 'inherit', stdin: 'ignore' },
    );
    void this.#count();
  }

  static async start(node: BenchNode): Promise<Watcher> {
    const watcher = new Watcher(node);
    // It says nothing when it is ready; a second is long for a start.
    await Bun.sleep(quietMs);
    watcher.lines = 0;
    return watcher;
  }

  async #count(): Promise<void> {
    for await (const chunk of this.#child.stdout) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) this.lines++;
      for (
        let at = bytes.indexOf('lost_events');
        at >= 0;
        at = bytes.indexOf('lost_events', at + 1)
      )
        this.lost++;
      this.#lastAt = performance.now();
    }
  }

  async quiet(): Promise<void> {
    while (performance.now() - this.#lastAt < quietMs) await Bun.sleep(quietMs / 10);
    // A notice of loss is a line, but no flow.
    this.lines -= this.lost;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
