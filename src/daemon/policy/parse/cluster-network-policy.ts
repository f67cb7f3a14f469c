/**
 * @module
 * `spec` of a ClusterNetworkPolicy (network-policy-api) → one rule of tier `admin` or `baseline`.
 * What a newer version of the standard may add to peers and protocols fails closed.
 */

import { FieldReader, readText } from '../../../k8s/field.ts';
import { isPortName } from '../../../k8s/name.ts';
import type { Place } from '../../../k8s/place.ts';
import { type Problems, quote, suggest } from '../../../k8s/problem.ts';
import { formatSelector } from '../format-selector.ts';
import type { Action, Direction, PortMatch, Rule, RuleItem } from '../rule.ts';
import { parseCidr, type WrittenPeer } from './cidr.ts';
import { nodesByLabels, type PodSelector, podsOfNamespaces } from './kube-selector.ts';
import { formatWrittenPort, protocolNumbers, type WrittenPort } from './ports.ts';
import { refuseUnsupported } from './proxy.ts';

const itemsMax = 25;
const peersMax = 25;
const protocolsMax = 25;
const namesMax = 25;
const nameLengthMax = 100;
const networkLengthMax = 43;
const priorityMax = 1000;

const tiers = { Admin: 'admin', Baseline: 'baseline' } as const;
const actions = { Accept: 'allow', Deny: 'deny', Pass: 'pass' } as const;
const protocolFields = ['tcp', 'udp', 'sctp', 'destinationNamedPort'] as const;
const peerChoices: Readonly<Record<Direction, readonly string[]>> = {
  ingress: ['namespaces', 'pods'],
  egress: ['namespaces', 'pods', 'nodes', 'networks', 'domainNames'],
};

/** Undefined, and there are problems, if anything in it cannot be carried out. */
export function parseClusterNetworkPolicy(
  document: FieldReader,
  warnings: Problems,
): Rule | undefined {
  const { problems } = document;
  const before = problems.count;
  const names = ['tier', 'priority', 'subject', 'ingress', 'egress'];
  const spec = document.require('spec') ? document.object('spec', names) : undefined;
  if (spec === undefined) return undefined;
  const tier = spec.require('tier') ? spec.choice('tier', ['Admin', 'Baseline']) : undefined;
  const priority = spec.require('priority') ? spec.integer('priority', 0, priorityMax) : undefined;
  const subject = parseSubject(spec);
  const section = (direction: Direction) =>
    spec.each(direction, itemsMax, (value, place, index) =>
      parseItem({ value, place, index, direction, spec, warnings }),
    );
  const ingress = section('ingress');
  const egress = section('egress');
  const isWrong = problems.count > before;
  if (isWrong || tier === undefined || priority === undefined || subject === undefined) {
    return undefined;
  }
  if (ingress === undefined && egress === undefined) {
    warnings.add(spec.place, 'has neither ingress nor egress and no effect');
  }
  return {
    tier: tiers[tier],
    priority,
    subjectKind: 'endpoint',
    subject: subject.selector,
    description: undefined,
    labels: [],
    defaultDeny: { ingress: false, egress: false },
    ingress,
    egress,
  };
}

function parseSubject(spec: FieldReader): PodSelector | undefined {
  const names = ['namespaces', 'pods'];
  const subject = spec.require('subject') ? spec.object('subject', names) : undefined;
  if (subject === undefined) return undefined;
  if (names.filter((each) => subject.has(each)).length !== 1) {
    spec.problems.add(subject.place, 'must have exactly one of namespaces and pods');
    return undefined;
  }
  return parsePods(subject);
}

/** `namespaces` or `pods`, whichever is there. */
function parsePods(reader: FieldReader): PodSelector | undefined {
  if (reader.has('namespaces')) return podsOfNamespaces(reader, 'namespaces', undefined);
  const pods = reader.object('pods', ['namespaceSelector', 'podSelector']);
  if (pods === undefined) return undefined;
  const hasBoth = [
    pods.require('namespaceSelector', '{} means every namespace'),
    pods.require('podSelector', '{} means every pod'),
  ];
  if (hasBoth.includes(false)) return undefined;
  return podsOfNamespaces(pods, 'namespaceSelector', 'podSelector');
}

