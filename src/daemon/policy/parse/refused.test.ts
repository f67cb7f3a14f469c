import { describe, expect, test } from 'bun:test';
import { formatProblem, type Problem } from '../../../k8s/problem.ts';
import { parseDocuments } from './parse.ts';

/** Every case is a document and the problem that it must have, path and message, and no other. */

function problemsOf(document: unknown): readonly Problem[] {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  const result = parseDocuments(text);
  return result.kind === 'refused' ? result.problems : [];
}

const textsOf = (document: unknown) =>
  problemsOf(document).map(({ path, message }) => `${path}: ${message}`);

const cilium = (kind: string, spec: object, metadata: object) => ({
  apiVersion: 'cilium.io/v2',
  kind,
  metadata: { name: 'foo', ...metadata },
  spec,
});
const cnp = (spec: object) => cilium('CiliumNetworkPolicy', spec, { namespace: 'ns' });
const ccnp = (spec: object) => cilium('CiliumClusterwideNetworkPolicy', spec, {});
const item = (fields: object) => cnp({ endpointSelector: {}, ingress: [fields] });
const out = (fields: object) => cnp({ endpointSelector: {}, egress: [fields] });
const denied = (fields: object) => cnp({ endpointSelector: {}, ingressDeny: [fields] });
const toPorts = (fields: object) => ({
  toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], ...fields }],
});
const ports = (list: unknown) => item({ toPorts: [{ ports: list }] });
const port = (fields: object) => ports([fields]);
const selector = (fields: object) => item({ fromEndpoints: [fields] });
const icmp = (fields: object) => item({ icmps: [{ fields: [fields] }] });
const repeat = (count: number, each: unknown) => Array(count).fill(each);

const at = 'ns/foo: spec.ingress[0]';
const to = 'ns/foo: spec.egress[0]';
const portAt = `${at}.toPorts[0].ports[0]`;
const later = 'are not carried out yet: the whole policy is refused';

type Case = readonly [document: unknown, expected: string];

const documentCases: readonly Case[] = [
  ['hello', 'document 1: must be an object, is "hello"'],
  ['[1]', 'document 1: must be an object, is [1]'],
  ['a: 1\na: 2', 'document 1: Map keys must be unique'],
  [{}, 'document 1: kind: must be a string, is null'],
  [{ kind: 1 }, 'document 1: kind: must be a string, is 1'],
  [
    { kind: 'CiliumNetworkPolicie' },
    'document 1: kind: unknown kind "CiliumNetworkPolicie" (did you mean CiliumNetworkPolicy?)',
  ],
  [{ kind: 'Deployment', apiVersion: 'apps/v1' }, 'document 1: kind: unknown kind "Deployment"'],
  [
    { kind: 'CiliumNetworkPolicy' },
    'document 1: apiVersion: must be "cilium.io/v2" for kind CiliumNetworkPolicy, is undefined',
  ],
  [
    { kind: 'NetworkPolicy', apiVersion: 'extensions/v1beta1' },
    'document 1: apiVersion: must be "networking.k8s.io/v1" for kind NetworkPolicy, is "extensions/v1beta1"',
  ],
  [
    { kind: 'CiliumCIDRGroup', apiVersion: 'v1' },
    'document 1: apiVersion: must be "cilium.io/v2" or "cilium.io/v2alpha1" for kind CiliumCIDRGroup, is "v1"',
  ],
  [
    { kind: 'AdminNetworkPolicy' },
    'document 1: kind: AdminNetworkPolicy is not supported; use ClusterNetworkPolicy with tier Admin',
  ],
  [
    { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: undefined },
    'document 1: metadata: is missing',
  ],
  [
    { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: {} },
    'document 1: metadata.name: is missing',
  ],
  [
    { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: { name: 'A' } },
    'document 1: metadata.name: not a name: "A"',
  ],
  [
    { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: { name: 'a', namespace: 'a.b' } },
    'document 1: metadata.namespace: not a namespace: "a.b"',
  ],
  [
    { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: { name: 'a', uid: 'a b' } },
    'document 1: metadata.uid: not a uid: "a b"',
  ],
  [
    { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: { name: 'a', nane: '' } },
    'document 1: metadata.nane: unknown field (did you mean name?)',
  ],
  [
    {
      ...cnp({ endpointSelector: {}, ingress: [] }),
      metadata: { name: 'a', labels: { 'a b': 'c' } },
    },
    'document 1: metadata.labels["a b"]: not a label key: "a b"',
  ],
  [
    cilium(
      'CiliumClusterwideNetworkPolicy',
      { endpointSelector: {}, ingress: [] },
      { namespace: 'a' },
    ),
    'document 1: metadata.namespace: must be absent: the kind belongs to the whole cluster',
  ],
  [
    { ...cnp({ endpointSelector: {}, ingress: [] }), specc: 1 },
    'document 1: specc: unknown field (did you mean spec?)',
  ],
  [{ ...cnp({}), spec: undefined }, 'ns/foo: has neither spec nor specs'],
  [{ ...cnp({}), spec: undefined, specs: [] }, 'ns/foo: has neither spec nor specs'],
  [{ ...cnp({}), spec: null }, 'ns/foo: spec: must be an object, is null'],
  [
    { ...cnp({}), spec: undefined, specs: [{ endpointSelector: {}, ingres: [], egress: [] }] },
    'ns/foo: specs[0].ingres: unknown field (did you mean ingress?)',
  ],
  [{ apiVersion: 'v1', kind: 'List' }, 'document 1: items: is missing'],
  [{ apiVersion: 'v1', kind: 'List', items: {} }, 'document 1: items: must be a list, is {}'],
  [{ apiVersion: 'v1', kind: 'List', items: [1] }, 'document 1: items[0]: must be an object, is 1'],
  [
    { apiVersion: 'v1', kind: 'List', items: repeat(2001, {}) },
    'document 1: items: has 2001 entries, at most 2000 are possible',
  ],
];

