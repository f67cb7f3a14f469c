/**
 * Near misses and what would change a verdict, by example; `test/policy/explain.test.ts` has the
 * rest: that explanations and verdicts agree.
 */
import { describe, expect, test } from 'bun:test';
import { considerations, nearMisses, type Question } from './explain.ts';
import { changeOf } from './explain-change.ts';
import { ciliumDocument, fixtureModel, podDocument, tieredDocument } from './manifest-fixture.ts';
import { OfflineCluster } from './offline.ts';

const pods = [
  podDocument('frontend', '10.0.1.1'),
  podDocument('backend', '10.0.1.2', { ports: [{ name: 'http', containerPort: 8080 }] }),
  podDocument('intruder', '10.0.1.3'),
];

function policy(name: string, spec: object): object {
  return ciliumDocument(name, { endpointSelector: { matchLabels: { app: 'backend' } }, ...spec });
}

function guard(rules: object[]): object {
  return tieredDocument('guard', rules);
}

const fromFrontend = { fromEndpoints: [{ matchLabels: { app: 'frontend' } }] };
const port8080 = { toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }] }] };
const allowsFrontend = policy('allows-frontend', { ingress: [{ ...fromFrontend, ...port8080 }] });
const everybody = { pods: { namespaceSelector: {}, podSelector: {} } };

function clusterOf(...documents: object[]): OfflineCluster {
  return new OfflineCluster(fixtureModel([...pods, ...documents]));
}

function ingress(cluster: OfflineCluster, from: string, port: number, proto = 6): Question {
  const [own, peer] = [cluster.end('default/backend')!, cluster.end(from)!];
  return { direction: 'ingress', own, peer, proto, port };
}

function reasons(cluster: OfflineCluster, from: string, port: number): string[] {
  const all = considerations(cluster, ingress(cluster, from, port));
  return nearMisses(all).map((each) => `${each.item.path}: ${each.reasons.join('; ')}`);
}

describe('near misses', () => {
  const cluster = clusterOf(
    allowsFrontend,
    policy('by-address', {
      ingress: [{ fromCIDRSet: [{ cidr: '192.0.2.0/24', except: ['192.0.2.128/25'] }] }],
    }),
  );

  test('a port is named with what is allowed', () => {
    expect(reasons(cluster, 'default/frontend', 9090)[0]).toBe(
      'ingress[0]: allows port 8080/TCP, not 9090',
    );
  });

  test('a service without a namespace is one of any namespace', () => {
    const toServices = [{ k8sService: { serviceName: 'db' } }];
    const one = clusterOf(policy('to-db', { egress: [{ toServices }] }));
    const [own, peer] = [one.end('default/backend')!, one.end('default/frontend')!];
    const question: Question = { direction: 'egress', own, peer, proto: 6, port: 80 };
    expect(nearMisses(considerations(one, question)).map((each) => each.reasons)).toEqual([
      ['Service db of any namespace does not exist or has no backends'],
    ]);
  });

  test('a label is named with the one that the peer has', () => {
    expect(reasons(cluster, 'default/intruder', 8080)[0]).toBe(
      'ingress[0]: allows peers with app=frontend; default/intruder has app=intruder',
    );
  });

  test('an excepted block is named', () => {
    expect(reasons(cluster, '192.0.2.200', 80)[0]).toBe(
      'ingress[0]: allows 192.0.2.0/24 except 192.0.2.128/25; 192.0.2.200 is in that',
    );
  });

  test('what fails in fewer conditions comes first', () => {
    const all = nearMisses(considerations(cluster, ingress(cluster, 'default/intruder', 9090)));
    expect(all.map((each) => each.failed)).toEqual([2, 2]);
    const near = nearMisses(considerations(cluster, ingress(cluster, 'default/frontend', 9090)));
    expect(near.map((each) => each.failed)).toEqual([1, 2]);
  });

  test('a block of the Cilium kinds does not mean pods', () => {
    const wide = clusterOf(policy('wide', { ingress: [{ fromCIDR: ['10.0.0.0/8'] }] }));
    expect(reasons(wide, 'default/intruder', 80)).toEqual([
      'ingress[0]: 10.0.0.0/8 means addresses outside of the cluster; default/intruder (10.0.1.3) is a pod',
    ]);
  });

  test('a port by name is told with its number', () => {
    const named = clusterOf(
      policy('named', { ingress: [{ toPorts: [{ ports: [{ port: 'http' }] }] }] }),
    );
    expect(reasons(named, 'default/frontend', 80)).toEqual([
      'ingress[0]: allows port http/ANY, which is 8080 at default/backend, not 80',
    ]);
  });
});

