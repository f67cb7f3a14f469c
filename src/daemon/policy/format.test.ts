import { expect, test } from 'bun:test';
import { ruleRows } from './documents/rule-row.ts';
import { formatRule, formatRules } from './format.ts';
import { parseDocuments } from './parse/parse.ts';

const rowsOf = (document: object) => {
  const result = parseDocuments(JSON.stringify(document));
  if (result.kind === 'refused') throw new Error(JSON.stringify(result.problems));
  return result.policies.flatMap((each) => ruleRows(each, 'a.yaml', 7));
};

const printed = (document: object) => rowsOf(document).map(formatRule);

const label = (name: string, value: string) => ({
  key: `io.cilium.k8s.policy.${name}`,
  value,
  source: 'k8s',
});

// The printed forms are those that upstream gave for the same policies.

test('a CiliumNetworkPolicy', () => {
  const spec = {
    description: 'words',
    endpointSelector: { matchLabels: { app: 'client' } },
    egress: [
      { toEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'shop', app: 'web' } }] },
      {
        toCIDRSet: [
          { cidr: '203.0.113.0/24', except: ['203.0.113.66/32'] },
          { cidr: '2001:db8:1::/48' },
        ],
        toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }],
      },
      {
        toCIDR: ['203.0.113.10/32'],
        icmps: [{ fields: [{ type: 8 }, { family: 'IPv6', type: 'EchoRequest' }] }],
      },
    ],
    egressDeny: [{ toCIDR: ['203.0.113.77/32'] }],
  };
  const metadata = { name: 'client-egress', namespace: 'probe', uid: '8560e600' };
  const document = { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata, spec };
  expect(printed(document)).toEqual([
    {
      endpointSelector: {
        matchLabels: { 'any:app': 'client', 'k8s:io.kubernetes.pod.namespace': 'probe' },
      },
      egress: [
        {
          toEndpoints: [
            { matchLabels: { 'any:app': 'web', 'k8s:io.kubernetes.pod.namespace': 'shop' } },
          ],
        },
        {
          toCIDRSet: [
            { cidr: '203.0.113.0/24', except: ['203.0.113.66/32'] },
            { cidr: '2001:db8:1::/48' },
          ],
          toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }],
        },
        {
          toCIDR: ['203.0.113.10/32'],
          icmps: [
            {
              fields: [
                { family: 'IPv4', type: 8 },
                { family: 'IPv6', type: 'EchoRequest' },
              ],
            },
          ],
        },
      ],
      egressDeny: [{ toCIDR: ['203.0.113.77/32'] }],
      labels: [
        label('derived-from', 'CiliumNetworkPolicy'),
        label('name', 'client-egress'),
        label('namespace', 'probe'),
        label('uid', '8560e600'),
      ],
      enableDefaultDeny: { ingress: false, egress: true },
      description: 'words',
    },
  ]);
});

test('a NetworkPolicy: a rule for each peer', () => {
  const spec = {
    podSelector: { matchLabels: { app: 'intruder' } },
    policyTypes: ['Ingress', 'Egress'],
    egress: [
      {
        to: [
          { namespaceSelector: { matchLabels: { team: 'red' } } },
          { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } },
          { namespaceSelector: {} },
        ],
        ports: [{ port: 8080, endPort: 8085 }, { protocol: 'UDP' }],
      },
      {},
    ],
  };
  const metadata = { name: 'intruder', namespace: 'probe' };
  const document = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec };
  const toPorts = [
    { ports: [{ port: '8080', endPort: 8085, protocol: 'TCP' }] },
    { ports: [{ port: '0', protocol: 'UDP' }] },
  ];
  expect(printed(document)).toEqual([
    {
      endpointSelector: {
        matchLabels: { 'k8s:app': 'intruder', 'k8s:io.kubernetes.pod.namespace': 'probe' },
      },
      ingress: [{}],
      egress: [
        {
          toEndpoints: [{ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': 'red' } }],
          toPorts,
        },
        {
          toEndpoints: [
            {
              matchExpressions: [{ key: 'k8s:io.kubernetes.pod.namespace', operator: 'Exists' }],
            },
          ],
          toPorts,
        },
        { toCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] }], toPorts },
        { toEndpoints: [{}] },
      ],
      labels: [
        label('derived-from', 'NetworkPolicy'),
        label('name', 'intruder'),
        label('namespace', 'probe'),
      ],
      enableDefaultDeny: { ingress: true, egress: true },
    },
  ]);
});

