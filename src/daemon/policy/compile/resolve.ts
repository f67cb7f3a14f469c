/**
 * @module
 * A rule with its references looked up: peers become selectors, names of ports become numbers where
 * that does not depend on the endpoint. What cannot be found selects nobody.
 */

import type {
  CidrGroupObject,
  EndpointsObject,
  NodeObject,
  ServiceObject,
} from '../../../k8s/object.ts';
import { requireAddress } from '../../../net/address.ts';
import { formatPrefix, hostPrefix, prefixCovers, requirePrefix } from '../../../net/prefix.ts';
import {
  type CidrScope,
  type Direction,
  directions,
  type NamedPort,
  type Peer,
  type PortMatch,
  type PortRange,
  type Rule,
  type RuleItem,
  type Selector,
} from '../rule.ts';
import {
  blockSelector,
  labelSet,
  namespaceLabelKey,
  outsideSelector,
  portSelector,
  selectorOf,
  selects,
} from '../selector.ts';

/** The objects that rules may refer to. */
export interface References {
  cidrGroups(): Iterable<CidrGroupObject>;
  services(): Iterable<ServiceObject>;
  endpoints(namespace: string, service: string): Iterable<EndpointsObject>;
  nodes(): Iterable<NodeObject>;
  /** The numbers that a name of ports has on any pod, ascending. */
  portNumbers(name: string, proto: number): readonly number[];
}

/** What a rule depends on besides itself. */
export type ReferenceKind = 'cidr-group' | 'service' | 'nodes' | 'named-port';

/** Selectors that must all select a peer: of its identity, or of its address. */
export type PeerTerm = readonly Selector[];

/** One list entry as the compiler takes it. An entry may become several. */
export interface ResolvedItem {
  readonly item: RuleItem;
  readonly peers: readonly PeerTerm[] | 'any';
  /** Undefined is everything. */
  readonly ports: readonly PortRange[] | undefined;
  /** Ports of the receiving endpoint itself, in ingress. */
  readonly named: readonly NamedPort[];
}

export type ResolvedRule = Readonly<Record<Direction, readonly ResolvedItem[]>>;

/** Empty for a rule that says all of itself. */
export function referencesOf(rule: Rule): Set<ReferenceKind> {
  const kinds = new Set<ReferenceKind>();
  for (const direction of directions) {
    for (const { peers, ports } of rule[direction] ?? []) {
      for (const { kind } of peers === 'any' ? [] : peers) {
        if (kind === 'cidr-group' || kind === 'service' || kind === 'nodes') kinds.add(kind);
      }
      if (direction === 'egress' && ports?.some(isNamed) === true) kinds.add('named-port');
    }
  }
  return kinds;
}

export function resolveRule(rule: Rule, references: References): ResolvedRule {
  return {
    ingress: (rule.ingress ?? []).flatMap((item) => resolveItem(item, 'ingress', references)),
    egress: (rule.egress ?? []).flatMap((item) => resolveItem(item, 'egress', references)),
  };
}

const noNames: readonly NamedPort[] = [];

function resolveItem(item: RuleItem, direction: Direction, references: References): ResolvedItem[] {
  const peers: readonly PeerTerm[] | 'any' =
    item.peers === 'any' ? 'any' : item.peers.flatMap((peer) => resolvePeer(peer, references));
  if (item.ports === undefined) return [{ item, peers, ports: undefined, named: noNames }];
  const named = item.ports.some(isNamed) ? item.ports.filter(isNamed) : noNames;
  const ports = item.ports.filter((port): port is PortRange => !isNamed(port));
  if (direction === 'ingress' || named.length === 0) return [{ item, peers, ports, named }];
  const ofNames = named.flatMap((port) => resolveNamed(item, peers, port, references));
  // Also where no pod has such a port: what the entry requires of peers counts for all of the rule.
  if (ports.length === 0 && ofNames.length > 0) return ofNames;
  return [{ item, peers, ports, named: [] }, ...ofNames];
}