const ruleCases: readonly Case[] = [
  [
    cnp({ endpointSelector: {} }),
    'ns/foo: spec: has none of ingress, ingressDeny, egress, egressDeny',
  ],
  [
    cnp({ ingress: [] }),
    'ns/foo: spec.endpointSelector: is missing; {} means every pod of the namespace',
  ],
  [ccnp({ ingress: [] }), 'foo: spec.endpointSelector: is missing; {} means every pod'],
  [
    cnp({ nodeSelector: {}, ingress: [] }),
    'ns/foo: spec.nodeSelector: is possible in a CiliumClusterwideNetworkPolicy only',
  ],
  [
    ccnp({ nodeSelector: {}, endpointSelector: {}, ingress: [] }),
    'foo: spec: endpointSelector and nodeSelector cannot stand together',
  ],
  [
    ccnp({ nodeSelector: { matchLabels: { 'reserved:host': '' } }, ingress: [] }),
    'foo: spec.nodeSelector.matchLabels["reserved:host"]: labels here have the source k8s or none, not "reserved"',
  ],
  [cnp({ endpointSelector: {}, ingress: {} }), 'ns/foo: spec.ingress: must be a list, is {}'],
  [
    cnp({ endpointSelector: {}, ingress: repeat(1001, {}) }),
    'ns/foo: spec.ingress: has 1001 entries, at most 1000 are possible',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [], description: 1 }),
    'ns/foo: spec.description: must be a string: "1"',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [], enableDefaultDeny: { egress: true } }),
    'ns/foo: spec.enableDefaultDeny.egress: has no effect without egress; write egress: [{}]',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [], enableDefaultDeny: { ingress: 'no' } }),
    'ns/foo: spec.enableDefaultDeny.ingress: must be true or false, is "no"',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [], enableDefaultDeny: { Ingress: true } }),
    'ns/foo: spec.enableDefaultDeny.Ingress: unknown field (did you mean ingress?)',
  ],
  [
    cnp({
      endpointSelector: {},
      ingress: [],
      labels: [{ key: 'io.cilium.k8s.policy.name', value: 'x' }],
    }),
    'ns/foo: spec.labels[0].key: is set by the system only',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [], labels: [{ key: 'io.cilium.policy.derived-from' }] }),
    'ns/foo: spec.labels[0].key: is set by the system only',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [], labels: [{ key: 'a', source: 'reserved' }] }),
    'ns/foo: spec.labels[0].source: is set by the system only',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [], labels: [{ key: 'a=b' }] }),
    'ns/foo: spec.labels[0].key: not a label key: "a=b"',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [], labels: [{ value: 'b' }] }),
    'ns/foo: spec.labels[0].key: is missing',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [], labels: repeat(101, { key: 'a' }) }),
    'ns/foo: spec.labels: has 101 entries, at most 100 are possible',
  ],
  [
    cnp({
      endpointSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'other' } },
      ingress: [],
    }),
    'ns/foo: spec.endpointSelector.matchLabels: selects namespace "other" from a policy in "ns"',
  ],
  [
    cnp({
      endpointSelector: { matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'other' } },
      ingress: [],
    }),
    'ns/foo: spec.endpointSelector.matchLabels: selects namespace "other" from a policy in "ns"',
  ],
  [
    cnp({ endpointSelector: { matchLabels: { 'cidr:10.0.0.0/8': '' } }, ingress: [] }),
    'ns/foo: spec.endpointSelector.matchLabels["cidr:10.0.0.0/8"]: labels of source cidr cannot be selected; use fromCIDR or toCIDR',
  ],
];

