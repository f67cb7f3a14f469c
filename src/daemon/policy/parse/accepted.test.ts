import { describe, expect, test } from 'bun:test';
import { objectKey } from '../../../k8s/object.ts';
import { formatProblem } from '../../../k8s/problem.ts';
import type { Peer, PortMatch, Rule, RuleItem } from '../rule.ts';
import { type ParsedPolicy, parseDocuments } from './parse.ts';

/** Every case is a document and the rule that it must become, one line for each entry. */

function policyOf(document: unknown): ParsedPolicy {
  const result = parseDocuments(JSON.stringify(document), { cluster: 'home' });
  if (result.kind === 'refused') throw new Error(result.problems.map(formatProblem).join('\n'));
  const [policy] = result.policies;
  if (policy === undefined) throw new Error('no policy');
  return policy;
}

function ruleOf(document: unknown): Rule {
  const [rule] = policyOf(document).rules;
  if (rule === undefined) throw new Error('no rule');
  return rule;
}

/** A selector's requirements with short names, in the order of those. */
function short(key: string): string {
  const text = key
    .replaceAll('io.kubernetes.pod.namespace', 'NS')
    .replaceAll('io.cilium.k8s.namespace.labels.', 'NSL.')
    .replaceAll('io.cilium.k8s.policy.cluster', 'CLUSTER')
    .replaceAll('"', '');
  return `{${text.split('&').sort().join('&')}}`;
}

const without = (except: readonly string[]) => except.map((each) => ` but ${each}`).join('');

function peerText(peer: Peer): string {
  switch (peer.kind) {
    case 'labels':
      return short(peer.selector.key);
    case 'cidr':
      return `${peer.scope} ${peer.cidr}${without(peer.except)}`;
    case 'cidr-group':
      return `group ${peer.name ?? short(peer.selector?.key ?? '?')}${without(peer.except)}`;
    case 'service':
      return `service ${peer.namespace ?? '*'}/${peer.name ?? short(peer.selector?.key ?? '?')}`;
    case 'nodes':
      return `nodes ${short(peer.selector.key)}`;
  }
}

function portText(port: PortMatch): string {
  if ('name' in port) return `${port.proto}:${port.name}`;
  return `${port.proto}:${port.first}${port.last === port.first ? '' : `-${port.last}`}`;
}

function itemText(item: RuleItem): string {
  const peers = item.peers === 'any' ? 'any' : item.peers.map(peerText).join(' | ') || 'nobody';
  const ports = item.ports === undefined ? 'all' : item.ports.map(portText).join(' ') || 'nothing';
  const requires = item.requires.map((each) => ` requires ${short(each.key)}`).join('');
  const name = item.name === undefined ? '' : ` (${item.name})`;
  return `${item.path}${name} ${item.action} ${peers} on ${ports}${requires}`;
}

const linesOf = (rule: Rule) => [...(rule.ingress ?? []), ...(rule.egress ?? [])].map(itemText);

const cilium = (kind: string, spec: object) => ({
  apiVersion: 'cilium.io/v2',
  kind,
  metadata: { name: 'foo', ...(kind === 'CiliumNetworkPolicy' ? { namespace: 'ns' } : {}) },
  spec,
});
const cnp = (spec: object) => cilium('CiliumNetworkPolicy', { endpointSelector: {}, ...spec });
const ccnp = (spec: object) => cilium('CiliumClusterwideNetworkPolicy', spec);
const ingress = (...items: object[]) => cnp({ ingress: items });
const egress = (...items: object[]) => cnp({ egress: items });
const labels = (matchLabels: object) => ({ matchLabels });
const expression = (key: string, operator: string, ...values: string[]) => ({
  matchExpressions: [{ key, operator, ...(values.length === 0 ? {} : { values }) }],
});
const ports = (...list: object[]) => ({ toPorts: [{ ports: list }] });
const tcp80 = ports({ port: '80', protocol: 'TCP' });
const world = '{reserved:world=[]} | {reserved:world-ipv4=[]} | {reserved:world-ipv6=[]}';
const reserved = (...names: string[]) => names.map((each) => `{reserved:${each}=[]}`).join(' | ');

