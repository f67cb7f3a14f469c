/**
 * @module The oracle against the text of NetworkPolicy, and what holds for policies of every kind:
 * who the ends are, enforcement modes, attribution.
 */
import { expect, test } from 'bun:test';
import {
  answers,
  ask,
  type Case,
  ciliumPolicy,
  clusterWith,
  networkPolicy,
  pod,
} from './fixture.ts';
import { judge } from './oracle.ts';

const everyPod = { podSelector: {} };
const onWeb = { podSelector: { matchLabels: { app: 'web' } } };

/** The policy lies in namespace a; the cases say what it allows. */
function expectCases(spec: object, cases: readonly Case[]): void {
  expect(answers(clusterWith([networkPolicy('a/p', spec)]), cases)).toEqual([...cases]);
}

test('without policies everything is allowed and nothing enforced', () => {
  const side = { enforced: false, allowed: true, rules: [] };
  expect(ask(clusterWith([]), 'a/web', 'b/db')).toEqual({
    allowed: true,
    egress: side,
    ingress: side,
  });
});

test('an end that is no pod has no side', () => {
  expect(ask(clusterWith([]), '1.1.1.1', 'a/web').egress).toBeUndefined();
  expect(ask(clusterWith([]), 'a/web', '1.1.1.1').ingress).toBeUndefined();
  expect(ask(clusterWith([]), 'a/agent', 'a/web').egress).toBeUndefined();
});

test('an address of a pod is the pod, an ended pod and an unknown name are not', () => {
  const cluster = clusterWith([networkPolicy('a/p', everyPod)]);
  expect(ask(cluster, '1.1.1.1', '10.0.0.1').ingress?.allowed).toBe(false);
  expect(ask(cluster, 'fd00:0::3', 'fd00::1').ingress?.allowed).toBe(false);
  expect(ask(cluster, 'b/web', '10.0.0.9').ingress).toBeUndefined();
  expect(() => ask(cluster, 'a/job', 'a/web')).toThrow('no such pod');
});

test('a family that an end does not have cannot be asked about', () => {
  const query = { from: '1.1.1.1', to: 'a/web', family: 6, protocol: 'TCP', port: 1 } as const;
  expect(() => judge(clusterWith([]), query)).toThrow('family 6');
});

test('types left out: ingress always, egress where the key is', () => {
  expectCases(everyPod, [
    ['b/web', 'a/web', 'TCP/80', false],
    ['a/web', 'b/web', 'TCP/80', true],
  ]);
  expectCases({ ...everyPod, egress: [] }, [
    ['b/web', 'a/web', 'TCP/80', false],
    ['a/web', 'b/web', 'TCP/80', false],
  ]);
});

test('an empty list of types is like none', () => {
  expectCases({ ...everyPod, policyTypes: [] }, [
    ['b/web', 'a/web', 'TCP/80', false],
    ['a/web', 'b/web', 'TCP/80', true],
  ]);
});

test('egress alone leaves ingress open; rules of a type that is not listed do nothing', () => {
  expectCases({ ...everyPod, policyTypes: ['Egress'], ingress: [] }, [
    ['b/web', 'a/web', 'TCP/80', true],
    ['a/web', 'b/web', 'TCP/80', false],
  ]);
});

test('an empty rule allows everybody, an empty list nobody', () => {
  expectCases({ ...everyPod, ingress: [{}] }, [
    ['1.1.1.1', 'a/web', 'ICMP/8', true],
    ['2001:db8::1', 'a/web', 'SCTP/9', true],
  ]);
  expectCases({ ...everyPod, ingress: [] }, [['a/db', 'a/web', 'TCP/80', false]]);
});

test('empty lists of peers and of ports are like absent ones', () => {
  expectCases({ ...everyPod, ingress: [{ from: [], ports: [] }] }, [
    ['1.1.1.1', 'a/web', 'UDP/5', true],
    ['192.168.0.2', 'a/web', 'ICMP/8', true],
  ]);
});