const peerCases: readonly Case[] = [
  [item({ fromEndpoint: [] }), `${at}.fromEndpoint: unknown field (did you mean fromEndpoints?)`],
  [item({ toEndpoints: [] }), `${at}.toEndpoints: unknown field (did you mean fromEndpoints?)`],
  [item({ toServices: [] }), `${at}.toServices: unknown field`],
  [out({ fromEndpoints: [] }), `${to}.fromEndpoints: unknown field (did you mean toEndpoints?)`],
  [item({ fromEndpoints: null }), `${at}.fromEndpoints: must be a list, is null`],
  [
    item({ fromEndpoints: repeat(1001, {}) }),
    `${at}.fromEndpoints: has 1001 entries, at most 1000 are possible`,
  ],
  [item({ fromEndpoints: [[]] }), `${at}.fromEndpoints[0]: must be an object, is []`],
  [
    item({ fromEndpoints: [{}], fromEntities: ['host'] }),
    `${at}: fromEndpoints and fromEntities cannot stand together; use one entry for each`,
  ],
  [
    item({ fromEndpoints: [], fromCIDR: [] }),
    `${at}: fromEndpoints and fromCIDR cannot stand together; use one entry for each`,
  ],
  [
    out({ toServices: [], toNodes: [] }),
    `${to}: toNodes and toServices cannot stand together; use one entry for each`,
  ],
  [
    selector({ matchLabel: {} }),
    `${at}.fromEndpoints[0].matchLabel: unknown field (did you mean matchLabels?)`,
  ],
  [selector({ matchLabels: [] }), `${at}.fromEndpoints[0].matchLabels: must be an object, is []`],
  [
    selector({ matchLabels: { a: 1 } }),
    `${at}.fromEndpoints[0].matchLabels["a"]: must be a string: "1"`,
  ],
  [
    selector({ matchLabels: { a: 'x y' } }),
    `${at}.fromEndpoints[0].matchLabels["a"]: not a label value: "x y"`,
  ],
  [
    selector({ matchLabels: { 'a&b': '' } }),
    `${at}.fromEndpoints[0].matchLabels["a&b"]: not a label key: "a&b"`,
  ],
  [
    selector({ matchLabels: { a: '', 'any:a': '' } }),
    `${at}.fromEndpoints[0].matchLabels["any:a"]: the same key twice`,
  ],
  [
    selector({
      matchLabels: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`a${i}`, ''])),
    }),
    `${at}.fromEndpoints[0].matchLabels: has 101 entries, at most 100 are possible`,
  ],
  [
    selector({ matchLabels: { 'k9s:a': 'b' } }),
    `${at}.fromEndpoints[0].matchLabels["k9s:a"]: unknown label source "k9s" (did you mean k8s?)`,
  ],
  [
    selector({ matchLabels: { 'cidrgroup:a': '' } }),
    `${at}.fromEndpoints[0].matchLabels["cidrgroup:a"]: labels of source cidrgroup cannot be selected; use fromCIDRSet or toCIDRSet with cidrGroupRef or cidrGroupSelector`,
  ],
  [
    selector({ matchLabels: { 'fqdn:a': '' } }),
    `${at}.fromEndpoints[0].matchLabels["fqdn:a"]: labels of source fqdn cannot be selected; use toFQDNs`,
  ],
  [
    selector({ matchLabels: { 'node:a': '' } }),
    `${at}.fromEndpoints[0].matchLabels["node:a"]: labels of source node cannot be selected; use fromNodes, toNodes or nodeSelector`,
  ],
  [
    selector({ matchLabels: { 'peer:outside': '' } }),
    `${at}.fromEndpoints[0].matchLabels["peer:outside"]: labels of source peer cannot be selected; no label has this source`,
  ],
  [
    selector({ matchExpressions: [{ key: 'port:http/6', operator: 'Exists' }] }),
    `${at}.fromEndpoints[0].matchExpressions[0].key: labels of source port cannot be selected; use toPorts`,
  ],
  [
    selector({ matchExpressions: [{ key: 'a', operator: 'in', values: ['b'] }] }),
    `${at}.fromEndpoints[0].matchExpressions[0].operator: must be one of In, NotIn, Exists, DoesNotExist, is "in" (did you mean In?)`,
  ],
  [
    selector({ matchExpressions: [{ key: 'a' }] }),
    `${at}.fromEndpoints[0].matchExpressions[0].operator: is missing`,
  ],
  [
    selector({ matchExpressions: [{ operator: 'Exists' }] }),
    `${at}.fromEndpoints[0].matchExpressions[0].key: is missing`,
  ],
  [
    selector({ matchExpressions: [{ key: 'a', operator: 'In' }] }),
    `${at}.fromEndpoints[0].matchExpressions[0].values: In needs at least one`,
  ],
  [
    selector({ matchExpressions: [{ key: 'a', operator: 'NotIn', values: [] }] }),
    `${at}.fromEndpoints[0].matchExpressions[0].values: NotIn needs at least one`,
  ],
  [
    selector({ matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] }),
    `${at}.fromEndpoints[0].matchExpressions[0].values: Exists takes none`,
  ],
  [
    selector({ matchExpressions: [{ key: 'a', operator: 'In', values: ['b', ' '] }] }),
    `${at}.fromEndpoints[0].matchExpressions[0].values[1]: not a label value: " "`,
  ],
  [
    item({ fromEntities: ['wrold'] }),
    `${at}.fromEntities[0]: unknown entity "wrold" (did you mean world?)`,
  ],
  [item({ fromEntities: [1] }), `${at}.fromEntities[0]: must be a string: "1"`],
  [
    item({ fromCIDR: ['10.0.0.1'] }),
    `${at}.fromCIDR[0]: not a block of addresses: "10.0.0.1"; one address is 10.0.0.1/32`,
  ],
  [
    item({ fromCIDR: ['fd00::1'] }),
    `${at}.fromCIDR[0]: not a block of addresses: "fd00::1"; one address is fd00::1/128`,
  ],
  [
    item({ fromCIDR: ['10.0.0.0/33'] }),
    `${at}.fromCIDR[0]: not a block of addresses: "10.0.0.0/33"`,
  ],
  [
    item({ fromCIDR: ['010.0.0.0/8'] }),
    `${at}.fromCIDR[0]: not a block of addresses: "010.0.0.0/8"`,
  ],
  [item({ fromCIDR: ['x'] }), `${at}.fromCIDR[0]: not a block of addresses: "x"`],
  [
    item({ fromCIDRSet: [{}] }),
    `${at}.fromCIDRSet[0]: must have exactly one of cidr, cidrGroupRef, cidrGroupSelector`,
  ],
  [
    item({ fromCIDRSet: [{ cidr: '10.0.0.0/8', cidrGroupRef: 'a' }] }),
    `${at}.fromCIDRSet[0]: must have exactly one of cidr, cidrGroupRef, cidrGroupSelector`,
  ],
  [
    item({ fromCIDRSet: [{ cidrGroupRef: 'A' }] }),
    `${at}.fromCIDRSet[0].cidrGroupRef: not a name: "A"`,
  ],
  [
    item({ fromCIDRSet: [{ cidrGroupSelector: { matchLabels: { 'cidr:a': '' } } }] }),
    `${at}.fromCIDRSet[0].cidrGroupSelector.matchLabels["cidr:a"]: labels here have the source k8s or none, not "cidr"`,
  ],
  [
    item({ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] }] }),
    `${at}.fromCIDRSet[0].except[0]: "11.0.0.0/16" does not lie in 10.0.0.0/8`,
  ],
  [
    item({ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['::/0'] }] }),
    `${at}.fromCIDRSet[0].except[0]: "::/0" does not lie in 10.0.0.0/8`,
  ],
  [
    item({ fromNodes: [{ matchLabels: { 'k8s:a': '' } }] }),
    `${at}.fromNodes[0].matchLabels["k8s:a"]: labels here have the source node or none, not "k8s"`,
  ],
  [item({ fromRequires: [1] }), `${at}.fromRequires[0]: must be an object, is 1`],
  [
    out({ toServices: [{}] }),
    `${to}.toServices[0]: must have exactly one of k8sService and k8sServiceSelector`,
  ],
  [
    out({ toServices: [{ k8sService: {} }] }),
    `${to}.toServices[0].k8sService.serviceName: is missing`,
  ],
  [
    out({ toServices: [{ k8sService: { serviceName: 'A' } }] }),
    `${to}.toServices[0].k8sService.serviceName: not the name of a service: "A"`,
  ],
  [
    out({ toServices: [{ k8sService: { serviceName: 'a', namespace: 'A' } }] }),
    `${to}.toServices[0].k8sService.namespace: not a namespace: "A"`,
  ],
  [
    out({ toServices: [{ k8sServiceSelector: {} }] }),
    `${to}.toServices[0].k8sServiceSelector.selector: is missing`,
  ],
  [
    item({ fromGroups: [{ aws: { region: 1 } }] }),
    `${at}.fromGroups[0].aws.region: must be a string: "1"`,
  ],
  [item({ fromGroups: [{ gcp: {} }] }), `${at}.fromGroups[0].gcp: unknown field`],
  [
    cnp({ endpointSelector: {}, egressDeny: [{ toFQDNs: [] }] }),
    'ns/foo: spec.egressDeny[0].toFQDNs: not here: names cannot be denied; deny the blocks of their addresses with toCIDRSet',
  ],
  [out({ toFQDNs: [{}] }), `${to}.toFQDNs[0]: must have exactly one of matchName and matchPattern`],
  [
    out({ toFQDNs: [{ matchName: 'a', matchPattern: 'a' }] }),
    `${to}.toFQDNs[0]: must have exactly one of matchName and matchPattern`,
  ],
  [out({ toFQDNs: [{ matchName: '*.a' }] }), `${to}.toFQDNs[0].matchName: not a DNS name: "*.a"`],
  [out({ toFQDNs: [{ matchName: '' }] }), `${to}.toFQDNs[0].matchName: not a DNS name: ""`],
  [
    out({ toFQDNs: [{ matchPattern: 'a..b' }] }),
    `${to}.toFQDNs[0].matchPattern: not a DNS name: "a..b"`,
  ],
  [
    out({ toFQDNs: [{ matchName: 'a'.repeat(256) }] }),
    `${to}.toFQDNs[0].matchName: has more than 255 characters`,
  ],
];