const cases: readonly (readonly [string, object, readonly string[]])[] = [
  // Absent, empty and {}.
  ['an empty entry is nobody', ingress({}), ['ingress[0] allow nobody on all']],
  ['no entries', ingress(), []],
  ['no peers with ports is anybody', ingress(tcp80), ['ingress[0] allow any on 6:80']],
  ['no peers with empty ports', ingress({ toPorts: [] }), ['ingress[0] allow nobody on all']],
  ['no peers with empty icmps', ingress({ icmps: [] }), ['ingress[0] allow nobody on all']],
  [
    'an empty list of peers is nobody',
    ingress({ fromEndpoints: [], ...tcp80 }),
    ['ingress[0] allow nobody on 6:80'],
  ],
  ['empty entities', ingress({ fromEntities: [] }), ['ingress[0] allow nobody on all']],
  ['empty blocks', egress({ toCIDR: [] }), ['egress[0] allow nobody on all']],
  ['empty services', egress({ toServices: [] }), ['egress[0] allow nobody on all']],
  [
    '{} is the namespace',
    ingress({ fromEndpoints: [{}] }),
    ['ingress[0] allow {k8s:NS=[ns]} on all'],
  ],
  [
    '{} of a clusterwide policy is every pod',
    ccnp({ endpointSelector: {}, ingress: [{ fromEndpoints: [{}] }] }),
    ['ingress[0] allow {k8s:NS} on all'],
  ],
  [
    'an empty deny entry denies nobody',
    cnp({ ingressDeny: [{}] }),
    ['ingressDeny[0] deny nobody on all'],
  ],
  [
    'sections in order',
    cnp({
      egressDeny: [tcp80],
      egress: [{ toEntities: ['all'] }],
      ingress: [{}],
      ingressDeny: [tcp80],
    }),
    [
      'ingress[0] allow nobody on all',
      'ingressDeny[0] deny any on 6:80',
      'egress[0] allow any on all',
      'egressDeny[0] deny any on 6:80',
    ],
  ],
  // Selectors.
  [
    'another namespace',
    ingress({ fromEndpoints: [labels({ 'k8s:io.kubernetes.pod.namespace': 'other', app: 'a' })] }),
    ['ingress[0] allow {any:app=[a]&k8s:NS=[other]} on all'],
  ],
  [
    'a label of the namespace',
    ingress({ fromEndpoints: [labels({ 'io.cilium.k8s.namespace.labels.team': 'red' })] }),
    ['ingress[0] allow {any:NSL.team=[red]} on all'],
  ],
  [
    'an expression about the namespace',
    ingress({ fromEndpoints: [expression('k8s:io.kubernetes.pod.namespace', 'Exists')] }),
    ['ingress[0] allow {k8s:NS} on all'],
  ],
  [
    'each operator',
    ingress({
      fromEndpoints: [
        expression('a', 'In', 'y', 'x', 'y'),
        expression('a', 'NotIn', 'x'),
        expression('a', 'Exists'),
        expression('a', 'DoesNotExist'),
      ],
    }),
    [
      'ingress[0] allow {any:a=[x,y]&k8s:NS=[ns]} | {any:a!=[x]&k8s:NS=[ns]} | {any:a&k8s:NS=[ns]} | {!any:a&k8s:NS=[ns]} on all',
    ],
  ],
  [
    'pods without a label, of a clusterwide policy',
    ccnp({ endpointSelector: {}, egress: [{ toEndpoints: [expression('a', 'DoesNotExist')] }] }),
    ['egress[0] allow {!any:a&k8s:NS} on all'],
  ],
  [
    'reserved labels have no namespace',
    ingress({ fromEndpoints: [labels({ 'reserved:host': '' })] }),
    ['ingress[0] allow {reserved:host=[]} on all'],
  ],
  [
    'reserved labels in a clusterwide policy',
    ccnp({ endpointSelector: {}, ingress: [{ fromEndpoints: [labels({ 'reserved:host': '' })] }] }),
    ['ingress[0] allow {reserved:host=[]} on all'],
  ],
  [
    'requires alone allow nobody',
    ingress({ fromRequires: [labels({ env: 'prod' })] }),
    ['ingress[0] allow nobody on all requires {any:env=[prod]&k8s:NS=[ns]}'],
  ],
  [
    'requires beside peers',
    egress({ toRequires: [labels({ env: 'prod' })], toEndpoints: [labels({ a: 'b' })] }),
    ['egress[0] allow {any:a=[b]&k8s:NS=[ns]} on all requires {any:env=[prod]&k8s:NS=[ns]}'],
  ],
  // Entities.
  ['all', ingress({ fromEntities: ['all'] }), ['ingress[0] allow any on all']],
  ['all and another', egress({ toEntities: ['host', 'all'] }), ['egress[0] allow any on all']],
  ['none', ingress({ fromEntities: ['none'] }), ['ingress[0] allow nobody on all']],
  ['world', ingress({ fromEntities: ['world'] }), [`ingress[0] allow ${world} on all`]],
  [
    'the other entities',
    ingress({
      fromEntities: [
        'world-ipv4',
        'world-ipv6',
        'host',
        'init',
        'ingress',
        'unmanaged',
        'remote-node',
        'health',
        'kube-apiserver',
      ],
    }),
    [
      `ingress[0] allow ${reserved('world-ipv4', 'world-ipv6', 'host', 'init', 'ingress', 'unmanaged', 'remote-node', 'health', 'kube-apiserver')} on all`,
    ],
  ],
  [
    'cluster',
    egress({ toEntities: ['cluster'] }),
    [
      `egress[0] allow ${reserved('host', 'remote-node', 'init', 'ingress', 'health', 'unmanaged', 'kube-apiserver')} | {k8s:CLUSTER=[home]} on all`,
    ],
  ],
  // Blocks.
  [
    'blocks of both families, host bits cleared',
    ingress({ fromCIDR: ['10.1.2.3/8', '2001:DB8::1/32', '0.0.0.0/0', '::/0'] }),
    [
      'ingress[0] allow outside 10.0.0.0/8 | outside 2001:db8::/32 | outside 0.0.0.0/0 | outside ::/0 on all',
    ],
  ],
  [
    'sets with exceptions, sorted and each once',
    egress({
      toCIDRSet: [
        { cidr: '10.0.0.0/8', except: ['10.2.0.0/16', '10.1.0.0/16', '10.2.0.1/16', '10.0.0.0/8'] },
        { cidr: 'fd00::/8', except: [] },
      ],
    }),
    [
      'egress[0] allow outside 10.0.0.0/8 but 10.0.0.0/8 but 10.1.0.0/16 but 10.2.0.0/16 | outside fd00::/8 on all',
    ],
  ],
  [
    'groups',
    ingress({
      fromCIDRSet: [
        { cidrGroupRef: 'partners', except: ['10.0.0.0/8'] },
        { cidrGroupSelector: labels({ kind: 'vpn' }) },
        { cidrGroupSelector: {} },
      ],
    }),
    ['ingress[0] allow group partners but 10.0.0.0/8 | group {any:kind=[vpn]} | group {} on all'],
  ],
  [
    'blocks in deny sections',
    cnp({ egressDeny: [{ toCIDR: ['10.0.0.0/8'], ...tcp80 }] }),
    ['egressDeny[0] deny outside 10.0.0.0/8 on 6:80'],
  ],
  // Nodes and services.
  [
    'nodes',
    ingress({ fromNodes: [labels({ 'node:zone': 'a' }), expression('zone', 'Exists'), {}] }),
    ['ingress[0] allow nodes {node:zone=[a]} | nodes {any:zone} | nodes {} on all'],
  ],
  [
    'services',
    egress({
      toServices: [
        { k8sService: { serviceName: 'db', namespace: 'data' } },
        { k8sService: { serviceName: 'db' } },
        { k8sServiceSelector: { selector: labels({ tier: 'db' }), namespace: 'data' } },
        { k8sServiceSelector: { selector: {}, namespace: '' } },
      ],
    }),
    [
      'egress[0] allow service data/db | service */db | service data/{any:tier=[db]} | service */{} on all',
    ],
  ],
  [
    'services in deny sections',
    cnp({ egressDeny: [{ toServices: [{ k8sService: { serviceName: 'db' } }] }] }),
    ['egressDeny[0] deny service */db on all'],
  ],
  // Ports.
  ['no protocol', ingress(ports({ port: '53' })), ['ingress[0] allow any on 6:53 17:53 132:53']],
  [
    'ANY',
    ingress(ports({ port: '53', protocol: 'ANY' })),
    ['ingress[0] allow any on 6:53 17:53 132:53'],
  ],
  [
    'port 0',
    ingress(ports({ port: '0', protocol: 'UDP' })),
    ['ingress[0] allow any on 17:0-65535'],
  ],
  [
    'ranges',
    ingress(
      ports(
        { port: '80', endPort: 90, protocol: 'TCP' },
        { port: '80', endPort: 80, protocol: 'TCP' },
        { port: '80', endPort: 0, protocol: 'TCP' },
        { port: '1', endPort: 65535, protocol: 'SCTP' },
      ),
    ),
    ['ingress[0] allow any on 6:80-90 6:80 6:80 132:1-65535'],
  ],
  [
    'names',
    ingress(ports({ port: 'Http', protocol: 'TCP' }, { port: 'dns-1' })),
    ['ingress[0] allow any on 6:http 6:dns-1 17:dns-1 132:dns-1'],
  ],
  [
    'several entries',
    ingress({
      toPorts: [
        { ports: [{ port: '1', protocol: 'TCP' }] },
        { ports: [{ port: '2', protocol: 'UDP' }] },
      ],
    }),
    ['ingress[0] allow any on 6:1 17:2'],
  ],
  [
    '40 ports',
    ingress(ports(...Array(40).fill({ port: '1', protocol: 'TCP' }))),
    [`ingress[0] allow any on ${Array(40).fill('6:1').join(' ')}`],
  ],
  [
    'empty rules of layer 7',
    ingress({ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: {} }] }),
    ['ingress[0] allow any on 6:80'],
  ],
  [
    'authentication disabled',
    ingress({ ...tcp80, authentication: { mode: 'disabled' } }),
    ['ingress[0] allow any on 6:80'],
  ],
  // ICMP.
  [
    'types by number and name',
    ingress({
      icmps: [
        { fields: [{ type: 8 }, { family: 'IPv6', type: 'EchoRequest' }] },
        { fields: [{ family: 'IPv4', type: '255' }, { type: 'EchoReply' }] },
      ],
    }),
    ['ingress[0] allow any on 1:8 58:128 1:255 1:0'],
  ],
  [
    'the same name differs between the families',
    egress({
      icmps: [
        {
          fields: [
            { family: 'IPv4', type: 'DestinationUnreachable' },
            { family: 'IPv6', type: 'DestinationUnreachable' },
            { family: 'IPv6', type: 'NeighborSolicitation' },
            { family: 'IPv4', type: 'RouterAdvertisement' },
            { family: 'IPv6', type: 'RouterAdvertisement' },
          ],
        },
      ],
    }),
    ['egress[0] allow any on 1:3 58:1 58:135 1:9 58:134'],
  ],
  [
    'ICMP denied to some',
    cnp({ ingressDeny: [{ fromEntities: ['host'], icmps: [{ fields: [{ type: 'Echo' }] }] }] }),
    ['ingressDeny[0] deny {reserved:host=[]} on 1:8'],
  ],
];