test('a policy is about its own namespace and the pods that it selects', () => {
  expectCases(onWeb, [
    ['a/db', 'a/web', 'TCP/80', false],
    ['a/web', 'a/db', 'TCP/80', true],
    ['a/db', 'c/web', 'TCP/80', true],
  ]);
});

test('an absent namespace selector is the own namespace, an empty one all of them', () => {
  const podSelector = { matchLabels: { app: 'db' } };
  expectCases({ ...onWeb, ingress: [{ from: [{ podSelector }] }] }, [
    ['a/db', 'a/web', 'TCP/80', true],
    ['b/db', 'a/web', 'TCP/80', false],
  ]);
  expectCases({ ...onWeb, ingress: [{ from: [{ podSelector, namespaceSelector: {} }] }] }, [
    ['a/db', 'a/web', 'TCP/80', true],
    ['b/db', 'a/web', 'TCP/80', true],
    ['b/web', 'a/web', 'TCP/80', false],
  ]);
});

test('two selectors in a peer are both asked, two peers are either', () => {
  const namespaceSelector = { matchLabels: { env: 'dev' } };
  const podSelector = { matchLabels: { app: 'db' } };
  expectCases({ ...onWeb, ingress: [{ from: [{ podSelector, namespaceSelector }] }] }, [
    ['b/db', 'a/web', 'TCP/80', true],
    ['b/web', 'a/web', 'TCP/80', false],
    ['a/db', 'a/web', 'TCP/80', false],
  ]);
  expectCases({ ...onWeb, ingress: [{ from: [{ podSelector }, { namespaceSelector }] }] }, [
    ['b/db', 'a/web', 'TCP/80', true],
    ['b/web', 'a/web', 'TCP/80', true],
    ['a/db', 'a/web', 'TCP/80', true],
    ['c/web', 'a/web', 'TCP/80', false],
  ]);
});

test('the name of a namespace is always one of its labels', () => {
  const namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': 'c' } };
  expectCases({ ...onWeb, ingress: [{ from: [{ namespaceSelector }] }] }, [
    ['c/web', 'a/web', 'TCP/80', true],
    ['b/web', 'a/web', 'TCP/80', false],
  ]);
});

test('operators: NotIn holds without the key, as DoesNotExist does', () => {
  const from = (expression: object) => ({
    ...onWeb,
    ingress: [
      { from: [{ namespaceSelector: {}, podSelector: { matchExpressions: [expression] } }] },
    ],
  });
  const cases = (db: boolean, back: boolean): Case[] => [
    ['a/db', 'a/web', 'TCP/80', db],
    ['b/db', 'a/web', 'TCP/80', back],
  ];
  expectCases(from({ key: 'tier', operator: 'NotIn', values: ['back'] }), cases(true, false));
  expectCases(from({ key: 'tier', operator: 'DoesNotExist' }), cases(true, false));
  expectCases(from({ key: 'tier', operator: 'Exists' }), cases(false, true));
  expectCases(from({ key: 'tier', operator: 'In', values: ['front', 'back'] }), cases(false, true));
});

test('a selector of pods never means nodes, nor pods in a node’s network, nor the world', () => {
  expectCases({ ...onWeb, ingress: [{ from: [{ namespaceSelector: {} }] }] }, [
    ['c/web', 'a/web', 'TCP/80', true],
    ['a/agent', 'a/web', 'TCP/80', false],
    ['192.168.0.1', 'a/web', 'TCP/80', false],
    ['1.1.1.1', 'a/web', 'TCP/80', false],
  ]);
});

test('a block is about addresses, whoever has them', () => {
  expectCases({ ...onWeb, ingress: [{ from: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }] }, [
    ['b/db', 'a/web', 'TCP/80', true],
    ['192.168.0.2', 'a/web', 'TCP/80', true],
    ['a/agent', 'a/web', 'TCP/80', true],
    ['1.1.1.1', 'a/web', 'ICMP/8', true],
    ['2001:db8::1', 'a/web', 'TCP/80', false],
  ]);
});

