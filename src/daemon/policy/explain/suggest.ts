/**
 * @module
 * Observed connections → the least policies that admit them: one for each workload and direction,
 * with the peers and ports that were seen. Documents in the form that people write.
 */

import { protocolNames } from './port-segments.ts';
import {
  exactBlock,
  policyNameOf,
  selectorFor,
  type Workload,
  workloadKey,
  workloadOf,
} from './workload.ts';

/** One end of a connection as it was observed. */
export interface ObservedEnd {
  /** Identity labels; empty where unknown. */
  readonly labels: readonly string[];
  readonly address: string;
}

export interface Observation {
  readonly from: ObservedEnd;
  readonly to: ObservedEnd;
  readonly proto: number;
  /** The type for ICMP. */
  readonly port: number;
}

export interface SuggestOptions {
  readonly kind: 'cnp' | 'netpol';
  readonly directions: readonly ('ingress' | 'egress')[];
  /** Only workloads of this namespace get a policy. */
  readonly namespace: string | undefined;
}

export interface Suggestion {
  readonly documents: readonly object[];
  /** What could not be written, in words. */
  readonly notes: readonly string[];
}

/** A peer as one entry of a rule has it. */
type PeerField =
  | { readonly kind: 'pods'; readonly workload: Workload }
  | { readonly kind: 'entity'; readonly name: string }
  | { readonly kind: 'address'; readonly address: string };

interface Group {
  readonly workload: Workload;
  readonly direction: 'ingress' | 'egress';
  /** By the peer's key: the peer and the ports seen with it. */
  readonly peers: Map<string, { readonly peer: PeerField; readonly ports: Set<string> }>;
}

const entityOrder = ['host', 'kube-apiserver', 'remote-node', 'health', 'ingress', 'init'];

export function suggestPolicies(
  observations: readonly Observation[],
  options: SuggestOptions,
): Suggestion {
  const workloads = new Map<string, Workload>();
  for (const { from, to } of observations) {
    for (const end of [from, to]) {
      const found = workloadOf(end.labels);
      if (found !== undefined) workloads.set(workloadKey(found), found);
    }
  }
  const notes = new Set<string>();
  const groups = groupsOf(observations, options, notes);
  const all = [...workloads.values()];
  const names = new Set<string>();
  const documents = [...groups.values()]
    .sort((a, b) => (groupKey(a) < groupKey(b) ? -1 : 1))
    .map((group) => documentOf(group, all, options.kind, names));
  return { documents, notes: [...notes] };
}

function groupKey({ workload, direction }: Group): string {
  return `${workloadKey(workload)}\n${direction === 'ingress' ? 0 : 1}`;
}

function groupsOf(
  observations: readonly Observation[],
  { directions, namespace, kind }: SuggestOptions,
  notes: Set<string>,
): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const { from, to, proto, port } of observations) {
    for (const direction of directions) {
      const [own, other] = direction === 'ingress' ? [to, from] : [from, to];
      const workload = workloadOf(own.labels);
      if (workload === undefined) continue;
      if (namespace !== undefined && workload.namespace !== namespace) continue;
      const peer = peerFieldOf(other, kind, notes);
      const text = portText(proto, port, kind, notes);
      if (peer === undefined || text === undefined) continue;
      const group = groups.get(groupKey({ workload, direction, peers: new Map() })) ?? {
        workload,
        direction,
        peers: new Map(),
      };
      groups.set(groupKey(group), group);
      const key = JSON.stringify(peer);
      const known = group.peers.get(key) ?? { peer, ports: new Set<string>() };
      known.ports.add(text);
      group.peers.set(key, known);
      if (direction === 'egress' && port === 53) {
        notes.add('DNS (port 53) is allowed to the servers that were seen, whatever is asked for');
      }
    }
  }
  return groups;
}

function peerFieldOf(
  end: ObservedEnd,
  kind: SuggestOptions['kind'],
  notes: Set<string>,
): PeerField | undefined {
  const workload = workloadOf(end.labels);
  if (workload !== undefined) return { kind: 'pods', workload };
  const reserved = entityOrder.find((name) => end.labels.includes(`reserved:${name}`));
  if (reserved === undefined) return { kind: 'address', address: end.address };
  if (kind === 'cnp') return { kind: 'entity', name: reserved };
  notes.add(`a NetworkPolicy knows no ${reserved}: allowed by its address ${end.address}`);
  return end.address === '' ? undefined : { kind: 'address', address: end.address };
}

const everything = '*';

/** `80/TCP`, `IPv4/8/ICMP`; what a kind of policy cannot say is left out, with a note. */
function portText(
  proto: number,
  port: number,
  kind: SuggestOptions['kind'],
  notes: Set<string>,
): string | undefined {
  if (proto === 1 || proto === 58) {
    if (kind === 'cnp') return `${proto === 1 ? 'IPv4' : 'IPv6'}/${port}/ICMP`;
    notes.add('a NetworkPolicy cannot allow ICMP alone: peers that use it are allowed everything');
    return everything;
  }
  return port > 0 && protocolNames[proto] !== undefined
    ? `${port}/${protocolNames[proto]}`
    : undefined;
}