interface ItemSource {
  readonly value: unknown;
  readonly place: Place;
  readonly index: number;
  readonly direction: Direction;
  readonly spec: FieldReader;
  readonly warnings: Problems;
}

function parseItem(source: ItemSource): RuleItem | undefined {
  const { place, index, direction, warnings } = source;
  const { problems } = source.spec;
  const before = problems.count;
  const side = direction === 'ingress' ? 'from' : 'to';
  const item = FieldReader.open(
    source.value,
    place,
    ['name', 'action', side, 'protocols'],
    problems,
  );
  if (item === undefined) return undefined;
  const name = item.text('name');
  if (name !== undefined && name.length > nameLengthMax) {
    item.refuse('name', `has more than ${nameLengthMax} characters`);
  }
  const written = item.require('action') ? item.choice('action', actionNames) : undefined;
  item.require(side);
  const peers = parsePeers(item, side, direction, written);
  const protocols = parseProtocols(item, fieldsOfPeers(item, side));
  item.refuseEmpty(side, 'must have at least one');
  if (problems.count > before || written === undefined || peers === undefined) return undefined;
  const closed = failClosed(actions[written], peers, protocols);
  if (peers.unknown.length > 0 || protocols?.hasUnknown === true) {
    const what = peers.unknown.length > 0 ? 'peer' : 'protocol';
    const effect = closed.action === 'allow' ? 'matches nothing' : 'makes the rule deny everything';
    const which = peers.unknown.length > 0 ? ` (${peers.unknown.join('; ')})` : '';
    warnings.add(place, `a ${what} of a kind not known here${which} ${effect}`);
  }
  return {
    path: `${direction}[${index}]`,
    name,
    ...closed,
    requires: [],
    written: JSON.stringify({
      ...(name === undefined ? {} : { name }),
      action: written,
      ...Object.fromEntries(groupWritten(side, peers.known)),
      ...(protocols === undefined ? {} : { toPorts: [{ ports: protocols.written }] }),
    }),
  };
}

const actionNames = ['Accept', 'Deny', 'Pass'] as const;

interface ParsedPeers {
  readonly known: readonly WrittenPeer[];
  /** Where there are others, and the names of their fields. */
  readonly unknown: readonly string[];
}

interface ParsedProtocols {
  readonly ports: readonly PortMatch[];
  readonly written: readonly Record<string, unknown>[];
  readonly hasUnknown: boolean;
}

/** What is not known matches nothing when it would allow, everything when it would deny or pass. */
function failClosed(
  action: Action,
  peers: ParsedPeers,
  protocols: ParsedProtocols | undefined,
): Pick<RuleItem, 'action' | 'peers' | 'ports'> {
  const known = peers.known.map((each) => each.peer);
  if (action === 'allow') return { action, peers: known, ports: protocols?.ports };
  if (peers.unknown.length > 0) return { action: 'deny', peers: 'any', ports: undefined };
  if (protocols?.hasUnknown === true) return { action: 'deny', peers: known, ports: undefined };
  return { action, peers: known, ports: protocols?.ports };
}

function parsePeers(
  item: FieldReader,
  side: string,
  direction: Direction,
  action: (typeof actionNames)[number] | undefined,
): ParsedPeers | undefined {
  const unknown: string[] = [];
  const choices = peerChoices[direction];
  const known = item.each(side, peersMax, (value, place) => {
    const hasKnown =
      typeof value !== 'object' || value === null || knownOf(value, choices).length > 0;
    if (!hasKnown && !Array.isArray(value)) {
      const names = Object.keys(value);
      if (refuseMistakes(names, place, direction, item.problems)) return undefined;
      unknown.push(names.length === 0 ? 'without a field' : names.map(quote).join(', '));
      return undefined;
    }
    const peer = FieldReader.open(value, place, choices, item.problems);
    return peer === undefined ? undefined : parsePeer(peer, choices, action);
  });
  return known === undefined ? undefined : { known: known.flat(), unknown };
}