test.each(cases)('%s', (_name, document, expected) => {
  expect(linesOf(ruleOf(document))).toEqual([...expected]);
});

describe('names of ICMP types, as IANA has them', () => {
  test.each([
    [
      'IPv4',
      '0 EchoReply 3 DestinationUnreachable 5 Redirect 8 Echo 8 EchoRequest 9 RouterAdvertisement 10 RouterSelection 11 TimeExceeded 12 ParameterProblem 13 Timestamp 14 TimestampReply 40 Photuris 42 ExtendedEchoRequest 43 ExtendedEchoReply',
    ],
    [
      'IPv6',
      '1 DestinationUnreachable 2 PacketTooBig 3 TimeExceeded 4 ParameterProblem 128 EchoRequest 129 EchoReply 130 MulticastListenerQuery 131 MulticastListenerReport 132 MulticastListenerDone 133 RouterSolicitation 134 RouterAdvertisement 135 NeighborSolicitation 136 NeighborAdvertisement 137 RedirectMessage 138 RouterRenumbering 139 ICMPNodeInformationQuery 140 ICMPNodeInformationResponse 141 InverseNeighborDiscoverySolicitation 142 InverseNeighborDiscoveryAdvertisement 144 HomeAgentAddressDiscoveryRequest 145 HomeAgentAddressDiscoveryReply 146 MobilePrefixSolicitation 147 MobilePrefixAdvertisement 157 DuplicateAddressRequestCodeSuffix 158 DuplicateAddressConfirmationCodeSuffix 160 ExtendedEchoRequest 161 ExtendedEchoReply',
    ],
  ])('%s', (family, table) => {
    const words = table.split(' ');
    const names = words.filter((_, index) => index % 2 === 1);
    const numbers = words.filter((_, index) => index % 2 === 0).map(Number);
    const fields = names.map((type) => ({ family, type }));
    const parsed = ruleOf(ingress({ icmps: [{ fields }] })).ingress?.[0]?.ports;
    const proto = family === 'IPv4' ? 1 : 58;
    expect(parsed).toEqual(numbers.map((type) => ({ proto, first: type, last: type })));
  });

  test('the spelling of the published schema', () => {
    const type = 'ExtendedEcho Reply';
    const fields = [{ type }, { family: 'IPv6', type }];
    expect(linesOf(ruleOf(ingress({ icmps: [{ fields }] })))).toEqual([
      'ingress[0] allow any on 1:43 58:161',
    ]);
  });
});