/** One entry for each number that the name has on any pod, for the pods where it has it. */
function resolveNamed(
  item: RuleItem,
  peers: readonly PeerTerm[] | 'any',
  { name, proto }: NamedPort,
  references: References,
): ResolvedItem[] {
  const terms: readonly PeerTerm[] = peers === 'any' ? [[]] : peers;
  return references.portNumbers(name, proto).map((port) => ({
    item,
    peers: terms.map((term) => [...term, portSelector(name, proto, port)]),
    ports: [{ proto, first: port, last: port }],
    named: [],
  }));
}

export function isNamed(port: PortMatch): port is NamedPort {
  return 'name' in port;
}

function resolvePeer(peer: Peer, references: References): PeerTerm[] {
  switch (peer.kind) {
    case 'labels':
      return [[peer.selector]];
    case 'cidr':
      return [blockTerm(peer.cidr, peer.except, peer.scope)];
    case 'cidr-group':
      return cidrGroups(peer, references);
    case 'service':
      return services(peer, references);
    case 'nodes':
      return nodes(peer.selector, references);
  }
}

type PeerOf<K extends Peer['kind']> = Extract<Peer, { kind: K }>;

function cidrGroups(peer: PeerOf<'cidr-group'>, references: References): PeerTerm[] {
  const found: PeerTerm[] = [];
  for (const { name, labels, cidrs } of references.cidrGroups()) {
    const isMeant =
      peer.selector === undefined ? name === peer.name : matches(peer.selector, labels);
    if (!isMeant) continue;
    for (const cidr of cidrs) {
      const outer = requirePrefix(cidr);
      const inside = (each: string) => prefixCovers(outer, requirePrefix(each));
      const around = (each: string) => prefixCovers(requirePrefix(each), outer);
      // A group's block that lies within an excepted one is excepted as a whole.
      if (peer.except.some(around)) continue;
      found.push(blockTerm(cidr, peer.except.filter(inside), 'outside'));
    }
  }
  return found;
}

/** Backends of a service without a selector are addresses, those of another one are pods. */
function services(peer: PeerOf<'service'>, references: References): PeerTerm[] {
  const found: PeerTerm[] = [];
  for (const service of references.services()) {
    if (peer.namespace !== undefined && service.namespace !== peer.namespace) continue;
    const isMeant =
      peer.selector === undefined
        ? service.name === peer.name
        : matches(peer.selector, service.labels);
    if (!isMeant) continue;
    const labels = Object.entries(service.selector ?? {});
    if (labels.length > 0) {
      const own = labels.map(([key, value]) => [`k8s:${key}`, value]);
      const namespace = { [`k8s:${namespaceLabelKey}`]: service.namespace };
      found.push([selectorOf({ ...Object.fromEntries(own), ...namespace })]);
      continue;
    }
    for (const { addresses } of references.endpoints(service.namespace, service.name)) {
      found.push(...addresses.map((address) => addressTerm(address, 'outside')));
    }
  }
  return found;
}

function nodes(selector: Selector, references: References): PeerTerm[] {
  const found: PeerTerm[] = [];
  for (const { labels, addresses } of references.nodes()) {
    if (!matches(selector, labels)) continue;
    found.push(...addresses.map((address) => addressTerm(address, 'address')));
  }
  return found;
}

function addressTerm(address: string, scope: CidrScope): PeerTerm {
  return blockTerm(formatPrefix(hostPrefix(requireAddress(address))), [], scope);
}

function blockTerm(cidr: string, except: readonly string[], scope: CidrScope): PeerTerm {
  const block = blockSelector(cidr, except);
  return scope === 'outside' ? [outsideSelector, block] : [block];
}

/** Labels of an object, under whatever source the selector asks for. */
function matches(selector: Selector, labels: Readonly<Record<string, string>>): boolean {
  const sources = new Set(selector.requirements.map((each) => each.source));
  const texts = [...sources].flatMap((source) =>
    Object.entries(labels).map(([key, value]) => {
      const name = `${source === 'any' ? 'k8s' : source}:${key}`;
      return value === '' ? name : `${name}=${value}`;
    }),
  );
  return selects(selector, labelSet([...new Set(texts)]));
}
