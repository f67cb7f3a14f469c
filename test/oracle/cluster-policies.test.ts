/**
 * @module The oracle against the text of ClusterNetworkPolicy, corner by corner.
 */
import { expect, test } from 'bun:test';
import {
  answers,
  ask,
  type Case,
  ciliumPolicy,
  clusterWith,
  networkPolicy,
  tierPolicy,
} from './fixture.ts';

const everybody = [{ namespaces: {} }];
const anywhere = [{ networks: ['0.0.0.0/0', '::/0'] }];
const closed = networkPolicy('a/n', { podSelector: {} });
const open = networkPolicy('a/n', { podSelector: {}, ingress: [{}] });

function expectCases(policies: readonly object[], cases: readonly Case[]): void {
  expect(answers(clusterWith(policies), cases)).toEqual([...cases]);
}

/** An ingress policy of one rule. */
function ingress(tier: 'Admin' | 'Baseline', action: string, priority = 10, name = 'p'): object {
  return tierPolicy(name, tier, priority, { ingress: [{ action, from: everybody }] });
}

test('an admin accept comes before a closed pod, an admin deny before an open one', () => {
  expectCases([ingress('Admin', 'Accept'), closed], [['b/db', 'a/web', 'TCP/80', true]]);
  expectCases([ingress('Admin', 'Deny'), open], [['b/db', 'a/web', 'TCP/80', false]]);
});

test('pass leaves the tier for the network policies, later rules of the tier are not asked', () => {
  const policies = [ingress('Admin', 'Pass', 1, 'x'), ingress('Admin', 'Deny', 2, 'y')];
  expectCases([...policies, open], [['b/db', 'a/web', 'TCP/80', true]]);
  expectCases([...policies, closed], [['b/db', 'a/web', 'TCP/80', false]]);
});

test('the lower number comes first', () => {
  const policies = [ingress('Admin', 'Deny', 7, 'x'), ingress('Admin', 'Accept', 3, 'y')];
  expect(ask(clusterWith(policies), 'b/db', 'a/web').ingress?.rules).toEqual([
    'ClusterNetworkPolicy//y#0:ingress[0]',
  ]);
});

test('with equal numbers the name decides', () => {
  const policies = [ingress('Admin', 'Deny', 7, 'y'), ingress('Admin', 'Accept', 7, 'x')];
  expectCases(policies, [['b/db', 'a/web', 'TCP/80', true]]);
});

test('the order inside an object is precedence, and only the deciding rule is named', () => {
  const rules = [
    {
      action: 'Deny',
      from: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'db' } } } }],
    },
    { action: 'Accept', from: everybody },
    { action: 'Deny', from: everybody },
  ];
  const cluster = clusterWith([tierPolicy('p', 'Admin', 0, { ingress: rules })]);
  expect(ask(cluster, 'b/db', 'a/web').ingress).toEqual({
    enforced: true,
    allowed: false,
    rules: ['ClusterNetworkPolicy//p#0:ingress[0]'],
  });
  expect(ask(cluster, 'b/web', 'a/web').ingress?.rules).toEqual([
    'ClusterNetworkPolicy//p#0:ingress[1]',
  ]);
});

test('the baseline is asked where no network policy selects the pod', () => {
  const deny = ingress('Baseline', 'Deny');
  expectCases([deny], [['b/db', 'a/web', 'TCP/80', false]]);
  expectCases(
    [deny, open],
    [
      ['b/db', 'a/web', 'TCP/80', true],
      ['a/db', 'b/web', 'TCP/80', false],
    ],
  );
  expectCases([ingress('Baseline', 'Accept'), closed], [['b/db', 'a/web', 'TCP/80', false]]);
});

test('a network policy for one direction leaves the baseline of the other in force', () => {
  const deny = tierPolicy('p', 'Baseline', 0, { egress: [{ action: 'Deny', to: anywhere }] });
  expectCases(
    [deny, open],
    [
      ['a/web', '1.1.1.1', 'TCP/80', false],
      ['1.1.1.1', 'a/web', 'TCP/80', true],
    ],
  );
});

test('pass in the baseline leads to the default, which allows and names nothing', () => {
  const policies = [ingress('Baseline', 'Pass', 1, 'x'), ingress('Baseline', 'Deny', 2, 'y')];
  expect(ask(clusterWith(policies), 'b/db', 'a/web').ingress).toEqual({
    enforced: true,
    allowed: true,
    rules: [],
  });
});

test('both kinds of Cilium policies belong to the network tier', () => {
  const spec = { endpointSelector: {}, ingressDeny: [{ fromEntities: ['all'] }] };
  for (const path of ['a/c', 'c']) {
    const policy = ciliumPolicy(path, spec);
    expectCases([ingress('Admin', 'Accept'), policy], [['b/db', 'a/web', 'TCP/80', true]]);
    expectCases([ingress('Admin', 'Pass'), policy, open], [['b/db', 'a/web', 'TCP/80', false]]);
    expectCases([ingress('Baseline', 'Accept'), policy], [['b/db', 'a/web', 'TCP/80', false]]);
  }
});

