/**
 * @module
 * Rules → the JSON shape in which upstream prints a policy repository: selectors with their
 * sources, labels as objects, defaults spelled out. Entries have been brought into that shape by
 * the parser.
 */

import { parseLabel } from '../identity/table.ts';
import { formatSelector } from './format-selector.ts';
import { type Direction, directions, type Rule, type RuleItem } from './rule.ts';
import type { PolicyRuleRow } from './table.ts';

export interface LabelModel {
  readonly key: string;
  readonly value: string;
  readonly source: string;
}

export function formatLabelModel(text: string): LabelModel {
  const { key, value, source } = parseLabel(text);
  return { key, value, source };
}

/** One rule as a JSON object. Tiers other than `network` have no form of upstream's. */
export function formatRule(row: PolicyRuleRow): Record<string, unknown> {
  const { rule } = row;
  const subject = rule.subjectKind === 'node' ? 'nodeSelector' : 'endpointSelector';
  const inTier = rule.tier === 'network' ? {} : { tier: rule.tier, priority: rule.priority };
  return {
    ...inTier,
    [subject]: formatSelector(rule.subject),
    ...Object.assign({}, ...directions.map((direction) => formatSections(row, rule, direction))),
    labels: [
      ...rule.labels.map(({ key, value, source }) => ({ key, value, source })),
      ...row.labels.slice(rule.labels.length).map(formatLabelModel),
    ],
    enableDefaultDeny: { ...rule.defaultDeny },
    ...(rule.description === undefined ? {} : { description: rule.description }),
  };
}

/** All rules as indented text, by namespace and name, escaped as Go's encoder does. */
export function formatRules(rows: Iterable<PolicyRuleRow>): string {
  const sorted = [...rows].sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
  return goEscape(JSON.stringify(sorted.map(formatRule), null, 2));
}

/** Go's JSON encoder writes these so that the text may stand inside HTML. */
export function goEscape(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function sortKey(row: PolicyRuleRow): string {
  const index = String(row.ruleIndex).padStart(6, '0');
  return `${row.namespace}/${row.name}/${row.kind}/${index}/${row.origin}`;
}

/** The sections of one direction. The place of an entry says which one it stands in. */
function formatSections(
  { kind }: PolicyRuleRow,
  rule: Rule,
  direction: Direction,
): Record<string, unknown> {
  const items = rule[direction];
  if (items === undefined) return {};
  const deny = items.filter((each) => each.path.startsWith(`${direction}Deny[`));
  const other = items.filter((each) => !deny.includes(each));
  const isShown = other.length > 0 || deny.length === 0;
  const printed = kind === 'NetworkPolicy' ? fromNetworkPolicy(other) : other.map(writtenOf);
  return {
    ...(isShown ? { [direction]: printed } : {}),
    ...(deny.length > 0 ? { [`${direction}Deny`]: deny.map(writtenOf) } : {}),
  };
}

function writtenOf(item: RuleItem): Readonly<Record<string, unknown>> {
  return JSON.parse(item.written);
}

/** Upstream makes a rule of every peer, and an entry that allows nobody of an empty section. */
function fromNetworkPolicy(items: readonly RuleItem[]): Record<string, unknown>[] {
  if (items.length === 0) return [{}];
  return items.flatMap((item) => {
    const { toPorts, ...peers } = writtenOf(item);
    const ports = toPorts === undefined ? {} : { toPorts };
    return Object.entries(peers).flatMap(([field, list]) =>
      (Array.isArray(list) ? list : []).map((peer) => ({ [field]: [peer], ...ports })),
    );
  });
}
