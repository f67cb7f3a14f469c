import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { ruleRows } from '../documents/rule-row.ts';
import type { Selector } from '../rule.ts';
import { requirement, selectorOf } from '../selector.ts';
import type { PolicyRuleRow } from '../table.ts';
import { canOverlap, describeEqualPriorities, equalPriorities } from './equal-priorities.ts';
import { parsedDocuments, tieredDocument } from './manifest-fixture.ts';

const deny = [{ action: 'Deny', from: [{ namespaces: {} }] }];

function described(...documents: object[]): string | undefined {
  const { policies } = parsedDocuments(documents);
  return describeEqualPriorities(policies.flatMap((policy) => ruleRows(policy, 'a.yaml', 1)));
}

function rowOf(document: object): PolicyRuleRow {
  const [row] = parsedDocuments([document]).policies.flatMap((each) => ruleRows(each, 'a.yaml', 1));
  if (row === undefined) throw new Error('no rule');
  return row;
}

test('equal priorities of a tier, where both can select a pod', () => {
  const [all, web] = [tieredDocument('b', deny), tieredDocument('a', deny, { app: 'web' })];
  expect(described(all, web)).toEndWith('comes first: a and b (tier Admin, priority 5)');
  expect(described(web, tieredDocument('c', deny, { app: 'db' }))).toBeUndefined();
});

test('another priority, tier or direction is another matter', () => {
  const one = tieredDocument('one', deny);
  expect(described(one, tieredDocument('other', deny, { priority: 6 }))).toBeUndefined();
  expect(described(one, tieredDocument('other', deny, { tier: 'Baseline' }))).toBeUndefined();
  expect(described(one, tieredDocument('other', []))).toBeUndefined();
});

test('of many, the first are named', () => {
  const names = ['a', 'b', 'c', 'd'];
  const [three, four] = [3, 4].map((count) =>
    described(...names.slice(0, count).map((name) => tieredDocument(name, deny))),
  );
  expect(three).toEndWith('b and c (tier Admin, priority 5)');
  expect(four).toEndWith('b and c (tier Admin, priority 5), and more');
});

/** Policies of equal priority with these subjects, and how often two were compared. */
function search(subjects: readonly Selector[], pairsMax = 3) {
  const rules = subjects.map((subject, at) => ({
    name: `p${at}`,
    rule: { ...admin, subject },
  }));
  let compared = 0;
  const overlap = (a: Selector, b: Selector) => {
    compared++;
    return canOverlap(a, b);
  };
  return { ...equalPriorities(rules, overlap, pairsMax), compared: () => compared };
}

const admin = rowOf(tieredDocument('one', deny)).rule;
const many = Array.from({ length: 4000 }, (_, at) => at);
const app = (...values: string[]) => requirement('k8s', 'app', 'In', values);
const ns = requirement('k8s', 'ns', 'In', ['x']);

test('policies about different values of a label are not compared', () => {
  const alone = many.map((at) => selectorOf({}, [ns, app(`a${at}`, `b${at}`)]));
  const twins = [...alone, selectorOf({}, [app('b7', 'b8')])];
  expect(search(alone)).toMatchObject({ pairs: [], unseen: undefined });
  expect(search(alone).compared()).toBe(0);
  const { pairs, unseen, compared } = search(twins);
  expect(pairs.map(({ one }) => one.name).sort()).toEqual(['p7', 'p8']);
  expect(unseen).toBeUndefined();
  expect(compared()).toBe(2);
  // With two values in common they are one pair.
  expect(
    search([app('a', 'b'), app('a', 'b')].map((each) => selectorOf({}, [each]))).pairs,
  ).toHaveLength(1);
});

test('the search ends with the pairs that are asked for', () => {
  const { pairs, unseen, compared } = search(many.map(() => selectorOf({})));
  expect(pairs).toHaveLength(3);
  expect(unseen).toBe('found');
  expect(compared()).toBe(4);
});

test('where no label tells them apart, some are compared, and it is said', () => {
  const grid = many.map((at) => selectorOf({ 'k8s:x': `${at % 60}`, 'k8s:y': `${(at / 60) | 0}` }));
  const lists = many
    .slice(0, 300)
    .map((at) =>
      selectorOf({}, [app(...Array.from({ length: 20 }, (_, n) => `${at}-${n}`).sort())]),
    );
  for (const subjects of [grid, lists]) {
    const { pairs, unseen, compared } = search(subjects);
    expect(pairs).toEqual([]);
    expect(unseen).toBe('not compared');
    expect(compared()).toBeLessThan(20_000);
  }
  const rows = grid.map((subject, at) => ({
    ...rowOf(tieredDocument(`p${at}`, deny)),
    rule: { ...admin, subject },
  }));
  expect(describeEqualPriorities(rows)).toEndWith('comes first: too many to compare all');
});

test('all pairs, and no others, in whatever order they are compared', () => {
  const values = fc.subarray(['a', 'b', 'c', 'd'], { minLength: 1 });
  const label = fc.record({ key: fc.constantFrom('x', 'y', 'z'), values });
  const subject = fc.uniqueArray(label, { selector: ({ key }) => key, maxLength: 3 }).map((each) =>
    selectorOf(
      {},
      each.map((one) => requirement('k8s', one.key, 'In', one.values)),
    ),
  );
  fc.assert(
    fc.property(fc.array(subject, { maxLength: 12 }), (subjects) => {
      const found = search(subjects, 1000).pairs.map(({ one, other }) =>
        [other.name, one.name].sort().join(),
      );
      const wanted = subjects.flatMap((a, at) =>
        subjects
          .slice(0, at)
          .flatMap((b, before) =>
            canOverlap(a, b) ? [[`p${before}`, `p${at}`].sort().join()] : [],
          ),
      );
      expect(found.sort()).toEqual(wanted.sort());
    }),
  );
});