describe('subjects', () => {
  const subjectOf = (document: object) => {
    const { subject, subjectKind } = ruleOf(document);
    return `${subjectKind} ${short(subject.key)}`;
  };
  const section = { ingress: [{}] };

  test.each([
    ['all of the namespace', cnp(section), 'endpoint {k8s:NS=[ns]}'],
    [
      'never out of the namespace',
      cnp({
        endpointSelector: expression('k8s:io.kubernetes.pod.namespace', 'Exists'),
        ...section,
      }),
      'endpoint {k8s:NS&k8s:NS=[ns]}',
    ],
    [
      'its own namespace by name',
      cnp({ endpointSelector: labels({ 'io.kubernetes.pod.namespace': 'ns' }), ...section }),
      'endpoint {k8s:NS=[ns]}',
    ],
    ['clusterwide', ccnp({ endpointSelector: {}, ...section }), 'endpoint {}'],
    [
      'clusterwide by label',
      ccnp({ endpointSelector: labels({ 'k8s:a': 'b' }), ...section }),
      'endpoint {k8s:a=[b]}',
    ],
    ['nodes', ccnp({ nodeSelector: {}, ...section }), 'node {}'],
    [
      'nodes by label',
      ccnp({ nodeSelector: labels({ 'node-role.kubernetes.io/worker': '' }), ...section }),
      'node {any:node-role.kubernetes.io/worker=[]}',
    ],
  ])('%s', (_name, document, expected) => expect(subjectOf(document)).toBe(expected));
});

