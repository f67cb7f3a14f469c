/**
 * @module
 * Rules → the JSON shape in which upstream prints a policy repository: selectors with their
 * sources, labels as objects, defaults spelled out.
 */

import { parseLabel } from '../identity/table.ts';
import type { Port, Requirement, RuleItem, Selector } from './rule.ts';
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

/** One rule as a JSON object. */
export function formatRule(row: PolicyRuleRow): Record<string, unknown> {
  const { rule } = row;
  return {
    endpointSelector: formatSelector(rule.subject),
    ...(rule.ingress === undefined
      ? {}
      : { ingress: rule.ingress.map((each) => formatItem(each, 'from')) }),
    ...(rule.egress === undefined
      ? {}
      : { egress: rule.egress.map((each) => formatItem(each, 'to')) }),
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
  return `${row.namespace}/${row.name}/${String(row.ruleIndex).padStart(6, '0')}/${row.origin}`;
}

function formatSelector(selector: Selector): Record<string, unknown> {
  const names = Object.keys(selector.matchLabels).sort();
  const labels = Object.fromEntries(names.map((name) => [name, selector.matchLabels[name]]));
  return {
    ...(names.length === 0 ? {} : { matchLabels: labels }),
    ...(selector.matchExpressions.length === 0
      ? {}
      : { matchExpressions: selector.matchExpressions.map(formatExpression) }),
  };
}

function formatExpression({ source, key, operator, values }: Requirement): Record<string, unknown> {
  return { key: `${source}:${key}`, operator, ...(values.length === 0 ? {} : { values }) };
}

function formatItem(item: RuleItem, side: 'from' | 'to'): Record<string, unknown> {
  return {
    ...(item.endpoints === undefined
      ? {}
      : { [`${side}Endpoints`]: item.endpoints.map(formatSelector) }),
    ...(item.entities === undefined ? {} : { [`${side}Entities`]: item.entities }),
    ...(item.toPorts === undefined
      ? {}
      : { toPorts: item.toPorts.map((ports) => ({ ports: ports.map(formatPort) })) }),
  };
}

function formatPort({ port, endPort, protocol }: Port): Record<string, unknown> {
  return { port: String(port), ...(endPort === undefined ? {} : { endPort }), protocol };
}
