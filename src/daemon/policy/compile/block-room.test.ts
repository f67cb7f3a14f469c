import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { ruleRows } from '../documents/rule-row.ts';
import { parseDocuments } from '../parse/parse.ts';
import type { PolicyRuleRow } from '../table.ts';
import { BlockRoom } from './block-room.ts';
import { blocksOf, type CompiledRule, compileRule } from './compiled-rule.ts';
import { resolveRule } from './resolve.ts';

const nothing = {
  cidrGroups: () => [],
  services: () => [],
  endpoints: () => [],
  nodes: () => [],
  portNumbers: () => [],
};

function ruleOf(name: string, first: number, count: number): CompiledRule {
  const toCIDR = Array.from({ length: count }, (_, at) => `192.0.${first + at}.0/24`);
  const document = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name, namespace: 'ns' },
    spec: { endpointSelector: {}, egress: [{ toCIDR }] },
  };
  const parsed = parseDocuments(JSON.stringify(document));
  if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.problems));
  const [row] = parsed.policies.flatMap((policy): PolicyRuleRow[] => ruleRows(policy, 'test', 2));
  if (row === undefined) throw new Error('no rule');
  return compileRule(row, resolveRule(row.rule, nothing));
}

const namesOf = (rules: Iterable<CompiledRule>) => [...rules].map(({ row }) => row.name).sort();

/** Ten rules of ten blocks each, a to j. */
function full(): { room: BlockRoom; rules: CompiledRule[] } {
  const room = new BlockRoom();
  const rules = [...'abcdefghij'].map((name, at) => ruleOf(name, at * 10, 10));
  for (const rule of rules) room.add(rule);
  return { room, rules };
}

test('a change moves only the rules that it lets in or leaves out', () => {
  const { room, rules } = full();
  room.fit(50);
  expect(namesOf(room.excluded).join('')).toBe('abcde');
  expect(room.takeMoved()).toHaveLength(10);
  room.delete(rules[9]!);
  room.fit(50);
  expect(namesOf(room.takeMoved())).toEqual(['e']);
  room.add(ruleOf('small', 200, 1));
  room.fit(50);
  expect(namesOf(room.takeMoved())).toEqual(['e', 'small']);
  room.add(ruleOf('large', 200, 11));
  room.fit(50);
  expect(namesOf(room.takeMoved())).toEqual(['large']);
  expect(namesOf(room.excluded)).toEqual(['a', 'b', 'c', 'd', 'e', 'large']);
  room.fit(50);
  expect(room.takeMoved()).toEqual([]);
});

test('it is reduced by no more blocks than are too many, but for the first', () => {
  const { room, rules } = full();
  room.fit(100);
  expect(room.reduce(25)).toBe(89);
  expect(namesOf(room.excluded)).toEqual(['a', 'b']);
  room.fit(89);
  expect(namesOf(room.excluded)).toEqual(['a', 'b']);
  expect(room.reduce(3)).toBe(79);
  expect(namesOf(room.excluded)).toEqual(['a', 'b', 'c']);
  room.delete(rules[9]!);
  room.fit(79);
  expect(namesOf(room.excluded)).toEqual(['a', 'b']);
  expect(room.reduce(1000)).toBe(9);
  expect(room.reduce(1)).toBeUndefined();
});

test('the rules that fit are those without the worst, by every path', () => {
  const pool = Array.from({ length: 12 }, (_, at) => ruleOf(`r${at}`, (at * 5) % 17, at % 7));
  const step = fc.record({ at: fc.nat(pool.length - 1), isFitted: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      const room = new BlockRoom();
      const known = new Set<CompiledRule>();
      let taken = new Set<CompiledRule>();
      for (const { at, isFitted } of steps) {
        const rule = pool[at]!;
        if (known.delete(rule)) {
          room.delete(rule);
          taken.delete(rule);
        } else if (room.add(rule)) known.add(rule);
        if (!isFitted) continue;
        room.fit(9);
        const wanted = fitting(known, 9);
        expect(namesOf(known.difference(room.excluded))).toEqual(namesOf(wanted));
        const changed = taken.symmetricDifference(wanted);
        expect(changed.difference(new Set(room.takeMoved())).size).toBe(0);
        taken = wanted;
      }
    }),
  );
});

/** The same, by trying. */
function fitting(rules: ReadonlySet<CompiledRule>, max: number): Set<CompiledRule> {
  const blocks = (rule: CompiledRule) => [...blocksOf(rule)];
  const left = [...rules].sort(
    (a, b) => blocks(b).length - blocks(a).length || (a.row.key < b.row.key ? -1 : 1),
  );
  while (new Set(left.flatMap(blocks)).size > max) left.shift();
  return new Set(left);
}
