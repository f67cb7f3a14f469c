import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linkAlias } from './link-alias.ts';

test('one directory has one alias, another has another, and each fits', () => {
  const root = mkdtempSync(join(tmpdir(), 'alias-'));
  try {
    symlinkSync(root, `${root}-link`);
    expect(linkAlias(root)).toBe(`cilium:${root}`);
    expect(linkAlias(`${root}-link/`)).toBe(linkAlias(root));
    expect(linkAlias(join(root, 'other'))).not.toBe(linkAlias(root));
    const long = join(root, 'x'.repeat(300));
    expect(linkAlias(long).length).toBeLessThanOrEqual(255);
    expect(linkAlias(long)).not.toBe(linkAlias(`${long}y`));
  } finally {
    rmSync(`${root}-link`);
    rmSync(root, { recursive: true });
  }
});
