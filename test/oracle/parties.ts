/**
 * @module Who can be at an end of a connection: pods, nodes, and everybody else. Made of the objects
 * of a cluster; read by the rules of every kind.
 */
import { type Address, parseAddress } from './addresses.ts';
import type {
  CidrGroupObject,
  Cluster,
  EndpointsObject,
  Family,
  KubernetesObject,
  LabelMap,
  NodeObject,
  PodObject,
  Protocol,
  ServiceObject,
} from './documents.ts';
import type { Label } from './selectors.ts';

export interface NamedPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** What policies can see of a pod that has a network of its own. */
export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  /** After the label filter. */
  readonly labels: LabelMap;
  readonly namespaceLabels: LabelMap;
  readonly namedPorts: readonly NamedPort[];
}

/** One end of a connection. There is one object for each pod and for each other address. */
export interface Party {
  readonly kind: 'pod' | 'host' | 'remote-node' | 'world';
  readonly pod?: PodFacts;
  /** Labels of the Node object, for the two kinds of node. */
  readonly nodeLabels?: LabelMap;
  readonly identityLabels: readonly Label[];
  readonly addresses: ReadonlyMap<Family, Address>;
}

/** The objects that rules refer to, and the parties, by pod name and by address. */
export interface Directory {
  readonly cluster: Cluster;
  readonly pods: readonly Party[];
  readonly services: readonly ServiceObject[];
  readonly endpoints: readonly EndpointsObject[];
  readonly groups: readonly CidrGroupObject[];
  /** Throws for a pod that does not exist, and for what is no address. */
  resolve(end: string, family: Family): Party;
  readonly localNode: LabelMap;
}

/** The objects of one kind, in the order of the cluster. */
export function objectsOf<T extends KubernetesObject>(cluster: Cluster, kind: string): T[] {
  return (cluster.objects as readonly KubernetesObject[]).filter(
    (one): one is T => one.kind === kind,
  );
}

export function createDirectory(cluster: Cluster): Directory {
  const nodes = objectsOf<NodeObject>(cluster, 'Node');
  const byName = new Map<string, Party | PodObject>();
  const byAddress = new Map<string, Party>();
  const pods: Party[] = [];
  addNodes(cluster, nodes, byAddress);
  for (const pod of objectsOf<PodObject>(cluster, 'Pod')) {
    const name = `${pod.metadata.namespace ?? 'default'}/${pod.metadata.name}`;
    if (hasEnded(pod)) continue;
    if (pod.spec?.hostNetwork === true) {
      byName.set(name, pod);
      continue;
    }
    const party = podParty(cluster, pod);
    pods.push(party);
    byName.set(name, party);
    for (const address of party.addresses.values()) byAddress.set(addressKey(address), party);
  }
  return {
    cluster,
    pods,
    services: objectsOf(cluster, 'Service'),
    endpoints: objectsOf(cluster, 'Endpoints'),
    groups: objectsOf(cluster, 'CiliumCIDRGroup'),
    resolve: resolver(byName, byAddress, nodes),
    localNode:
      nodes.find((one) => one.metadata.name === cluster.config.localNode)?.metadata.labels ?? {},
  };
}

function hasEnded(pod: PodObject): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

function addressKey(address: Address): string {
  return `${address.family} ${address.value}`;
}

/** Host names among the addresses of a node are no addresses. */
function nodeAddresses(node: NodeObject): Address[] {
  return (node.status?.addresses ?? []).flatMap((one) => parseAddress(one.address) ?? []);
}

function addNodes(
  cluster: Cluster,
  nodes: readonly NodeObject[],
  byAddress: Map<string, Party>,
): void {
  for (const node of nodes) {
    const kind = node.metadata.name === cluster.config.localNode ? 'host' : 'remote-node';
    for (const address of nodeAddresses(node)) {
      byAddress.set(addressKey(address), {
        kind,
        nodeLabels: node.metadata.labels ?? {},
        identityLabels: [{ source: 'reserved', key: kind, value: '' }],
        addresses: new Map([[address.family, address]]),
      });
    }
  }
}

