/**
 * @module The oracle is worth something only as long as it shares nothing with what it judges.
 */
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

test('no file here imports anything from outside this folder', () => {
  const files = readdirSync(import.meta.dir).filter((name) => /^[a-z-]+\.ts$/.test(name));
  expect(files).toContain('oracle.ts');
  let found = 0;
  for (const file of files) {
    const text = readFileSync(join(import.meta.dir, file), 'utf8');
    const sources = [...text.matchAll(/^(?:import|\}) (?:.* )?(?:from )?'([^']+)';$/gm)];
    const outside = sources.map(([, from]) => from).filter((from) => !from?.startsWith('./'));
    expect([file, outside]).toEqual([file, []]);
    found += sources.length;
  }
  expect(found).toBeGreaterThan(20);
});