test('a ClusterNetworkPolicy, with what no other kind has', () => {
  const spec = {
    tier: 'Admin',
    priority: 3,
    subject: { namespaces: { matchLabels: { team: 'red' } } },
    egress: [
      {
        name: 'first',
        action: 'Deny',
        to: [{ networks: ['10.0.0.0/8'] }, { nodes: {} }, { namespaces: {} }],
        protocols: [
          { tcp: { destinationPort: { range: { start: 1, end: 9 } } } },
          { udp: { destinationPort: { number: 53 } } },
        ],
      },
    ],
  };
  const [rule] = printed({
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: 'tiers' },
    spec,
  });
  expect(rule).toMatchObject({
    tier: 'admin',
    priority: 3,
    egress: [
      {
        name: 'first',
        action: 'Deny',
        toCIDR: ['10.0.0.0/8'],
        toNodes: [{}],
        toPorts: [
          {
            ports: [
              { port: '1', endPort: 9, protocol: 'TCP' },
              { port: '53', protocol: 'UDP' },
            ],
          },
        ],
      },
    ],
    labels: [label('derived-from', 'ClusterNetworkPolicy'), label('name', 'tiers')],
  });
  expect(rule).not.toHaveProperty('ingress');
});

test('a host policy, groups, services, names, requirements', () => {
  const nodeSelector = { matchLabels: { role: 'worker' } };
  const spec = {
    nodeSelector,
    labels: [{ key: 'team', value: 'red' }],
    ingress: [{ fromEntities: ['cluster'], toPorts: [{ ports: [{ port: 'SSH' }] }] }],
    egress: [
      { toCIDRSet: [{ cidrGroupSelector: { matchLabels: { a: 'b' } } }, { cidrGroupRef: 'c' }] },
      { toServices: [{ k8sService: { serviceName: 'db', namespace: 'x' } }] },
      { toNodes: [nodeSelector], toRequires: [{ matchLabels: { 'k8s:a': 'b' } }] },
    ],
  };
  const kind = 'CiliumClusterwideNetworkPolicy';
  const metadata = { name: 'host' };
  const [rule] = printed({ apiVersion: 'cilium.io/v2', kind, metadata, spec });
  expect(rule).toMatchObject({
    nodeSelector: { matchLabels: { 'any:role': 'worker' } },
    ingress: [
      { fromEntities: ['cluster'], toPorts: [{ ports: [{ port: 'ssh', protocol: 'ANY' }] }] },
    ],
    egress: [
      {
        toCIDRSet: [
          { cidrGroupSelector: { matchLabels: { 'any:a': 'b' } } },
          { cidrGroupRef: 'c' },
        ],
      },
      { toServices: [{ k8sService: { serviceName: 'db', namespace: 'x' } }] },
      { toNodes: [{ matchLabels: { 'any:role': 'worker' } }] },
    ],
    labels: [
      { key: 'team', value: 'red', source: '' },
      label('derived-from', 'CiliumClusterwideNetworkPolicy'),
      label('name', 'host'),
    ],
  });
  expect(rule).not.toHaveProperty('endpointSelector');
  expect(JSON.stringify(rule)).toContain('"toRequires":[{"matchLabels":{"k8s:a":"b"}');
});

test('only the sections that are there', () => {
  const document = (spec: object) => ({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'a' },
    spec: { endpointSelector: {}, ...spec },
  });
  const sections = (spec: object) =>
    Object.keys(printed(document(spec))[0] ?? {}).filter((each) => /^(in|e)gress/.test(each));
  expect(sections({ ingress: [] })).toEqual(['ingress']);
  expect(sections({ ingressDeny: [{}] })).toEqual(['ingressDeny']);
  expect(sections({ egressDeny: [{}], egress: [{}] })).toEqual(['egress', 'egressDeny']);
});

test('rows of all rules of a policy, and their text', () => {
  const spec = { endpointSelector: {}, ingress: [] };
  const document = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumClusterwideNetworkPolicy',
    metadata: { name: 'a', uid: 'u' },
    spec: { ...spec, description: 'a < b & c' },
    specs: [spec],
  };
  const rows = rowsOf(document);
  expect(rows.map((each) => [each.key, each.ruleIndex, each.revision, each.uid])).toEqual([
    ['a.yaml|CiliumClusterwideNetworkPolicy//a#0', 0, 7, 'u'],
    ['a.yaml|CiliumClusterwideNetworkPolicy//a#1', 1, 7, 'u'],
  ]);
  expect(rows[0]?.labels).toEqual([
    'k8s:io.cilium.k8s.policy.derived-from=CiliumClusterwideNetworkPolicy',
    'k8s:io.cilium.k8s.policy.name=a',
    'k8s:io.cilium.k8s.policy.uid=u',
  ]);
  expect(formatRules(rows)).toContain('"description": "a \\u003c b \\u0026 c"');
});