describe('the default deny', () => {
  const denyOf = (spec: object) => {
    const { defaultDeny } = ruleOf(cnp(spec));
    return [defaultDeny.ingress, defaultDeny.egress];
  };

  test.each([
    [{ ingress: [] }, [true, false]],
    [{ egress: [{}] }, [false, true]],
    [{ ingressDeny: [{}] }, [true, false]],
    [{ egressDeny: [], ingress: [] }, [true, true]],
    [{ ingress: [{}], enableDefaultDeny: { ingress: false } }, [false, false]],
    [{ ingress: [{}], egress: [{}], enableDefaultDeny: { egress: false } }, [true, false]],
    [{ ingress: [{}], enableDefaultDeny: { ingress: true, egress: false } }, [true, false]],
    [{ ingress: [{}], enableDefaultDeny: {} }, [true, false]],
  ])('%j', (spec, expected) => expect(denyOf(spec)).toEqual(expected));

  test('a section that is absent leaves its direction alone', () => {
    expect(ruleOf(cnp({ ingress: [] })).egress).toBeUndefined();
    expect(ruleOf(cnp({ egressDeny: [] })).ingress).toBeUndefined();
    expect(ruleOf(cnp({ egressDeny: [] })).egress).toEqual([]);
  });
});

const networkPolicy = (spec: object, namespace: object = { namespace: 'ns' }) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'foo', ...namespace },
  spec: { podSelector: {}, ...spec },
});
const from = (...peers: object[]) => networkPolicy({ ingress: [{ from: peers }] });
const toPorts = (...list: object[]) => networkPolicy({ ingress: [{ ports: list }] });