const wholePorts =
  'not here: a deny is of whole ports; leave it out to deny all that is sent to them';

const portCases: readonly Case[] = [
  [
    item({ toPorts: [{}] }),
    `${at}.toPorts[0].ports: names no port; leave toPorts out to mean every port and protocol`,
  ],
  [
    ports([]),
    `${at}.toPorts[0].ports: names no port; leave toPorts out to mean every port and protocol`,
  ],
  [
    ports(repeat(41, { port: '1' })),
    `${at}.toPorts[0].ports: has 41 entries, at most 40 are possible`,
  ],
  [item({ toPorts: [{ port: [] }] }).spec, 'document 1: kind: must be a string, is null'],
  [port({}), `${portAt}.port: is missing`],
  [port({ port: 80 }), `${portAt}.port: must be a string: "80"`],
  [port({ port: '65536' }), `${portAt}.port: not a port: "65536"`],
  [port({ port: '-1' }), `${portAt}.port: not a port: "-1"`],
  [port({ port: '' }), `${portAt}.port: not a port: ""`],
  [port({ port: 'a_b' }), `${portAt}.port: not a port: "a_b"`],
  [port({ port: 'a--b' }), `${portAt}.port: not a port: "a--b"`],
  [port({ port: 'a123456789012345' }), `${portAt}.port: not a port: "a123456789012345"`],
  [
    port({ port: '80', protocol: 'tcp' }),
    `${portAt}.protocol: must be one of TCP, UDP, SCTP, ANY, is "tcp" (did you mean TCP?)`,
  ],
  [port({ port: '80', protocol: 'ICMPv6' }), `${portAt}.protocol: ICMPv6 has no ports; use icmps`],
  [port({ port: '80', endPort: 79 }), `${portAt}.endPort: is below port 80`],
  [
    port({ port: '80', endPort: 65536 }),
    `${portAt}.endPort: must be a number from 0 to 65535, is 65536`,
  ],
  [
    port({ port: '80', endPort: '90' }),
    `${portAt}.endPort: must be a number from 0 to 65535, is "90"`,
  ],
  [port({ port: '0', endPort: 79 }), `${portAt}.endPort: needs a port above 0`],
  [port({ port: 'http', endPort: 79 }), `${portAt}.endPort: needs a port by number`],
  [port({ port: '80', portEnd: 1 }), `${portAt}.portEnd: unknown field (did you mean port?)`],
  [
    item({ ...toPorts({}), icmps: [{ fields: [{ type: 8 }] }] }),
    `${at}: icmps and toPorts cannot stand together; use one entry for each`,
  ],
  [
    item({ icmps: [{}] }),
    `${at}.icmps[0].fields: names no type; leave icmps out to mean every protocol`,
  ],
  [
    item({ icmps: [{ fields: [] }] }),
    `${at}.icmps[0].fields: names no type; leave icmps out to mean every protocol`,
  ],
  [
    item({ icmps: [{ fields: repeat(41, { type: 8 }) }] }),
    `${at}.icmps[0].fields: has 41 entries, at most 40 are possible`,
  ],
  [icmp({}), `${at}.icmps[0].fields[0].type: is missing`],
  [icmp({ type: 256 }), `${at}.icmps[0].fields[0].type: must be a number from 0 to 255, is 256`],
  [
    icmp({ type: 'EchoReq' }),
    `${at}.icmps[0].fields[0].type: not a type of IPv4: "EchoReq" (did you mean EchoRequest?)`,
  ],
  [
    icmp({ type: 'ping', family: 'IPv6' }),
    `${at}.icmps[0].fields[0].type: not a type of IPv6: "ping" (did you mean EchoRequest?)`,
  ],
  [icmp({ type: '256' }), `${at}.icmps[0].fields[0].type: not a type of IPv4: "256"`],
  [icmp({ type: true }), `${at}.icmps[0].fields[0].type: must be a number or a name, is true`],
  [
    icmp({ type: 'PacketTooBig' }),
    `${at}.icmps[0].fields[0].type: not a type of IPv4: "PacketTooBig" (it is one of family IPv6)`,
  ],
  [
    icmp({ type: 'Photuris', family: 'IPv6' }),
    `${at}.icmps[0].fields[0].type: not a type of IPv6: "Photuris" (it is one of family IPv4)`,
  ],
  [
    icmp({ type: 'echoRequest' }),
    `${at}.icmps[0].fields[0].type: not a type of IPv4: "echoRequest" (did you mean EchoRequest?)`,
  ],
  [
    icmp({ type: 'constructor' }),
    `${at}.icmps[0].fields[0].type: not a type of IPv4: "constructor"`,
  ],
  [
    icmp({ type: 8, family: 'ipv4' }),
    `${at}.icmps[0].fields[0].family: must be one of IPv4, IPv6, is "ipv4" (did you mean IPv4?)`,
  ],
  [item({ authentication: {} }), `${at}.authentication.mode: is missing`],
  [
    item({ authentication: { mode: 'always' } }),
    `${at}.authentication.mode: must be one of disabled, required, test-always-fail, is "always"`,
  ],
  [
    denied({ authentication: { mode: 'disabled' } }),
    'ns/foo: spec.ingressDeny[0].authentication: not here: what is denied is not asked who it is; leave it out',
  ],
  [denied(toPorts({ rules: {} })), `ns/foo: spec.ingressDeny[0].toPorts[0].rules: ${wholePorts}`],
  [
    denied(toPorts({ serverNames: [] })),
    `ns/foo: spec.ingressDeny[0].toPorts[0].serverNames: ${wholePorts}`,
  ],
  [
    denied(toPorts({ terminatingTLS: {} })),
    `ns/foo: spec.ingressDeny[0].toPorts[0].terminatingTLS: ${wholePorts}`,
  ],
];

const rules = (fields: object, entry: object = {}) => out(toPorts({ rules: fields, ...entry }));
const rulesAt = `${to}.toPorts[0].rules`;
const http = (fields: object) => rules({ http: [fields] });

