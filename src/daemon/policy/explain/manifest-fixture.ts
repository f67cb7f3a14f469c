/**
 * @module
 * For tests: documents → what they say, judged as an agent with few options would.
 */
import { type ParseResult, parseDocuments } from '../parse/parse.ts';
import type { LintOptions } from './lint.ts';
import { entriesUnlimited, manifestModel, type OfflineModel } from './offline-model.ts';

export const fixtureOptions: LintOptions = {
  enablePolicy: 'default',
  allowLocalhost: true,
  cidrMatchesNodes: false,
  entriesMax: entriesUnlimited,
  cluster: 'default',
  localNode: undefined,
  hostFirewall: false,
  identityLabels: ({ labels, namespace, namespaceLabels }) =>
    [
      ...Object.entries(labels).map(([key, value]) => `k8s:${key}=${value}`),
      `k8s:io.kubernetes.pod.namespace=${namespace}`,
      ...Object.entries(namespaceLabels).map(
        ([key, value]) => `k8s:io.cilium.k8s.namespace.labels.${key}=${value}`,
      ),
    ].sort(),
  keepsLabel: ({ key }) => key !== 'pod-template-hash',
};

/** Throws if the parser refuses any of them. */
export function parsedDocuments(
  documents: readonly object[],
): Extract<ParseResult, { kind: 'parsed' }> {
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: documents });
  const parsed = parseDocuments(text);
  if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.problems, null, 1));
  return parsed;
}

export function fixtureModel(
  documents: readonly object[],
  options: Partial<LintOptions> = {},
): OfflineModel {
  const { policies, objects } = parsedDocuments(documents);
  return manifestModel(policies, objects, { ...fixtureOptions, ...options });
}

/** In namespace `default`, with the label `app` that is its name. */
export function podDocument(
  name: string,
  address: string,
  { ports = [], ...more }: { readonly ports?: readonly object[]; readonly nodeName?: string } = {},
): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { app: name } },
    spec: { containers: [{ name: 'main', ports }], ...more },
    status: { podIP: address },
  };
}

/** A CiliumNetworkPolicy of namespace `default`. */
export function ciliumDocument(name: string, spec: object): object {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name, namespace: 'default' },
    spec,
  };
}

/** A ClusterNetworkPolicy about the pods with the label `app`, or about all pods. */
export function tieredDocument(
  name: string,
  ingress: readonly object[],
  {
    tier = 'Admin',
    priority = 5,
    app,
  }: {
    readonly tier?: 'Admin' | 'Baseline';
    readonly priority?: number;
    readonly app?: string;
  } = {},
): object {
  const podSelector = app === undefined ? {} : { matchLabels: { app } };
  return {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name },
    spec: {
      tier,
      priority,
      subject: { pods: { namespaceSelector: {}, podSelector } },
      ingress,
    },
  };
}
