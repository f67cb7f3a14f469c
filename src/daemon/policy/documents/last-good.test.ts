import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LastGoodPolicies } from './last-good.ts';

test('what the disk refuses is kept in memory, told once, and written when it can be', () => {
  const root = mkdtempSync(join(tmpdir(), 'last-good-'));
  try {
    const errors: unknown[] = [];
    using policies = new LastGoodPolicies(root, (error) => errors.push(error));
    writeFileSync(join(root, 'last-good-policies'), 'a file in its way');
    policies.keep('a.yaml', 'text');
    policies.flush();
    policies.flush();
    expect([errors.length, policies.read('a.yaml')]).toEqual([1, 'text']);
    rmSync(join(root, 'last-good-policies'));
    policies.flush();
    expect(new LastGoodPolicies(root, () => {}).read('a.yaml')).toBe('text');
    policies.forget('a.yaml');
    policies.flush();
    expect([policies.names(), errors.length]).toEqual([[], 1]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