/** What only a proxy can do, and wrong. */
const proxyCases: readonly Case[] = [
  [rules({ htp: [] }), `${rulesAt}.htp: unknown field (did you mean http?)`],
  [rules({ http: [], kafka: [] }), `${rulesAt}: has http and kafka; one kind is possible`],
  [rules({ l7: [] }), `${rulesAt}.l7: needs l7proto`],
  [rules({ l7proto: '' }), `${rulesAt}.l7proto: must not be empty`],
  [rules({ l7proto: 'x', l7: [{ a: 1 }] }), `${rulesAt}.l7[0]["a"]: must be a string: "1"`],
  [http({ path: '(' }), `${rulesAt}.http[0].path: not a regular expression: "("`],
  [http({ method: 1 }), `${rulesAt}.http[0].method: must be a string: "1"`],
  [http({ headers: [''] }), `${rulesAt}.http[0].headers[0]: must not be empty`],
  [http({ headerMatches: [{}] }), `${rulesAt}.http[0].headerMatches[0].name: is missing`],
  [
    http({ headerMatches: [{ name: 'a', mismatch: 'DROP' }] }),
    `${rulesAt}.http[0].headerMatches[0].mismatch: must be one of LOG, ADD, DELETE, REPLACE, is "DROP"`,
  ],
  [
    http({ headerMatches: [{ name: 'a', secret: {} }] }),
    `${rulesAt}.http[0].headerMatches[0].secret.name: is missing`,
  ],
  [
    rules({ kafka: [{ role: 'both' }] }),
    `${rulesAt}.kafka[0].role: must be one of produce, consume, is "both"`,
  ],
  [
    rules({ kafka: [{ topic: 'a'.repeat(256) }] }),
    `${rulesAt}.kafka[0].topic: has more than 255 characters`,
  ],
  [
    rules({ kafka: [{ role: 'produce', apiKey: 'x' }] }),
    `${rulesAt}.kafka[0].role: cannot stand together with apiKey`,
  ],
  [rules({ dns: [{ matchName: '*' }] }), `${rulesAt}.dns[0].matchName: not a DNS name: "*"`],
  [item(toPorts({ rules: { dns: [] } })), `${at}.toPorts[0].rules.dns: is possible in egress only`],
  [
    rules({ http: [] }, { ports: [{ port: '0', protocol: 'TCP' }] }),
    `${rulesAt}.http: needs ports by number or name, not port 0`,
  ],
  [
    rules({ http: [] }, { ports: [{ port: '80' }] }),
    `${rulesAt}.http: needs ports of protocol TCP`,
  ],
  [
    ccnp({ nodeSelector: {}, egress: [toPorts({ rules: { http: [] } })] }),
    'foo: spec.egress[0].toPorts[0].rules.http: nodes can have rules of layer 7 for DNS in egress only',
  ],
  [out(toPorts({ serverNames: [] })), `${to}.toPorts[0].serverNames: must have at least one`],
  [
    out(toPorts({ serverNames: ['a', ''] })),
    `${to}.toPorts[0].serverNames[1]: not a server name: ""`,
  ],
  [
    out(toPorts({ serverNames: ['a.*'] })),
    `${to}.toPorts[0].serverNames[0]: not a server name: "a.*"`,
  ],
  [out(toPorts({ terminatingTLS: {} })), `${to}.toPorts[0].terminatingTLS.secret: is missing`],
  [
    out(toPorts({ originatingTLS: { secret: {} } })),
    `${to}.toPorts[0].originatingTLS.secret.name: is missing`,
  ],
  [out(toPorts({ listener: { name: 'a' } })), `${to}.toPorts[0].listener.envoyConfig: is missing`],
  [
    out(toPorts({ listener: { name: '', envoyConfig: { name: 'a' } } })),
    `${to}.toPorts[0].listener.name: must not be empty`,
  ],
  [
    out(toPorts({ listener: { name: 'a', envoyConfig: { name: 'a', kind: 'x' } } })),
    `${to}.toPorts[0].listener.envoyConfig.kind: must be one of CiliumEnvoyConfig, CiliumClusterwideEnvoyConfig, is "x"`,
  ],
  [
    out(toPorts({ listener: { name: 'a', envoyConfig: { name: 'a' }, priority: 101 } })),
    `${to}.toPorts[0].listener.priority: must be a number from 1 to 100, is 101`,
  ],
];

const secretless = ccnp({
  endpointSelector: {},
  egress: [toPorts({ terminatingTLS: { secret: { name: 'a' } } })],
});
const clusterwideCases: readonly Case[] = [
  [
    secretless,
    'foo: spec.egress[0].toPorts[0].terminatingTLS.secret.namespace: is missing; a clusterwide policy has none of its own',
  ],
];

/** Right, and more than this version can do. */
const unsupportedCases: readonly Case[] = [
  [
    out({ toFQDNs: [{ matchName: 'a.example.com.' }, { matchPattern: '**.b' }] }),
    `${to}.toFQDNs: valid, but DNS rules ${later}`,
  ],
  [
    item({ fromGroups: [{ aws: { labels: { a: 'b' }, region: 'x', securityGroupsIds: ['y'] } }] }),
    `${at}.fromGroups: cloud provider groups are not supported`,
  ],
  [out({ toGroups: [] }), `${to}.toGroups: cloud provider groups are not supported`],
  [
    item({ authentication: { mode: 'required' } }),
    `${at}.authentication.mode: valid, but authentication required is not carried out yet: the whole policy is refused`,
  ],
  [
    item({ authentication: { mode: 'test-always-fail' } }),
    `${at}.authentication.mode: valid, but authentication test-always-fail is not carried out yet: the whole policy is refused`,
  ],
  [
    http({
      path: '/a.*',
      method: 'GET',
      host: 'b',
      headers: ['X: y'],
      headerMatches: [
        { name: 'a', value: 'b', mismatch: 'LOG', secret: { name: 's', namespace: 'n' } },
      ],
    }),
    `${rulesAt}: valid, but rules of layer 7 ${later}`,
  ],
  [http({ path: '(?i)/a' }), `${rulesAt}: valid, but rules of layer 7 ${later}`],
  [
    rules({ kafka: [{ role: 'produce', topic: 'a', clientID: 'x', apiVersion: '1' }] }),
    `${rulesAt}: valid, but rules of layer 7 ${later}`,
  ],
  [
    rules({ dns: [{ matchPattern: '*' }] }, { ports: [{ port: '53' }] }),
    `${rulesAt}: valid, but rules of layer 7 ${later}`,
  ],
  [
    rules({ l7proto: 'r2d2', l7: [{ cmd: 'READ' }] }),
    `${rulesAt}: valid, but rules of layer 7 ${later}`,
  ],
  [
    out(toPorts({ serverNames: ['a.b', '*.c', '**.d'] })),
    `${to}.toPorts[0].serverNames: valid, but rules for server names ${later}`,
  ],
  [
    out(toPorts({ terminatingTLS: { secret: { name: 'a' }, certificate: 'x' } })),
    `${to}.toPorts[0].terminatingTLS: valid, but TLS contexts ${later}`,
  ],
  [
    out(toPorts({ originatingTLS: { secret: { name: 'a', namespace: 'b' }, trustedCA: 'x' } })),
    `${to}.toPorts[0].originatingTLS: valid, but TLS contexts ${later}`,
  ],
  [
    out(
      toPorts({
        listener: { name: 'a', envoyConfig: { name: 'b', kind: 'CiliumEnvoyConfig' }, priority: 1 },
      }),
    ),
    `${to}.toPorts[0].listener: valid, but listeners ${later}`,
  ],
];

