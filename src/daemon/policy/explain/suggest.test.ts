/**
 * Suggested policies are read by the parser, admit what was observed, and nothing that was not.
 */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { fixtureModel, parsedDocuments } from './manifest-fixture.ts';
import { type End, OfflineCluster } from './offline.ts';
import { overlay } from './offline-model.ts';
import { type Observation, suggestPolicies } from './suggest.ts';

const namespaces = ['shop', 'data'];
/** Sets of labels of which some are part of others, and none at all. */
const labelSets = [{ app: 'a' }, { app: 'a', tier: 'x' }, { app: 'b' }, { tier: 'x' }, {}];

const pods = namespaces.flatMap((namespace, at) =>
  labelSets.map((labels, index) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `pod-${index}`, namespace, labels },
    spec: { containers: [{ name: 'main' }] },
    status: {
      podIPs: [{ ip: `10.0.${at}.${index + 1}` }, { ip: `fd00::${at}:${index + 1}` }],
    },
  })),
);
const outside = ['192.0.2.1', '192.0.2.2', '2001:db8::7'];
const ports = [
  [6, 80],
  [6, 443],
  [17, 53],
  [132, 9000],
] as const;

const model = fixtureModel(pods);
const plain = new OfflineCluster(model);
const names = [...model.pods.map((each) => each.name), ...outside];

interface Connection {
  readonly from: End;
  readonly to: End;
  readonly proto: number;
  readonly port: number;
}

function connection(from: string, to: string, family: 4 | 6, l4: readonly [number, number]) {
  const [a, b] = [plain.end(from, family), plain.end(to, family)];
  if (a === undefined || b === undefined || a.name === b.name) return undefined;
  if (a.pod === undefined && b.pod === undefined) return undefined;
  return { from: a, to: b, proto: l4[0], port: l4[1] };
}

const everything = names.flatMap((from) =>
  names.flatMap((to) =>
    ([4, 6] as const).flatMap((family) =>
      ports.flatMap((l4) => connection(from, to, family, l4) ?? []),
    ),
  ),
);

function observed({ from, to, proto, port }: Connection): Observation {
  const end = (one: End) => ({ labels: plain.identityLabels(one), address: one.address });
  return { from: end(from), to: end(to), proto, port };
}

function withSuggested(seen: readonly Connection[], kind: 'cnp' | 'netpol'): OfflineCluster {
  const { documents } = suggestPolicies(seen.map(observed), {
    kind,
    directions: ['ingress', 'egress'],
    namespace: undefined,
  });
  return new OfflineCluster(overlay(model, parsedDocuments(documents).policies, []));
}

function verdict(cluster: OfflineCluster, { from, to, proto, port }: Connection) {
  const [a, b] = [cluster.end(from.name, from.family)!, cluster.end(to.name, to.family)!];
  return cluster.judge(a, b, proto, port);
}

/** The same for connections between the same workloads; outside, for the same address. */
function likeness(one: Connection): string {
  const end = ({ pod, address }: End) => (pod === undefined ? address : String(pod.identity));
  return [end(one.from), end(one.to), one.proto, one.port].join(' ');
}

describe.each(['cnp', 'netpol'] as const)('suggest --kind %s', (kind) => {
  test('admits what was observed', () => {
    fc.assert(
      fc.property(fc.subarray(everything, { minLength: 1, maxLength: 12 }), (seen) => {
        const cluster = withSuggested(seen, kind);
        for (const each of seen) expect(verdict(cluster, each).allowed).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('admits nothing else where a pod was observed on that side', () => {
    fc.assert(
      fc.property(fc.subarray(everything, { minLength: 1, maxLength: 12 }), (seen) => {
        // Only workloads that were seen are told apart.
        const known = new Set(seen.flatMap(({ from, to }) => [from.name, to.name]));
        const cluster = withSuggested(seen, kind);
        const wanted = new Set(seen.map(likeness));
        const receivers = new Set(seen.map(({ to }) => to.name));
        for (const each of everything) {
          if (!known.has(each.from.name) || !receivers.has(each.to.name)) continue;
          if (each.to.pod === undefined || wanted.has(likeness(each))) continue;
          expect([each.from.name, each.to.name, verdict(cluster, each).ingress?.allowed]).toEqual([
            each.from.name,
            each.to.name,
            false,
          ]);
        }
      }),
      { numRuns: 60 },
    );
  });
});

test('only the namespace and the side that were asked for', () => {
  const seen = [connection('shop/pod-0', 'data/pod-2', 4, [6, 80])!];
  const suggested = (namespace: string, direction: 'ingress' | 'egress') =>
    suggestPolicies(seen.map(observed), { kind: 'cnp', directions: [direction], namespace })
      .documents.length;
  expect(suggested('data', 'ingress')).toBe(1);
  expect(suggested('data', 'egress')).toBe(0);
  expect(suggested('shop', 'egress')).toBe(1);
});

test('labels that change from pod to pod do not matter', () => {
  const labels = (hash: string) => [
    'k8s:app=web',
    `k8s:pod-template-hash=${hash}`,
    'k8s:io.kubernetes.pod.namespace=shop',
  ];
  const to = {
    labels: ['k8s:app=db', 'k8s:io.kubernetes.pod.namespace=shop'],
    address: '10.0.0.9',
  };
  const { documents } = suggestPolicies(
    ['x', 'y'].map((hash) => ({
      from: { labels: labels(hash), address: '10.0.0.1' },
      to,
      proto: 6,
      port: 80,
    })),
    { kind: 'cnp', directions: ['ingress', 'egress'], namespace: undefined },
  );
  expect(documents).toHaveLength(2);
  expect(JSON.stringify(documents)).not.toContain('hash');
});

test('a NetworkPolicy asks for no label that Kubernetes does not know', () => {
  const end = (name: string, address: string) => ({
    labels: [`k8s:app=${name}`, 'container:built=yes', 'k8s:io.kubernetes.pod.namespace=shop'],
    address,
  });
  const seen = { from: end('web', '10.0.0.1'), to: end('db', '10.0.0.2'), proto: 6, port: 80 };
  const suggested = (kind: 'cnp' | 'netpol') =>
    JSON.stringify(
      suggestPolicies([seen], { kind, directions: ['ingress', 'egress'], namespace: undefined }),
    );
  expect(suggested('netpol')).not.toContain('built');
  expect(suggested('cnp')).toContain('"container:built":"yes"');
});
