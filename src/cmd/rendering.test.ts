import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { goJson, jsonPath, renderValue } from './rendering.ts';

describe('renderValue', () => {
  test('JSON escapes what Go escapes and keeps large counters', async () => {
    expect(await renderValue('json', { flags: '<none>', n: 7n })).toBe(
      '{\n  "flags": "\\u003cnone\\u003e",\n  "n": 7\n}\n',
    );
    expect(await renderValue('yaml', [{ id: 1 }])).toBe('- id: 1\n');
  });

  test('jsonpath', () => {
    const value = [{ status: { identity: { id: 15277 }, labels: ['a', 'b'] } }];
    expect(jsonPath(value, '{[0].status.identity.id}')).toBe('15277');
    expect(jsonPath(value, '{[*].status.labels[1]}')).toBe('b');
    expect(jsonPath(value, 'id={[0].status.identity.id}{"\\n"}')).toBe('id=15277\n');
    expect(jsonPath(value, '{.nothing}')).toBe('');
  });

  test('JSON of any value parses back', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(goJson(value, 2))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});
