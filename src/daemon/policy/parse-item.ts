/**
 * @module
 * One entry of an ingress or egress list: peers and ports. What absent, empty and `{}` mean is
 * decided here and nowhere else.
 */

import { parsePeer } from './parse-selector.ts';
import { type Problems, quote, suggest } from './problems.ts';
import type { Direction, Port, PortRange, RuleItem, Selector } from './rule.ts';
import {
  entitiesKnown,
  entitiesSupported,
  type Fields,
  itemSchemas,
  portSchema,
  readList,
  readObject,
  readText,
  toPortsSchema,
} from './schema.ts';
import { clusterLabelKey, labelSelector } from './selector.ts';

const peersMax = 1000;
const toPortsMax = 1000;
const portsMax = 40;

const protoNumbers = { TCP: 6, UDP: 17 } as const;
const protocols = ['TCP', 'UDP', 'ANY'] as const;
const protocolsKnown = ['SCTP', 'ICMP', 'ICMPV6', 'ICMPv6'];

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
  readonly namespace: string;
  readonly cluster: string;
}

/** Undefined (and problems) if anything in it cannot be carried out. */
export function parseItem(
  value: unknown,
  path: string,
  item: number,
  direction: Direction,
  scope: PolicyScope,
  problems: Problems,
): RuleItem | undefined {
  const fields = readObject(value, path, itemSchemas[direction], problems);
  if (fields === undefined) return undefined;
  const before = problems.count;
  const side = direction === 'ingress' ? 'from' : 'to';
  const endpoints = parseEndpoints(fields, `${side}Endpoints`, path, scope, problems);
  const entities = parseEntities(fields, `${side}Entities`, path, problems);
  if (
    endpoints !== undefined &&
    endpoints.length > 0 &&
    entities !== undefined &&
    entities.length > 0
  ) {
    problems.add(
      path,
      `${side}Endpoints and ${side}Entities cannot stand together; use two entries`,
    );
  }
  const toPorts = parseToPorts(fields, path, problems);
  if (problems.count > before) return undefined;
  const ports = toPorts === undefined || toPorts.length === 0 ? undefined : portRanges(toPorts);
  const peers = peersOf(endpoints, entities, ports !== undefined, scope);
  return { item, deny: false, peers, ports, endpoints, entities, toPorts };
}

/**
 * Absent peers are anybody, an empty list is nobody; but an entry that names neither peers nor
 * ports (`{}`) allows nothing: that is how a default deny is written.
 */
function peersOf(
  endpoints: readonly Selector[] | undefined,
  entities: readonly string[] | undefined,
  withPorts: boolean,
  scope: PolicyScope,
): readonly Selector[] | 'any' {
  if (endpoints === undefined && entities === undefined) return withPorts ? 'any' : [];
  if (entities?.includes('all') === true) return 'any';
  return [...(endpoints ?? []), ...(entities ?? []).flatMap((name) => entity(name, scope))];
}

