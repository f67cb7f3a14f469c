import { expect, test } from 'bun:test';
import { ruleRows } from '../documents/rule-row.ts';
import { describeEqualPriorities } from './equal-priorities.ts';
import { parsedDocuments, tieredDocument } from './manifest-fixture.ts';

const deny = [{ action: 'Deny', from: [{ namespaces: {} }] }];

function described(...documents: object[]): string | undefined {
  const { policies } = parsedDocuments(documents);
  return describeEqualPriorities(policies.flatMap((policy) => ruleRows(policy, 'a.yaml', 1)));
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

test('many are counted', () => {
  const names = ['a', 'b', 'c', 'd'];
  expect(described(...names.map((name) => tieredDocument(name, deny)))).toEndWith(', and 3 more');
});