test('a block is about the family that it is written in', () => {
  const cluster = clusterWith([
    networkPolicy('a/p', { ...onWeb, ingress: [{ from: [{ ipBlock: { cidr: 'fd00::/64' } }] }] }),
  ]);
  expect(ask(cluster, 'b/db', 'a/web', 'TCP/80', 6).allowed).toBe(true);
  expect(ask(cluster, 'b/db', 'a/web', 'TCP/80', 4).allowed).toBe(false);
});

test('an exception cuts its own block only', () => {
  const ipBlock = { cidr: '1.0.0.0/8', except: ['1.1.0.0/16'] };
  const other = { ipBlock: { cidr: '1.1.1.0/24' } };
  expectCases({ ...onWeb, ingress: [{ from: [{ ipBlock }] }] }, [
    ['1.2.0.1', 'a/web', 'TCP/80', true],
    ['1.1.1.1', 'a/web', 'TCP/80', false],
  ]);
  expectCases({ ...onWeb, ingress: [{ from: [{ ipBlock }, other] }] }, [
    ['1.1.1.1', 'a/web', 'TCP/80', true],
    ['1.1.2.1', 'a/web', 'TCP/80', false],
  ]);
});

test('ports: protocol left out is TCP, a port left out is all of the protocol, never ICMP', () => {
  expectCases({ ...onWeb, ingress: [{ ports: [{ port: 80 }, { protocol: 'UDP' }] }] }, [
    ['1.1.1.1', 'a/web', 'TCP/80', true],
    ['1.1.1.1', 'a/web', 'TCP/81', false],
    ['1.1.1.1', 'a/web', 'UDP/9', true],
    ['1.1.1.1', 'a/web', 'SCTP/80', false],
    ['1.1.1.1', 'a/web', 'ICMP/8', false],
  ]);
});

test('a range includes both of its ends', () => {
  expectCases({ ...onWeb, ingress: [{ ports: [{ port: 80, endPort: 90 }] }] }, [
    ['1.1.1.1', 'a/web', 'TCP/79', false],
    ['1.1.1.1', 'a/web', 'TCP/80', true],
    ['1.1.1.1', 'a/web', 'TCP/90', true],
    ['1.1.1.1', 'a/web', 'TCP/91', false],
    ['1.1.1.1', 'a/web', 'UDP/85', false],
  ]);
});

test('a port name on ingress is the subject’s own port', () => {
  expectCases({ ...everyPod, ingress: [{ ports: [{ port: 'http' }] }] }, [
    ['b/web', 'a/web', 'TCP/80', true],
    ['b/web', 'a/web', 'TCP/3000', false],
    ['b/web', 'a/db', 'TCP/8080', true],
    ['b/web', 'a/db', 'TCP/80', false],
  ]);
});

test('a port name on egress is each peer’s own port, and nothing outside', () => {
  const egress = [{ ports: [{ port: 'http' }] }];
  expectCases({ ...everyPod, policyTypes: ['Egress'], egress }, [
    ['a/web', 'b/web', 'TCP/3000', true],
    ['a/web', 'b/web', 'TCP/80', false],
    ['a/web', 'b/db', 'TCP/80', true],
    ['a/web', '1.1.1.1', 'TCP/80', false],
    ['a/web', 'a/agent', 'TCP/80', false],
  ]);
});

test('a port name with another protocol means nothing', () => {
  expectCases({ ...onWeb, ingress: [{ ports: [{ port: 'dns' }] }] }, [
    ['1.1.1.1', 'a/web', 'UDP/53', false],
    ['1.1.1.1', 'a/web', 'TCP/53', false],
  ]);
  expectCases({ ...onWeb, ingress: [{ ports: [{ port: 'dns', protocol: 'UDP' }] }] }, [
    ['1.1.1.1', 'a/web', 'UDP/53', true],
  ]);
});

