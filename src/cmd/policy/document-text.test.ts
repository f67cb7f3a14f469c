import { expect, test } from 'bun:test';
import { parse } from 'yaml';
import { yamlDocument } from './document-text.ts';

test.each([
  'yes',
  'No',
  'on',
  'OFF',
  'y',
  'true',
  'null',
  '012',
  '0x1f',
  '1_000',
  '1e3',
  '2024-01-01',
])('the text %s stays text, also for readers of YAML 1.1', (text) => {
  const written = { matchLabels: { app: text, [text]: 'web' } };
  for (const version of ['1.1', '1.2'] as const) {
    expect(parse(yamlDocument(written), { version })).toEqual(written);
  }
});