function documentOf(
  { workload, direction, peers }: Group,
  all: readonly Workload[],
  kind: SuggestOptions['kind'],
  names: Set<string>,
): object {
  // Peers with the same ports stand together.
  const byPorts = Map.groupBy([...peers.values()], ({ ports }) => [...ports].sort(byPort).join());
  const rules = [...byPorts].map(([ports, same]) => ({
    ports: ports.split(','),
    peers: same.map((each) => each.peer),
  }));
  const own = [...workload.labels].map((label) => label.split('=').at(-1) ?? '');
  const name = uniqueName(policyNameOf([...own.slice(0, 2), direction]), workload.namespace, names);
  const metadata = { name, namespace: workload.namespace };
  const selector = selectorFor(workload, all, kind === 'cnp' ? 'kept' : 'dropped');
  if (kind === 'netpol') {
    return {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata,
      spec: {
        podSelector: selector,
        policyTypes: [direction === 'ingress' ? 'Ingress' : 'Egress'],
        [direction]: rules.map((rule) => kubeRule(rule, workload, direction, all)),
      },
    };
  }
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata,
    spec: {
      endpointSelector: selector,
      [direction]: rules.flatMap((rule) => ciliumRules(rule, workload, direction, all)),
    },
  };
}

interface WrittenRule {
  readonly ports: readonly string[];
  readonly peers: readonly PeerField[];
}

function kubeRule(
  { ports, peers }: WrittenRule,
  { namespace }: Workload,
  direction: Group['direction'],
  all: readonly Workload[],
) {
  return {
    [direction === 'ingress' ? 'from' : 'to']: peers.map((peer) => {
      if (peer.kind !== 'pods') {
        return { ipBlock: { cidr: exactBlock(peer.kind === 'address' ? peer.address : '') } };
      }
      const podSelector = selectorFor(peer.workload, all, 'dropped');
      if (peer.workload.namespace === namespace) return { podSelector };
      const matchLabels = { 'kubernetes.io/metadata.name': peer.workload.namespace };
      return { namespaceSelector: { matchLabels }, podSelector };
    }),
    ...(ports.includes(everything)
      ? {}
      : {
          ports: ports.map((text) => {
            const [port, protocol] = text.split('/');
            return { protocol, port: Number(port) };
          }),
        }),
  };
}

/** Fields of one entry are an intersection, so each kind of peer, and ICMP, has an entry. */
function ciliumRules(
  { ports, peers }: WrittenRule,
  { namespace }: Workload,
  direction: Group['direction'],
  all: readonly Workload[],
): object[] {
  const side = direction === 'ingress' ? 'from' : 'to';
  const endpoints = peers.flatMap((peer) => {
    if (peer.kind !== 'pods') return [];
    const { matchLabels = {}, ...rest } = selectorFor(peer.workload, all, 'kept');
    const other = peer.workload.namespace;
    const where = other === namespace ? {} : { 'k8s:io.kubernetes.pod.namespace': other };
    return [{ matchLabels: { ...where, ...matchLabels }, ...rest }];
  });
  const entities = peers.flatMap((peer) => (peer.kind === 'entity' ? [peer.name] : []));
  const blocks = peers
    .flatMap((peer) => (peer.kind === 'address' ? [exactBlock(peer.address)] : []))
    .sort();
  const fields = [
    ...(endpoints.length === 0 ? [] : [{ [`${side}Endpoints`]: endpoints }]),
    ...(entities.length === 0 ? [] : [{ [`${side}Entities`]: entities }]),
    ...(blocks.length === 0 ? [] : [{ [`${side}CIDR`]: blocks }]),
  ];
  const icmps = ports.filter((text) => text.endsWith('/ICMP')).map((text) => text.split('/'));
  const numbers = ports.filter((text) => !text.endsWith('/ICMP')).map((text) => text.split('/'));
  const what: object[] = [];
  for (let at = 0; at < numbers.length; at += portsPerEntry) {
    const part = numbers.slice(at, at + portsPerEntry);
    what.push({ toPorts: [{ ports: part.map(([port, protocol]) => ({ port, protocol })) }] });
  }
  if (icmps.length > 0) {
    const types = icmps.map(([family, type]) => ({ type: Number(type), family }));
    what.push({ icmps: [{ fields: types }] });
  }
  return fields.flatMap((field) => what.map((each) => ({ ...field, ...each })));
}

/** As many as one entry of a CiliumNetworkPolicy may have. */
const portsPerEntry = 40;

function byPort(a: string, b: string): number {
  return Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1);
}

function uniqueName(wanted: string, namespace: string, names: Set<string>): string {
  for (let number = 1; ; number++) {
    const name = number === 1 ? wanted : `${wanted}-${number}`;
    const full = `${namespace}/${name}`;
    if (names.has(full)) continue;
    names.add(full);
    return name;
  }
}
