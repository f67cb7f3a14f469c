/**
 * @module
 * Selectors compiled from requirements: a canonical key, matching against an identity's labels,
 * and upstream's printable form. Used by the parser to make them and by the selector cache.
 */

import { parseLabel } from '../identity/table.ts';
import type { Operator, Requirement, Selector } from './rule.ts';

/** An identity's labels, prepared for matching. */
export interface LabelSet {
  /** `source:key` → value. */
  readonly exact: ReadonlyMap<string, string>;
  /** key → values under any source. */
  readonly anySource: ReadonlyMap<string, readonly string[]>;
}

export const namespaceLabelKey = 'io.kubernetes.pod.namespace';
export const namespaceLabelsPrefix = 'io.cilium.k8s.namespace.labels.';
export const clusterLabelKey = 'io.cilium.k8s.policy.cluster';

export function labelSet(labels: readonly string[]): LabelSet {
  const exact = new Map<string, string>();
  const anySource = new Map<string, string[]>();
  for (const text of labels) {
    const { source, key, value } = parseLabel(text);
    exact.set(`${source}:${key}`, value);
    const values = anySource.get(key);
    if (values === undefined) anySource.set(key, [value]);
    else values.push(value);
  }
  return { exact, anySource };
}

/** Values sorted and each once, so that equal requirements are equal as text. */
export function requirement(
  source: string,
  key: string,
  operator: Operator,
  values: readonly string[] = [],
): Requirement {
  return { source, key, operator, values: [...new Set(values)].sort() };
}

/** Puts a selector together. `matchLabels` keys are `source:key`. */
export function selectorOf(
  matchLabels: Readonly<Record<string, string>>,
  matchExpressions: readonly Requirement[] = [],
): Selector {
  const requirements = [...matchExpressions];
  for (const [name, value] of Object.entries(matchLabels)) {
    const { source, key } = parseLabel(name);
    requirements.push(requirement(source, key, 'In', [value]));
  }
  const texts = new Map(requirements.map((each) => [requirementKey(each), each]));
  const keys = [...texts.keys()].sort();
  return {
    key: keys.join('&'),
    requirements: keys.flatMap((key) => texts.get(key) ?? []),
    matchLabels,
    matchExpressions,
  };
}

/** The selector of exactly one reserved label, such as `reserved:host`. */
export function labelSelector(label: string): Selector {
  const { source, key, value } = parseLabel(label);
  return selectorOf({ [`${source}:${key}`]: value });
}

/** Values are JSON text, so that none can imitate the separators. */
function requirementKey(each: Requirement): string {
  const name = `${each.source}:${each.key}`;
  switch (each.operator) {
    case 'In':
      return `${name}=${JSON.stringify(each.values)}`;
    case 'NotIn':
      return `${name}!=${JSON.stringify(each.values)}`;
    case 'Exists':
      return name;
    case 'DoesNotExist':
      return `!${name}`;
  }
}

/** True if every requirement holds. As in Kubernetes, NotIn holds where the label is absent. */
export function selects(selector: Selector, labels: LabelSet): boolean {
  for (const each of selector.requirements) if (!holds(each, labels)) return false;
  return true;
}

function holds(each: Requirement, labels: LabelSet): boolean {
  switch (each.operator) {
    case 'In':
      return has(each, labels);
    case 'NotIn':
      return !has(each, labels);
    case 'Exists':
      return exists(each, labels);
    case 'DoesNotExist':
      return !exists(each, labels);
  }
}

function exists(each: Requirement, labels: LabelSet): boolean {
  if (each.source === 'any') return labels.anySource.has(each.key);
  return labels.exact.has(`${each.source}:${each.key}`);
}

function has(each: Requirement, labels: LabelSet): boolean {
  if (each.source !== 'any') {
    const value = labels.exact.get(`${each.source}:${each.key}`);
    return value !== undefined && each.values.includes(value);
  }
  const values = labels.anySource.get(each.key);
  return values?.some((value) => each.values.includes(value)) ?? false;
}

/**
 * A `key=value` that every selected identity must have, or undefined. It narrows the search; the
 * namespace and the cluster are taken only if there is nothing else, for many share them.
 */
export function anchorOf(selector: Selector): string | undefined {
  let wide: string | undefined;
  for (const { operator, key, values } of selector.requirements) {
    if (operator !== 'In' || values.length !== 1) continue;
    const anchor = `${key}=${values[0] ?? ''}`;
    if (key !== namespaceLabelKey && key !== clusterLabelKey) return anchor;
    wide = anchor;
  }
  return wide;
}

/** Upstream's text of a selector, a Go struct in print. */
export function printSelector(selector: Selector): string {
  const labels = Object.entries(selector.matchLabels)
    .map(([name, value]) => [dotted(name), value] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}: ${value},`);
  const expressions = selector.matchExpressions.map(
    ({ source, key, operator, values }) =>
      `LabelSelectorRequirement{Key:${source}.${key},Operator:${operator},Values:[${values.join(' ')}],},`,
  );
  return `&LabelSelector{MatchLabels:map[string]string{${labels.join('')}},MatchExpressions:[]LabelSelectorRequirement{${expressions.join('')}},}`;
}

function dotted(name: string): string {
  const { source, key } = parseLabel(name);
  return `${source}.${key}`;
}