describe('NetworkPolicy', () => {
  test.each<[string, object, string[]]>([
    ['no rule', networkPolicy({ ingress: [] }), []],
    ['an empty rule', networkPolicy({ ingress: [{}] }), ['ingress[0] allow any on all']],
    ['no peers', from(), ['ingress[0] allow any on all']],
    ['no ports', toPorts(), ['ingress[0] allow any on all']],
    ['pods of the namespace', from({ podSelector: {} }), ['ingress[0] allow {k8s:NS=[ns]} on all']],
    [
      'pods by label',
      from({ podSelector: labels({ app: 'a' }) }),
      ['ingress[0] allow {k8s:NS=[ns]&k8s:app=[a]} on all'],
    ],
    ['all pods', from({ namespaceSelector: {} }), ['ingress[0] allow {k8s:NS} on all']],
    [
      'namespaces by label',
      from({ namespaceSelector: labels({ team: 'red' }) }),
      ['ingress[0] allow {k8s:NS&k8s:NSL.team=[red]} on all'],
    ],
    [
      'namespaces without a label are namespaces still',
      from({ namespaceSelector: expression('team', 'DoesNotExist') }),
      ['ingress[0] allow {!k8s:NSL.team&k8s:NS} on all'],
    ],
    [
      'namespaces whose label is another',
      from({ namespaceSelector: expression('team', 'NotIn', 'red') }),
      ['ingress[0] allow {k8s:NS&k8s:NSL.team!=[red]} on all'],
    ],
    [
      'both selectors',
      from({
        namespaceSelector: labels({ 'kubernetes.io/metadata.name': 'other' }),
        podSelector: expression('app', 'In', 'b', 'a'),
      }),
      [
        'ingress[0] allow {k8s:NS&k8s:NSL.kubernetes.io/metadata.name=[other]&k8s:app=[a,b]} on all',
      ],
    ],
    [
      'two peers',
      from({ namespaceSelector: {} }, { podSelector: expression('app', 'DoesNotExist') }),
      ['ingress[0] allow {k8s:NS} | {!k8s:app&k8s:NS=[ns]} on all'],
    ],
    [
      'blocks mean whoever has the address',
      from(
        { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } },
        { ipBlock: { cidr: '2001:db8::/32' } },
      ),
      ['ingress[0] allow address 10.0.0.0/8 but 10.1.0.0/16 | address 2001:db8::/32 on all'],
    ],
    [
      'ports',
      toPorts(
        { port: 80 },
        { port: 53, protocol: 'UDP' },
        { port: 'http', protocol: 'SCTP' },
        { protocol: 'SCTP' },
        {},
        { port: 1, endPort: 9 },
        { port: 9, endPort: 9 },
      ),
      ['ingress[0] allow any on 6:80 17:53 132:http 132:0-65535 6:0-65535 6:1-9 6:9'],
    ],
    [
      'egress',
      networkPolicy({
        policyTypes: ['Egress'],
        egress: [{ to: [{ podSelector: {} }], ports: [{ port: 'db' }] }, {}],
      }),
      ['egress[0] allow {k8s:NS=[ns]} on 6:db', 'egress[1] allow any on all'],
    ],
  ])('%s', (_name, document, expected) => {
    const rule = ruleOf(document);
    expect(rule.tier).toBe('network');
    expect(short(rule.subject.key)).toBe('{k8s:NS=[ns]}');
    expect(linesOf(rule)).toEqual(expected);
  });

  test.each([
    [{}, [true, false]],
    [{ ingress: [] }, [true, false]],
    [{ egress: [] }, [true, true]],
    [{ policyTypes: [], egress: [{}] }, [true, true]],
    [{ policyTypes: ['Ingress'] }, [true, false]],
    [{ policyTypes: ['Egress'] }, [false, true]],
    [{ policyTypes: ['Egress', 'Ingress'] }, [true, true]],
    [{ policyTypes: ['Egress'], ingress: [{}] }, [false, true]],
  ])('directions of %j', (spec, expected) => {
    const { defaultDeny, ingress, egress } = ruleOf(networkPolicy(spec));
    expect([defaultDeny.ingress, defaultDeny.egress]).toEqual(expected);
    expect([ingress !== undefined, egress !== undefined]).toEqual(expected);
  });

  test('a section without effect is said so', () => {
    const document = networkPolicy({ policyTypes: ['Egress'], ingress: [{}] });
    const result = parseDocuments(JSON.stringify(document), { source: 'a.yaml' });
    expect(result.kind === 'parsed' && result.warnings).toEqual([
      'a.yaml: ns/foo: spec.ingress has no effect: policyTypes does not name it',
    ]);
  });

  test('without a namespace it is in default', () => {
    const policy = policyOf(networkPolicy({ podSelector: labels({ a: 'b' }) }, {}));
    expect(policy.namespace).toBe('default');
    expect(short(policy.rules[0]?.subject.key ?? '')).toBe('{k8s:NS=[default]&k8s:a=[b]}');
  });
});

const clusterPolicy = (spec: object) => ({
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name: 'foo' },
  spec: { tier: 'Admin', priority: 10, subject: { namespaces: {} }, ...spec },
});
const rule = (fields: object) => ({ action: 'Deny', ...fields });
const allNamespaces = { namespaces: {} };

