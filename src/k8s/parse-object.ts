/**
 * @module
 * Objects that are not policies: the fields that policy needs are checked, all others are none of
 * our business.
 */

import { formatAddress, parseAddress } from '../net/address.ts';
import { formatPrefix, parsePrefix } from '../net/prefix.ts';
import { FieldReader, readText } from './field.ts';
import { type Metadata, parseLabelMap } from './metadata.ts';
import { isDnsLabel, isPortName } from './name.ts';
import type {
  CidrGroupObject,
  ClusterObject,
  ClusterObjectKind,
  ContainerPort,
  EndpointsObject,
  NamespaceObject,
  NodeObject,
  PodObject,
  ServiceObject,
} from './object.ts';
import type { Place } from './place.ts';
import { type Problems, quote } from './problem.ts';

const containersMax = 1000;
const portsMax = 10_000;
const addressesMax = 10_000;
const cidrsMax = 40_000;
const serviceNameLabel = 'kubernetes.io/service-name';
const namespaceNameLabel = 'kubernetes.io/metadata.name';

const protocolNumbers: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };
const protocols = ['TCP', 'UDP', 'SCTP'] as const;

/** Undefined, and problems, if a field that policy needs is wrong. */
export function parseObject(
  kind: ClusterObjectKind,
  object: FieldReader,
  metadata: Metadata,
): ClusterObject | undefined {
  const before = object.problems.count;
  const parsed = parsers[kind](object, metadata);
  return object.problems.count > before ? undefined : parsed;
}

const parsers: Readonly<
  Record<ClusterObjectKind, (object: FieldReader, metadata: Metadata) => ClusterObject>
> = {
  Namespace: parseNamespace,
  Pod: parsePod,
  Node: parseNode,
  Service: parseService,
  Endpoints: parseEndpoints,
  EndpointSlice: parseEndpointSlice,
  CiliumCIDRGroup: parseCidrGroup,
};

function parseNamespace(object: FieldReader, { name, labels }: Metadata): NamespaceObject {
  if (!isDnsLabel(name)) {
    object.problems.add(object.at('metadata').field('name'), `not a namespace: ${quote(name)}`);
  }
  return { kind: 'Namespace', name, labels: { ...labels, [namespaceNameLabel]: name } };
}

function parsePod(object: FieldReader, { namespace, name, uid, labels }: Metadata): PodObject {
  const spec = object.object('spec', []);
  const status = object.object('status', []);
  const addresses: string[] = [];
  status?.each('podIPs', addressesMax, (each, place) => {
    const entry = FieldReader.openLenient(each, place, object.problems);
    if (entry?.has('ip') === true) addresses.push(...addressOf(entry, 'ip'));
  });
  // A pod that has no address yet has an empty one in some clients' output.
  if (status?.has('podIP') === true && status.fields['podIP'] !== '') {
    addresses.push(...addressOf(status, 'podIP'));
  }
  const phase = status?.text('phase');
  return {
    kind: 'Pod',
    namespace,
    name,
    uid,
    labels,
    serviceAccount: spec?.text('serviceAccountName'),
    nodeName: spec?.text('nodeName'),
    hostNetwork: spec?.flag('hostNetwork') ?? false,
    addresses: [...new Set(addresses)],
    ports: spec === undefined ? [] : containerPorts(spec),
    ended: phase === 'Succeeded' || phase === 'Failed',
  };
}

/** Init containers count while the pod runs only if they go on beside it. */
function containerPorts(spec: FieldReader): ContainerPort[] {
  const portsOf = (field: string, counts: (container: FieldReader) => boolean) =>
    (
      spec.each(field, containersMax, (value, place) => {
        const container = FieldReader.openLenient(value, place, spec.problems);
        if (container === undefined || !counts(container)) return undefined;
        return container.each('ports', portsMax, (each, at) => portOf(each, at, spec.problems));
      }) ?? []
    ).flat();
  return [
    ...portsOf('containers', () => true),
    ...portsOf('initContainers', (each) => each.value('restartPolicy') === 'Always'),
  ];
}

