/**
 * @module
 * `spec` of a Kubernetes NetworkPolicy → a rule of tier `network`, with Kubernetes' own validation.
 */

import { FieldReader } from '../../../k8s/field.ts';
import { isPortName } from '../../../k8s/name.ts';
import { type Problems, quote, suggest } from '../../../k8s/problem.ts';
import { type Direction, directions, type PortMatch, type Rule, type RuleItem } from '../rule.ts';
import { parseIpBlock, type WrittenPeer } from './cidr.ts';
import { podsOfNamespace, podsOfNamespaces } from './kube-selector.ts';
import { formatWrittenPort, protocolNumbers } from './ports.ts';

const itemsMax = 1000;
const peersMax = 1000;
const portsMax = 1000;
const policyTypes = ['Ingress', 'Egress'] as const;
const protocols = ['TCP', 'UDP', 'SCTP'] as const;

/** Undefined, and there are problems, if anything in it cannot be carried out. */
export function parseNetworkPolicy(
  document: FieldReader,
  namespace: string,
  warnings: Problems,
): Rule | undefined {
  const { problems } = document;
  const before = problems.count;
  const names = ['podSelector', 'policyTypes', 'ingress', 'egress'];
  // Nothing behind `ingress:` is how people write that nothing is allowed.
  const spec = document.require('spec')
    ? document.object('spec', names)?.withoutNulls(['policyTypes', 'ingress', 'egress'])
    : undefined;
  if (spec === undefined) return undefined;
  const subject = spec.require('podSelector', '{} means every pod of the namespace')
    ? podsOfNamespace(spec, 'podSelector', namespace)
    : undefined;
  const types = parseTypes(spec);
  const section = (direction: Direction) => {
    const items = spec.each(direction, itemsMax, (each, place, index) => {
      const fields = [direction === 'ingress' ? 'from' : 'to', 'ports'];
      const item = FieldReader.open(each, place, fields, problems);
      return item === undefined ? undefined : parseItem(item, direction, index, namespace);
    });
    return types.has(direction) ? (items ?? []) : undefined;
  };
  const ingress = section('ingress');
  const egress = section('egress');
  if (problems.count > before || subject === undefined) return undefined;
  for (const direction of directions) {
    if (!spec.has(direction) || types.has(direction)) continue;
    warnings.add(spec.at(direction), 'has no effect: policyTypes does not name it');
  }
  return {
    tier: 'network',
    priority: 0,
    subjectKind: 'endpoint',
    subject: subject.selector,
    description: undefined,
    labels: [],
    defaultDeny: { ingress: ingress !== undefined, egress: egress !== undefined },
    ingress,
    egress,
  };
}

/** Absent or empty: ingress, and egress if there is a section for it. */
function parseTypes(spec: FieldReader): ReadonlySet<Direction> {
  const written = spec.texts('policyTypes', policyTypes.length) ?? [];
  const types = new Set<Direction>();
  for (const [index, each] of written.entries()) {
    const found = policyTypes.find((type) => type === each);
    const place = spec.at('policyTypes').item(index);
    if (found === undefined) {
      const message = `must be one of ${policyTypes.join(', ')}, is ${quote(each)}`;
      spec.problems.add(place, `${message}${suggest(each, policyTypes)}`);
    } else if (types.has(direction(found))) spec.problems.add(place, 'the same type twice');
    else types.add(direction(found));
  }
  if (written.length > 0) return types;
  return new Set<Direction>(spec.has('egress') ? ['ingress', 'egress'] : ['ingress']);
}

function direction(type: (typeof policyTypes)[number]): Direction {
  return type === 'Ingress' ? 'ingress' : 'egress';
}

