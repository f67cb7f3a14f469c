/**
 * @module Other builds of the executable: a copy of the sources with some lines changed, built by its
 * own build.ts and kept in dist/variants until a source changes.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { hashSources } from '../../build/stale.ts';
import { root } from './harness.ts';

export interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const copied = [
  'src',
  'examples',
  'build',
  'build.ts',
  'package.json',
  'tsconfig.json',
  'bunfig.toml',
  'bun.lock',
];

/** Builds it, or finds it built. Returns the path of the executable. */
export async function buildVariant(name: string, edits: readonly Edit[]): Promise<string> {
  const folder = join(root, 'dist/variants', name);
  const stamp = join(folder, 'sources.hash');
  const hash = `${hashSources()} ${JSON.stringify(edits)}`;
  const executable = join(folder, 'dist/cilium');
  if (existsSync(executable) && existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) {
    return executable;
  }
  const work = `${folder}.${process.pid}`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, 'dist'), { recursive: true });
  for (const one of copied) cpSync(join(root, one), join(work, one), { recursive: true });
  for (const test of new Bun.Glob('**/*.test.ts').scanSync(work)) rmSync(join(work, test));
  symlinkSync(join(root, 'node_modules'), join(work, 'node_modules'));
  cpSync(join(root, 'dist/libcilium_bpf.so'), join(work, 'dist/libcilium_bpf.so'));
  for (const { file, from, to } of edits) {
    const text = readFileSync(join(work, file), 'utf8');
    if (!text.includes(from)) throw new Error(`${file} has no ${JSON.stringify(from)}`);
    writeFileSync(join(work, file), text.replace(from, to));
  }
  for (const step of ['bpf', 'exe']) {
    const child = Bun.spawnSync([process.execPath, 'build.ts', step], { cwd: work });
    if (child.exitCode !== 0)
      throw new Error(`build variant ${name}: ${child.stderr}${child.stdout}`);
  }
  writeFileSync(join(work, 'sources.hash'), hash);
  rmSync(folder, { recursive: true, force: true });
  renameSync(work, folder);
  return executable;
}
