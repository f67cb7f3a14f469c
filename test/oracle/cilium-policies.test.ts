/**
 * @module The oracle against the text of CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.
 */
import { expect, test } from 'bun:test';
import type { OracleConfig } from './documents.ts';
import { answers, ask, type Case, ciliumPolicy, clusterWith, networkPolicy } from './fixture.ts';
import { judgeHost } from './oracle.ts';

const all = { endpointSelector: {} };
const onWeb = { endpointSelector: { matchLabels: { app: 'web' } } };

/** The path says the kind: "a/p" lies in a namespace, "p" is cluster-wide. */
function expectCases(
  path: string,
  spec: object,
  cases: readonly Case[],
  config: Partial<OracleConfig> = {},
  objects: readonly object[] = [],
): void {
  const cluster = clusterWith([...objects, ciliumPolicy(path, spec)], config);
  expect(answers(cluster, cases)).toEqual([...cases]);
}

test('an item with nothing in it allows nobody and still closes the direction', () => {
  expectCases('a/p', { ...all, ingress: [{}] }, [
    ['a/db', 'a/web', 'TCP/80', false],
    ['a/db', 'b/web', 'TCP/80', true],
    ['a/web', '1.1.1.1', 'TCP/80', true],
  ]);
});

test('a deny section alone closes the direction too', () => {
  expectCases('a/p', { ...all, egressDeny: [{ toEntities: ['world'] }] }, [
    ['a/web', '1.1.1.1', 'TCP/80', false],
    ['a/web', 'b/db', 'TCP/80', false],
  ]);
});

test('an empty list of peers is nobody, whatever the ports', () => {
  const toPorts = [{ ports: [{ port: '80' }] }];
  expectCases('a/p', { ...all, ingress: [{ fromEndpoints: [], toPorts }] }, [
    ['a/db', 'a/web', 'TCP/80', false],
  ]);
});

test('ports alone are about anybody', () => {
  expectCases('a/p', { ...all, ingress: [{ toPorts: [{ ports: [{ port: '80' }] }] }] }, [
    ['a/db', 'a/web', 'TCP/80', true],
    ['1.1.1.1', 'a/web', 'UDP/80', true],
    ['2001:db8::1', 'a/web', 'SCTP/80', true],
    ['192.168.0.2', 'a/web', 'TCP/81', false],
  ]);
});

test('an empty selector is the own namespace in one kind, any namespace in the other', () => {
  const spec = { ...onWeb, ingress: [{ fromEndpoints: [{}] }] };
  const cases = (other: boolean): Case[] => [
    ['a/db', 'a/web', 'TCP/80', true],
    ['b/db', 'a/web', 'TCP/80', other],
    ['1.1.1.1', 'a/web', 'TCP/80', false],
    ['192.168.0.2', 'a/web', 'TCP/80', false],
  ];
  expectCases('a/p', spec, cases(false));
  expectCases('p', spec, cases(true));
});

test('a selector that names a namespace is not bound to the policy’s own', () => {
  const db = { 'k8s:app': 'db' };
  const from = (matchLabels: object) => ({
    ...onWeb,
    ingress: [{ fromEndpoints: [{ matchLabels }] }],
  });
  const cases: Case[] = [
    ['b/db', 'a/web', 'TCP/80', true],
    ['a/db', 'a/web', 'TCP/80', false],
    ['b/web', 'a/web', 'TCP/80', false],
  ];
  expectCases('a/p', from({ ...db, 'k8s:io.kubernetes.pod.namespace': 'b' }), cases);
  expectCases('a/p', from({ ...db, 'io.cilium.k8s.namespace.labels.env': 'dev' }), cases);
});

test('keys may carry the source of the label', () => {
  const from = (key: string) => ({
    ...onWeb,
    ingress: [{ fromEndpoints: [{ matchLabels: { [key]: 'db' } }] }],
  });
  for (const key of ['app', 'any:app', 'k8s:app'])
    expectCases('a/p', from(key), [['a/db', 'a/web', 'TCP/80', true]]);
  expectCases('a/p', from('cni:app'), [['a/db', 'a/web', 'TCP/80', false]]);
});

