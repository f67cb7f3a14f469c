import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { lockStateDirectory, StateInUseError } from './state-lock.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync('/tmp/cilium-test-lock-');
});
afterEach(() => rmSync(folder, { recursive: true }));

test('one at a time, and the second hears who has it', async () => {
  const first = await lockStateDirectory(join(folder, 'state'));
  const second = lockStateDirectory(join(folder, 'state'), 0);
  expect(second).rejects.toThrow(StateInUseError);
  expect(second).rejects.toThrow(`process ${process.pid}`);
  await second.catch(() => {});
  first[Symbol.dispose]();
  (await lockStateDirectory(join(folder, 'state'), 0))[Symbol.dispose]();
});

test('waits for the one before to end', async () => {
  const first = await lockStateDirectory(folder);
  const second = lockStateDirectory(folder);
  first[Symbol.dispose]();
  (await second)[Symbol.dispose]();
});
