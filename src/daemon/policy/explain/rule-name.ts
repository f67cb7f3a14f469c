/**
 * @module
 * How commands name rules: short and exact for programs, in words for people.
 */

import type { Direction, RuleItem, Tier } from '../rule.ts';
import { type CookiePolicy, type PolicyRuleRow, policyName } from '../table.ts';
import type { SideVerdict } from './offline.ts';

const implicitLabel = 'reserved:io.cilium.policy.derived-from=';

/** Why something is so that no person wrote. */
const implicitWords: Readonly<Record<string, string>> = {
  'allow-localhost-ingress': "the pod's own node may always",
  'enable-policy-always': 'enable-policy=always',
  'init-default-deny': 'the labels of the endpoint are not known yet',
  'policy-map-overflow': 'the policy needs more entries than fit',
  'unreadable-packet': 'the packet cannot be read, and policy may deny it',
};

/** The reason of an implicit policy; undefined for a written one. */
export function implicitReason({ name, labels }: CookiePolicy): string | undefined {
  return name === '' ? (labels[0] ?? '').slice(implicitLabel.length) : undefined;
}

/**
 * `Kind/namespace/name#ruleIndex:path`, with the direction as the path of a default deny, and
 * `implicit:reason`, sorted. Empty where nothing says anything.
 */
export function ruleNames(side: SideVerdict | undefined, direction: Direction): string[] {
  const names = (side?.policies ?? []).flatMap((policy) => {
    const reason = implicitReason(policy);
    if (reason !== undefined) return reason.startsWith('allow-any-') ? [] : [`implicit:${reason}`];
    const { kind, namespace, name, ruleIndex, items } = policy;
    const rule = `${kind}/${namespace}/${name}#${ruleIndex}`;
    return side?.isDefault === true
      ? [`${rule}:${direction}`]
      : items.map((item) => `${rule}:${item}`);
  });
  return names.sort();
}

/** The same for people: a policy without a namespace has no empty place for one. */
export function rulesText(names: readonly string[]): string {
  return names.map((name) => name.replace('//', '/')).join(', ');
}

export const tierNames: Readonly<Record<Tier, string>> = {
  admin: 'Admin',
  network: 'NetworkPolicy',
  baseline: 'Baseline',
};

/** `CiliumNetworkPolicy default/web (rule 0)`, `ClusterNetworkPolicy x (tier Admin, priority 5)`. */
export function describeRule(row: PolicyRuleRow, item?: RuleItem): string {
  const { tier, priority } = row.rule;
  const named = item?.name === undefined ? '' : `, rule ${JSON.stringify(item.name)}`;
  const where =
    tier === 'network'
      ? `rule ${row.ruleIndex}`
      : `tier ${tierNames[tier]}, priority ${priority}${named}`;
  return `${row.kind} ${policyName(row)} (${where})`;
}

/** The policies behind a verdict, in words. */
export function describePolicies(
  side: SideVerdict,
  rows: readonly PolicyRuleRow[],
  direction: Direction,
): string {
  const texts = side.policies.flatMap((policy) => {
    const reason = implicitReason(policy);
    if (reason !== undefined) return [implicitWords[reason] ?? reason];
    const row = rows.find((each) => isRuleOf(each, policy));
    const items = policy.items.length === 0 ? [undefined] : policy.items;
    return items.map((path) => {
      const item = row?.rule[direction]?.find((each) => each.path === path);
      const rule =
        row === undefined ? `${policy.kind} ${policyName(policy)}` : describeRule(row, item);
      return path === undefined ? rule : `${rule} ${path}`;
    });
  });
  return texts.join(', ');
}

export function isRuleOf(row: PolicyRuleRow, policy: CookiePolicy): boolean {
  return (
    row.kind === policy.kind &&
    row.namespace === policy.namespace &&
    row.name === policy.name &&
    row.ruleIndex === policy.ruleIndex
  );
}