test('several policies add up, and all of them are named', () => {
  const from = (app: string) => ({
    ...onWeb,
    ingress: [{ from: [{ podSelector: { matchLabels: { app } } }] }],
  });
  const cluster = clusterWith([networkPolicy('a/y', from('db')), networkPolicy('a/x', from('db'))]);
  expect(ask(cluster, 'a/db', 'a/web').ingress).toEqual({
    enforced: true,
    allowed: true,
    rules: ['NetworkPolicy/a/x#0:ingress[0]', 'NetworkPolicy/a/y#0:ingress[0]'],
  });
  expect(ask(cluster, 'b/db', 'a/web').ingress).toEqual({
    enforced: true,
    allowed: false,
    rules: ['NetworkPolicy/a/x#0:ingress', 'NetworkPolicy/a/y#0:ingress'],
  });
});

test('a verdict needs both ends', () => {
  const deny = networkPolicy('b/p', everyPod);
  const verdict = ask(clusterWith([deny]), 'a/web', 'b/web');
  expect([verdict.allowed, verdict.egress?.allowed, verdict.ingress?.allowed]).toEqual([
    false,
    true,
    false,
  ]);
});

test('a pod reaches itself', () => {
  const spec = { ...everyPod, policyTypes: ['Ingress', 'Egress'] };
  const verdict = ask(clusterWith([networkPolicy('a/p', spec)]), 'a/web', '10.0.0.1');
  const side = { enforced: false, allowed: true, rules: [] };
  expect(verdict).toEqual({ allowed: true, egress: side, ingress: side });
});

test('a pod without an address is in nobody’s way', () => {
  const waiting = pod('a/late', { app: 'late' }, 7) as { status: object };
  waiting.status = { phase: 'Pending' };
  const cluster = clusterWith([waiting, networkPolicy('a/p', onWeb)]);
  expect(ask(cluster, 'b/web', 'a/web').allowed).toBe(false);
  expect(() => ask(cluster, 'a/late', 'a/web')).toThrow('no address');
});

test('labels that controllers add are no labels of an identity', () => {
  const podSelector = { matchLabels: { 'pod-template-hash': 'x1' } };
  expectCases({ podSelector }, [['b/web', 'a/web', 'TCP/80', true]]);
});

test('the local node may reach its pods where that is allowed, other nodes may not', () => {
  const cluster = clusterWith([networkPolicy('a/p', everyPod)], { allowLocalhost: true });
  expect(ask(cluster, '192.168.0.1', 'a/web').ingress).toEqual({
    enforced: true,
    allowed: true,
    rules: ['implicit:allow-localhost-ingress'],
  });
  expect(ask(cluster, '192.168.0.2', 'a/web').allowed).toBe(false);
  expect(ask(clusterWith([networkPolicy('a/p', everyPod)]), '192.168.0.1', 'a/web').allowed).toBe(
    false,
  );
});

test('the local node is held back by a deny, and only towards pods', () => {
  const ingressDeny = [{ fromEntities: ['host'] }];
  const deny = ciliumPolicy('a/d', { endpointSelector: {}, ingressDeny });
  expect(ask(clusterWith([deny], { allowLocalhost: true }), '192.168.0.1', 'a/web').allowed).toBe(
    false,
  );
  const egress = networkPolicy('a/p', { ...everyPod, policyTypes: ['Egress'] });
  expect(ask(clusterWith([egress], { allowLocalhost: true }), 'a/web', '192.168.0.1').allowed).toBe(
    false,
  );
});

test('always: a default deny without any policy, and rules still allow', () => {
  const implicit = ask(clusterWith([], { enablePolicy: 'always' }), 'a/web', 'b/web');
  const side = { enforced: true, allowed: false, rules: ['implicit:enable-policy-always'] };
  expect(implicit).toEqual({ allowed: false, egress: side, ingress: side });
  const open = networkPolicy('a/p', { ...everyPod, ingress: [{}] });
  const cluster = clusterWith([open], { enablePolicy: 'always' });
  expect(ask(cluster, '1.1.1.1', 'a/web').allowed).toBe(true);
});

test('never: nothing is enforced', () => {
  const cluster = clusterWith([networkPolicy('a/p', everyPod)], { enablePolicy: 'never' });
  expect(ask(cluster, 'b/web', 'a/web').ingress).toEqual({
    enforced: false,
    allowed: true,
    rules: [],
  });
});
