/**
 * @module
 * Compiles src/bpf/prog/bpf_*.c (and the programs of tests, src/bpf/test/*.c)
 * to dist/bpf/. The same sources and the same clang give the same bytes.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { withoutDwarf } from './elf.ts';
import { BuildError, dist, findProgram, root, run } from './run.ts';

const programs = join(root, 'src/bpf/prog');
const tests = join(root, 'src/bpf/test');
export const headers: string = join(root, 'src/bpf/lib');
export const objects: string = join(dist, 'bpf');

/** Sources of the programs that ship, by name: bpf_lxc and so on. */
export function programSources(): string[] {
  return listC(programs, /^bpf_.*\.c$/);
}

export async function compilePrograms(): Promise<void> {
  mkdirSync(join(objects, 'test'), { recursive: true });
  const wanted = [
    ...programSources().map((source) => ({ source, output: objectPath(source) })),
    ...listC(tests, /\.c$/).map((source) => ({
      source,
      output: join(objects, 'test', `${basename(source, '.c')}.o`),
    })),
  ];
  await Promise.all(wanted.map(({ source, output }) => compileObject(source, output)));
  const outputs = new Set(wanted.map(({ output }) => output));
  for (const file of new Bun.Glob('**/*.o').scanSync({ cwd: objects, absolute: true })) {
    if (!outputs.has(file)) rmSync(file);
  }
}

export function objectPath(source: string): string {
  return join(objects, `${basename(source, '.c')}.o`);
}

/** The object appears under its name when it is complete: something may be reading the last one. */
export async function compileObject(source: string, output: string): Promise<void> {
  const unfinished = `${output}.${process.pid}`;
  await run([
    ...[findProgram(['clang-19', 'clang-20', 'clang-21'], 'clang-19'), '-target', 'bpf'],
    ...['-O2', '-g', '-mcpu=v3', '-std=gnu17', '-Wall', '-Wextra', '-Werror'],
    ...['-Wno-unused-parameter', '-Wno-sign-compare', '-fno-ident'],
    ...[`-ffile-prefix-map=${root}=.`, '-I', headers, ...systemHeaders()],
    ...['-c', source, '-o', unfinished],
  ]);
  await Bun.write(unfinished, withoutDwarf(await Bun.file(unfinished).bytes()));
  renameSync(unfinished, output);
}

/** asm/types.h of the machine that builds, which clang does not look for when it targets BPF. */
function systemHeaders(): string[] {
  const include = '/usr/include';
  const folder = readdirSync(include).find(
    (entry) => entry.endsWith('-linux-gnu') && existsSync(join(include, entry, 'asm/types.h')),
  );
  if (folder !== undefined) {
    return ['-idirafter', join(include, folder)];
  }
  if (existsSync(join(include, 'asm/types.h'))) {
    return [];
  }
  throw new BuildError('asm/types.h is not installed: install linux-libc-dev, or run ./dev');
}

function listC(folder: string, pattern: RegExp): string[] {
  if (!existsSync(folder)) {
    return [];
  }
  return readdirSync(folder)
    .filter((file) => pattern.test(file))
    .sort()
    .map((file) => join(folder, file));
}