test('a selector of a reserved label means what has it, in any policy', () => {
  const from = (key: string) => ({
    ...onWeb,
    ingress: [{ fromEndpoints: [{ matchLabels: { [key]: '' } }] }],
  });
  for (const path of ['a/p', 'p']) {
    expectCases(path, from('reserved:host'), [
      ['192.168.0.1', 'a/web', 'TCP/80', true],
      ['192.168.0.2', 'a/web', 'TCP/80', false],
      ['a/db', 'a/web', 'TCP/80', false],
    ]);
    expectCases(path, from('reserved:remote-node'), [['a/agent', 'a/web', 'TCP/80', true]]);
  }
});

test('requirements of a namespaced policy are about its own namespace', () => {
  const ingress = [{ fromEntities: ['all'], fromRequires: [{ matchLabels: { app: 'db' } }] }];
  expectCases('a/p', { ...onWeb, ingress }, [
    ['a/db', 'a/web', 'TCP/80', true],
    ['b/db', 'a/web', 'TCP/80', false],
    ['1.1.1.1', 'a/web', 'TCP/80', false],
  ]);
});

test('the service account and the cluster are labels', () => {
  const robot = { 'io.cilium.k8s.policy.serviceaccount': 'robot' };
  const home = { 'k8s:io.cilium.k8s.policy.cluster': 'default' };
  expectCases('p', { ...onWeb, ingress: [{ fromEndpoints: [{ matchLabels: robot }] }] }, [
    ['b/web', 'a/web', 'TCP/80', true],
    ['b/db', 'a/web', 'TCP/80', false],
  ]);
  expectCases('p', { ...onWeb, ingress: [{ fromEndpoints: [{ matchLabels: home }] }] }, [
    ['b/db', 'a/web', 'TCP/80', true],
  ]);
});

test('a cluster-wide subject may be chosen by namespace', () => {
  const matchLabels = { 'k8s:io.kubernetes.pod.namespace': 'b' };
  expectCases('p', { endpointSelector: { matchLabels }, ingress: [{}] }, [
    ['a/web', 'b/web', 'TCP/80', false],
    ['b/web', 'a/web', 'TCP/80', true],
  ]);
});

test('a deny beats every allow, however wide the deny and narrow the allow', () => {
  const fromEndpoints = [{ matchLabels: { app: 'db' } }];
  const ingress = [{ fromEndpoints, toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] }];
  const ingressDeny = [{ fromEntities: ['all'] }];
  const cluster = clusterWith([
    ciliumPolicy('a/x', { ...onWeb, ingress }),
    ciliumPolicy('a/y', { ...onWeb, ingressDeny }),
    networkPolicy('a/n', { podSelector: {}, ingress: [{}] }),
  ]);
  expect(ask(cluster, 'a/db', 'a/web').ingress).toEqual({
    enforced: true,
    allowed: false,
    rules: ['CiliumNetworkPolicy/a/y#0:ingressDeny[0]'],
  });
});

test('several rules in one object, each with its own number', () => {
  const cluster = clusterWith([
    ciliumPolicy('p', [
      { ...onWeb, ingress: [{}, { fromEntities: ['world'] }] },
      { ...all, ingress: [{ fromEntities: ['all'] }] },
    ]),
  ]);
  const kind = 'CiliumClusterwideNetworkPolicy';
  expect(ask(cluster, '1.1.1.1', 'a/web').ingress?.rules).toEqual([
    `${kind}//p#0:ingress[1]`,
    `${kind}//p#1:ingress[0]`,
  ]);
});

test('a rule that opts out of the default deny still denies', () => {
  const spec = {
    ...onWeb,
    enableDefaultDeny: { ingress: false },
    ingress: [{ fromEndpoints: [{}] }],
    ingressDeny: [{ fromCIDR: ['1.1.1.0/24'] }],
  };
  const cluster = clusterWith([ciliumPolicy('a/p', spec)]);
  expect(ask(cluster, '1.1.1.1', 'a/web').allowed).toBe(false);
  expect(ask(cluster, '8.8.8.8', 'a/web').ingress).toEqual({
    enforced: true,
    allowed: true,
    rules: [],
  });
  const strict = clusterWith([
    ciliumPolicy('a/p', spec),
    ciliumPolicy('a/q', { ...onWeb, ingress: [{}] }),
  ]);
  expect(ask(strict, '8.8.8.8', 'a/web').ingress?.rules).toEqual([
    'CiliumNetworkPolicy/a/q#0:ingress',
  ]);
});

