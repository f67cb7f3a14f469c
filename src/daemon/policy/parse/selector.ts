/**
 * @module
 * LabelSelectors of the Cilium kinds. A CiliumNetworkPolicy never reaches beyond its namespace by
 * accident: subjects are always bound to it, peers unless they name a namespace label themselves.
 */

import { FieldReader, readText } from '../../../k8s/field.ts';
import type { Place } from '../../../k8s/place.ts';
import { type Problems, quote, suggest } from '../../../k8s/problem.ts';
import type { Operator, Requirement, Selector } from '../rule.ts';
import { namespaceLabelKey, namespaceLabelsPrefix, requirement, selectorOf } from '../selector.ts';
import { isLabelText } from './label-text.ts';
import { expressionFields, selectorFields } from './schema.ts';

const expressionsMax = 100;
const valuesMax = 1000;
const labelsMax = 100;

const operators: readonly Operator[] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

/** Whose labels a selector reads: of identities, of nodes as peers, of nodes as subjects, of objects. */
export type SelectorUse = 'identity' | 'peer-node' | 'subject-node' | 'object';

const sources: Readonly<Record<SelectorUse, readonly string[]>> = {
  identity: ['any', 'k8s', 'reserved', 'container', 'cni', 'unspec', 'directory'],
  'peer-node': ['any', 'node'],
  'subject-node': ['any', 'k8s'],
  object: ['any', 'k8s'],
};

/** Sources that people may expect to work, and what works instead. */
const insteadOf: Readonly<Record<string, string>> = {
  cidr: 'use fromCIDR or toCIDR',
  cidrgroup: 'use fromCIDRSet or toCIDRSet with cidrGroupRef or cidrGroupSelector',
  fqdn: 'use toFQDNs',
  node: 'use fromNodes, toNodes or nodeSelector',
  peer: 'no label has this source',
  port: 'use toPorts',
};

interface Parts {
  readonly labels: Record<string, string>;
  readonly expressions: Requirement[];
}

/** The pods that a rule applies to: always in the namespace, if the policy is in one. */
export function parseSubject(
  value: unknown,
  place: Place,
  namespace: string,
  problems: Problems,
): Selector | undefined {
  const parts = parseParts(value, place, 'identity', problems);
  if (parts === undefined) return undefined;
  if (namespace === '') return selectorOf(parts.labels, parts.expressions);
  for (const name of [`k8s:${namespaceLabelKey}`, `any:${namespaceLabelKey}`]) {
    const written = parts.labels[name];
    if (written === undefined || written === namespace) continue;
    const message = `selects namespace ${quote(written)} from a policy in ${quote(namespace)}`;
    problems.add(place.field('matchLabels'), message);
  }
  delete parts.labels[`any:${namespaceLabelKey}`];
  parts.labels[`k8s:${namespaceLabelKey}`] = namespace;
  return selectorOf(parts.labels, parts.expressions);
}

/**
 * Peers: in the policy's namespace, or, of a clusterwide policy, in any, unless the selector says
 * something about namespaces itself or names a reserved label. So `{}` is pods, not everybody.
 */
export function parsePeer(
  value: unknown,
  place: Place,
  namespace: string,
  problems: Problems,
): Selector | undefined {
  const parts = parseParts(value, place, 'identity', problems);
  if (parts === undefined) return undefined;
  const names = Object.keys(parts.labels);
  for (const { source, key } of parts.expressions) names.push(`${source}:${key}`);
  if (names.some((name) => namesNamespace(name) || name.startsWith('reserved:'))) {
    return selectorOf(parts.labels, parts.expressions);
  }
  if (namespace === '') parts.expressions.push(requirement('k8s', namespaceLabelKey, 'Exists'));
  else parts.labels[`k8s:${namespaceLabelKey}`] = namespace;
  return selectorOf(parts.labels, parts.expressions);
}

/** A selector of things that have no namespace label: nodes, services, groups. */
export function parseObjectSelector(
  value: unknown,
  place: Place,
  use: Exclude<SelectorUse, 'identity'>,
  problems: Problems,
): Selector | undefined {
  const parts = parseParts(value, place, use, problems);
  return parts === undefined ? undefined : selectorOf(parts.labels, parts.expressions);
}