const networkPolicy = (spec: object) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'foo', namespace: 'ns' },
  spec: { podSelector: {}, ...spec },
});
const from = (peer: unknown) => networkPolicy({ ingress: [{ from: [peer] }] });
const kubePort = (fields: unknown) => networkPolicy({ ingress: [{ ports: [fields] }] });

const networkPolicyCases: readonly Case[] = [
  [{ ...networkPolicy({}), spec: undefined }, 'ns/foo: spec: is missing'],
  [{ ...networkPolicy({}), specs: [] }, 'document 1: specs: unknown field (did you mean spec?)'],
  [
    networkPolicy({ podSelector: undefined }),
    'ns/foo: spec.podSelector: is missing; {} means every pod of the namespace',
  ],
  [networkPolicy({ ingressDeny: [] }), 'ns/foo: spec.ingressDeny: unknown field'],
  [
    networkPolicy({ policyTypes: ['ingress'] }),
    'ns/foo: spec.policyTypes[0]: must be one of Ingress, Egress, is "ingress" (did you mean Ingress?)',
  ],
  [
    networkPolicy({ policyTypes: ['Ingress', 'Ingress'] }),
    'ns/foo: spec.policyTypes[1]: the same type twice',
  ],
  [
    networkPolicy({ policyTypes: ['Ingress', 'Egress', 'Ingress'] }),
    'ns/foo: spec.policyTypes: has 3 entries, at most 2 are possible',
  ],
  [networkPolicy({ ingress: [{ to: [] }] }), `${at}.to: unknown field`],
  [networkPolicy({ egress: [{ from: [] }] }), `${to}.from: unknown field`],
  [
    networkPolicy({ policyTypes: ['Egress'], ingress: [{ form: [] }] }),
    `${at}.form: unknown field (did you mean from?)`,
  ],
  [from({}), `${at}.from[0]: must have podSelector, namespaceSelector or ipBlock`],
  [from(null), `${at}.from[0]: must be an object, is null`],
  [
    from({ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }),
    `${at}.from[0]: ipBlock cannot stand together with selectors`,
  ],
  [from({ podSelector: null }), `${at}.from[0].podSelector: must be an object, is null`],
  [
    from({ podSelector: { matchLabels: { 'k8s:a': 'b' } } }),
    `${at}.from[0].podSelector.matchLabels["k8s:a"]: not a label key: "k8s:a"`,
  ],
  [
    from({ podSelector: { matchLabels: { 'reserved:host': '' } } }),
    `${at}.from[0].podSelector.matchLabels["reserved:host"]: not a label key: "reserved:host"`,
  ],
  [
    from({ podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'x' } } }),
    `${at}.from[0].podSelector.matchLabels["io.kubernetes.pod.namespace"]: io.kubernetes.pod.namespace is set by the system; no object has it`,
  ],
  [
    from({
      podSelector: {
        matchExpressions: [{ key: 'io.cilium.k8s.policy.cluster', operator: 'Exists' }],
      },
    }),
    `${at}.from[0].podSelector.matchExpressions[0].key: io.cilium.k8s.policy.cluster is set by the system; no object has it`,
  ],
  [
    from({ namespaceSelector: { matchLabels: { a: 'x'.repeat(64) } } }),
    `${at}.from[0].namespaceSelector.matchLabels["a"]: not a label value: "${'x'.repeat(56)}...`,
  ],
  [
    from({ namespaceSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }),
    `${at}.from[0].namespaceSelector.matchExpressions[0].values: In needs at least one`,
  ],
  [from({ ipBlock: {} }), `${at}.from[0].ipBlock.cidr: is missing`],
  [
    from({ ipBlock: { cidr: '10.0.0.1' } }),
    `${at}.from[0].ipBlock.cidr: not a block of addresses: "10.0.0.1"; one address is 10.0.0.1/32`,
  ],
  [
    from({ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }),
    `${at}.from[0].ipBlock.except[0]: "10.0.0.0/8" is all of 10.0.0.0/8`,
  ],
  [
    from({ ipBlock: { cidr: '10.0.0.0/8', except: ['0.0.0.0/0'] } }),
    `${at}.from[0].ipBlock.except[0]: "0.0.0.0/0" does not lie in 10.0.0.0/8`,
  ],
  [kubePort({ port: 0 }), `${at}.ports[0].port: must be a number from 1 to 65535, is 0`],
  [kubePort({ port: '80' }), `${at}.ports[0].port: not the name of a port: "80"`],
  [kubePort({ port: 'Http' }), `${at}.ports[0].port: not the name of a port: "Http"`],
  [kubePort({ port: null }), `${at}.ports[0].port: must be a number from 1 to 65535, is null`],
  [
    kubePort({ protocol: 'ANY' }),
    `${at}.ports[0].protocol: must be one of TCP, UDP, SCTP, is "ANY"`,
  ],
  [kubePort({ endPort: 9 }), `${at}.ports[0].endPort: needs a port`],
  [kubePort({ port: 'http', endPort: 9 }), `${at}.ports[0].endPort: needs a port by number`],
  [kubePort({ port: 10, endPort: 9 }), `${at}.ports[0].endPort: is below port 10`],
  [
    kubePort({ port: 10, endPort: 0 }),
    `${at}.ports[0].endPort: must be a number from 1 to 65535, is 0`,
  ],
];

const cluster = (spec: object) => ({
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name: 'foo' },
  spec: { tier: 'Admin', priority: 1, subject: { namespaces: {} }, ...spec },
});
const all = { namespaces: {} };
const inAt = 'foo: spec.ingress[0]';
const outAt = 'foo: spec.egress[0]';
const inRule = (fields: object) =>
  cluster({ ingress: [{ action: 'Deny', from: [all], ...fields }] });