function resolver(
  byName: ReadonlyMap<string, Party | PodObject>,
  byAddress: Map<string, Party>,
  nodes: readonly NodeObject[],
): Directory['resolve'] {
  const seen = new Map<string, Party>();
  return (end, family) => {
    const key = `${family} ${end}`;
    let party = seen.get(key);
    if (party === undefined) {
      party = resolveOnce(end, family, byName, byAddress, nodes);
      if (!party.addresses.has(family)) throw new Error(`${end}: no address of family ${family}`);
      seen.set(key, party);
    }
    return party;
  };
}

function resolveOnce(
  end: string,
  family: Family,
  byName: ReadonlyMap<string, Party | PodObject>,
  byAddress: Map<string, Party>,
  nodes: readonly NodeObject[],
): Party {
  const named = byName.get(end);
  if (named !== undefined && 'addresses' in named) return named;
  const address = named === undefined ? parseAddress(end) : hostAddress(named, family, nodes);
  if (address === undefined) throw new Error(`${end}: no such pod and no address`);
  const known = byAddress.get(addressKey(address));
  if (known !== undefined) return known;
  const party: Party = {
    kind: 'world',
    identityLabels: [{ source: 'reserved', key: `world-ipv${address.family}`, value: '' }],
    addresses: new Map([[address.family, address]]),
  };
  byAddress.set(addressKey(address), party);
  return party;
}

/** A pod in its node's network speaks with the node's first address of the family. */
function hostAddress(
  pod: PodObject,
  family: Family,
  nodes: readonly NodeObject[],
): Address | undefined {
  const node = nodes.find((one) => one.metadata.name === pod.spec?.nodeName);
  return node && nodeAddresses(node).find((one) => one.family === family);
}

function podParty(cluster: Cluster, pod: PodObject): Party {
  const facts = podFacts(cluster, pod);
  const labels = { ...facts.labels };
  labels['io.kubernetes.pod.namespace'] = facts.namespace;
  labels['io.cilium.k8s.policy.cluster'] = cluster.config.cluster;
  labels['io.cilium.k8s.policy.serviceaccount'] = pod.spec?.serviceAccountName ?? 'default';
  for (const [key, value] of Object.entries(facts.namespaceLabels))
    labels[`io.cilium.k8s.namespace.labels.${key}`] = value;
  const addresses = (pod.status?.podIPs ?? []).flatMap((one) => parseAddress(one.ip) ?? []);
  return {
    kind: 'pod',
    pod: facts,
    identityLabels: Object.entries(labels).map(([key, value]) => ({ source: 'k8s', key, value })),
    addresses: new Map(addresses.map((address) => [address.family, address])),
  };
}

function podFacts(cluster: Cluster, pod: PodObject): PodFacts {
  const namespace = pod.metadata.namespace ?? 'default';
  const object = objectsOf<KubernetesObject>(cluster, 'Namespace').find(
    (one) => one.metadata.name === namespace,
  );
  const ports = (pod.spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  return {
    namespace,
    name: pod.metadata.name,
    labels: filterLabels(pod.metadata.labels ?? {}),
    namespaceLabels: { ...object?.metadata.labels, 'kubernetes.io/metadata.name': namespace },
    namedPorts: ports.flatMap(({ name, protocol, containerPort }) =>
      name === undefined ? [] : [{ name, protocol: protocol ?? 'TCP', port: containerPort }],
    ),
  };
}

const keptLabels =
  /^(reserved:.*|io\.kubernetes\.pod\.namespace|io\.cilium\.k8s\.namespace\.labels|app\.kubernetes\.io|io\.cilium\.k8s\.policy\.(cluster|serviceaccount))/;
const droppedLabels =
  /^(io\.kubernetes|kubernetes\.io|statefulset\.kubernetes\.io\/pod-name|apps\.kubernetes\.io\/pod-index|batch\.kubernetes\.io\/(job-completion-index|controller-uid)|.*beta\.kubernetes\.io|k8s\.io|pod-template-generation|pod-template-hash|controller-revision-hash|controller-uid|annotation.*|etcd_node)/;

function filterLabels(labels: LabelMap): LabelMap {
  return Object.fromEntries(
    Object.entries(labels).filter(([key]) => keptLabels.test(key) || !droppedLabels.test(key)),
  );
}