describe('tiers', () => {
  test('what a denial comes before is no near miss: it would allow nothing if it matched', () => {
    const other = {
      from: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'x' } } } }],
    };
    const deny = { action: 'Deny', from: [everybody] };
    const behind = clusterOf(allowsFrontend, guard([deny, { action: 'Accept', ...other }]));
    expect(reasons(behind, 'default/intruder', 8080)).toEqual([]);
    const before = clusterOf(allowsFrontend, guard([{ action: 'Accept', ...other }, deny]));
    expect(reasons(before, 'default/intruder', 8080)).toEqual([
      'ingress[0]: allows peers with app=x; default/intruder has app=intruder',
    ]);
    const under = clusterOf(
      allowsFrontend,
      policy('closed', { ingressDeny: [{ fromEndpoints: [{}] }] }),
    );
    expect(reasons(under, 'default/intruder', 8080)).toEqual([]);
  });

  test('a pass leads on, and what follows it in its tier is not reached', () => {
    const cluster = clusterOf(
      allowsFrontend,
      guard([
        { action: 'Pass', from: [everybody] },
        { action: 'Deny', from: [everybody] },
      ]),
    );
    const all = considerations(cluster, ingress(cluster, 'default/frontend', 8080));
    expect(all.map(({ item, failed, reached }) => [item.action, failed, reached])).toEqual([
      ['pass', 0, true],
      ['deny', 0, false],
      ['allow', 0, true],
    ]);
  });
});