function namesNamespace(name: string): boolean {
  const colon = name.indexOf(':');
  const source = name.slice(0, colon);
  const key = name.slice(colon + 1);
  if (source !== 'k8s' && source !== 'any') return false;
  return key === namespaceLabelKey || key.startsWith(namespaceLabelsPrefix);
}

function parseParts(
  value: unknown,
  place: Place,
  use: SelectorUse,
  problems: Problems,
): Parts | undefined {
  const reader = FieldReader.open(value, place, selectorFields, problems);
  if (reader === undefined) return undefined;
  const before = problems.count;
  const labels = parseLabels(reader, use);
  const expressions =
    reader.each('matchExpressions', expressionsMax, (each, at) =>
      parseExpression(each, at, use, problems),
    ) ?? [];
  return problems.count > before ? undefined : { labels, expressions };
}

function parseLabels(reader: FieldReader, use: SelectorUse): Record<string, string> {
  const labels: Record<string, string> = {};
  const { problems } = reader;
  for (const [name, value] of reader.textMap('matchLabels', labelsMax) ?? []) {
    const place = reader.at('matchLabels').key(name);
    const key = parseKey(name, place, use, problems);
    if (!isLabelText(value, 'value')) problems.add(place, `not a label value: ${quote(value)}`);
    if (key === undefined) continue;
    const full = `${key.source}:${key.key}`;
    if (Object.hasOwn(labels, full)) problems.add(place, 'the same key twice');
    labels[full] = value;
  }
  return labels;
}

function parseExpression(
  value: unknown,
  place: Place,
  use: SelectorUse,
  problems: Problems,
): Requirement | undefined {
  const expression = readExpression(value, place, problems, (text) => isLabelText(text, 'value'));
  if (expression === undefined) return undefined;
  const key = parseKey(expression.key, place.field('key'), use, problems);
  if (key === undefined) return undefined;
  return requirement(key.source, key.key, expression.operator, expression.values);
}

export interface WrittenExpression {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}

/** One of `matchExpressions`; its key is as written. */
export function readExpression(
  value: unknown,
  place: Place,
  problems: Problems,
  isValue: (text: string) => boolean,
): WrittenExpression | undefined {
  const reader = FieldReader.open(value, place, expressionFields, problems);
  if (reader === undefined) return undefined;
  const key = reader.require('key') ? reader.text('key') : undefined;
  const operator = reader.require('operator') ? reader.choice('operator', operators) : undefined;
  if (operator === undefined) return undefined;
  const list = reader.has('values') ? reader.list('values', valuesMax) : [];
  if (list === undefined) return undefined;
  const needed = operator === 'In' || operator === 'NotIn';
  if (needed !== list.length > 0) {
    reader.refuse('values', needed ? `${operator} needs at least one` : `${operator} takes none`);
    return undefined;
  }
  const values = list.flatMap((each, index) => {
    const at = reader.at('values').item(index);
    const text = readText(each, at, problems);
    if (text === undefined || isValue(text)) return text ?? [];
    problems.add(at, `not a label value: ${quote(text)}`);
    return [];
  });
  return key === undefined || values.length !== list.length ? undefined : { key, operator, values };
}

/** `source:key`, or a bare key of any source. */
function parseKey(
  name: string,
  place: Place,
  use: SelectorUse,
  problems: Problems,
): { source: string; key: string } | undefined {
  const colon = name.indexOf(':');
  const source = colon < 0 ? 'any' : name.slice(0, colon);
  const key = name.slice(colon + 1);
  const allowed = sources[use];
  if (!allowed.includes(source)) {
    const instead = Object.hasOwn(insteadOf, source) ? insteadOf[source] : undefined;
    if (use !== 'identity') {
      const message = `labels here have the source ${allowed.slice(1).join(' or ')} or none`;
      problems.add(place, `${message}, not ${quote(source)}`);
    } else if (instead === undefined) {
      problems.add(place, `unknown label source ${quote(source)}${suggest(source, allowed)}`);
    } else problems.add(place, `labels of source ${source} cannot be selected; ${instead}`);
  } else if (!isLabelText(key, 'key')) {
    problems.add(place, `not a label key: ${quote(key)}`);
  } else {
    return { source, key };
  }
  return undefined;
}
