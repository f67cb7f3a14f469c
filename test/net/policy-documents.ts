/**
 * @module Policies of every kind in few words, for tests that write many.
 */

/** "namespace/name" for a CiliumNetworkPolicy, a name alone for the cluster-wide kind. */
export function cilium(path: string, spec: object): object {
  const [first, second] = path.split('/');
  const isNamespaced = second !== undefined;
  return {
    apiVersion: 'cilium.io/v2',
    kind: isNamespaced ? 'CiliumNetworkPolicy' : 'CiliumClusterwideNetworkPolicy',
    metadata: isNamespaced ? { name: second, namespace: first } : { name: first },
    spec,
  };
}

export function kubernetes(path: string, spec: object): object {
  const [namespace, name] = path.split('/');
  const apiVersion = 'networking.k8s.io/v1';
  return { apiVersion, kind: 'NetworkPolicy', metadata: { name, namespace }, spec };
}

/** A ClusterNetworkPolicy about all pods. */
export function tiered(
  name: string,
  tier: 'Admin' | 'Baseline',
  priority: number,
  rules: object,
): object {
  return {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name },
    spec: { tier, priority, subject: { namespaces: {} }, ...rules },
  };
}

export function cidrGroup(name: string, ...externalCIDRs: readonly string[]): object {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumCIDRGroup',
    metadata: { name },
    spec: { externalCIDRs },
  };
}

export function labelled(app: string): object {
  return { matchLabels: { app } };
}