describe('what would change it', () => {
  test('a denial by default: the least rule, which then allows exactly that', () => {
    const cluster = clusterOf(allowsFrontend);
    const change = changeOf(cluster, ingress(cluster, 'default/intruder', 9090));
    expect(change).toMatchObject({ kind: 'add', becomes: 'allowed' });
    const after = clusterOf(allowsFrontend, change.document!);
    const judge = (from: string, port: number) =>
      after.judge(after.end(from)!, after.end('default/backend')!, 6, port).allowed;
    expect(judge('default/intruder', 9090)).toBe(true);
    expect(judge('default/intruder', 9091)).toBe(false);
    expect(judge('default/frontend', 9090)).toBe(false);
  });

  test('an allowed connection: every rule that would have to go', () => {
    const also = policy('also', { ingress: [fromFrontend] });
    const cluster = clusterOf(allowsFrontend, also);
    expect(changeOf(cluster, ingress(cluster, 'default/frontend', 8080))).toMatchObject({
      kind: 'remove',
      becomes: 'denied',
      rules: [
        'CiliumNetworkPolicy/default/allows-frontend#0:ingress[0]',
        'CiliumNetworkPolicy/default/also#0:ingress[0]',
      ],
    });
  });

  test('a denial by a rule, and what denies behind it', () => {
    const cluster = clusterOf(allowsFrontend, guard([{ action: 'Deny', from: [everybody] }]));
    expect(changeOf(cluster, ingress(cluster, 'default/frontend', 8080))).toMatchObject({
      kind: 'remove',
      becomes: 'allowed',
      rules: ['ClusterNetworkPolicy//guard#0:ingress[0]'],
    });
    expect(changeOf(cluster, ingress(cluster, 'default/intruder', 8080))).toMatchObject({
      kind: 'remove',
      becomes: 'denied',
      becauseOf: ['CiliumNetworkPolicy/default/allows-frontend#0:ingress'],
    });
  });

  test('a denial of the last tier: a rule before it, which closes nothing else', () => {
    const base = tieredDocument('base', [{ action: 'Deny', from: [everybody] }], {
      tier: 'Baseline',
    });
    const change = changeOf(clusterOf(base), ingress(clusterOf(base), 'default/intruder', 80));
    expect(change).toMatchObject({ kind: 'add', becomes: 'allowed' });
    const after = clusterOf(base, change.document!);
    const judge = (from: string, port: number) =>
      after.judge(after.end(from)!, after.end('default/backend')!, 6, port).allowed;
    expect(judge('default/intruder', 80)).toBe(true);
    expect(judge('default/intruder', 81)).toBe(false);
    expect(judge('default/frontend', 80)).toBe(false);
    expect(judge('192.0.2.1', 80)).toBe(true);
  });

  test('without a port it is a rule for all of them', () => {
    const cluster = clusterOf(allowsFrontend);
    const question = { ...ingress(cluster, 'default/intruder', 1), anyPort: true };
    const after = clusterOf(allowsFrontend, changeOf(cluster, question).document!);
    const ends = [after.end('default/intruder')!, after.end('default/backend')!] as const;
    expect([80, 9090].map((port) => after.judge(...ends, 6, port).allowed)).toEqual([true, true]);
    expect(after.judge(...ends, 1, 8).allowed).toBe(true);
  });

  test('why nothing can be added', () => {
    const denied = clusterOf(guard([{ action: 'Deny', from: [everybody] }]));
    expect(changeOf(denied, ingress(denied, 'default/frontend', 80)).obstacle).toBe(
      'a rule that denies comes before every CiliumNetworkPolicy that allows',
    );
    const required = clusterOf(
      policy('required', { ingress: [{ fromRequires: [{ matchLabels: { app: 'nobody' } }] }] }),
    );
    expect(changeOf(required, ingress(required, 'default/frontend', 80))).toMatchObject({
      kind: 'none',
      obstacle:
        'the least rule that would is not enough: CiliumNetworkPolicy/default/allow-backend-from-frontend#0:ingress, CiliumNetworkPolicy/default/required#0:ingress',
    });
  });

  test('the node gets a rule that selects it alone, if its labels can', () => {
    const closed = {
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumClusterwideNetworkPolicy',
      metadata: { name: 'closed' },
      spec: { nodeSelector: {}, ingress: [] },
    };
    const nodeWith = (labels: object) =>
      new OfflineCluster(
        fixtureModel(
          [...pods, closed, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'one', labels } }],
          { localNode: 'one', hostFirewall: true },
        ),
      );
    const changeOn = (cluster: OfflineCluster) => {
      const [own, peer] = [cluster.end('host')!, cluster.end('default/frontend')!];
      return changeOf(cluster, { direction: 'ingress', own, peer, proto: 6, port: 22 });
    };
    expect(changeOn(nodeWith({}))).toMatchObject({
      kind: 'none',
      obstacle: 'the node has no label kubernetes.io/hostname to select it alone by',
    });
    expect(changeOn(nodeWith({ 'kubernetes.io/hostname': 'one' }))).toMatchObject({
      kind: 'add',
      becomes: 'allowed',
      document: { spec: { nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'one' } } } },
    });
  });

  test('where no policy applies, one that selects the end would', () => {
    const cluster = clusterOf();
    const change = changeOf(cluster, ingress(cluster, 'default/frontend', 8080));
    expect(change).toMatchObject({ kind: 'select', becomes: 'denied' });
  });

  test('a ping gets a rule for its type', () => {
    const cluster = clusterOf(allowsFrontend);
    const change = changeOf(cluster, ingress(cluster, 'default/intruder', 8, 1));
    expect(change).toMatchObject({ kind: 'add', becomes: 'allowed' });
    expect(JSON.stringify(change.document)).toContain('"icmps":[{"fields":[{"type":8');
  });
});
