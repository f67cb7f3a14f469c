/**
 * @module
 * What `OfflineCluster` is made of: rules, objects, identities and where they are. From documents
 * (`manifestModel`), or from what a running agent has (`export.ts`); `overlay` puts documents over
 * either.
 */

import { type ClusterObject, type Labels, objectKey, type PodObject } from '../../../k8s/object.ts';
import { type Family, parseAddress, requireAddress } from '../../../net/address.ts';
import { nodeLabelTexts } from '../../cluster/table.ts';
import {
  type IdentityId,
  identityHost,
  identityId,
  identityMin,
  identityRemoteNode,
  labelsKey,
  reservedIdentities,
  sortLabels,
  worldIdentity,
} from '../../identity/table.ts';
import { formatPorts } from '../../ports.ts';
import type { PolicyConfig } from '../compile/compiler.ts';
import { ruleRows } from '../documents/rule-row.ts';
import type { ParsedPolicy } from '../parse/parse.ts';
import { type PolicyRuleRow, policyName } from '../table.ts';

/** A pod as policy sees it. */
export interface OfflinePod {
  readonly namespace: string;
  /** `namespace/name`, or an address for a pod of which no more is known. */
  readonly name: string;
  readonly identity: IdentityId;
  /** Text of its named ports; see `formatPorts`. */
  readonly ports: string;
  /** Canonical. */
  readonly addresses: readonly string[];
  /** The node that it runs on; undefined is this one. */
  readonly nodeName?: string | undefined;
}

export interface OfflineModel {
  readonly config: PolicyConfig;
  /** This cluster's name, which entity `cluster` means. */
  readonly cluster: string;
  readonly rules: readonly PolicyRuleRow[];
  readonly objects: readonly ClusterObject[];
  readonly identities: readonly { readonly id: IdentityId; readonly labels: readonly string[] }[];
  /** Which identity a prefix has; the longest counts. */
  readonly places: readonly { readonly prefix: string; readonly identity: IdentityId }[];
  readonly pods: readonly OfflinePod[];
  /** Pods in the network of their node, and its addresses. */
  readonly hostPods: readonly {
    readonly name: string;
    readonly addresses: readonly string[];
    readonly nodeName?: string | undefined;
  }[];
  /** The node that is the host, where it is known which. */
  readonly localNode?: string | undefined;
  /** Labels of the node if it has a policy of its own; undefined where it has none. */
  readonly nodeLabels: readonly string[] | undefined;
  /** Addresses by which the node speaks to its pods, where they are known. */
  readonly hostSources: readonly string[];
  /** The pods, and `host`, whose denials are only told of (`policy-audit-mode`). */
  readonly audited: ReadonlySet<string>;
}

/** What a pod's owner and the cluster say about a pod. */
export interface PodFacts {
  readonly labels: Labels;
  readonly namespace: string;
  readonly namespaceLabels: Labels;
  readonly serviceAccount?: string;
  readonly cluster: string;
}

export interface ManifestConfig extends PolicyConfig {
  readonly cluster: string;
  /** The node whose addresses are the host; others are remote nodes. */
  readonly localNode: string | undefined;
  /** Policies for nodes are carried out on the local node (`enable-host-firewall`). */
  readonly hostFirewall: boolean;
  /** The labels of a pod's identity, sorted. */
  readonly identityLabels: (pod: PodFacts) => readonly string[];
}

/** The node that is looked from, as an end. */
export const hostName = 'host';

/** More entries than any policy has. */
export const entriesUnlimited = 2 ** 31;

export function hostPrefixText(address: string): string {
  return `${address}/${requireAddress(address).family === 4 ? 32 : 128}`;
}

/** A cluster from its documents alone. Pods without an address are left out: nothing reaches them. */
export function manifestModel(
  policies: readonly ParsedPolicy[],
  objects: readonly ClusterObject[],
  config: ManifestConfig,
): OfflineModel {
  const identities = new IdentityNumbers([]);
  const namespaces = new Map<string, Labels>();
  for (const one of objects) if (one.kind === 'Namespace') namespaces.set(one.name, one.labels);
  const pods = objects.filter((one): one is PodObject => one.kind === 'Pod' && !one.ended);
  const places = worlds();
  for (const one of objects) {
    if (one.kind !== 'Node') continue;
    const identity = one.name === config.localNode ? identityHost : identityRemoteNode;
    for (const address of one.addresses) places.push({ prefix: hostPrefixText(address), identity });
  }
  const known = new Set(places.map((place) => place.prefix));
  for (const { nodeName, addresses } of pods.filter((pod) => pod.hostNetwork)) {
    // Its node may not be among the documents; a node it is.
    const isHost = nodeName !== undefined && nodeName === config.localNode;
    for (const prefix of addresses.map(hostPrefixText)) {
      if (known.has(prefix)) continue;
      known.add(prefix);
      places.push({ prefix, identity: isHost ? identityHost : identityRemoteNode });
    }
  }
  const placed = pods
    .filter((pod) => !pod.hostNetwork)
    .map((pod): OfflinePod => {
      const labels = config.identityLabels({
        labels: pod.labels,
        namespace: pod.namespace,
        namespaceLabels: {
          ...namespaces.get(pod.namespace),
          'kubernetes.io/metadata.name': pod.namespace,
        },
        cluster: config.cluster,
        ...(pod.serviceAccount === undefined ? {} : { serviceAccount: pod.serviceAccount }),
      });
      return {
        namespace: pod.namespace,
        name: `${pod.namespace}/${pod.name}`,
        identity: identities.of(labels),
        ports: formatPorts(pod.ports),
        addresses: pod.addresses,
        nodeName: pod.nodeName,
      };
    });
  const localNode = objects.find((one) => one.kind === 'Node' && one.name === config.localNode);
  const { enablePolicy, allowLocalhost, cidrMatchesNodes, cluster } = config;
  return {
    config: { enablePolicy, allowLocalhost, cidrMatchesNodes, entriesMax: entriesUnlimited },
    cluster,
    rules: rowsOf(policies, ''),
    objects,
    identities: [...reservedIdentities, ...identities.made],
    places,
    pods: placed,
    hostPods: pods
      .filter((pod) => pod.hostNetwork)
      .map((pod) => ({
        name: `${pod.namespace}/${pod.name}`,
        addresses: pod.addresses,
        nodeName: pod.nodeName,
      })),
    localNode: config.localNode,
    nodeLabels: config.hostFirewall ? nodeLabelTexts(localNode) : undefined,
    hostSources: [],
    audited: new Set(),
  };
}