test('a Cilium rule without default deny lets the baseline decide what it does not name', () => {
  const spec = {
    endpointSelector: {},
    enableDefaultDeny: { ingress: false },
    ingress: [{ fromEndpoints: [{ matchLabels: { app: 'db' } }] }],
  };
  expectCases(
    [ciliumPolicy('c', spec), ingress('Baseline', 'Deny')],
    [
      ['b/db', 'a/web', 'TCP/80', true],
      ['b/web', 'a/web', 'TCP/80', false],
    ],
  );
});

test('an accept of the sender’s side leaves the receiver’s side to decide', () => {
  const egress = [{ action: 'Accept', to: everybody }];
  const verdict = ask(
    clusterWith([tierPolicy('p', 'Admin', 0, { egress }), closed]),
    'b/db',
    'a/web',
  );
  expect([verdict.egress?.allowed, verdict.ingress?.allowed]).toEqual([true, false]);
});

test('an absent list leaves its direction alone', () => {
  expect(ask(clusterWith([ingress('Admin', 'Deny')]), 'a/web', '1.1.1.1').egress?.enforced).toBe(
    false,
  );
});

test('subjects by namespace and by pods; what is in a node’s network is none', () => {
  const deny = [{ action: 'Deny', from: anywhereAsPods() }];
  const byNamespace = { namespaces: { matchLabels: { env: 'prod' } } };
  expectCases(
    [tierPolicy('p', 'Admin', 0, { subject: byNamespace, ingress: deny })],
    [
      ['c/web', 'a/web', 'TCP/80', false],
      ['c/web', 'b/web', 'TCP/80', true],
      ['c/web', 'a/agent', 'TCP/80', true],
    ],
  );
  const pods = { namespaceSelector: {}, podSelector: { matchLabels: { app: 'db' } } };
  expectCases(
    [tierPolicy('p', 'Admin', 0, { subject: { pods }, ingress: deny })],
    [
      ['c/web', 'a/db', 'TCP/80', false],
      ['c/web', 'b/db', 'TCP/80', false],
      ['c/web', 'a/web', 'TCP/80', true],
    ],
  );
});

function anywhereAsPods(): object[] {
  return [{ pods: { namespaceSelector: {}, podSelector: {} } }];
}

test('peers by pods need both selectors, and never mean nodes or the world', () => {
  const pods = {
    namespaceSelector: { matchLabels: { env: 'dev' } },
    podSelector: { matchLabels: { app: 'web' } },
  };
  expectCases(
    [tierPolicy('p', 'Admin', 0, { ingress: [{ action: 'Deny', from: [{ pods }] }] })],
    [
      ['b/web', 'a/web', 'TCP/80', false],
      ['b/db', 'a/web', 'TCP/80', true],
      ['c/web', 'a/web', 'TCP/80', true],
    ],
  );
  expectCases(
    [ingress('Admin', 'Deny')],
    [
      ['1.1.1.1', 'a/web', 'TCP/80', true],
      ['192.168.0.2', 'a/web', 'TCP/80', true],
      ['a/agent', 'a/web', 'TCP/80', true],
    ],
  );
});

test('networks are about every address, pods and nodes too, ICMP included, in their family', () => {
  const deny = [{ action: 'Deny', to: [{ networks: ['0.0.0.0/0'] }] }];
  const cluster = clusterWith([tierPolicy('p', 'Admin', 0, { egress: deny })]);
  expect(ask(cluster, 'a/web', 'b/db').allowed).toBe(false);
  expect(ask(cluster, 'a/web', 'b/db', 'ICMP/8').allowed).toBe(false);
  expect(ask(cluster, 'a/web', '192.168.0.2').allowed).toBe(false);
  expect(ask(cluster, 'a/web', 'b/db', 'TCP/80', 6).allowed).toBe(true);
  expect(ask(cluster, 'a/web', '2001:db8::1').allowed).toBe(true);
});

test('nodes by their labels; empty is all nodes', () => {
  const deny = (nodes: object) =>
    tierPolicy('p', 'Admin', 0, { egress: [{ action: 'Deny', to: [{ nodes }] }] });
  expectCases(
    [deny({ matchLabels: { role: 'edge' } })],
    [
      ['a/web', '192.168.0.2', 'TCP/80', false],
      ['b/web', 'a/agent', 'TCP/80', false],
      ['a/web', '192.168.0.1', 'TCP/80', true],
      ['a/web', 'b/db', 'TCP/80', true],
    ],
  );
  expectCases(
    [deny({})],
    [
      ['a/web', '192.168.0.1', 'TCP/80', false],
      ['a/web', '1.1.1.1', 'TCP/80', true],
    ],
  );
});

