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
    expect(jsonPath(value, '{.constructor}')).toBe('');
    expect(jsonPath(value, "{$[0]['status'].identity.*}")).toBe('15277');
    expect(jsonPath(['a'], '{.[0]}{$}{.}{}')).toBe('a["a"]["a"]["a"]');
  });

  test.each([
    ['{.a', '"{.a" is not closed'],
    ['{.a} {', '" {" is not closed'],
    ['.a', '".a" has no {.field}'],
    ['', '"" has no {.field}'],
    ['{a}', '"a" is no step of {a}'],
    ['{..a}', '"..a" is no step of {..a}'],
    ['{.a..b}', '"..b" is no step of'],
    ['{.a.}', '"." is no step of'],
    ['{.a[}', '"[" is no step of'],
    ['{.a[-1]}', '"[-1]" is no step of'],
    ['{.a[?(@.b)]}', 'is no step of'],
    ['{range .a[*]}', 'is no step of'],
  ])('jsonpath %j is refused', async (template, message) => {
    const rendered = renderValue(`jsonpath=${template}`, { a: [{ b: 1 }] });
    await expect(rendered).rejects.toThrow(message);
  });

  test('YAML repeats what is the same', async () => {
    const rules = ['a'];
    expect(await renderValue('yaml', { one: rules, other: rules })).toBe(
      'one:\n  - a\nother:\n  - a\n',
    );
  });

  test('JSON of any value parses back', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(goJson(value, 2))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});