/** All addresses of both families. */
export function worlds(): { prefix: string; identity: IdentityId }[] {
  return ([4, 6] as const).map((family: Family) => ({
    prefix: family === 4 ? '0.0.0.0/0' : '::/0',
    identity: worldIdentity(family, true),
  }));
}

/**
 * The documents in place of those of the same kind, namespace and name; everything else stays.
 * Pods, namespaces and nodes are those of the model: documents do not change who is where.
 */
export function overlay(
  model: OfflineModel,
  policies: readonly ParsedPolicy[],
  objects: readonly ClusterObject[],
): OfflineModel {
  const replaced = new Set(policies.map(policyKey));
  const fixed = new Set(['Pod', 'Namespace', 'Node']);
  const references = objects.filter((one) => !fixed.has(one.kind));
  const keys = new Set(references.map(objectKey));
  return {
    ...model,
    rules: [
      ...model.rules.filter((row) => !replaced.has(policyKey(row))),
      ...rowsOf(policies, 'file'),
    ],
    objects: [...model.objects.filter((one) => !keys.has(objectKey(one))), ...references],
  };
}

/** Policies of the model that `overlay` puts others in the place of. */
export function replacedBy(model: OfflineModel, policies: readonly ParsedPolicy[]): string[] {
  const keys = new Set(policies.map(policyKey));
  const replaced = model.rules.filter((row) => keys.has(policyKey(row)));
  return [...new Set(replaced.map((row) => `${row.kind} ${policyName(row)}`))].sort();
}

/** Policies of the same kind, namespace and name come from several files: all of them are in force. */
function rowsOf(policies: readonly ParsedPolicy[], origin: string): PolicyRuleRow[] {
  const twins = new Map<string, number>();
  return policies.flatMap((policy) => {
    const key = policyKey(policy);
    const before = twins.get(key) ?? 0;
    twins.set(key, before + 1);
    return ruleRows(policy, before === 0 ? origin : `${origin}#${before + 1}`, 1);
  });
}

/** Ends that only flows tell of: pods by their labels, at addresses that nobody else has. */
export function withPods(
  model: OfflineModel,
  ends: readonly { readonly labels: readonly string[]; readonly address: string }[],
): OfflineModel {
  const identities = new IdentityNumbers(model.identities);
  const taken = new Set(model.pods.flatMap((pod) => pod.addresses));
  const pods: OfflinePod[] = [];
  for (const { labels, address } of ends) {
    if (parseAddress(address) === undefined || taken.has(address)) continue;
    taken.add(address);
    const found = labels.find((each) => each.startsWith(namespaceLabel)) ?? '';
    const namespace = found.slice(namespaceLabel.length);
    pods.push({
      namespace,
      name: address,
      identity: identities.of(sortLabels([...labels, `${namespaceNameLabel}=${namespace}`])),
      ports: '',
      addresses: [address],
    });
  }
  return {
    ...model,
    identities: [...model.identities, ...identities.made],
    pods: [...model.pods, ...pods],
  };
}

const namespaceLabel = 'k8s:io.kubernetes.pod.namespace=';
/** Every namespace has it, whether or not whoever recorded the flow kept it. */
const namespaceNameLabel = 'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name';

function policyKey(row: {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}): string {
  return `${row.kind}/${row.namespace}/${row.name}`;
}

/** Numbers for sets of labels: those that are known, else the next free one. */
class IdentityNumbers {
  readonly made: { id: IdentityId; labels: readonly string[] }[] = [];
  readonly #byLabels = new Map<string, IdentityId>();
  readonly #taken = new Set<number>();
  #next = identityMin;

  constructor(known: OfflineModel['identities']) {
    for (const { id, labels } of known) {
      this.#byLabels.set(labelsKey([...labels].sort()), id);
      this.#taken.add(id);
    }
  }

  of(labels: readonly string[]): IdentityId {
    const key = labelsKey(labels);
    const known = this.#byLabels.get(key);
    if (known !== undefined) return known;
    while (this.#taken.has(this.#next)) this.#next++;
    const id = identityId(this.#next++);
    this.#byLabels.set(key, id);
    this.made.push({ id, labels });
    return id;
  }
}