const outRule = (fields: object) =>
  cluster({ egress: [{ action: 'Accept', to: [all], ...fields }] });
const protocol = (each: unknown) => inRule({ protocols: [each] });

const clusterCases: readonly Case[] = [
  [cluster({ tier: undefined }), 'foo: spec.tier: is missing'],
  [
    cluster({ tier: 'admin' }),
    'foo: spec.tier: must be one of Admin, Baseline, is "admin" (did you mean Admin?)',
  ],
  [cluster({ priority: undefined }), 'foo: spec.priority: is missing'],
  [cluster({ priority: 1001 }), 'foo: spec.priority: must be a number from 0 to 1000, is 1001'],
  [cluster({ priority: 1.5 }), 'foo: spec.priority: must be a number from 0 to 1000, is 1.5'],
  [cluster({ subject: undefined }), 'foo: spec.subject: is missing'],
  [cluster({ subject: {} }), 'foo: spec.subject: must have exactly one of namespaces and pods'],
  [
    cluster({ subject: { namespaces: {}, pods: {} } }),
    'foo: spec.subject: must have exactly one of namespaces and pods',
  ],
  [
    cluster({ subject: { pods: { podSelector: {} } } }),
    'foo: spec.subject.pods.namespaceSelector: is missing; {} means every namespace',
  ],
  [
    cluster({ ingress: repeat(26, { action: 'Deny', from: [all] }) }),
    'foo: spec.ingress: has 26 entries, at most 25 are possible',
  ],
  [inRule({ name: 'n'.repeat(101) }), `${inAt}.name: has more than 100 characters`],
  [inRule({ action: 'Allow' }), `${inAt}.action: must be one of Accept, Deny, Pass, is "Allow"`],
  [inRule({ action: undefined }), `${inAt}.action: is missing`],
  [inRule({ from: undefined }), `${inAt}.from: is missing`],
  [inRule({ from: [] }), `${inAt}.from: must have at least one`],
  [inRule({ from: repeat(26, all) }), `${inAt}.from: has 26 entries, at most 25 are possible`],
  [inRule({ from: [1] }), `${inAt}.from[0]: must be an object, is 1`],
  [
    inRule({ from: [{ namespaces: {}, pods: {} }] }),
    `${inAt}.from[0]: must have exactly one of namespaces, pods`,
  ],
  [inRule({ from: [{ namespaces: {}, stars: {} }] }), `${inAt}.from[0].stars: unknown field`],
  [
    inRule({ from: [{ pods: { namespaceSelector: {} } }] }),
    `${inAt}.from[0].pods.podSelector: is missing; {} means every pod`,
  ],
  [inRule({ to: [] }), `${inAt}.to: unknown field`],
  [outRule({ to: [{ networks: [] }] }), `${outAt}.to[0].networks: must have at least one`],
  [
    outRule({ to: [{ networks: ['10.0.0.0'] }] }),
    `${outAt}.to[0].networks[0]: not a block of addresses: "10.0.0.0"; one address is 10.0.0.0/32`,
  ],
  [
    outRule({ to: [{ networks: ['::/0', '::/0'] }] }),
    `${outAt}.to[0].networks[1]: "::/0" stands here twice`,
  ],
  [
    outRule({ to: [{ networks: repeat(26, '::/0') }] }),
    `${outAt}.to[0].networks: has 26 entries, at most 25 are possible`,
  ],
  [
    outRule({ to: [{ networks: ['0000:0000:0000:0000:0000:ffff:192.168.100.100/128'] }] }),
    `${outAt}.to[0].networks[0]: has more than 43 characters`,
  ],
  [
    outRule({ to: [{ nodes: { matchLabels: { 'a b': '' } } }] }),
    `${outAt}.to[0].nodes.matchLabels["a b"]: not a label key: "a b"`,
  ],
  [outRule({ to: [{ domainNames: [] }] }), `${outAt}.to[0].domainNames: must have at least one`],
  [
    outRule({ to: [{ domainNames: ['a.*.com'] }] }),
    `${outAt}.to[0].domainNames[0]: not a domain name: "a.*.com"`,
  ],
  [
    outRule({ to: [{ domainNames: ['*'] }] }),
    `${outAt}.to[0].domainNames[0]: not a domain name: "*"`,
  ],
  [
    outRule({ action: 'Deny', to: [{ domainNames: ['a.com'] }] }),
    `${outAt}.to[0].domainNames: is possible with action Accept only, not Deny`,
  ],
  [
    inRule({ protocols: [] }),
    `${inAt}.protocols: must have at least one; leave it out to mean all traffic`,
  ],
  [
    inRule({ protocols: repeat(26, { destinationNamedPort: 'a' }) }),
    `${inAt}.protocols: has 26 entries, at most 25 are possible`,
  ],
  [protocol(1), `${inAt}.protocols[0]: must be an object, is 1`],
  [
    protocol({ tcp: {}, udp: {} }),
    `${inAt}.protocols[0]: must have exactly one of tcp, udp, sctp, destinationNamedPort`,
  ],
  [protocol({ tcp: {} }), `${inAt}.protocols[0].tcp.destinationPort: is missing`],
  [
    protocol({ tcp: { destinationPort: {} } }),
    `${inAt}.protocols[0].tcp.destinationPort: must have exactly one of number and range`,
  ],
  [
    protocol({ tcp: { destinationPort: { number: 0 } } }),
    `${inAt}.protocols[0].tcp.destinationPort.number: must be a number from 1 to 65535, is 0`,
  ],
  [
    protocol({ udp: { destinationPort: { range: { start: 5, end: 5 } } } }),
    `${inAt}.protocols[0].udp.destinationPort.range.end: must be above start 5`,
  ],
  [
    protocol({ sctp: { destinationPort: { range: { start: 5 } } } }),
    `${inAt}.protocols[0].sctp.destinationPort.range.end: is missing`,
  ],
  [
    protocol({ destinationNamedPort: 'A' }),
    `${inAt}.protocols[0].destinationNamedPort: not the name of a port: "A"`,
  ],
  [
    outRule({ to: [{ networks: ['::/0'] }], protocols: [{ destinationNamedPort: 'a' }] }),
    `${outAt}.protocols[0].destinationNamedPort: cannot stand together with networks: only pods have names of ports`,
  ],
  [
    outRule({ to: [all, { nodes: {} }], protocols: [{ destinationNamedPort: 'a' }] }),
    `${outAt}.protocols[0].destinationNamedPort: cannot stand together with nodes: only pods have names of ports`,
  ],
];