/** A field that a later version of the API may have is no mistake; one that is nearly known is. */
function refuseMistakes(
  names: readonly string[],
  place: Place,
  direction: Direction,
  problems: Problems,
): boolean {
  const before = problems.count;
  for (const name of names) {
    const hint = suggest(name, peerChoices[direction]);
    if (peerChoices.egress.includes(name)) {
      problems.add(place.field(name), 'is possible in egress only');
    } else if (hint !== '') problems.add(place.field(name), `unknown field${hint}`);
  }
  return problems.count > before;
}

function knownOf(value: object, choices: readonly string[]): string[] {
  return choices.filter((each) => Object.hasOwn(value, each));
}

function parsePeer(
  peer: FieldReader,
  choices: readonly string[],
  action: (typeof actionNames)[number] | undefined,
): WrittenPeer[] {
  if (knownOf(peer.fields, choices).length > 1) {
    peer.problems.add(peer.place, `must have exactly one of ${choices.join(', ')}`);
    return [];
  }
  if (peer.has('networks')) return parseNetworks(peer);
  if (peer.has('domainNames')) return parseDomainNames(peer, action);
  if (peer.has('nodes')) {
    const selector = nodesByLabels(peer, 'nodes');
    if (selector === undefined) return [];
    return [{ peer: { kind: 'nodes', selector }, written: formatSelector(selector) }];
  }
  const pods = parsePods(peer);
  if (pods === undefined) return [];
  return [{ peer: { kind: 'labels', selector: pods.selector }, written: pods.written }];
}

function parseNetworks(peer: FieldReader): WrittenPeer[] {
  const seen = new Set<unknown>();
  const networks = peer.each('networks', namesMax, (value, place) => {
    if (seen.has(value)) peer.problems.add(place, `${quote(value)} stands here twice`);
    seen.add(value);
    if (typeof value === 'string' && value.length > networkLengthMax) {
      peer.problems.add(place, `has more than ${networkLengthMax} characters`);
    }
    return parseCidr(value, place, 'address', peer.problems);
  });
  peer.refuseEmpty('networks', 'must have at least one');
  return networks ?? [];
}

/** Exact, or a leading `*.`; checked and then refused. */
function parseDomainNames(
  peer: FieldReader,
  action: (typeof actionNames)[number] | undefined,
): WrittenPeer[] {
  const before = peer.problems.count;
  if (action !== undefined && action !== 'Accept') {
    peer.refuse('domainNames', `is possible with action Accept only, not ${action}`);
  }
  peer.each('domainNames', namesMax, (value, place) => {
    const text = readText(value, place, peer.problems);
    if (text !== undefined && !isDomainName(text)) {
      peer.problems.add(place, `not a domain name: ${quote(text)}`);
    }
    return text ?? '';
  });
  peer.refuseEmpty('domainNames', 'must have at least one');
  if (peer.problems.count === before) refuseUnsupported(peer.at('domainNames'), 'DNS rules', peer);
  return [];
}

function isDomainName(text: string): boolean {
  const labels = text.replace(/^\*\./, '').replace(/\.$/, '').split('.');
  const isLabel = (label: string) => /^[a-zA-Z0-9]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9])?$/.test(label);
  return text.length <= 255 && labels.length > 1 && labels.every(isLabel);
}

/** The names of the peer fields in use, for what may not stand with them. */
function fieldsOfPeers(item: FieldReader, side: string): ReadonlySet<string> {
  const list = item.fields[side];
  const peers = Array.isArray(list) ? list : [];
  return new Set(peers.flatMap((each) => (each instanceof Object ? Object.keys(each) : [])));
}