describe('ClusterNetworkPolicy', () => {
  const admin = (side: 'ingress' | 'egress', ...items: object[]) =>
    clusterPolicy({ [side]: items });

  test.each<[string, object, string[]]>([
    [
      'each action',
      admin(
        'ingress',
        { action: 'Accept', from: [allNamespaces], name: 'first' },
        { action: 'Deny', from: [allNamespaces] },
        { action: 'Pass', from: [allNamespaces] },
      ),
      [
        'ingress[0] (first) allow {k8s:NS} on all',
        'ingress[1] deny {k8s:NS} on all',
        'ingress[2] pass {k8s:NS} on all',
      ],
    ],
    [
      'peers by namespace and pod',
      admin(
        'ingress',
        rule({
          from: [
            { namespaces: labels({ team: 'red' }) },
            { pods: { namespaceSelector: {}, podSelector: labels({ app: 'a' }) } },
            { pods: { namespaceSelector: expression('team', 'NotIn', 'red'), podSelector: {} } },
          ],
        }),
      ),
      [
        'ingress[0] deny {k8s:NS&k8s:NSL.team=[red]} | {k8s:NS&k8s:app=[a]} | {k8s:NS&k8s:NSL.team!=[red]} on all',
      ],
    ],
    [
      'networks and nodes',
      admin(
        'egress',
        rule({ to: [{ networks: ['0.0.0.0/0', 'fd00::/8'] }, { nodes: {} }] }),
        rule({ to: [{ nodes: labels({ zone: 'a' }) }] }),
      ),
      [
        'egress[0] deny address 0.0.0.0/0 | address fd00::/8 | nodes {} on all',
        'egress[1] deny nodes {node:zone=[a]} on all',
      ],
    ],
    [
      'protocols',
      admin(
        'ingress',
        rule({
          from: [allNamespaces],
          protocols: [
            { tcp: { destinationPort: { number: 80 } } },
            { udp: { destinationPort: { range: { start: 1, end: 9 } } } },
            { sctp: { destinationPort: { number: 65535 } } },
            { destinationNamedPort: 'http' },
          ],
        }),
      ),
      ['ingress[0] deny {k8s:NS} on 6:80 17:1-9 132:65535 6:http 17:http 132:http'],
    ],
    // What a newer version of the standard may add.
    [
      'an unknown peer of Accept matches nothing',
      admin('ingress', { action: 'Accept', from: [{ stars: {} }] }),
      ['ingress[0] allow nobody on all'],
    ],
    [
      'an unknown peer of Accept beside a known one',
      admin('ingress', { action: 'Accept', from: [{}, allNamespaces] }),
      ['ingress[0] allow {k8s:NS} on all'],
    ],
    [
      'an unknown peer of Deny denies all',
      admin('ingress', {
        action: 'Deny',
        from: [{ stars: {} }, allNamespaces],
        protocols: [{ destinationNamedPort: 'http' }],
      }),
      ['ingress[0] deny any on all'],
    ],
    [
      'an unknown peer of Pass denies all',
      admin('egress', { action: 'Pass', to: [{ stars: {} }] }),
      ['egress[0] deny any on all'],
    ],
    [
      'an unknown protocol of Accept matches nothing',
      admin('ingress', { action: 'Accept', from: [allNamespaces], protocols: [{ quic: {} }] }),
      ['ingress[0] allow {k8s:NS} on nothing'],
    ],
    [
      'an unknown protocol of Pass denies',
      admin('ingress', { action: 'Pass', from: [allNamespaces], protocols: [{ quic: {} }] }),
      ['ingress[0] deny {k8s:NS} on all'],
    ],
  ])('%s', (_name, document, expected) => expect(linesOf(ruleOf(document))).toEqual(expected));

  test('what is not known is said', () => {
    const document = clusterPolicy({ ingress: [{ action: 'Pass', from: [{ stars: {} }] }] });
    const result = parseDocuments(JSON.stringify(document));
    expect(result.kind === 'parsed' && result.warnings).toEqual([
      'foo: spec.ingress[0]: a peer of a kind not known here makes the rule deny everything',
    ]);
  });

  test('tier, priority, subject and sections', () => {
    const admin = ruleOf(clusterPolicy({ ingress: [] }));
    expect([admin.tier, admin.priority, admin.subjectKind]).toEqual(['admin', 10, 'endpoint']);
    expect([admin.ingress, admin.egress]).toEqual([[], undefined]);
    expect(admin.defaultDeny).toEqual({ ingress: false, egress: false });
    expect(short(admin.subject.key)).toBe('{k8s:NS}');
    const pods = { namespaceSelector: labels({ team: 'red' }), podSelector: labels({ app: 'a' }) };
    const baseline = ruleOf(clusterPolicy({ tier: 'Baseline', priority: 1000, subject: { pods } }));
    expect([baseline.tier, baseline.priority]).toEqual(['baseline', 1000]);
    expect(short(baseline.subject.key)).toBe('{k8s:NS&k8s:NSL.team=[red]&k8s:app=[a]}');
  });

  test('25 of everything', () => {
    const many = <T>(each: T): T[] => Array(25).fill(each);
    const item = rule({
      name: 'n'.repeat(100),
      to: many({ networks: Array.from({ length: 25 }, (_, index) => `10.${index}.0.0/16`) }),
      protocols: many({ tcp: { destinationPort: { number: 1 } } }),
    });
    const parsed = ruleOf(clusterPolicy({ egress: many(item) }));
    expect(parsed.egress).toHaveLength(25);
    expect(parsed.egress?.[24]?.peers).toHaveLength(625);
    expect(parsed.egress?.[24]?.ports).toHaveLength(25);
  });
});