test('prefixes are about what is outside: no pods, and no nodes unless so configured', () => {
  const spec = { ...onWeb, ingress: [{ fromCIDR: ['0.0.0.0/0'] }] };
  const cases = (nodes: boolean): Case[] => [
    ['1.1.1.1', 'a/web', 'TCP/80', true],
    ['b/db', 'a/web', 'TCP/80', false],
    ['192.168.0.2', 'a/web', 'TCP/80', nodes],
    ['192.168.0.1', 'a/web', 'TCP/80', nodes],
    ['2001:db8::1', 'a/web', 'TCP/80', false],
  ];
  expectCases('a/p', spec, cases(false));
  expectCases('a/p', spec, cases(true), { cidrMatchesNodes: true });
});

test('a set leaves out its exceptions', () => {
  const cidrSet = { cidr: '2001:db8::/32', except: ['2001:db8:1::/48'] };
  expectCases('a/p', { ...onWeb, egress: [{ toCIDRSet: [cidrSet] }] }, [
    ['a/web', '2001:db8::1', 'TCP/80', true],
    ['a/web', '2001:db8:1::1', 'TCP/80', false],
  ]);
});

const groups = [
  ['office', 'low', ['1.1.1.0/24', '2001:db8::/32']],
  ['partner', 'high', ['8.8.8.0/24']],
].map(([name, level, externalCIDRs]) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumCIDRGroup',
  metadata: { name, labels: { level } },
  spec: { externalCIDRs },
}));

test('groups by name and by labels; a group that is not there is nobody', () => {
  const to = (set: object) => ({ ...onWeb, egress: [{ toCIDRSet: [set] }] });
  const check = (set: object, one: boolean, eight: boolean) =>
    expectCases(
      'a/p',
      to(set),
      [
        ['a/web', '1.1.1.1', 'TCP/80', one],
        ['a/web', '8.8.8.8', 'TCP/80', eight],
      ],
      {},
      groups,
    );
  check({ cidrGroupRef: 'office' }, true, false);
  check({ cidrGroupRef: 'office', except: ['1.1.1.1/32'] }, false, false);
  check({ cidrGroupRef: 'absent' }, false, false);
  check({ cidrGroupSelector: { matchLabels: { level: 'high' } } }, false, true);
  const either = [{ key: 'level', operator: 'In', values: ['high', 'low'] }];
  check({ cidrGroupSelector: { matchExpressions: either } }, true, true);
});

test('entities', () => {
  const check = (entity: string, expected: readonly boolean[]) => {
    const ends = ['b/db', '192.168.0.1', '192.168.0.2', '1.1.1.1', '2001:db8::1'];
    const cases = ends.map((from, at): Case => [from, 'a/web', 'TCP/80', expected[at] === true]);
    expectCases('a/p', { ...onWeb, ingress: [{ fromEntities: [entity] }] }, cases);
  };
  check('all', [true, true, true, true, true]);
  check('cluster', [true, true, true, false, false]);
  check('host', [false, true, false, false, false]);
  check('remote-node', [false, false, true, false, false]);
  check('world', [false, false, false, true, true]);
  check('world-ipv4', [false, false, false, true, false]);
  check('world-ipv6', [false, false, false, false, true]);
  for (const entity of ['init', 'health', 'ingress', 'unmanaged', 'none'])
    check(entity, [false, false, false, false, false]);
});

test('nodes by their labels, with the pods in their network, and nothing else', () => {
  const edge = { matchLabels: { role: 'edge' } };
  expectCases('a/p', { ...onWeb, ingress: [{ fromNodes: [edge] }] }, [
    ['192.168.0.2', 'a/web', 'TCP/80', true],
    ['fd00:192::2', 'a/web', 'TCP/80', true],
    ['a/agent', 'a/web', 'TCP/80', true],
    ['192.168.0.1', 'a/web', 'TCP/80', false],
    ['a/db', 'a/web', 'TCP/80', false],
  ]);
  expectCases('a/p', { ...onWeb, egress: [{ toNodes: [{}] }] }, [
    ['a/web', '192.168.0.1', 'TCP/80', true],
    ['a/web', '192.168.0.2', 'TCP/80', true],
    ['a/web', '1.1.1.1', 'TCP/80', false],
  ]);
});

