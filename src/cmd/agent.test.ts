import { afterAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isPrivateMount } from './agent.ts';

const procfs = mkdtempSync(join(tmpdir(), 'agent-test-'));
afterAll(() => rmSync(procfs, { recursive: true }));

const shared = '31 24 0:27 / /sys/fs/bpf rw,nosuid shared:9 - bpf bpf rw,mode=700\n';
const mine = '99 24 0:55 / /run/a/bpf rw,relatime - bpf bpf rw,mode=700\n';

function mounts(own: string, first: string): void {
  for (const [name, text] of [
    ['self', own],
    ['1', first],
  ] as const) {
    mkdirSync(join(procfs, name), { recursive: true });
    writeFileSync(join(procfs, name, 'mountinfo'), text);
  }
}

test('a bpffs that process 1 does not see will not outlive the mount namespace', () => {
  mounts(shared + mine, shared);
  expect(isPrivateMount('/run/a/bpf', procfs)).toBe(true);
  expect(isPrivateMount('/sys/fs/bpf', procfs)).toBe(false);
  mounts(shared + mine, shared + mine);
  expect(isPrivateMount('/run/a/bpf', procfs)).toBe(false);
});

test('what cannot be found out is no reason to warn', () => {
  expect(isPrivateMount('/run/a/bpf', join(procfs, 'none'))).toBe(false);
  mounts('', shared);
  expect(isPrivateMount('/run/a/bpf', procfs)).toBe(false);
});
