/**
 * @module Pod to pod on one node, policy enforced and flows on, against a bare redirect; then flows off
 * against on. Both ends on one core, at real-time priority; compared are the medians of short slices in
 * turn, which what else runs on the machine does not touch.
 */
import { BarePair } from './bare-pair.ts';
import { allowPolicy } from './documents.ts';
import { type Figure, intervalOf, median, percent } from './figures.ts';
import { BenchNode } from './node.ts';
import { type Latencies, TrafficPair, TrafficProgram } from './traffic.ts';

const rounds = 41;
const sliceMs = 200;
const kinds = ['rr', 'crr', 'udp'] as const;
const titles = {
  rr: 'TCP request-response',
  crr: 'connect-request-close',
  udp: 'UDP request-response',
};
const bars = { rr: 0.98, crr: 0.94, udp: 0.98 };
const flowsBar = 0.99;

/** Allows what the load generator does, by port, in both directions. */
export async function allowTraffic(node: BenchNode): Promise<void> {
  const tcp = Array.from({ length: 16 }, (_, at) => ({
    port: 8000 + at,
    protocol: 'TCP' as const,
  }));
  const ports = [...tcp, { port: 8000, protocol: 'UDP' as const }];
  const egress = { name: 'client-to-server', app: 'client', peer: 'server', ports };
  const ingress = { name: 'server-from-client', app: 'server', peer: 'client', ports };
  await node.applyPolicy('egress.yaml', allowPolicy({ ...egress, direction: 'egress' }));
  await node.applyPolicy('ingress.yaml', allowPolicy({ ...ingress, direction: 'ingress' }));
}

export async function datapath(): Promise<Figure[]> {
  using program = new TrafficProgram();
  await using node = await BenchNode.start();
  const client = await node.addPod('client', { app: 'client' });
  const server = await node.addPod('server', { app: 'server' });
  await allowTraffic(node);
  using bare = new BarePair();
  const [near, far] = bare.ends;
  if (near === undefined || far === undefined) throw new Error('a pair has two ends');
  using ours = await TrafficPair.open(program, client, server);
  using yardstick = await TrafficPair.open(program, near, far);

  const figures: Figure[] = [];
  for (const kind of kinds) {
    const pairs = await alternate(
      () => yardstick.latencies(kind, sliceMs),
      () => ours.latencies(kind, sliceMs),
    );
    figures.push(figureOf(`${titles[kind]}, policy, flows on`, pairs, bars[kind]));
  }
  const flows = (state: 'Enabled' | 'Disabled') =>
    node.setOptions({
      DropNotification: state,
      TraceNotification: state,
      PolicyVerdictNotification: state,
    });
  for (const kind of kinds) {
    const slice = async (state: 'Enabled' | 'Disabled') => {
      await flows(state);
      return await ours.latencies(kind, sliceMs);
    };
    const pairs = await alternate(
      () => slice('Disabled'),
      () => slice('Enabled'),
    );
    figures.push(figureOf(`${titles[kind]}, flows on against off`, pairs, flowsBar));
  }
  return figures;
}

/** Slices of both, the order changing every round. */
export async function alternate(
  first: () => Promise<Latencies>,
  second: () => Promise<Latencies>,
): Promise<[Latencies, Latencies][]> {
  const pairs: [Latencies, Latencies][] = [];
  for (let round = -1; round < rounds; round++) {
    let pair: [Latencies, Latencies];
    if (round % 2 === 0) {
      pair = [await first(), await second()];
    } else {
      const later = await second();
      pair = [await first(), later];
    }
    // The first round warms up.
    if (round >= 0) pairs.push(pair);
  }
  return pairs;
}

export function figureOf(
  name: string,
  pairs: readonly [Latencies, Latencies][],
  bar: number,
): Figure {
  const ratios = pairs.map(([baseline, ours]) => baseline.p50 / ours.p50);
  const failed = pairs.reduce((sum, [a, b]) => sum + a.failed + b.failed, 0);
  const p50 = (index: 0 | 1) =>
    `${(median(pairs.map((pair) => pair[index].p50)) / 1000).toFixed(2)} µs`;
  const p99 = (median(pairs.map(([, ours]) => ours.p99)) / 1000).toFixed(1);
  return {
    name,
    value: `P50 ${p50(1)}, P99 ${p99}${failed === 0 ? '' : `, ${failed} FAILED`}`,
    baseline: p50(0),
    ratio: percent(median(ratios)),
    spread: intervalOf(ratios, 1, 100),
    bar: `≥ ${percent(bar)}`,
    met: median(ratios) >= bar,
  };
}
