import { afterAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { hashSources } from '../../build/stale.ts';

const folder = mkdtempSync(join(tmpdir(), 'stale-'));
afterAll(() => rmSync(folder, { recursive: true }));

function put(name: string, text: string): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), text);
}

function write(name: string, text: string): string {
  put(name, text);
  return hashSources(folder);
}

test('whatever a build is made from makes it stale, a test does not', () => {
  for (const name of ['build.ts', 'bun.lock', 'src/main.ts', 'build/run.ts']) put(name, 'one');
  let last = hashSources(folder);
  const parts = ['build/bpf.ts', 'src/main.ts', 'src/bpf/lib/a.h', 'examples/demo-policy.yaml'];
  for (const name of ['build.ts', 'bun.lock', ...parts]) {
    const now = write(name, 'another');
    expect([name, now]).not.toEqual([name, last]);
    last = now;
  }
  expect(write('src/bpf/lib/a.test.ts', 'a test')).toBe(last);
});
