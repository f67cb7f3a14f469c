/**
 * @module
 * What the parser knows about the numbers in an event: endpoints, identities,
 * pods behind addresses, rule cookies. Reads replicas of the tables `endpoints`,
 * `identities`, `ipcache` and `cookies` and keeps what it made of a row, encoded,
 * until a table changes.
 */
import { Endpoint, Policy } from '../../api/gen/flow/flow.ts';
import { concatBytes, delimited } from './proto-bytes.ts';

export interface EndpointFacts {
  readonly id: number;
  readonly identity: number;
  readonly podName: string;
  readonly namespace: string;
  readonly labels: readonly string[];
  readonly ifindex: number;
  readonly interfaceName: string;
}

export interface IdentityFacts {
  readonly labels: readonly string[];
}

export interface AddressFacts {
  readonly identity: number;
  readonly namespace: string;
  readonly podName: string;
}

export interface PolicyFacts {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly ruleIndex: number;
  /** Entries of the rule such as `ingress[0]`; none for a default deny. */
  readonly items: readonly string[];
  readonly labels: readonly string[];
  readonly revision: number;
}

/** The narrow view of the tables; a TableReplica's `get` fits each. */
export interface FlowTables {
  endpoint(id: number): EndpointFacts | undefined;
  identity(id: number): IdentityFacts | undefined;
  /** By canonical prefix text, `10.0.0.1/32`. */
  address(prefix: string): AddressFacts | undefined;
  cookie(cookie: number): readonly PolicyFacts[] | undefined;
  interfaceName(ifindex: number): string | undefined;
}

/** When a namespace was last seen in a flow. */
export interface NamespaceSeen {
  readonly namespace: string;
  lastSeconds: number;
}

/** One end of a flow: the message, and its bytes as field `source` and as field `destination`. */
export interface Peer {
  readonly message: Endpoint;
  readonly sourceField: Uint8Array;
  readonly destinationField: Uint8Array;
  readonly seen: NamespaceSeen | undefined;
  /** False if the tables did not know it (yet): worth asking again at delivery. */
  readonly complete: boolean;
}

/** The policies behind a cookie, encoded for each of the four fields of a flow. */
export interface PolicyNames {
  readonly policies: readonly Policy[];
  readonly egressAllowed: Uint8Array;
  readonly ingressAllowed: Uint8Array;
  readonly egressDenied: Uint8Array;
  readonly ingressDenied: Uint8Array;
}

const reservedNames = [
  'unknown',
  'host',
  'world',
  'unmanaged',
  'health',
  'init',
  'remote-node',
  'kube-apiserver',
  'ingress',
  'world-ipv4',
  'world-ipv6',
];
const firstPodIdentity = 256;
const endpointFactor = 2 ** 32;
/** More distinct peers than this between two table changes: start over rather than grow. */
const peersMax = 16384;

export class ParserContext {
  readonly clusterName: string;
  readonly #tables: FlowTables;
  readonly #peers = new Map<number, Peer>();
  readonly #peersByAddress = new Map<string, Peer>();
  readonly #policies = new Map<number, PolicyNames | undefined>();
  readonly #interfaces = new Map<number, Uint8Array>();
  readonly #namespaces = new Map<string, NamespaceSeen>();

  constructor(tables: FlowTables, clusterName: string) {
    this.#tables = tables;
    this.clusterName = clusterName;
  }

  /** Call after any change of the tables: what was made of their rows is made again when needed. */
  changed(): void {
    this.#peers.clear();
    this.#peersByAddress.clear();
    this.#policies.clear();
    this.#interfaces.clear();
  }

  /** True for an identity whose pod is worth looking up by address. */
  wantsAddress(endpointId: number, identity: number): boolean {
    return endpointId === 0 && identity >= firstPodIdentity && identity < 2 ** 24;
  }