function portOf(value: unknown, place: Place, problems: Problems): ContainerPort | undefined {
  const entry = FieldReader.openLenient(value, place, problems);
  if (entry === undefined || !entry.has('name') || entry.value('name') === '') return undefined;
  const name = entry.text('name');
  if (name !== undefined && !isPortName(name)) {
    entry.refuse('name', `not the name of a port: ${quote(name)}`);
  }
  const port = entry.require('containerPort')
    ? entry.integer('containerPort', 1, 65535)
    : undefined;
  const protocol = entry.has('protocol') ? entry.choice('protocol', protocols) : 'TCP';
  if (name === undefined || port === undefined || protocol === undefined) return undefined;
  return { name, port, proto: protocolNumbers[protocol] ?? 0 };
}

function parseNode(object: FieldReader, { name, labels }: Metadata): NodeObject {
  const status = object.object('status', []);
  const addresses = status?.each('addresses', addressesMax, (each, place) => {
    const entry = FieldReader.openLenient(each, place, object.problems);
    const text = entry?.text('address');
    // Host names stand in this list, too.
    const address = text === undefined ? undefined : parseAddress(text);
    return address === undefined ? undefined : formatAddress(address);
  });
  return { kind: 'Node', name, labels, addresses: [...new Set(addresses)] };
}

function parseService(object: FieldReader, { namespace, name, labels }: Metadata): ServiceObject {
  const spec = object.object('spec', []);
  const selector = spec?.has('selector') === true ? parseLabelMap(spec, 'selector') : undefined;
  return { kind: 'Service', namespace, name, labels, selector };
}

function parseEndpoints(object: FieldReader, { namespace, name }: Metadata): EndpointsObject {
  const subsets = object.each('subsets', addressesMax, (value, place) =>
    FieldReader.openLenient(value, place, object.problems)?.each(
      'addresses',
      addressesMax,
      (each, at) => {
        const entry = FieldReader.openLenient(each, at, object.problems);
        return entry?.require('ip') === true ? addressOf(entry, 'ip') : undefined;
      },
    ),
  );
  const addresses = [...new Set((subsets ?? []).flat(2))];
  return { kind: 'Endpoints', namespace, name, service: name, addresses };
}

function parseEndpointSlice(
  object: FieldReader,
  { namespace, name, labels }: Metadata,
): EndpointsObject {
  const isNames = object.value('addressType') === 'FQDN';
  const found = object.each('endpoints', addressesMax, (value, place) => {
    const endpoint = FieldReader.openLenient(value, place, object.problems);
    const conditions = endpoint?.object('conditions', []);
    // One that ends still serves those who know it.
    const serves = conditions?.flag('ready') !== false || conditions.flag('serving') === true;
    if (!serves || isNames) return undefined;
    return endpoint?.each('addresses', addressesMax, (each, at) => {
      const text = readText(each, at, object.problems);
      return text === undefined ? undefined : canonicalAddress(text, at, object.problems);
    });
  });
  const addresses = [...new Set((found ?? []).flat())];
  return { kind: 'EndpointSlice', namespace, name, service: labels[serviceNameLabel], addresses };
}

/** Policies rest on it, so it is read as strictly as they are. */
function parseCidrGroup(object: FieldReader, { name, labels }: Metadata): CidrGroupObject {
  const spec = object.require('spec') ? object.object('spec', ['externalCIDRs']) : undefined;
  if (spec?.has('externalCIDRs') === false) spec.require('externalCIDRs');
  const cidrs = spec?.each('externalCIDRs', cidrsMax, (each, place) => {
    const text = readText(each, place, object.problems);
    return text === undefined ? undefined : readCidr(text, place, object.problems);
  });
  return { kind: 'CiliumCIDRGroup', name, labels, cidrs: [...new Set(cidrs)] };
}

/** The canonical text of a block, or undefined (and a problem). */
export function readCidr(text: string, place: Place, problems: Problems): string | undefined {
  const prefix = parsePrefix(text);
  if (prefix !== undefined) return formatPrefix(prefix);
  const address = parseAddress(text);
  const hint =
    address === undefined ? '' : `; one address is ${text}/${address.family === 4 ? 32 : 128}`;
  problems.add(place, `not a block of addresses: ${quote(text)}${hint}`);
  return undefined;
}

function addressOf(entry: FieldReader, name: string): string[] {
  const text = entry.text(name);
  if (text === undefined) return [];
  const address = canonicalAddress(text, entry.at(name), entry.problems);
  return address === undefined ? [] : [address];
}

function canonicalAddress(text: string, place: Place, problems: Problems): string | undefined {
  const address = parseAddress(text);
  if (address !== undefined) return formatAddress(address);
  problems.add(place, `not an address: ${quote(text)}`);
  return undefined;
}
