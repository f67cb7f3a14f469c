/**
 * @module
 * The labels that name a workload, without what changes from pod to pod, and the parts of policies
 * that mean a workload or an address. For policies that commands write.
 */

import { formatLabel, type Label, parseLabel } from '../../identity/table.ts';
import { isLabelText } from '../parse/label-text.ts';
import { namespaceLabelKey } from '../selector.ts';
import { hostPrefixText } from './offline-model.ts';

/** A set of labels of pods that are one to a policy. */
export interface Workload {
  readonly namespace: string;
  /** Sorted, without noise and what the system gives. */
  readonly labels: readonly string[];
}

/** What a policy selects pods by. */
export interface WrittenSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: string }[];
}

const noise = new Set([
  'pod-template-hash',
  'pod-template-generation',
  'controller-revision-hash',
  'controller-uid',
  'job-name',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'batch.kubernetes.io/job-name',
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-completion-index',
]);

/** Undefined for labels that are no pod's. */
export function workloadOf(labels: readonly string[]): Workload | undefined {
  const parsed = labels.map(parseLabel);
  const namespace = parsed.find(({ key }) => key === namespaceLabelKey)?.value;
  if (namespace === undefined || !isLabelText(namespace, 'value')) return undefined;
  return { namespace, labels: parsed.filter(isOwn).map(formatLabel).sort() };
}

/** What no object can carry, a recorded flow could still have: it gets into no document. */
function isOwn({ source, key, value }: Label): boolean {
  if (!isLabelText(key, 'key') || !isLabelText(value, 'value')) return false;
  if (source === 'reserved' || source === 'cidr' || source === 'fqdn') return false;
  return key !== namespaceLabelKey && !key.startsWith('io.cilium.k8s.') && !noise.has(key);
}

export function workloadKey({ namespace, labels }: Workload): string {
  return `${namespace}\n${labels.join('\n')}`;
}

/**
 * Selects the workload in its namespace and none of the others there: what others have in addition
 * is excluded.
 */
export function selectorFor(
  workload: Workload,
  others: readonly Workload[],
  sources: 'kept' | 'dropped',
): WrittenSelector {
  // Kubernetes knows no labels of other sources: to ask for one would select nobody.
  const isKnown = (label: string) => sources === 'kept' || parseLabel(label).source === 'k8s';
  const own = new Set(workload.labels.filter(isKnown));
  const excluded = new Set<string>();
  for (const other of others) {
    if (other.namespace !== workload.namespace) continue;
    if (![...own].every((label) => other.labels.includes(label))) continue;
    const extra = other.labels
      .filter((label) => isKnown(label) && !own.has(label))
      .map(keyOf(sources));
    const [first] = extra;
    if (first !== undefined && !extra.some((key) => excluded.has(key))) excluded.add(first);
  }
  const pairs = [...own].map((label) => [keyOf(sources)(label), parseLabel(label).value]);
  return {
    ...(pairs.length === 0 ? {} : { matchLabels: Object.fromEntries(pairs) }),
    ...(excluded.size === 0
      ? {}
      : {
          matchExpressions: [...excluded].sort().map((key) => ({ key, operator: 'DoesNotExist' })),
        }),
  };
}

/** The Cilium kinds take a source in front of a key; labels of Kubernetes do without. */
function keyOf(sources: 'kept' | 'dropped') {
  return (label: string) => {
    const { source, key } = parseLabel(label);
    return source === 'k8s' || sources === 'dropped' ? key : `${source}:${key}`;
  };
}

/** `/32` or `/128`. */
export function exactBlock(address: string): string {
  return hostPrefixText(address);
}

/** A name for a policy: letters, digits and dashes of the parts. */
export function policyNameOf(parts: readonly string[]): string {
  const text = parts
    .join('-')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, nameMax)
    .replace(/^-+|-+$/g, '');
  return text === '' ? 'pods' : text;
}

const nameMax = 60;