const ips = (...list: string[]) => list.map((ip) => ({ ip }));
const services = [
  {
    kind: 'Service',
    metadata: { name: 'inner', namespace: 'b', labels: { side: 'in' } },
    spec: { selector: { app: 'db' } },
  },
  {
    kind: 'Service',
    metadata: { name: 'outer', namespace: 'b', labels: { side: 'out' } },
    spec: {},
  },
  {
    kind: 'Endpoints',
    metadata: { name: 'outer', namespace: 'b' },
    subsets: [{ addresses: ips('1.1.1.1', '2001:db8::1', '192.168.0.2', '10.0.0.3') }],
  },
];

test('a service with a selector is its pods, one without is its outside addresses', () => {
  const check = (service: object, expected: readonly boolean[]) => {
    const ends = ['b/db', 'a/db', '1.1.1.1', '2001:db8::1', '192.168.0.2', 'b/web', '8.8.8.8'];
    const cases = ends.map((to, at): Case => ['a/web', to, 'TCP/80', expected[at] === true]);
    expectCases('a/p', { ...onWeb, egress: [{ toServices: [service] }] }, cases, {}, services);
  };
  check({ k8sService: { serviceName: 'inner', namespace: 'b' } }, [true]);
  check({ k8sService: { serviceName: 'outer', namespace: 'b' } }, [false, false, true, true]);
  check({ k8sService: { serviceName: 'outer', namespace: 'a' } }, []);
  const selector = { matchLabels: { side: 'in' } };
  check({ k8sServiceSelector: { selector, namespace: 'b' } }, [true]);
});

test('requirements narrow every allow of every rule of the subject, and no deny', () => {
  const requires = { fromEndpoints: [], fromRequires: [{ matchLabels: { tier: 'back' } }] };
  const policies = [
    ciliumPolicy('r', { ...onWeb, ingress: [requires] }),
    ciliumPolicy('p', {
      ...onWeb,
      ingress: [{ fromEndpoints: [{}] }, { fromEntities: ['world'] }],
    }),
  ];
  const cases: Case[] = [
    ['b/db', 'a/web', 'TCP/80', true],
    ['a/db', 'a/web', 'TCP/80', false],
    ['1.1.1.1', 'a/web', 'TCP/80', false],
    ['a/web', 'a/db', 'TCP/80', true],
  ];
  expect(answers(clusterWith(policies), cases)).toEqual(cases);
  const free = networkPolicy('a/n', { podSelector: {}, ingress: [{}] });
  expect(ask(clusterWith([...policies, free]), 'a/db', 'a/web').allowed).toBe(true);
  const deny = ciliumPolicy('a/d', { ...onWeb, ingressDeny: [{ fromEntities: ['world'] }] });
  expect(ask(clusterWith([...policies, free, deny]), '1.1.1.1', 'a/web').allowed).toBe(false);
});

test('requirements alone grant nothing', () => {
  const fromRequires = [{ matchLabels: { app: 'db' } }];
  expectCases('a/p', { ...onWeb, ingress: [{ fromRequires }] }, [
    ['a/db', 'a/web', 'TCP/80', false],
  ]);
});

test('port 0 and protocol ANY are everything but ICMP', () => {
  const ports = (...list: object[]) => ({ ...onWeb, ingress: [{ toPorts: [{ ports: list }] }] });
  expectCases('a/p', ports({ port: '0' }), [
    ['1.1.1.1', 'a/web', 'TCP/1', true],
    ['1.1.1.1', 'a/web', 'SCTP/65535', true],
    ['1.1.1.1', 'a/web', 'ICMP/8', false],
  ]);
  expectCases('a/p', ports({ port: '0', protocol: 'UDP' }, { port: '7', protocol: 'ANY' }), [
    ['1.1.1.1', 'a/web', 'UDP/1', true],
    ['1.1.1.1', 'a/web', 'TCP/1', false],
    ['1.1.1.1', 'a/web', 'TCP/7', true],
    ['1.1.1.1', 'a/web', 'ICMP/7', false],
  ]);
});

