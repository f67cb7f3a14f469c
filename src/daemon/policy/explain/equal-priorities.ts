/**
 * @module
 * ClusterNetworkPolicies of one tier with equal priorities: between them the name decides, which
 * nobody means. For `validate`, and for the health of an agent.
 */

import { printable } from '../../../k8s/problem.ts';
import { directions, type Requirement, type Rule, type Selector } from '../rule.ts';
import type { PolicyRuleRow } from '../table.ts';
import { tierNames } from './rule-name.ts';

/** One rule of an ordered tier, with the name of its policy. */
interface OrderedRule {
  readonly name: string;
  readonly rule: Rule;
}

/** The later of two by name. */
export interface EqualPriority<Of extends OrderedRule> {
  readonly one: Of;
  readonly other: Of;
}

/** As many pairs as were asked for, if there are so many. */
export interface EqualPriorities<Of extends OrderedRule> {
  readonly pairs: readonly EqualPriority<Of>[];
  /** Why there may be more: they were found, or there was too much to compare. */
  readonly unseen: 'found' | 'not compared' | undefined;
}

/**
 * What comparing may cost, in requirements and values that are looked at: a few milliseconds, also of
 * an agent's main thread.
 */
const effortMax = 100_000;

/** Longer lists of values tell no subjects apart before they are compared. */
const valuesMax = 8;

/**
 * Pairs with the same tier and priority, a common direction, and subjects that overlap, `pairsMax` at
 * most. Other tiers than the ordered ones are left out. Subjects that must have different values of
 * the same label do not overlap: `overlap` is not asked about them.
 */
export function equalPriorities<Of extends OrderedRule>(
  rules: Iterable<Of>,
  overlap: (a: Selector, b: Selector) => boolean,
  pairsMax: number,
): EqualPriorities<Of> {
  const ordered = [...rules].filter(({ rule }) => rule.tier !== 'network');
  ordered.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const groups = Map.groupBy(ordered, ({ rule }) => `${rule.tier} ${rule.priority}`);
  const pairs: EqualPriority<Of>[] = [];
  let effort = 0;
  for (const same of groups.values()) {
    for (const { one, other } of candidates(same)) {
      effort += effortOf(one.rule.subject, other.rule.subject);
      if (effort > effortMax) return { pairs, unseen: 'not compared' };
      // A name in two files is another trouble.
      if (one.name === other.name || !sharesDirection(one.rule, other.rule)) continue;
      if (!overlap(one.rule.subject, other.rule.subject)) continue;
      if (pairs.some((pair) => pair.one === one && pair.other === other)) continue;
      if (pairs.length === pairsMax) return { pairs, unseen: 'found' };
      pairs.push({ one, other });
    }
  }
  return { pairs, unseen: undefined };
}

/**
 * Every pair but those that the values of one label keep apart. A pair that has several values in
 * common comes once for each.
 */
function* candidates<Of extends OrderedRule>(same: readonly Of[]): Generator<EqualPriority<Of>> {
  const label = splittingLabel(same);
  const withValue = new Map<string, Of[]>();
  const withAny: Of[] = [];
  for (const [index, one] of same.entries()) {
    const values = valuesOf(one.rule.subject, label);
    if (values === undefined) {
      for (const other of same.values().take(index)) yield { one, other };
      withAny.push(one);
      continue;
    }
    for (const other of withAny) yield { one, other };
    for (const value of values) {
      const alike = withValue.get(value) ?? [];
      withValue.set(value, alike);
      for (const other of alike) yield { one, other };
      alike.push(one);
    }
  }
}

/** The label by whose values the fewest pairs are left. */
function splittingLabel(same: readonly OrderedRule[]): string | undefined {
  const counts = new Map<string, { rules: number; readonly values: Map<string, number> }>();
  for (const { rule } of same) {
    for (const each of rule.subject.requirements) {
      if (!canSplit(each)) continue;
      const label = labelOf(each);
      const count = counts.get(label) ?? { rules: 0, values: new Map() };
      counts.set(label, count);
      count.rules++;
      for (const value of each.values) count.values.set(value, (count.values.get(value) ?? 0) + 1);
    }
  }
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const [label, { rules, values }] of counts) {
    let left = (same.length - rules) * same.length;
    for (const count of values.values()) left += count ** 2;
    if (left < least) [best, least] = [label, left];
  }
  return best;
}

/** Undefined if it may have any, or many. */
function valuesOf({ requirements }: Selector, label: string | undefined) {
  return requirements.find((each) => canSplit(each) && labelOf(each) === label)?.values;
}

function canSplit({ operator, values }: Requirement): boolean {
  return operator === 'In' && values.length <= valuesMax;
}

function labelOf({ source, key }: Requirement): string {
  return `${source}:${key}`;
}

function effortOf({ requirements: a }: Selector, { requirements: b }: Selector): number {
  let effort = 1 + a.length * b.length;
  for (const { values } of a) effort += values.length;
  for (const { values } of b) effort += values.length;
  return effort;
}

function sharesDirection(a: Rule, b: Rule): boolean {
  for (const direction of directions) {
    if (a[direction]?.length && b[direction]?.length) return true;
  }
  return false;
}

/** Whether there can be labels that both select. */
export function canOverlap(a: Selector, b: Selector): boolean {
  for (const one of a.requirements) {
    if (one.operator !== 'In') continue;
    for (const other of b.requirements) {
      if (other.operator !== 'In' || other.key !== one.key || other.source !== one.source) continue;
      if (areDisjoint(one.values, other.values)) return false;
    }
  }
  return true;
}

/** Both are sorted. */
function areDisjoint(a: readonly string[], b: readonly string[]): boolean {
  let at = 0;
  for (const value of a) {
    while ((b[at] ?? value) < value) at++;
    if (b[at] === value) return false;
  }
  return true;
}

const toldMax = 3;

/** What is told in place of the pairs that are not. */
export const unseenWords = {
  found: 'and more',
  'not compared': 'too many to compare all',
} as const;

/**
 * The policies whose order only their names decide, where they can select the same pods; undefined
 * if there are none. For health: pods come and go, so that those of the moment do not count.
 */
export function describeEqualPriorities(rows: Iterable<PolicyRuleRow>): string | undefined {
  const { pairs, unseen } = equalPriorities(rows, canOverlap, toldMax);
  const texts = pairs.map(({ one, other }) =>
    printable(
      `${other.name} and ${one.name} (tier ${tierNames[one.rule.tier]}, priority ${one.rule.priority})`,
    ),
  );
  if (unseen !== undefined) texts.push(unseenWords[unseen]);
  if (texts.length === 0) return undefined;
  return `of equal priority, so that the name decides which ClusterNetworkPolicy comes first: ${texts.join(', ')}`;
}