/** Undefined where the field is absent: all traffic. */
function parseProtocols(
  item: FieldReader,
  peerFields: ReadonlySet<string>,
): ParsedProtocols | undefined {
  let hasUnknown = false;
  const found = item.each('protocols', protocolsMax, (value, place) => {
    if (value instanceof Object && !Array.isArray(value)) {
      if (knownOf(value, protocolFields).length === 0) {
        hasUnknown = true;
        return undefined;
      }
    }
    const protocol = FieldReader.open(value, place, protocolFields, item.problems);
    return protocol === undefined ? undefined : parseProtocol(protocol, peerFields);
  });
  if (found === undefined) return undefined;
  item.refuseEmpty('protocols', 'must have at least one; leave it out to mean all traffic');
  return {
    ports: found.flatMap((each) => each.ports),
    written: found.map((each) => each.written),
    hasUnknown,
  };
}

interface ParsedProtocol {
  readonly ports: readonly PortMatch[];
  readonly written: Record<string, unknown>;
}

function parseProtocol(
  reader: FieldReader,
  peerFields: ReadonlySet<string>,
): ParsedProtocol | undefined {
  const present = protocolFields.filter((each) => reader.has(each));
  if (present.length !== 1) {
    reader.problems.add(reader.place, `must have exactly one of ${protocolFields.join(', ')}`);
    return undefined;
  }
  if (reader.has('destinationNamedPort')) return parseNamedPort(reader, peerFields);
  const [field] = present;
  const protocol = field === 'tcp' ? 'TCP' : field === 'udp' ? 'UDP' : 'SCTP';
  const match = reader.object(field ?? '', ['destinationPort']);
  if (match?.require('destinationPort') !== true) return undefined;
  const port = match.object('destinationPort', ['number', 'range']);
  const ends = port === undefined ? undefined : parseRange(port);
  if (ends === undefined) return undefined;
  const [first, last] = ends;
  const endPort = last === first ? undefined : last;
  const written: WrittenPort = { port: String(first), endPort, protocol };
  return {
    ports: [{ proto: protocolNumbers[protocol], first, last }],
    written: formatWrittenPort(written),
  };
}

function parseRange(port: FieldReader): readonly [number, number] | undefined {
  if (port.has('number') === port.has('range')) {
    port.problems.add(port.place, 'must have exactly one of number and range');
    return undefined;
  }
  const number = port.integer('number', 1, 65535);
  if (number !== undefined) return [number, number];
  const range = port.object('range', ['start', 'end']);
  if (range === undefined) return undefined;
  const start = range.require('start') ? range.integer('start', 1, 65535) : undefined;
  const end = range.require('end') ? range.integer('end', 1, 65535) : undefined;
  if (start === undefined || end === undefined) return undefined;
  if (start < end) return [start, end];
  range.refuse('end', `must be above start ${start}`);
  return undefined;
}

/** The name alone decides, whichever protocol a container gives it. */
function parseNamedPort(
  reader: FieldReader,
  peerFields: ReadonlySet<string>,
): ParsedProtocol | undefined {
  const field = 'destinationNamedPort';
  const name = reader.text(field);
  if (name === undefined) return undefined;
  if (!isPortName(name)) reader.refuse(field, `not the name of a port: ${quote(name)}`);
  const nameless = ['nodes', 'networks', 'domainNames'].filter((each) => peerFields.has(each));
  if (nameless.length > 0) {
    reader.refuse(
      field,
      `cannot stand together with ${nameless.join(', ')}: only pods have names of ports`,
    );
  }
  const written: WrittenPort = { port: name, endPort: undefined, protocol: 'ANY' };
  return {
    ports: Object.values(protocolNumbers).map((proto) => ({ proto, name })),
    written: formatWrittenPort(written),
  };
}

/** Peers under the names that the Cilium kinds have for them. */
function groupWritten(side: string, peers: readonly WrittenPeer[]): Map<string, unknown[]> {
  const fields = { labels: 'Endpoints', nodes: 'Nodes', cidr: 'CIDR' } as const;
  const groups = new Map<string, unknown[]>();
  for (const { peer, written } of peers) {
    const kind = peer.kind === 'labels' || peer.kind === 'nodes' ? peer.kind : 'cidr';
    const name = `${side}${fields[kind]}`;
    groups.set(name, [...(groups.get(name) ?? []), written]);
  }
  return groups;
}
