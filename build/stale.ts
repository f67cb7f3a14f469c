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

function hashSources(): string {
  const hash = new Bun.CryptoHasher('sha256');
  const files = [...new Bun.Glob('{build.ts,bun.lock,build/**,src/**}').scanSync(root)];
  for (const file of files.filter((name) => !name.endsWith('.test.ts')).sort()) {
    hash.update(`${file}\0`);
    hash.update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}
