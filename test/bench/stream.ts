/**
 * @module One TCP stream between two pods against a bare redirect: nanoseconds of program a packet, with
 * segmentation off so that packets are packets, and throughput as it is used.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { BpfLink } from '../../src/bpf/libbpf/link.ts';
import { writeSysctl } from '../../src/net/sysctl.ts';
import { BarePair } from './bare-pair.ts';
import { allowTraffic } from './datapath.ts';
import { type Figure, intervalOf, median, medianInterval, percent, spreadOf } from './figures.ts';
import { BenchNode } from './node.ts';
import { TrafficPair, TrafficProgram } from './traffic.ts';

const costRounds = 9;
const pairsOfStreams = 24;
const sliceMs = 500;
const costBarNs = 120;
const throughputBar = 0.97;

interface Cost {
  readonly runs: number;
  readonly ns: number;
}

export async function stream(): Promise<Figure[]> {
  using program = new TrafficProgram();
  await using node = await BenchNode.start();
  const client = await node.addPod('client', { app: 'client' });
  const server = await node.addPod('server', { app: 'server' });
  await allowTraffic(node);
  using bare = new BarePair();
  const [near, far] = bare.ends;
  if (near === undefined || far === undefined) throw new Error('a pair has two ends');
  using ours = await TrafficPair.open(program, client, server, false);
  using yardstick = await TrafficPair.open(program, near, far, false);

  const throughput = await throughputOf(yardstick, ours);
  const netnses = [client.netns, server.netns, ...bare.ends.map(({ netns }) => netns)];
  for (const netns of netnses) setSegmentation(netns, 'off');
  const cost = await costOf(yardstick, ours, () => bare.costs(), podProgramCosts(node));
  return [cost, throughput];
}

async function throughputOf(bare: TrafficPair, ours: TrafficPair): Promise<Figure> {
  const ratios: number[] = [];
  const [bareRates, ourRates]: [number[], number[]] = [[], []];
  for (let round = -1; round < pairsOfStreams; round++) {
    const rates = [0, 0];
    for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) {
      rates[which] = await (which === 0 ? bare : ours).stream(sliceMs);
    }
    const [baseline = 0, value = 0] = rates;
    if (round < 0) continue;
    bareRates.push(baseline);
    ourRates.push(value);
    ratios.push(value / baseline);
  }
  const [low, high] = medianInterval(ratios);
  return {
    name: 'TCP stream, throughput',
    value: `${median(ourRates).toFixed(1)} Gbit/s`,
    baseline: `${median(bareRates).toFixed(1)} Gbit/s`,
    ratio: percent(median(ratios)),
    spread: intervalOf(ratios, 1, 100),
    bar: `interval reaches ${percent(throughputBar)}`,
    met: high >= throughputBar && low > 0,
  };
}

async function costOf(
  bare: TrafficPair,
  ours: TrafficPair,
  bareCosts: () => Cost,
  ourCosts: () => Cost,
): Promise<Figure> {
  const before = writeSysctl('kernel.bpf_stats_enabled', 1);
  try {
    const perPacket = async (pair: TrafficPair, costs: () => Cost) => {
      const start = costs();
      await pair.stream(sliceMs);
      const end = costs();
      return (end.ns - start.ns) / (end.runs - start.runs);
    };
    const [baseline, values]: [number[], number[]] = [[], []];
    for (let round = 0; round < costRounds; round++) {
      baseline.push(await perPacket(bare, bareCosts));
      values.push(await perPacket(ours, ourCosts));
    }
    const above = values.map((value, at) => value - (baseline[at] ?? 0));
    return {
      name: 'TCP stream, program a packet above bare',
      value: `${median(above).toFixed(0)} ns (${median(values).toFixed(0)})`,
      baseline: `${median(baseline).toFixed(0)} ns`,
      spread: `${spreadOf(above, 0)} ns`,
      bar: `≤ ${costBarNs} ns`,
      met: median(above) <= costBarNs,
    };
  } finally {
    writeSysctl('kernel.bpf_stats_enabled', before);
  }
}

/** Runs and nanoseconds of the agent's programs on the pods, from the agent's own descriptors. */
function podProgramCosts(node: BenchNode): () => Cost {
  const endpoints = join(node.bpfRoot, 'cilium/endpoints');
  const programs = new Set(
    readdirSync(endpoints).flatMap((endpoint) => {
      const links = join(endpoints, endpoint, 'links');
      return readdirSync(links).map((name) => {
        using link = BpfLink.openPinned(join(links, name));
        return link.query().programId;
      });
    }),
  );
  const folder = `/proc/${node.agentPid}/fd`;
  const byProgram = new Map<number, string>();
  for (const fd of readdirSync(folder)) {
    if (!readlinkSync(join(folder, fd)).includes('bpf-prog')) continue;
    const path = `/proc/${node.agentPid}/fdinfo/${fd}`;
    const { prog_id: id = 0 } = fieldsOf(path);
    if (programs.has(id)) byProgram.set(id, path);
  }
  return () => {
    const facts = [...byProgram.values()].map(fieldsOf);
    return {
      runs: facts.reduce((sum, { run_cnt: runs = 0 }) => sum + runs, 0),
      ns: facts.reduce((sum, { run_time_ns: ns = 0 }) => sum + ns, 0),
    };
  };
}

function fieldsOf(path: string): Record<string, number> {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return Object.fromEntries(
    lines.map((line) => {
      const [name = '', value] = line.split(/:\s*/);
      return [name, Number(value)];
    }),
  );
}

function setSegmentation(netns: string, state: 'on' | 'off'): void {
  const features = ['tso', 'gso', 'gro'].flatMap((feature) => [feature, state]);
  const command = ['nsenter', `--net=${netns}`, 'ethtool', '-K', 'eth0', ...features];
  const result = Bun.spawnSync(command);
  if (result.exitCode !== 0) throw new Error(`${command.join(' ')}: ${result.stderr}`);
}
