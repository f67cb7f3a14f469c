/**
 * @module
 * Whether dist/ is older than what it is made from. A stamp holds a hash of
 * every source, so a build is repeated exactly when something changed.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { executable } from './executable.ts';
import { dist, root } from './run.ts';

const stamp = join(dist, 'sources.hash');

export async function buildIfStale(build: () => Promise<void>): Promise<void> {
  const fresh = existsSync(executable) && existsSync(stamp);
  if (!fresh || readFileSync(stamp, 'utf8') !== hashSources()) {
    rmSync(stamp, { force: true });
    await build();
  }
}

export async function recordBuild(): Promise<void> {
  writeFileSync(stamp, hashSources());
}

/** Of every file that a build is made from: name and content, tests left out. */
export function hashSources(folder = root): string {
  const hash = new Bun.CryptoHasher('sha256');
  // One glob each: within braces `**` matches nothing.
  const below = ['build', 'examples', 'src'].flatMap((name) => [
    ...new Bun.Glob(`${name}/**`).scanSync(folder),
  ]);
  const files = ['build.ts', 'bun.lock', ...below];
  for (const file of files.filter((name) => !name.endsWith('.test.ts')).sort()) {
    hash.update(`${file}\0`);
    hash.update(readFileSync(join(folder, file)));
  }
  return hash.digest('hex');
}
