/**
 * @module
 * LabelSelectors of NetworkPolicy and ClusterNetworkPolicy → selectors of identities. They mean
 * pods and nothing else: whatever they leave out, the identity must be a pod's.
 */

import type { FieldReader } from '../../../k8s/field.ts';
import { isLabelKey, isLabelValue } from '../../../k8s/name.ts';
import { quote } from '../../../k8s/problem.ts';
import { formatSelector } from '../format-selector.ts';
import type { Requirement, Selector } from '../rule.ts';
import { namespaceLabelKey, namespaceLabelsPrefix, requirement, selectorOf } from '../selector.ts';
import { selectorFields } from './schema.ts';
import { readExpression } from './selector.ts';

const labelsMax = 100;
const expressionsMax = 100;

interface KubeSelector {
  readonly labels: Readonly<Record<string, string>>;
  readonly expressions: readonly Requirement[];
}

const everything: KubeSelector = { labels: {}, expressions: [] };

/** A selector, and its printed form, in which upstream leaves out that a pod is meant. */
export interface PodSelector {
  readonly selector: Selector;
  readonly written: Record<string, unknown>;
}

/** Pods of one namespace. The field absent is a problem if it is required, else every pod. */
export function podsOfNamespace(
  reader: FieldReader,
  field: string,
  namespace: string,
): PodSelector | undefined {
  const pods = parseSelector(reader, field, '');
  if (pods === undefined) return undefined;
  const pinned = { ...pods.labels, [`k8s:${namespaceLabelKey}`]: namespace };
  const selector = selectorOf(pinned, pods.expressions);
  return { selector, written: formatSelector(selector) };
}

/** Pods whose namespace and whose own labels match; a field undefined restricts nothing. */
export function podsOfNamespaces(
  reader: FieldReader,
  namespaceField: string | undefined,
  podField: string | undefined,
): PodSelector | undefined {
  const namespaces =
    namespaceField === undefined
      ? everything
      : parseSelector(reader, namespaceField, namespaceLabelsPrefix);
  const pods = podField === undefined ? everything : parseSelector(reader, podField, '');
  if (namespaces === undefined || pods === undefined) return undefined;
  const labels = { ...namespaces.labels, ...pods.labels };
  const expressions = [...namespaces.expressions, ...pods.expressions];
  const isPod = requirement('k8s', namespaceLabelKey, 'Exists');
  const selector = selectorOf(labels, [...expressions, isPod]);
  const isAll = Object.keys(namespaces.labels).length + namespaces.expressions.length === 0;
  return { selector, written: formatSelector(isAll ? selector : selectorOf(labels, expressions)) };
}

/** Nodes by their labels. */
export function nodesByLabels(reader: FieldReader, field: string): Selector | undefined {
  const nodes = parseSelector(reader, field, '', 'node');
  return nodes === undefined ? undefined : selectorOf(nodes.labels, nodes.expressions);
}

function parseSelector(
  reader: FieldReader,
  field: string,
  prefix: string,
  source = 'k8s',
): KubeSelector | undefined {
  const { problems } = reader;
  const before = problems.count;
  const written = reader.object(field, selectorFields)?.withoutNulls(selectorFields);
  if (written === undefined) return undefined;
  const labels: Record<string, string> = {};
  for (const [key, value] of written.textMap('matchLabels', labelsMax) ?? []) {
    const place = written.at('matchLabels').key(key);
    const wrong = refusal(key);
    if (wrong !== undefined) problems.add(place, wrong);
    else if (!isLabelValue(value)) problems.add(place, `not a label value: ${quote(value)}`);
    else labels[`${source}:${prefix}${key}`] = value;
  }
  const expressions = written.each('matchExpressions', expressionsMax, (each, place) => {
    const expression = readExpression(each, place, problems, isLabelValue);
    if (expression === undefined) return undefined;
    const wrong = refusal(expression.key);
    if (wrong !== undefined) problems.add(place.field('key'), wrong);
    return requirement(
      source,
      `${prefix}${expression.key}`,
      expression.operator,
      expression.values,
    );
  });
  return problems.count > before ? undefined : { labels, expressions: expressions ?? [] };
}

/** Labels that the system adds to identities are none of a pod, a namespace or a node. */
function refusal(key: string): string | undefined {
  if (!isLabelKey(key)) return `not a label key: ${quote(key)}`;
  const isOurs = key === namespaceLabelKey || key.startsWith('io.cilium.k8s.');
  return isOurs ? `${key} is set by the system; no object has it` : undefined;
}
