/**
 * @module `bun run bench [name…]`: measures the built executable and prints, for each figure, the
 * baseline of the same run, the spread and the bar. Needs root and a build.
 */
import { existsSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { disposePairs } from './bare-pair.ts';
import { type Figure, tableOf } from './figures.ts';
import { disposeNodes } from './node.ts';

const benchmarks: Readonly<Record<string, () => Promise<Figure[]>>> = {
  datapath: async () => (await import('./datapath.ts')).datapath(),
  program: async () => (await import('./program.ts')).program(),
  stream: async () => (await import('./stream.ts')).stream(),
  cni: async () => (await import('./cni.ts')).cni(),
  policy: async () => (await import('./policy.ts')).policy(),
  scale: async () => (await import('./scale.ts')).scale(),
  agent: async () => (await import('./agent.ts')).agent(),
  hubble: async () => (await import('./hubble.ts')).hubble(),
};

function load(): string {
  return `load ${loadavg()
    .map((value) => value.toFixed(1))
    .join(' ')}`;
}

async function run(names: readonly string[]): Promise<number> {
  const wanted = names.length === 0 ? Object.keys(benchmarks) : names;
  const unknown = wanted.find((name) => !Object.hasOwn(benchmarks, name));
  if (unknown !== undefined) {
    console.error(`${unknown}: no such benchmark; there are ${Object.keys(benchmarks).join(', ')}`);
    return 2;
  }
  if (!existsSync(join(import.meta.dir, '../../dist/bpf/test/bare_redirect.o'))) {
    console.error('not built yet: run bun run build');
    return 1;
  }
  console.log(`Linux ${release()}, ${cpus().length} × ${cpus()[0]?.model ?? '?'}, ${load()}`);
  let failed = 0;
  for (const name of wanted) {
    const started = performance.now();
    console.log(`\n== ${name}`);
    try {
      const figures = await benchmarks[name]?.();
      console.log(tableOf(figures ?? []));
    } catch (error) {
      failed++;
      console.error(error);
    }
    console.log(`${((performance.now() - started) / 1000).toFixed(0)} s, ${load()}`);
  }
  return failed === 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void disposeNodes().then(() => {
      disposePairs();
      process.exit(130);
    });
  });
}
process.exit(await run(process.argv.slice(2)));
