/**
 * @module
 * ClusterNetworkPolicies of one tier with equal priorities: between them the name decides, which
 * nobody means. For `validate`, and for the health of an agent.
 */

import { printable } from '../../../k8s/problem.ts';
import { directions, type Rule, type Selector } from '../rule.ts';
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

/**
 * Pairs with the same tier and priority, a common direction, and subjects that overlap. Other tiers
 * than the ordered ones are left out.
 */
export function* equalPriorities<Of extends OrderedRule>(
  rules: Iterable<Of>,
  overlap: (a: Selector, b: Selector) => boolean,
): Generator<EqualPriority<Of>> {
  const ordered = [...rules].filter(({ rule }) => rule.tier !== 'network');
  ordered.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const groups = Map.groupBy(ordered, ({ rule }) => `${rule.tier} ${rule.priority}`);
  for (const same of groups.values()) {
    for (const [index, one] of same.entries()) {
      for (const other of same.slice(0, index)) {
        // A name in two files is another trouble.
        if (one.name === other.name || !sharesDirection(one.rule, other.rule)) continue;
        if (overlap(one.rule.subject, other.rule.subject)) yield { one, other };
      }
    }
  }
}

function sharesDirection(a: Rule, b: Rule): boolean {
  return directions.some(
    (direction) => (a[direction] ?? []).length > 0 && (b[direction] ?? []).length > 0,
  );
}

/** Whether there can be labels that both select. */
export function canOverlap(a: Selector, b: Selector): boolean {
  return !a.requirements.some((one) =>
    b.requirements.some(
      (other) =>
        one.source === other.source &&
        one.key === other.key &&
        one.operator === 'In' &&
        other.operator === 'In' &&
        one.values.every((value) => !other.values.includes(value)),
    ),
  );
}

const pairsMax = 3;

/**
 * The policies whose order only their names decide, where they can select the same pods; undefined
 * if there are none. For health: pods come and go, so that those of the moment do not count.
 */
export function describeEqualPriorities(rows: Iterable<PolicyRuleRow>): string | undefined {
  const pairs = [...equalPriorities(rows, canOverlap)];
  if (pairs.length === 0) return undefined;
  const texts = pairs
    .slice(0, pairsMax)
    .map(({ one, other }) =>
      printable(
        `${other.name} and ${one.name} (tier ${tierNames[one.rule.tier]}, priority ${one.rule.priority})`,
      ),
    );
  const more = pairs.length > pairsMax ? `, and ${pairs.length - pairsMax} more` : '';
  return `of equal priority, so that the name decides which ClusterNetworkPolicy comes first: ${texts.join(', ')}${more}`;
}
