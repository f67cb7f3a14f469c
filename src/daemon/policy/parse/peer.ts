/**
 * @module
 * The fields of an entry that say who is meant → peers. The Cilium kinds only.
 */

import { FieldReader, readText } from '../../../k8s/field.ts';
import { isDnsLabel } from '../../../k8s/name.ts';
import type { Place } from '../../../k8s/place.ts';
import { type Problems, quote, suggest } from '../../../k8s/problem.ts';
import { formatSelector } from '../format-selector.ts';
import type { Peer, Selector } from '../rule.ts';
import { clusterLabelKey, labelSelector } from '../selector.ts';
import { parseCidr, parseCidrSet, type WrittenPeer } from './cidr.ts';
import { parseDnsName, refuseUnsupported } from './proxy.ts';
import { type Entity, entities } from './schema.ts';
import { parseObjectSelector, parsePeer } from './selector.ts';

const peersMax = 1000;

const reservedInCluster = [
  'host',
  'remote-node',
  'init',
  'ingress',
  'health',
  'unmanaged',
  'kube-apiserver',
];

/** What the parser must know about the place where a policy applies. */
export interface PolicyScope {
  /** Empty for policies of the whole cluster. */
  readonly namespace: string;
  readonly cluster: string;
}

export interface ParsedPeers {
  readonly peers: readonly Peer[] | 'any';
  /** The field's value as upstream prints it. */
  readonly written: unknown;
}

/** The peers that one field names. Problems if they cannot be carried out. */
export function parsePeers(item: FieldReader, field: string, scope: PolicyScope): ParsedPeers {
  const { problems } = item;
  const read = (parse: (value: unknown, place: Place) => WrittenPeer | undefined): ParsedPeers => {
    const found = item.each(field, peersMax, parse) ?? [];
    return { peers: found.map((each) => each.peer), written: found.map((each) => each.written) };
  };
  switch (field.replace(/^(from|to)/, '')) {
    case 'Endpoints':
      return read((value, place) => labelsPeer(parsePeer(value, place, scope.namespace, problems)));
    case 'CIDR':
      return read((value, place) => parseCidr(value, place, 'outside', problems));
    case 'CIDRSet':
      return read((value, place) => parseCidrSet(value, place, problems));
    case 'Entities':
      return parseEntities(item, field, scope);
    case 'Nodes':
      return read((value, place) => parseNodes(value, place, problems));
    case 'Services':
      return read((value, place) => parseService(value, place, problems));
    case 'Groups':
      refuseGroups(item, field);
      break;
    default:
      refuseNames(item, field);
  }
  return { peers: [], written: [] };
}

/** `fromRequires` and `toRequires`; empty where absent. */
export function parseRequires(item: FieldReader, field: string, scope: PolicyScope): Selector[] {
  const parsed = item.each(field, peersMax, (value, place) =>
    parsePeer(value, place, scope.namespace, item.problems),
  );
  return parsed ?? [];
}

function labelsPeer(selector: Selector | undefined): WrittenPeer | undefined {
  if (selector === undefined) return undefined;
  return { peer: { kind: 'labels', selector }, written: formatSelector(selector) };
}

function parseEntities(item: FieldReader, field: string, scope: PolicyScope): ParsedPeers {
  const names = item.each(field, peersMax, (value, place) => {
    const text = readText(value, place, item.problems);
    const found = entities.find((each) => each === text);
    if (text !== undefined && found === undefined) {
      const nearest = suggest(text, entities);
      item.problems.add(place, `unknown entity ${quote(text)}${nearest}`);
    }
    return found;
  });
  const written = names ?? [];
  if (written.includes('all')) return { peers: 'any', written };
  const peers = written.flatMap((name) => entitySelectors(name, scope));
  return { peers: peers.map((selector) => ({ kind: 'labels', selector })), written };
}

