/**
 * @module
 * Selectors compiled from requirements: a canonical key, matching against an identity's labels,
 * and upstream's printable form. Used by the parser to make them and by the selector cache.
 */

import { type Label, parseLabel } from '../identity/table.ts';
import type { Operator, Requirement, Selector } from './rule.ts';

/** An identity's labels, prepared for matching. */
export type LabelSet = readonly Label[];

export const namespaceLabelKey = 'io.kubernetes.pod.namespace';
export const namespaceLabelsPrefix = 'io.cilium.k8s.namespace.labels.';
export const clusterLabelKey = 'io.cilium.k8s.policy.cluster';

/** Most labels are those of many identities: what they become is made once. */
const labelsByText = new Map<string, Label>();
const labelsKeptMax = 65_536;

export function labelSet(labels: readonly string[]): LabelSet {
  return labels.map((text) => labelsByText.get(text) ?? prepare(text));
}

function prepare(text: string): Label {
  const label = parseLabel(text);
  if (labelsByText.size >= labelsKeptMax) labelsByText.clear();
  labelsByText.set(text, label);
  return label;
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

/** Many rules name the same peers: a selector is one object, however often it is written. */
const selectorsByText = new Map<string, Selector>();
const selectorsKeptMax = 65_536;

/** Puts a selector together. `matchLabels` keys are `source:key`. */
export function selectorOf(
  matchLabels: Readonly<Record<string, string>>,
  matchExpressions: readonly Requirement[] = [],
): Selector {
  const text = JSON.stringify([matchLabels, matchExpressions]);
  const known = selectorsByText.get(text);
  if (known !== undefined) return known;
  const made = makeSelector(matchLabels, matchExpressions);
  if (selectorsByText.size >= selectorsKeptMax) selectorsByText.clear();
  selectorsByText.set(text, made);
  return made;
}

function makeSelector(
  matchLabels: Readonly<Record<string, string>>,
  matchExpressions: readonly Requirement[],
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

/**
 * Labels that no object has: what is known about a peer's address. The parser refuses these sources
 * in what people write. `cidr:10.0.0.0/8` says that the address is in a block that policy uses,
 * `port:http/6=8080` which number its pod has for a named port, `peer:outside` that no identity of
 * the cluster has it.
 */
export const addressLabel = {
  cidr: (prefix: string) => `cidr:${prefix}`,
  port: (name: string, proto: number, port: number) => `port:${name}/${proto}=${port}`,
  outside: 'peer:outside',
} as const;

/** Addresses in a block and in none of the excepted ones. All are canonical prefixes. */
export function blockSelector(cidr: string, except: readonly string[]): Selector {
  return selectorOf({}, [
    requirement('cidr', cidr, 'In', ['']),
    ...except.map((each) => requirement('cidr', each, 'DoesNotExist')),
  ]);
}

/** What no identity of the cluster has the address of. */
export const outsideSelector = selectorOf({}, [requirement('peer', 'outside', 'In', [''])]);

/** Addresses of pods that have this number for a named port. */
export function portSelector(name: string, proto: number, port: number): Selector {
  return selectorOf({}, [requirement('port', `${name}/${proto}`, 'In', [String(port)])]);
}

/** True if it asks for an address, and then for nothing else: identities have no such labels. */
export function isAboutAddress({ requirements }: Selector): boolean {
  return requirements.some(({ source }) => source === 'cidr' || source === 'port');
}

/** What a selector asks of addresses. */
export interface AddressTerms {
  readonly cidrs: readonly string[];
  /** Named ports, `name/proto`. */
  readonly ports: readonly string[];
}

export function addressTerms({ requirements }: Selector): AddressTerms {
  const keys = (source: string) =>
    requirements.filter((each) => each.source === source).map((each) => each.key);
  return { cidrs: keys('cidr'), ports: keys('port') };
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
export function selects({ requirements }: Selector, labels: LabelSet): boolean {
  return matcherOf(requirements)(labels);
}

/** `selects` for many label sets. */
export function matcherOf(requirements: readonly Requirement[]): (labels: LabelSet) => boolean {
  const tests = requirements.map(testOf);
  return (labels) => {
    for (const test of tests) if (!holds(test, labels)) return false;
    return true;
  };
}

interface Test {
  /** Undefined is any. */
  readonly source: string | undefined;
  readonly key: string;
  /** Undefined is any. */
  readonly wanted: ReadonlySet<string> | string | undefined;
  /** The label must not be there. */
  readonly isNegative: boolean;
}

function testOf({ source, key, operator, values }: Requirement): Test {
  const isExistence = operator === 'Exists' || operator === 'DoesNotExist';
  const [first] = values;
  const wanted = values.length === 1 && first !== undefined ? first : new Set(values);
  return {
    source: source === 'any' ? undefined : source,
    key,
    wanted: isExistence ? undefined : wanted,
    isNegative: operator === 'NotIn' || operator === 'DoesNotExist',
  };
}

function holds({ source, key, wanted, isNegative }: Test, labels: LabelSet): boolean {
  for (const label of labels) {
    if (label.key !== key || (source !== undefined && label.source !== source)) continue;
    const isWanted =
      wanted === undefined ||
      (typeof wanted === 'string' ? wanted === label.value : wanted.has(label.value));
    if (isWanted) return !isNegative;
  }
  return isNegative;
}

/** How the peers of a selector are found. */
export interface Anchors {
  /** `key=value`: every selected peer has one of them, under some source. */
  readonly texts: readonly string[];
  /** Whether a peer that has one is selected. */
  readonly matches: (labels: LabelSet) => boolean;
}

/**
 * Undefined if every peer has to be looked at. Anchors narrow the search: the fewest, and the
 * namespace and the cluster only if there is nothing else, for many share them.
 */
export function anchorsOf({ requirements }: Selector): Anchors | undefined {
  let best: Requirement | undefined;
  for (const each of requirements) {
    if (each.operator !== 'In') continue;
    if (best === undefined || anchorCost(each) < anchorCost(best)) best = each;
  }
  if (best === undefined) return undefined;
  const { key, values, source } = best;
  const isProven = source === 'any';
  return {
    texts: values.map((value) => `${key}=${value}`),
    matches: matcherOf(isProven ? requirements.filter((each) => each !== best) : requirements),
  };
}

function anchorCost({ source, key, values }: Requirement): number {
  // So that a selector that asks for an address is found by its address alone.
  if (source === 'cidr' || source === 'port') return -1;
  const isShared = key === namespaceLabelKey || key === clusterLabelKey || source === 'peer';
  return isShared ? Number.MAX_SAFE_INTEGER : values.length;
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