  /** The peer by the numbers in the event. */
  peer(endpointId: number, identity: number): Peer {
    const key = endpointId * endpointFactor + identity;
    const known = this.#peers.get(key);
    if (known !== undefined) return known;
    if (this.#peers.size >= peersMax) this.#peers.clear();
    const made = this.#makePeer(endpointId, identity, undefined);
    this.#peers.set(key, made);
    return made;
  }

  /** The peer of a pod of another node, or of one that is gone: named by its address. */
  peerAt(address: string, identity: number): Peer {
    const prefix = `${address}/${address.includes(':') ? 128 : 32}`;
    const key = `${prefix} ${identity}`;
    const known = this.#peersByAddress.get(key);
    if (known !== undefined) return known;
    if (this.#peersByAddress.size >= peersMax) this.#peersByAddress.clear();
    const made = this.#makePeer(0, identity, this.#tables.address(prefix));
    this.#peersByAddress.set(key, made);
    return made;
  }

  policies(cookie: number): PolicyNames | undefined {
    if (cookie === 0) return undefined;
    if (this.#policies.has(cookie)) return this.#policies.get(cookie);
    const facts = this.#tables.cookie(cookie);
    const names = facts === undefined ? undefined : makePolicyNames(facts);
    this.#policies.set(cookie, names);
    return names;
  }

  interfaceName(ifindex: number): string {
    return this.#tables.interfaceName(ifindex) ?? '';
  }

  /** The name as UTF-8, cached. */
  interfaceNameBytes(ifindex: number): Uint8Array {
    const known = this.#interfaces.get(ifindex);
    if (known !== undefined) return known;
    const bytes = new TextEncoder().encode(this.interfaceName(ifindex).slice(0, 15));
    this.#interfaces.set(ifindex, bytes);
    return bytes;
  }

  /** Namespaces seen in flows since the given time. */
  namespacesSince(seconds: number): string[] {
    const result: string[] = [];
    for (const [name, seen] of this.#namespaces) if (seen.lastSeconds >= seconds) result.push(name);
    return result.sort();
  }

  #makePeer(endpointId: number, identity: number, address: AddressFacts | undefined): Peer {
    const row = endpointId === 0 ? undefined : this.#tables.endpoint(endpointId);
    const number = identity !== 0 ? identity : (row?.identity ?? address?.identity ?? 0);
    const facts = this.#tables.identity(number);
    const labels = facts?.labels ?? row?.labels ?? reservedLabels(number);
    const namespace = row?.namespace ?? address?.namespace ?? '';
    const isWorkload = number >= firstPodIdentity && !labels.some((one) => one.startsWith('cidr:'));
    const message = Endpoint.fromPartial({
      ID: endpointId,
      identity: number,
      cluster_name: isWorkload ? this.clusterName : '',
      namespace,
      labels: [...labels],
      pod_name: row?.podName ?? address?.podName ?? '',
    });
    const bytes = Endpoint.encode(message).finish();
    return {
      message,
      sourceField: delimited(8, bytes),
      destinationField: delimited(9, bytes),
      seen: namespace === '' ? undefined : this.#namespaceSeen(namespace),
      complete:
        (endpointId === 0 || row !== undefined) &&
        (facts !== undefined || number < firstPodIdentity),
    };
  }

  #namespaceSeen(namespace: string): NamespaceSeen {
    let seen = this.#namespaces.get(namespace);
    if (seen === undefined) {
      seen = { namespace, lastSeconds: 0 };
      this.#namespaces.set(namespace, seen);
    }
    return seen;
  }
}

/** Labels of an identity that no table names. */
function reservedLabels(identity: number): readonly string[] {
  const name = reservedNames[identity];
  return name === undefined ? [] : [`reserved:${name}`];
}

/** A label of ours in a flow's policies: which rule of the policy it was, and which entry of it. */
const ruleLabel = 'cilium:policy.rule';

/** `0/ingress[2]`: rule 0 of the policy, its third ingress entry. */
function ruleLabels({ name, ruleIndex, items }: PolicyFacts): string[] {
  if (name === '') return [];
  if (items.length === 0) return [`${ruleLabel}=${ruleIndex}`];
  return items.map((item) => `${ruleLabel}=${ruleIndex}/${item}`);
}

/** Several rules of one policy are one policy here, with a label for each. */
function makePolicyNames(facts: readonly PolicyFacts[]): PolicyNames {
  const byName = new Map<string, Policy>();
  for (const one of facts) {
    const { kind, namespace, name, labels, revision } = one;
    const key = `${kind} ${namespace}/${name} ${name === '' ? labels.join() : ''}`;
    const known =
      byName.get(key) ??
      Policy.fromPartial({
        name,
        namespace,
        labels: [...labels],
        revision: BigInt(revision),
        kind,
      });
    byName.set(key, known);
    known.labels.push(...ruleLabels(one));
  }
  const policies = [...byName.values()];
  const encoded = policies.map((policy) => Policy.encode(policy).finish());
  const fields = (number: number) => concatBytes(encoded.map((bytes) => delimited(number, bytes)));
  return {
    policies,
    egressAllowed: fields(21001),
    ingressAllowed: fields(21002),
    egressDenied: fields(21004),
    ingressDenied: fields(21005),
  };
}