test('ranges and names', () => {
  const ports = [
    { port: '100', endPort: 200, protocol: 'TCP' },
    { port: 'http', protocol: 'TCP' },
    { port: 'dns' },
  ];
  expectCases('p', { ...all, egress: [{ toPorts: [{ ports }] }] }, [
    ['a/web', '1.1.1.1', 'TCP/100', true],
    ['a/web', '1.1.1.1', 'TCP/200', true],
    ['a/web', '1.1.1.1', 'TCP/201', false],
    ['a/web', 'b/web', 'TCP/3000', true],
    ['a/web', 'b/web', 'TCP/80', false],
    ['b/web', 'a/web', 'UDP/53', true],
    ['b/web', 'a/web', 'TCP/53', false],
    ['a/web', 'b/web', 'UDP/53', false],
  ]);
});

test('ICMP by family and type; without ports and types everything', () => {
  const fields = [{ type: 8 }, { family: 'IPv6', type: 'EchoRequest' }, { type: 'Timestamp' }];
  expectCases('a/p', { ...onWeb, ingress: [{ icmps: [{ fields }] }] }, [
    ['1.1.1.1', 'a/web', 'ICMP/8', true],
    ['1.1.1.1', 'a/web', 'ICMP/13', true],
    ['1.1.1.1', 'a/web', 'ICMP/0', false],
    ['1.1.1.1', 'a/web', 'TCP/8', false],
    ['2001:db8::1', 'a/web', 'ICMPv6/128', true],
    ['2001:db8::1', 'a/web', 'ICMPv6/8', false],
  ]);
  expectCases('a/p', { ...onWeb, ingress: [{ fromEntities: ['world'] }] }, [
    ['1.1.1.1', 'a/web', 'ICMP/0', true],
  ]);
});

test('rules with a node selector are about the local node only', () => {
  const spec = {
    nodeSelector: { matchLabels: { zone: 'one' } },
    ingress: [{ fromEntities: ['world'], toPorts: [{ ports: [{ port: '22', protocol: 'TCP' }] }] }],
  };
  const cluster = clusterWith([ciliumPolicy('h', spec)]);
  expect(ask(cluster, '1.1.1.1', 'a/web').ingress?.enforced).toBe(false);
  const host = { direction: 'ingress', family: 4, protocol: 'TCP', port: 22 } as const;
  const name = 'CiliumClusterwideNetworkPolicy//h#0:ingress';
  expect(judgeHost(cluster, { ...host, peer: '1.1.1.1' })).toEqual({
    enforced: true,
    allowed: true,
    rules: [`${name}[0]`],
  });
  expect(judgeHost(cluster, { ...host, peer: 'a/web' }).rules).toEqual([name]);
  expect(judgeHost(cluster, { ...host, peer: '1.1.1.1', direction: 'egress' }).enforced).toBe(
    false,
  );
  const elsewhere = clusterWith([ciliumPolicy('h', spec)], { localNode: 'node-b' });
  expect(judgeHost(elsewhere, { ...host, peer: 'a/web' }).enforced).toBe(false);
});

test('a port name on the node’s own policy is the peer’s on egress and nothing on ingress', () => {
  const toPorts = [{ ports: [{ port: 'http', protocol: 'TCP' }] }];
  const spec = { nodeSelector: {}, ingress: [{ toPorts }], egress: [{ toPorts }] };
  const cluster = clusterWith([ciliumPolicy('h', spec)]);
  const query = { peer: 'b/web', family: 4, protocol: 'TCP', port: 3000 } as const;
  expect(judgeHost(cluster, { ...query, direction: 'egress' }).allowed).toBe(true);
  expect(judgeHost(cluster, { ...query, direction: 'ingress' }).allowed).toBe(false);
  expect(judgeHost(cluster, { ...query, direction: 'egress', port: 80 }).allowed).toBe(false);
});