describe.each([
  ['documents', documentCases],
  ['rules', ruleCases],
  ['peers', peerCases],
  ['ports', portCases],
  ['what a proxy would do', proxyCases],
  ['clusterwide policies', clusterwideCases],
  ['NetworkPolicy', networkPolicyCases],
  ['ClusterNetworkPolicy', clusterCases],
])('%s', (_name, cases) => {
  test.each(cases.map(([document, expected]) => [expected, document] as const))(
    '%s',
    (expected, document) => {
      expect(textsOf(document)).toEqual([expected]);
      expect(problemsOf(document)[0]?.unsupported).toBe(false);
    },
  );
});

describe('valid but not carried out', () => {
  const domainNames = outRule({ to: [{ domainNames: ['a.example.com', '*.b.com', 'c.d.'] }] });
  const domains: Case = [domainNames, `${outAt}.to[0].domainNames: valid, but DNS rules ${later}`];
  const cases = [...unsupportedCases, domains].map(([document, expected]) => [expected, document]);
  test.each(cases)('%s', (expected, document) => {
    expect(textsOf(document)).toEqual([expected as string]);
    expect(problemsOf(document)[0]?.unsupported).toBe(true);
  });

  test('server names beside rules need a TLS context', () => {
    const both = { serverNames: ['a'], rules: { http: [] } };
    expect(textsOf(out(toPorts(both)))).toContain(
      `${to}.toPorts[0].serverNames: together with rules needs terminatingTLS`,
    );
    const terminatingTLS = { secret: { name: 'a' } };
    const problems = problemsOf(out(toPorts({ ...both, terminatingTLS })));
    expect(problems.map((each) => each.unsupported)).toEqual([true, true, true]);
  });
});

test('all problems of all documents, in the order of the file', () => {
  const bad = item({ fromCIDR: ['x'], icmps: 1, fromEntities: ['x'] });
  const good = item({});
  expect(textsOf({ apiVersion: 'v1', kind: 'List', items: [good, bad] })).toHaveLength(5);
  expect(textsOf(`${JSON.stringify(good)}\n---\n${JSON.stringify(bad)}`)).toHaveLength(5);
});

test('the same object twice', () => {
  const text = JSON.stringify(item({}));
  expect(textsOf(`${text}\n---\n${text}`)).toEqual(['ns/foo: is in this file twice']);
  const other = JSON.stringify({ ...item({}), metadata: { name: 'foo', namespace: 'other' } });
  expect(textsOf(`${text}\n---\n${other}`)).toEqual([]);
});

test('the problems of one file are bounded', () => {
  const texts = textsOf(item({ fromCIDR: repeat(1000, 'x') }));
  expect(texts).toHaveLength(51);
  expect(texts[50]).toBe('file: and 950 more problems');
});

describe('lines', () => {
  const text = `# words
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web}
spec:
  endpointSelector: {}
  ingress:
  - fromEndpoints:
    - matchLabels:
        "k9s:a": b
    toPorts:
    - ports:
      - {protocol: TCP, port: "x_"}
      - {protocol: TCP}
  - fromEntities: [host,
      wrold]
---
kind: Foo
---
a: 1
 b: 2
`;

  test('of the field, or of what it should be in', () => {
    const found = problemsOf(text).map(({ path, line, column }) => [path, line, column]);
    expect(found).toEqual([
      ['default/web: spec.ingress[0].fromEndpoints[0].matchLabels["k9s:a"]', 10, 9],
      ['default/web: spec.ingress[0].toPorts[0].ports[0].port', 13, 25],
      ['default/web: spec.ingress[0].toPorts[0].ports[1].port', 14, 9],
      ['default/web: spec.ingress[1].fromEntities[1]', 16, 7],
      ['document 2: kind', 18, 1],
      ['document 3', 20, 4],
      ['document 3', 20, 4],
    ]);
  });

  test('as people read it', () => {
    const result = parseDocuments(text, { source: 'web.yaml' });
    const texts = result.kind === 'refused' ? result.problems.map(formatProblem) : [];
    expect(texts[1]).toBe(
      'web.yaml: line 13: default/web: spec.ingress[0].toPorts[0].ports[0].port: not a port: "x_"',
    );
  });

  test('of entries of lists, and through aliases', () => {
    const list = `kind: List
items:
- &one
  apiVersion: cilium.io/v2
  kind: CiliumNetworkPolicy
  metadata: {name: a}
  spec: &spec
    endpointSelector: {}
- apiVersion: cilium.io/v2
  kind: CiliumNetworkPolicy
  metadata: {name: b}
  spec: *spec
`;
    expect(problemsOf(list).map(({ path, line }) => [path, line])).toEqual([
      ['default/a: spec', 7],
      ['default/b: spec', 12],
    ]);
  });
});

describe('kinds that have nothing to do with policy', () => {
  const skipped = (document: unknown) => {
    const text = typeof document === 'string' ? document : JSON.stringify(document);
    const result = parseDocuments(text, { otherKinds: 'skip' });
    return result.kind === 'parsed' ? result.warnings : result.problems.map(formatProblem);
  };

  test.each([
    [
      { apiVersion: 'apps/v1', kind: 'Deployment' },
      'document 1: kind "Deployment" of "apps/v1" has no part in policy: skipped here, refused in an agent\'s folder',
    ],
    [
      { apiVersion: 'crd.projectcalico.org/v1', kind: 'NetworkPolicy' },
      'document 1: kind "NetworkPolicy" of "crd.projectcalico.org/v1" has no part in policy: skipped here, refused in an agent\'s folder',
    ],
    [
      { apiVersion: 'serving.knative.dev/v1', kind: 'Service' },
      'document 1: kind "Service" of "serving.knative.dev/v1" has no part in policy: skipped here, refused in an agent\'s folder',
    ],
  ])('%j is skipped', (document, expected) => expect(skipped(document)).toEqual([expected]));

  test.each([
    [{ apiVersion: 'cilium.io/v3', kind: 'CiliumNetworkPolicy' }, 'must be "cilium.io/v2"'],
    [{ apiVersion: 'extensions/v1beta1', kind: 'NetworkPolicy' }, 'must be "networking.k8s.io/v1"'],
    [
      { apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'BaselineAdminNetworkPolicy' },
      'use ClusterNetworkPolicy with tier Baseline',
    ],
    [{ kind: 'Deployment' }, 'unknown kind'],
    [{ apiVersion: 'v1' }, 'must be a string'],
  ])('%j is not', (document, expected) => expect(skipped(document).join()).toContain(expected));
});
