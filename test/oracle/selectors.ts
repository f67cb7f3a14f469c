/**
 * @module Label selectors. The Kubernetes kind looks at the labels of one object; the Cilium kind
 * looks at everything that is known of a peer, where a label has a source.
 */
import type { LabelMap, LabelRequirement, LabelSelector } from './documents.ts';

export interface Label {
  readonly source: string;
  readonly key: string;
  readonly value: string;
}

type Lookup = (key: string) => string | undefined;

function requirementHolds(requirement: LabelRequirement, lookup: Lookup): boolean {
  const value = lookup(requirement.key);
  const listed = value !== undefined && (requirement.values ?? []).includes(value);
  switch (requirement.operator) {
    case 'In':
      return listed;
    case 'NotIn':
      // An object without the key satisfies it as well.
      return !listed;
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      throw new Error(`operator: "${requirement.operator}" is unknown`);
  }
}

function selectorHolds(selector: LabelSelector, lookup: Lookup): boolean {
  return (
    Object.entries(selector.matchLabels ?? {}).every(([key, value]) => lookup(key) === value) &&
    (selector.matchExpressions ?? []).every((one) => requirementHolds(one, lookup))
  );
}

/** A Kubernetes selector on an object's labels; empty selects everything. */
export function selectsObject(selector: LabelSelector, labels: LabelMap): boolean {
  return selectorHolds(selector, (key) => (Object.hasOwn(labels, key) ? labels[key] : undefined));
}

const sources = ['k8s', 'reserved', 'container', 'cni', 'cidr', 'cidrgroup', 'fqdn', 'node'];

/** "k8s:app" is app from Kubernetes, "any:app" and "app" are app from anywhere. */
function splitKey(key: string): { source: string; name: string } {
  const colon = key.indexOf(':');
  const source = key.slice(0, Math.max(colon, 0));
  if (source === 'any' || sources.includes(source)) return { source, name: key.slice(colon + 1) };
  return { source: 'any', name: key };
}

/** A Cilium selector on the labels of an identity, as written: nothing is added. */
export function selectsIdentity(selector: LabelSelector, labels: readonly Label[]): boolean {
  return selectorHolds(selector, (key) => {
    const { source, name } = splitKey(key);
    return labels.find(
      (label) => label.key === name && (source === 'any' || label.source === source),
    )?.value;
  });
}

const podNamespace = 'io.kubernetes.pod.namespace';
const namespaceLabels = 'io.cilium.k8s.namespace.labels.';

function keysOf(selector: LabelSelector): { source: string; name: string }[] {
  return [
    ...Object.keys(selector.matchLabels ?? {}),
    ...(selector.matchExpressions ?? []).map((one) => one.key),
  ].map(splitKey);
}

/** Whether the person who wrote the selector said something about the namespace. */
function namesNamespace(selector: LabelSelector): boolean {
  return keysOf(selector).some(
    ({ name }) => name === podNamespace || name.startsWith(namespaceLabels),
  );
}

/** Whether the selector speaks of what has no namespace: `reserved:host`, `reserved:remote-node`. */
export function namesReserved(selector: LabelSelector): boolean {
  return keysOf(selector).some(({ source }) => source === 'reserved');
}

/**
 * The selector with what its policy adds: a namespaced policy means its own namespace, a cluster-wide
 * one means whatever is in some namespace (so `{}` there is no word for the world), unless the
 * selector speaks of namespaces itself.
 */
export function inScope(selector: LabelSelector, namespace: string | undefined): LabelSelector {
  if (namesNamespace(selector)) return selector;
  const key = `k8s:${podNamespace}`;
  const added: LabelRequirement =
    namespace === undefined
      ? { key, operator: 'Exists' }
      : { key, operator: 'In', values: [namespace] };
  return { ...selector, matchExpressions: [...(selector.matchExpressions ?? []), added] };
}