test('protocols: numbers, ranges with both ends, and never ICMP', () => {
  const protocols = [
    { tcp: { destinationPort: { number: 80 } } },
    { udp: { destinationPort: { range: { start: 100, end: 200 } } } },
    { sctp: { destinationPort: { number: 9 } } },
  ];
  const rule = { action: 'Deny', from: everybody, protocols };
  expectCases(
    [tierPolicy('p', 'Admin', 0, { ingress: [rule] })],
    [
      ['b/db', 'a/web', 'TCP/80', false],
      ['b/db', 'a/web', 'UDP/80', true],
      ['b/db', 'a/web', 'UDP/100', false],
      ['b/db', 'a/web', 'UDP/200', false],
      ['b/db', 'a/web', 'UDP/201', true],
      ['b/db', 'a/web', 'SCTP/9', false],
      ['b/db', 'a/web', 'ICMP/8', true],
    ],
  );
});

test('protocols left out are all traffic', () => {
  expectCases(
    [ingress('Admin', 'Deny')],
    [
      ['b/db', 'a/web', 'ICMP/8', false],
      ['b/db', 'a/web', 'SCTP/1', false],
    ],
  );
});

test('a named port is the receiver’s own, of whatever protocol it is', () => {
  const rule = (name: string) => [
    { action: 'Deny', from: everybody, protocols: [{ destinationNamedPort: name }] },
  ];
  expectCases(
    [tierPolicy('p', 'Admin', 0, { ingress: rule('dns') })],
    [
      ['b/db', 'a/web', 'UDP/53', false],
      ['b/db', 'a/web', 'TCP/53', true],
      ['a/web', 'b/web', 'UDP/53', true],
    ],
  );
  const egress = rule('http').map(({ from, ...rest }) => ({ ...rest, to: from }));
  expectCases(
    [tierPolicy('p', 'Admin', 0, { egress })],
    [
      ['a/web', 'b/web', 'TCP/3000', false],
      ['a/web', 'b/web', 'TCP/80', true],
      ['a/web', 'a/agent', 'TCP/80', true],
    ],
  );
});

test('domain names are no addresses that anybody has', () => {
  const egress = [
    { action: 'Accept', to: [{ domainNames: ['*.example.com'] }] },
    { action: 'Deny', to: anywhere },
  ];
  expectCases([tierPolicy('p', 'Admin', 0, { egress })], [['a/web', '1.1.1.1', 'TCP/80', false]]);
});

test('a peer of an unknown kind: accept means nobody, deny and pass become deny all', () => {
  const rule = (action: string) =>
    tierPolicy('p', 'Admin', 0, { ingress: [{ action, from: [{ galaxies: {} }] }] });
  expectCases([rule('Accept'), closed], [['b/db', 'a/web', 'TCP/80', false]]);
  expectCases([rule('Deny'), open], [['1.1.1.1', 'a/web', 'ICMP/8', false]]);
  expectCases([rule('Pass'), open], [['b/db', 'a/web', 'TCP/80', false]]);
});

test('one unknown peer among known ones is enough, and protocols do not narrow the deny', () => {
  const protocols = [{ tcp: { destinationPort: { number: 80 } } }];
  const from = [{ namespaces: { matchLabels: { env: 'dev' } } }, { galaxies: {} }];
  const rule = { action: 'Deny', from, protocols };
  expectCases(
    [tierPolicy('p', 'Admin', 0, { ingress: [rule] })],
    [['c/web', 'a/web', 'UDP/9', false]],
  );
});

test('the local node: an admin deny decides before the agent’s own allow, a baseline deny after', () => {
  // Ingress rules cannot name nodes; only the unknown peer reaches them.
  const rule = (tier: 'Admin' | 'Baseline') =>
    tierPolicy('p', tier, 0, { ingress: [{ action: 'Deny', from: [{ galaxies: {} }] }] });
  const verdict = (tier: 'Admin' | 'Baseline') =>
    ask(clusterWith([rule(tier)], { allowLocalhost: true }), '192.168.0.1', 'a/web').ingress;
  expect(verdict('Admin')?.allowed).toBe(false);
  expect(verdict('Baseline')?.rules).toEqual(['implicit:allow-localhost-ingress']);
});

test('always: the network tier decides, the baseline is not reached', () => {
  const cluster = clusterWith([ingress('Baseline', 'Accept')], { enablePolicy: 'always' });
  const all = tierPolicy('q', 'Admin', 0, { egress: [{ action: 'Accept', to: everybody }] });
  expect(ask(cluster, 'b/db', 'a/web').ingress?.rules).toEqual(['implicit:enable-policy-always']);
  const admin = clusterWith([all, ingress('Admin', 'Accept')], { enablePolicy: 'always' });
  expect(ask(admin, 'b/db', 'a/web').allowed).toBe(true);
});