/** The selectors of an entity other than `all`. */
function entitySelectors(name: Entity, scope: PolicyScope): Selector[] {
  switch (name) {
    case 'world':
      return ['world', 'world-ipv4', 'world-ipv6'].map((each) => labelSelector(`reserved:${each}`));
    case 'cluster':
      return [
        ...reservedInCluster.map((each) => labelSelector(`reserved:${each}`)),
        labelSelector(`k8s:${clusterLabelKey}=${scope.cluster}`),
      ];
    case 'none':
      return [];
    default:
      return [labelSelector(`reserved:${name}`)];
  }
}

function parseNodes(value: unknown, place: Place, problems: Problems): WrittenPeer | undefined {
  const selector = parseObjectSelector(value, place, 'peer-node', problems);
  if (selector === undefined) return undefined;
  return { peer: { kind: 'nodes', selector }, written: formatSelector(selector) };
}

const serviceChoices = ['k8sService', 'k8sServiceSelector'];

function parseService(value: unknown, place: Place, problems: Problems): WrittenPeer | undefined {
  const reader = FieldReader.open(value, place, serviceChoices, problems);
  if (reader === undefined) return undefined;
  if (serviceChoices.filter((each) => reader.has(each)).length !== 1) {
    problems.add(place, `must have exactly one of ${serviceChoices.join(' and ')}`);
    return undefined;
  }
  const service = reader.object('k8sService', ['serviceName', 'namespace']);
  if (service !== undefined) return namedService(service);
  const selected = reader.object('k8sServiceSelector', ['selector', 'namespace']);
  if (selected === undefined) return undefined;
  const namespace = parseNamespace(selected);
  if (!selected.require('selector')) return undefined;
  const at = selected.at('selector');
  const selector = parseObjectSelector(selected.fields['selector'], at, 'object', problems);
  if (selector === undefined) return undefined;
  const written = { selector: formatSelector(selector), ...writtenNamespace(namespace) };
  return {
    peer: { kind: 'service', namespace, name: undefined, selector },
    written: { k8sServiceSelector: written },
  };
}

function namedService(reader: FieldReader): WrittenPeer | undefined {
  const name = reader.require('serviceName') ? reader.text('serviceName') : undefined;
  const namespace = parseNamespace(reader);
  if (name === undefined) return undefined;
  if (!isDnsLabel(name)) reader.refuse('serviceName', `not the name of a service: ${quote(name)}`);
  const written = { serviceName: name, ...writtenNamespace(namespace) };
  return {
    peer: { kind: 'service', namespace, name, selector: undefined },
    written: { k8sService: written },
  };
}

/** Absent and empty are every namespace. */
function parseNamespace(reader: FieldReader): string | undefined {
  const namespace = reader.text('namespace');
  if (namespace === undefined || namespace === '') return undefined;
  if (!isDnsLabel(namespace)) reader.refuse('namespace', `not a namespace: ${quote(namespace)}`);
  return namespace;
}

function writtenNamespace(namespace: string | undefined): { namespace?: string } {
  return namespace === undefined ? {} : { namespace };
}

const awsFields = ['labels', 'region', 'securityGroupsIds', 'securityGroupsNames'];

function refuseGroups(item: FieldReader, field: string): void {
  const { problems } = item;
  const before = problems.count;
  item.each(field, peersMax, (value, place) => {
    const aws = FieldReader.open(value, place, ['aws'], problems)?.object('aws', awsFields);
    aws?.textMap('labels', peersMax);
    aws?.text('region');
    aws?.texts('securityGroupsIds', peersMax);
    aws?.texts('securityGroupsNames', peersMax);
    return aws;
  });
  if (problems.count === before) {
    problems.add(item.at(field), 'cloud provider groups are not supported', true);
  }
}

function refuseNames(item: FieldReader, field: string): void {
  const before = item.problems.count;
  item.each(field, peersMax, (value, place) => parseDnsName(value, place, item));
  if (item.problems.count === before) refuseUnsupported(item.at(field), 'DNS rules', item);
}
