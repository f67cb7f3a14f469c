/**
 * @module The CNI plugin, from the start of its process to its end: one after the other and many at
 * once. Beside it what starting any process costs here.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type Figure, median, percentile, spreadOf } from './figures.ts';
import { BenchNode, type Pod } from './node.ts';

const sequential = 100;
const versionCalls = 60;
const parallelRuns = 5;
const megabyte = 1e6;

export async function cni(): Promise<Figure[]> {
  await using node = await BenchNode.start();
  const spawns = await timesOf(versionCalls, () => spawn(node, ['/bin/true']));
  const spawnText = `true: ${median(spawns).toFixed(1)} ms`;
  const bytes = statSync(node.executable).size;
  const figures: Figure[] = [
    {
      name: 'executable',
      value: `${(bytes / megabyte).toFixed(1)} MB`,
      bar: '≤ 130 MB',
      met: bytes <= 130 * megabyte,
    },
    await versionFigure(node, spawnText),
  ];
  // The first calls find caches cold, in the agent and in the kernel.
  await attachAndDetach(node, 'warm', 10, () => ({ app: 'warm' }));
  const same = await attachAndDetach(node, 'same', sequential, () => ({ app: 'same' }));
  const fresh = await attachAndDetach(node, 'fresh', sequential, (at) => ({ app: `fresh-${at}` }));
  figures.push(
    ...latencyFigures('CNI ADD, same labels', same.adds, spawnText, 40),
    ...latencyFigures('CNI ADD, a new identity each', fresh.adds, spawnText, 40),
    ...latencyFigures('CNI DEL', [...same.deletes, ...fresh.deletes], spawnText),
  );
  for (const [count, barMs] of [
    [40, 1500],
    [160, 6000],
  ] as const) {
    figures.push(await parallelFigure(node, count, barMs));
  }
  return figures;
}

function latencyFigures(
  name: string,
  samples: readonly number[],
  baseline: string,
  p99Bar?: number,
): Figure[] {
  const show = (share: number) => `${percentile(samples, share).toFixed(1)} ms`;
  const spread = `${spreadOf(samples)} ms`;
  const p50: Figure = {
    name: `${name}, P50`,
    value: show(0.5),
    baseline,
    spread,
    bar: '≤ 15 ms',
    met: percentile(samples, 0.5) <= 15,
  };
  if (p99Bar === undefined) return [p50];
  const p99: Figure = {
    name: `${name}, P99`,
    value: show(0.99),
    bar: `≤ ${p99Bar} ms`,
    met: percentile(samples, 0.99) <= p99Bar,
  };
  return [p50, p99];
}

async function versionFigure(node: BenchNode, baseline: string): Promise<Figure> {
  const plugin = join(node.folder, 'cilium-cni');
  const times = await timesOf(versionCalls, () =>
    spawn(node, [plugin], { CNI_COMMAND: 'VERSION' }),
  );
  return {
    name: 'cilium-cni VERSION, P50',
    value: `${median(times).toFixed(1)} ms`,
    baseline,
    spread: `${spreadOf(times)} ms`,
    bar: '≤ 10 ms',
    met: median(times) <= 10,
  };
}

/** As the plugin is called, with the output read. */
async function spawn(
  node: BenchNode,
  command: readonly string[],
  env: Record<string, string> = {},
): Promise<void> {
  const child = node.spawnInside(command, '', env);
  await Promise.all([new Response(child.stdout).text(), child.exited]);
}

async function timesOf(count: number, run: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  for (let turn = -3; turn < count; turn++) {
    const started = performance.now();
    await run();
    if (turn >= 0) times.push(performance.now() - started);
  }
  return times;
}

async function attachAndDetach(
  node: BenchNode,
  prefix: string,
  count: number,
  labelsOf: (at: number) => Record<string, string>,
): Promise<{ adds: number[]; deletes: number[] }> {
  const pods = Array.from({ length: count }, (_, at) =>
    node.preparePod(`${prefix}-${at}`, labelsOf(at)),
  );
  const adds: number[] = [];
  for (const pod of pods) adds.push((await node.cni('ADD', pod)).elapsedMs);
  const deletes: number[] = [];
  for (const pod of pods) deletes.push((await node.cni('DEL', pod)).elapsedMs);
  await settle(node, pods);
  return { adds, deletes };
}

async function parallelFigure(node: BenchNode, count: number, barMs: number): Promise<Figure> {
  const totals: number[] = [];
  for (let run = 0; run < parallelRuns; run++) {
    const pods = Array.from({ length: count }, (_, at) =>
      node.preparePod(`p${count}-${run}-${at}`, { app: `parallel-${at % 8}` }),
    );
    const started = performance.now();
    await Promise.all(pods.map((pod) => node.cni('ADD', pod)));
    totals.push(performance.now() - started);
    await Promise.all(pods.map((pod) => node.cni('DEL', pod)));
    await settle(node, pods);
  }
  return {
    name: `CNI ADD, ${count} in parallel`,
    value: `${median(totals).toFixed(0)} ms`,
    spread: `${spreadOf(totals, 0)} ms`,
    bar: `≤ ${barMs} ms`,
    met: median(totals) <= barMs,
  };
}

/** What DEL leaves to the agent is not to be measured with what comes next. */
async function settle(node: BenchNode, pods: readonly Pod[]): Promise<void> {
  await node.until(async () => (await node.endpoints()).length === 0, 20);
  for (const pod of pods) node.forget(pod);
}
