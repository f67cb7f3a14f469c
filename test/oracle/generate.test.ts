/**
 * @module That the generator repeats itself, that what it makes is worth judging, and that the
 * shrinker finds the small cluster inside a large one.
 */
import { expect, test } from 'bun:test';
import type { Cluster } from './documents.ts';
import { clusterWith, networkPolicy } from './fixture.ts';
import { generateCluster } from './generate.ts';
import { judge } from './oracle.ts';
import { queriesOf } from './queries.ts';
import { Random } from './random.ts';
import { shrinkCluster } from './shrink.ts';

const seeds = Array.from({ length: 60 }, (_, index) => index + 1);

test('the same seed gives the same cluster and the same questions', () => {
  const once = generateCluster(42);
  expect(generateCluster(42)).toEqual(once);
  expect(generateCluster(43)).not.toEqual(once);
  expect([...queriesOf(once, new Random(1))]).toEqual([...queriesOf(once, new Random(1))]);
});

test('verdicts are mixed, and every tier and kind decides some of them', () => {
  const deciders = new Set<string>();
  let asked = 0;
  let allowed = 0;
  for (const seed of seeds) {
    const cluster = generateCluster(seed);
    for (const query of queriesOf(cluster, new Random(seed), 2)) {
      const verdict = judge(cluster, query);
      asked++;
      if (verdict.allowed) allowed++;
      for (const side of [verdict.egress, verdict.ingress])
        for (const rule of side?.rules ?? [])
          deciders.add(`${rule.split('/')[0]} ${side?.allowed === true ? 'allows' : 'denies'}`);
    }
  }
  expect(asked).toBeGreaterThan(40_000);
  expect(allowed / asked).toBeGreaterThan(0.3);
  expect(allowed / asked).toBeLessThan(0.7);
  expect([...deciders].sort()).toEqual([
    'CiliumClusterwideNetworkPolicy allows',
    'CiliumClusterwideNetworkPolicy denies',
    'CiliumNetworkPolicy allows',
    'CiliumNetworkPolicy denies',
    'ClusterNetworkPolicy allows',
    'ClusterNetworkPolicy denies',
    'NetworkPolicy allows',
    'NetworkPolicy denies',
    'implicit:allow-localhost-ingress allows',
    'implicit:enable-policy-always denies',
  ]);
});

test('every feature is generated', () => {
  const text = seeds.map((seed) => JSON.stringify(generateCluster(seed))).join('\n');
  const wanted = [
    ...['"NotIn"', '"DoesNotExist"', '"from":[]', '"ports":[]', '"ingress":[]', '"ingress":[{}'],
    ...['"specs"', '"enableDefaultDeny"', '"endPort"', '"port":"0"', '"ANY"', '"icmps"', '"Pass"'],
    ...[
      '"Baseline"',
      '"Admin"',
      '"except"',
      '"cidrGroupRef"',
      '"cidrGroupSelector"',
      '"fromNodes"',
    ],
    ...['"toNodes"', '"k8sService"', '"k8sServiceSelector"', '"fromRequires"', '"toRequires"'],
    ...['"destinationNamedPort"', '"networks"', '"hostNetwork":true', '"Succeeded"', '"Pending"'],
    ...[
      '"fromEndpoints":[]',
      '"toEntities"',
      '"nodeSelector"',
      '"egressDeny"',
      '"SCTP"',
      '"nodes"',
    ],
    ...['io.cilium.k8s.namespace.labels.', 'serviceaccount', '"podSelector":{}', '"toCIDR":'],
  ];
  expect(wanted.filter((one) => !text.includes(one))).toEqual([]);
});

test('no rule has two kinds of peers, or ports beside ICMP', () => {
  const peers = ['Endpoints', 'CIDR', 'CIDRSet', 'Entities', 'Nodes', 'Services'];
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const keys = Object.keys(value);
    for (const word of ['from', 'to'])
      expect(keys.filter((key) => peers.some((peer) => key === word + peer)).length).toBeLessThan(
        2,
      );
    expect(keys.includes('toPorts') && keys.includes('icmps')).toBe(false);
    for (const inner of Object.values(value)) walk(inner);
  };
  for (const seed of seeds) walk(generateCluster(seed).objects);
});

test('the shrinker keeps what the failure needs and nothing else', () => {
  const from = [{ ipBlock: { cidr: '0.0.0.0/0' } }, { podSelector: {} }];
  const ports = [{ port: 1 }, { port: 80 }];
  const noise = generateCluster(7).objects.filter(
    (one) => (one as { kind: string }).kind !== 'Pod',
  );
  const culprit = networkPolicy('a/p', { podSelector: {}, ingress: [{ from, ports }, {}] });
  const cluster = clusterWith([...noise, culprit]);
  // Only the block in the first rule tells the two families apart.
  const four = { from: '1.1.1.1', to: 'a/web', family: 4, protocol: 'TCP', port: 80 } as const;
  const six = { ...four, from: '2001:db8::1', family: 6 } as const;
  const name = 'NetworkPolicy/a/p#0:ingress[0]';
  const fails = (candidate: Cluster) =>
    judge(candidate, four).ingress?.rules.includes(name) === true &&
    judge(candidate, six).ingress?.rules.includes(name) === false;
  const { objects } = shrinkCluster(cluster, fails);
  expect(objects).toHaveLength(2);
  expect(objects[0]).toMatchObject({ kind: 'Pod', metadata: { name: 'web', namespace: 'a' } });
  const rule = { from: [from[0]] };
  expect(objects[1]).toEqual(networkPolicy('a/p', { podSelector: {}, ingress: [rule] }));
});