/** The selectors of an entity other than `all`. */
function entity(name: string, scope: PolicyScope): Selector[] {
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

function parseEndpoints(
  fields: Fields,
  field: string,
  path: string,
  scope: PolicyScope,
  problems: Problems,
): Selector[] | undefined {
  if (!Object.hasOwn(fields, field)) return undefined;
  const list = readList(fields[field], `${path}.${field}`, peersMax, problems) ?? [];
  return list.flatMap(
    (each, index) => parsePeer(each, `${path}.${field}[${index}]`, scope.namespace, problems) ?? [],
  );
}

function parseEntities(
  fields: Fields,
  field: string,
  path: string,
  problems: Problems,
): string[] | undefined {
  if (!Object.hasOwn(fields, field)) return undefined;
  const list = readList(fields[field], `${path}.${field}`, peersMax, problems) ?? [];
  const entities: string[] = [];
  for (const [index, each] of list.entries()) {
    const at = `${path}.${field}[${index}]`;
    const name = readText(each, at, problems);
    if (name === undefined) continue;
    if (entitiesSupported.includes(name)) entities.push(name);
    else if (entitiesKnown.includes(name)) {
      problems.add(at, `entity ${name} is known but not supported yet`);
    } else {
      const nearest = suggest(name, [...entitiesSupported, ...entitiesKnown]);
      problems.add(at, `unknown entity ${quote(name)}${nearest}`);
    }
  }
  return entities;
}

function parseToPorts(fields: Fields, path: string, problems: Problems): Port[][] | undefined {
  if (!Object.hasOwn(fields, 'toPorts')) return undefined;
  const at = `${path}.toPorts`;
  const list = readList(fields['toPorts'], at, toPortsMax, problems) ?? [];
  return list.map((each, index) => parsePortRule(each, `${at}[${index}]`, problems));
}

function parsePortRule(value: unknown, path: string, problems: Problems): Port[] {
  const fields = readObject(value, path, toPortsSchema, problems);
  if (fields === undefined) return [];
  const at = `${path}.ports`;
  const list = readList(fields['ports'] ?? [], at, portsMax, problems);
  if (list?.length === 0) {
    problems.add(at, 'names no port; leave toPorts out to mean every port and protocol');
  }
  return (list ?? []).flatMap((each, index) => parsePort(each, `${at}[${index}]`, problems) ?? []);
}

function parsePort(value: unknown, path: string, problems: Problems): Port | undefined {
  const fields = readObject(value, path, portSchema, problems);
  if (fields === undefined) return undefined;
  const before = problems.count;
  const port = parsePortNumber(fields['port'], `${path}.port`, problems);
  const protocol = parseProtocol(fields, path, problems);
  const endPort = parseEndPort(fields, path, port ?? 0, problems);
  if (problems.count > before || port === undefined || protocol === undefined) return undefined;
  return { port, endPort, protocol };
}

function parsePortNumber(value: unknown, path: string, problems: Problems): number | undefined {
  const text = readText(value, path, problems);
  if (text === undefined) return undefined;
  if (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65535) return Number(text);
  if (/^(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/.test(text) && text.length <= 63) {
    problems.add(path, `port name ${quote(text)}: named ports are known but not supported yet`);
  } else problems.add(path, `not a port: ${quote(text)}`);
  return undefined;
}

function parseProtocol(
  fields: Fields,
  path: string,
  problems: Problems,
): Port['protocol'] | undefined {
  if (!Object.hasOwn(fields, 'protocol')) return 'ANY';
  const text = readText(fields['protocol'], `${path}.protocol`, problems);
  const found = protocols.find((each) => each === text);
  if (found !== undefined || text === undefined) return found;
  const known = protocolsKnown.includes(text);
  const message = known
    ? `protocol ${text} is known but not supported yet`
    : `unknown protocol ${quote(text)}${suggest(text, protocols)}`;
  problems.add(`${path}.protocol`, message);
  return undefined;
}

function parseEndPort(
  fields: Fields,
  path: string,
  port: number,
  problems: Problems,
): number | undefined {
  const value = fields['endPort'];
  if (!Object.hasOwn(fields, 'endPort') || value === 0) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 65535) {
    problems.add(`${path}.endPort`, `must be a number from 0 to 65535, is ${quote(value)}`);
    return undefined;
  }
  if (port === 0) problems.add(`${path}.endPort`, 'needs a port above 0');
  else if (value < port) problems.add(`${path}.endPort`, `is below port ${port}`);
  return value;
}

/** Port 0 is every port of the protocol, ANY every protocol that has ports. */
function portRanges(toPorts: readonly (readonly Port[])[]): PortRange[] {
  const ranges: PortRange[] = [];
  for (const { port, endPort, protocol } of toPorts.flat()) {
    const names = protocol === 'ANY' ? (['TCP', 'UDP'] as const) : ([protocol] as const);
    const last = port === 0 ? 65535 : (endPort ?? port);
    for (const name of names) ranges.push({ proto: protoNumbers[name], first: port, last });
  }
  return ranges;
}