describe('documents', () => {
  test('spec and specs are rules in order', () => {
    const spec = (port: string) => ({
      endpointSelector: {},
      ingress: [ports({ port, protocol: 'TCP' })],
    });
    const both = { ...cnp({}), spec: spec('1'), specs: [spec('2'), spec('3')] };
    expect(policyOf(both).rules.map((each) => each.ingress?.[0]?.ports)).toEqual(
      [1, 2, 3].map((first) => [{ proto: 6, first, last: first }]),
    );
  });

  test('kind, namespace, name and uid', () => {
    const metadata = {
      name: 'a.b',
      namespace: 'x',
      uid: '1-2',
      labels: { a: 'b' },
      annotations: {},
    };
    const { rules, ...policy } = policyOf({ ...ingress({}), metadata, status: { conditions: [] } });
    expect(policy).toEqual({
      kind: 'CiliumNetworkPolicy',
      namespace: 'x',
      name: 'a.b',
      uid: '1-2',
    });
    expect(rules).toHaveLength(1);
    expect(policyOf(ccnp({ endpointSelector: {}, ingress: [] })).namespace).toBe('');
  });

  test("a person's description and labels", () => {
    const labels = [{ key: 'team', value: 'red', source: 'k8s' }, { key: 'x' }];
    const parsed = ruleOf(cnp({ ingress: [], description: 'words', labels }));
    expect(parsed.description).toBe('words');
    expect(parsed.labels).toEqual([
      { source: 'k8s', key: 'team', value: 'red' },
      { source: '', key: 'x', value: '' },
    ]);
  });

  test('lists, of all kinds and of one', () => {
    const policy = ingress({});
    const other = { ...networkPolicy({}), kind: undefined, apiVersion: undefined };
    const texts = [
      {
        apiVersion: 'v1',
        kind: 'List',
        metadata: {},
        items: [policy, ccnp({ nodeSelector: {}, ingress: [] })],
      },
      { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicyList', items: [other] },
    ].map((each) => JSON.stringify(each));
    const result = parseDocuments(texts.join('\n---\n'));
    expect(result.kind === 'parsed' && result.policies.map((each) => each.kind)).toEqual([
      'CiliumNetworkPolicy',
      'CiliumClusterwideNetworkPolicy',
      'NetworkPolicy',
    ]);
    expect(result.kind === 'parsed' && result.documents).toBe(3);
  });

  test('nothing', () => {
    for (const text of ['', '# only words', '---\n---\n', 'null']) {
      const result = parseDocuments(text);
      expect(result.kind === 'parsed' && result.documents).toBe(0);
    }
  });

  test('objects beside policies', () => {
    const group = (version: string, name: string) =>
      `{apiVersion: ${version}, kind: CiliumCIDRGroup, metadata: {name: ${name}}, spec: {externalCIDRs: [10.0.0.0/8]}}`;
    const texts = [
      group('cilium.io/v2', 'a'),
      group('cilium.io/v2alpha1', 'b'),
      JSON.stringify(ingress({})),
      '{apiVersion: v1, kind: Namespace, metadata: {name: c}}',
      '{apiVersion: v1, kind: Pod, metadata: {name: d}}',
      '{apiVersion: v1, kind: Node, metadata: {name: e}}',
      '{apiVersion: v1, kind: Service, metadata: {name: f}}',
      '{apiVersion: v1, kind: Endpoints, metadata: {name: f}}',
      '{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: f-1}}',
    ];
    const result = parseDocuments(texts.join('\n---\n'));
    if (result.kind === 'refused') throw new Error(result.problems.map(formatProblem).join());
    expect(result.policies).toHaveLength(1);
    expect(result.documents).toBe(9);
    expect(result.objects.map(objectKey)).toEqual([
      'CiliumCIDRGroup//a',
      'CiliumCIDRGroup//b',
      'Namespace//c',
      'Pod/default/d',
      'Node//e',
      'Service/default/f',
      'Endpoints/default/f',
      'EndpointSlice/default/f-1',
    ]);
  });
});
