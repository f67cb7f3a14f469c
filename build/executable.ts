/**
 * @module
 * Compiles src/main.ts and the workers to dist/cilium. The eBPF objects and the
 * native library travel inside it, as src/bpf/gen/objects.ts imports them.
 */
import { mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { attempt, BuildError, dist, root } from './run.ts';

export const executable: string = join(dist, 'cilium');

/** Names by which the executable plays one role; see src/main.ts. */
export const roles: readonly string[] = ['cilium-agent', 'cilium-cni', 'cilium-dbg', 'hubble'];

export async function buildExecutable(): Promise<void> {
  const source = join(root, 'src');
  const workers = [...new Bun.Glob('worker-*.ts').scanSync(source)]
    .filter((file) => !file.endsWith('.test.ts'))
    .sort();
  const maps = join(dist, 'maps');
  rmSync(maps, { recursive: true, force: true });
  mkdirSync(maps, { recursive: true });
  const { version } = await Bun.file(join(root, 'package.json')).json();
  const commit = (await attempt(['git', 'rev-parse', '--short', 'HEAD'])).output.trim();
  const result = await Bun.build({
    // Worker files stand beside main.ts: in the executable they are found relative to the root.
    entrypoints: [join(source, 'main.ts'), ...workers.map((file) => join(source, file))],
    root: source,
    target: 'bun',
    format: 'esm',
    minify: true,
    bytecode: true,
    splitting: true,
    sourcemap: 'linked',
    define: {
      'process.env.CILIUM_VERSION': JSON.stringify(version),
      'process.env.CILIUM_COMMIT': JSON.stringify(/^[0-9a-f]+$/.test(commit) ? commit : ''),
    },
    // Otherwise a bunfig.toml or .env in the folder where it is called would be obeyed.
    compile: { outfile: executable, autoloadDotenv: false, autoloadBunfig: false },
    throw: false,
  });
  if (!result.success) {
    throw new BuildError(`compile dist/cilium\n${result.logs.map(String).join('\n')}`);
  }
  for (const map of [...new Bun.Glob('*.map').scanSync(dist)]) {
    renameSync(join(dist, map), join(maps, map));
  }
  for (const role of roles) {
    const link = join(dist, role);
    rmSync(link, { force: true });
    symlinkSync('cilium', link);
  }
}
