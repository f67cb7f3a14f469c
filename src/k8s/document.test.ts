import { describe, expect, test } from 'bun:test';
import { readDocuments } from './document.ts';
import { Place } from './place.ts';
import { formatProblem, Problems, printable, quote, suggest } from './problem.ts';

const limits = { bytesMax: 1000, documentsMax: 3, nodesMax: 30 };

function read(text: string) {
  const problems = new Problems();
  const entries = readDocuments(text, limits, ['List', 'PodList'], problems);
  return { entries, problems: problems.list.map(formatProblem) };
}

const valuesOf = (text: string) => read(text).entries.map((each) => each.value);

describe('documents', () => {
  test('several, without the empty ones', () => {
    expect(valuesOf('a: 1\n---\n# words\n---\n{"b": [2]}\n')).toEqual([{ a: 1 }, { b: [2] }]);
  });

  test('lists are opened; the items of a typed list need no kind', () => {
    expect(valuesOf('{kind: List, items: [{kind: A}, {a: 1}]}')).toEqual([{ kind: 'A' }, { a: 1 }]);
    expect(valuesOf('{kind: PodList, apiVersion: v1, items: [{a: 1}, {kind: A}]}')).toEqual([
      { apiVersion: 'v1', kind: 'Pod', a: 1 },
      { kind: 'A' },
    ]);
    expect(valuesOf('{kind: OtherList, items: []}')).toEqual([{ kind: 'OtherList', items: [] }]);
  });

  test('each entry knows its place', () => {
    const { entries } = read('a: 1\n---\nkind: List\nitems:\n- b: 1\n- c:\n    d: [1, 2]\n');
    const second = entries[2]?.place.field('c').field('d').item(1);
    expect(second?.text).toBe('document 2: items[1]: c.d[1]');
    expect(second?.position).toEqual({ line: 7, column: 12 });
    // What is not there is where it should be.
    expect(second?.field('x').position).toEqual({ line: 7, column: 12 });
    expect(entries[1]?.place.field('x').position).toEqual({ line: 5, column: 3 });
    expect(entries[0]?.place.position).toEqual({ line: 1, column: 1 });
  });

  test.each([
    [`a: ${'x'.repeat(1000)}`, 'file: is larger than 1000 bytes'],
    ['--- 1\n'.repeat(4), 'file: has more than 3 documents'],
    ['{kind: List, items: [1, 2, 3, 4]}', 'items: has 4 entries, at most 3 are possible'],
    ['--- 1\n--- {kind: List, items: [1, 2, 3]}', 'file: has more than 3 documents'],
    [`[${'1,'.repeat(30)}]`, 'line 1: document 1: nested deeper than 40 or too large'],
    [`${'['.repeat(41)}${']'.repeat(41)}`, 'nested deeper than 40'],
    ['a: b\n c: d', 'line 1: document 1: '],
    ['a: "\n', 'line 2: document 1: '],
  ])('%s', (text, expected) => {
    const { problems } = read(text);
    expect(problems[0]).toContain(expected);
    expect(new Set(problems).size).toBe(problems.length);
  });
});

describe('problems', () => {
  const nowhere = new Place({ title: 'a\u001b[2J', locate: () => undefined });

  test('have no control characters, whatever there is', () => {
    const problems = new Problems('file\u0007');
    problems.add(nowhere.field('b\u009b').key('c\u202ed'), 'e\nf\u2028');
    expect(problems.list.map(formatProblem)).toEqual(['file?: a?[2J: b?["c?d"]: e?f?']);
    expect(printable('a\u0000b')).toBe('a?b');
  });

  test('are counted beyond the first 50', () => {
    const problems = new Problems();
    for (let count = 0; count < 60; count++) problems.add(nowhere, 'x');
    expect(problems.count).toBe(60);
    expect(problems.list).toHaveLength(51);
    expect(problems.list[50]?.message).toBe('and 10 more problems');
  });

  test('quote values shortly', () => {
    const circle: unknown[] = [];
    circle.push(circle);
    expect(quote({ a: 1 })).toBe('{"a":1}');
    expect(quote(undefined)).toBe('undefined');
    expect(quote('x'.repeat(100))).toHaveLength(60);
    expect(quote(circle)).toBe('');
  });

  test.each([
    ['ingres', 'ingress'],
    ['inrgess', 'ingress'],
    ['INGRESS', 'ingress'],
    ['xxxxxxx', ''],
    ['x', ''],
  ])('%s: did you mean %p', (wrong, right) => {
    expect(suggest(wrong, ['ingress', 'egress'])).toBe(right && ` (did you mean ${right}?)`);
  });
});