function parseItem(
  item: FieldReader,
  direction: Direction,
  index: number,
  namespace: string,
): RuleItem {
  const side = direction === 'ingress' ? 'from' : 'to';
  const peers = item.each(side, peersMax, (value, place) => {
    const names = ['podSelector', 'namespaceSelector', 'ipBlock'];
    const peer = FieldReader.open(value, place, names, item.problems);
    return peer === undefined ? undefined : parsePeer(peer, namespace);
  });
  const ports = item.each('ports', portsMax, (value, place) => {
    const port = FieldReader.open(value, place, ['protocol', 'port', 'endPort'], item.problems);
    return port === undefined ? undefined : parsePort(port);
  });
  const isAny = peers === undefined || peers.length === 0;
  const isAllPorts = ports === undefined || ports.length === 0;
  const written = (kind: 'labels' | 'cidr') =>
    (peers ?? []).filter((each) => each.peer.kind === kind).map((each) => each.written);
  const [selectors, blocks] = [written('labels'), written('cidr')];
  return {
    path: `${direction}[${index}]`,
    name: undefined,
    action: 'allow',
    peers: isAny ? 'any' : peers.map((each) => each.peer),
    requires: [],
    ports: isAllPorts ? undefined : ports.map((each) => each.port),
    written: JSON.stringify({
      ...(isAny ? { [`${side}Endpoints`]: [{}] } : {}),
      ...(selectors.length > 0 ? { [`${side}Endpoints`]: selectors } : {}),
      ...(blocks.length > 0 ? { [`${side}CIDRSet`]: blocks } : {}),
      ...(isAllPorts ? {} : { toPorts: ports.map((each) => ({ ports: [each.written] })) }),
    }),
  };
}

/** Either a block, or selectors: of this namespace's pods, or of all namespaces that match. */
function parsePeer(peer: FieldReader, namespace: string): WrittenPeer | undefined {
  const hasSelector = peer.has('podSelector') || peer.has('namespaceSelector');
  if (peer.has('ipBlock')) {
    if (hasSelector) peer.problems.add(peer.place, 'ipBlock cannot stand together with selectors');
    const block = peer.object('ipBlock', ['cidr', 'except']);
    return block === undefined ? undefined : parseIpBlock(block);
  }
  if (!hasSelector) {
    peer.problems.add(peer.place, 'must have podSelector, namespaceSelector or ipBlock');
    return undefined;
  }
  const podField = peer.has('podSelector') ? 'podSelector' : undefined;
  const pods =
    podField !== undefined && !peer.has('namespaceSelector')
      ? podsOfNamespace(peer, podField, namespace)
      : podsOfNamespaces(peer, 'namespaceSelector', podField);
  if (pods === undefined) return undefined;
  return { peer: { kind: 'labels', selector: pods.selector }, written: pods.written };
}

interface WrittenMatch {
  readonly port: PortMatch;
  readonly written: Record<string, unknown>;
}

/** Without a number or name it is every port of the protocol. */
function parsePort(reader: FieldReader): WrittenMatch | undefined {
  const before = reader.problems.count;
  const protocol = reader.has('protocol') ? reader.choice('protocol', protocols) : 'TCP';
  const value = reader.value('port');
  const isName = typeof value === 'string';
  if (isName && !isPortName(value))
    reader.refuse('port', `not the name of a port: ${quote(value)}`);
  const number = isName ? undefined : reader.integer('port', 1, 65535);
  const endPort = reader.integer('endPort', 1, 65535);
  if (endPort !== undefined && value === undefined) reader.refuse('endPort', 'needs a port');
  else if (endPort !== undefined && isName) reader.refuse('endPort', 'needs a port by number');
  else if (endPort !== undefined && number !== undefined && endPort < number) {
    reader.refuse('endPort', `is below port ${number}`);
  }
  if (reader.problems.count > before || protocol === undefined) return undefined;
  const proto = protocolNumbers[protocol];
  const written = formatWrittenPort({ port: String(value ?? 0), endPort, protocol });
  if (isName) return { port: { proto, name: value }, written };
  const first = number ?? 0;
  return {
    port: { proto, first, last: number === undefined ? 65535 : (endPort ?? first) },
    written,
  };
}
