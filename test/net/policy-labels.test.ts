/**
 * @module Labels that mimic: whatever a pod, its Pod object, its runtime or its namespace says, the
 * identity never gets a reserved label, nor one of another namespace, cluster or service account.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { LabelSource } from '../../src/daemon/endpoint/label-source.ts';
import { labelFilter, podIdentityLabels } from '../../src/daemon/identity/labels.ts';
import { parseLabel } from '../../src/daemon/identity/table.ts';
import { parseDocuments } from '../../src/daemon/policy/parse/parse.ts';
import { eventually, type Json, type Pod, TestNode } from './harness.ts';
import { app, policy } from './policy-fixture.ts';
import { families } from './world.ts';

const namespaceKey = 'io.kubernetes.pod.namespace';
const clusterKey = 'io.cilium.k8s.policy.cluster';
const accountKey = 'io.cilium.k8s.policy.serviceaccount';
const namespaceLabelPrefix = 'io.cilium.k8s.namespace.labels.';

/** What tries, and what looks like it, in all spellings that are known to have worked somewhere. */
const tries = [
  'reserved:host',
  'reserved:world',
  'reserved',
  'host',
  'k8s:reserved:host',
  'any:reserved.host',
  'reserved.host',
  namespaceKey,
  `k8s:${namespaceKey}`,
  `${namespaceKey}=victim`,
  `${namespaceKey}.x`,
  `x/${namespaceKey}`,
  `io.kubernetes.pod.namespace/x`,
  clusterKey,
  accountKey,
  `io.cilium.k8s.policy`,
  `${namespaceLabelPrefix}team`,
  `${namespaceLabelPrefix}kubernetes.io/metadata.name`,
  'io.cilium.k8s.namespace.labels',
  'io.cilium.k8s.x/y',
  'kubernetes.io/metadata.name',
  '__proto__',
  'constructor',
  'cidr:10.0.0.0/8',
  'fqdn:example.com',
];
const names = ['kube-system', 'victim', 'own', 'host'];

const key = fc.oneof(
  fc.constantFrom(...tries),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.stringMatching(/^[a-z0-9]([a-z0-9.:=/-]{0,40}[a-z0-9])?$/),
  fc
    .tuple(fc.constantFrom(...tries), fc.string({ maxLength: 4 }), fc.constantFrom(...tries))
    .map((parts) => parts.join('')),
);
const value = fc.oneof(
  fc.constantFrom('', 'victim', 'reserved:host', ...names),
  fc.string({ maxLength: 12 }),
);
const labels = fc
  .array(fc.tuple(key, value), { maxLength: 8 })
  .map((pairs) => Object.fromEntries(pairs) as Record<string, string>);
const filters = fc.constantFrom(
  [],
  ['.*'],
  ['reserved:.*'],
  ['k8s:.*', '!app'],
  ['io.*'],
  ['k8s:io\\.cilium.*'],
);

const own = 'own';
const account = 'default';
const cluster = 'here';

/** What is wrong with the labels of an identity of a pod of namespace `own`. */
function mimicked(found: readonly string[], namespaceLabels: Record<string, string>): string[] {
  return found.filter((text) => {
    const label = parseLabel(text);
    if (label.source !== 'k8s') return true;
    if (label.key === namespaceKey) return label.value !== own;
    if (label.key === clusterKey) return label.value !== cluster;
    if (label.key === accountKey) return label.value !== account;
    if (label.key.startsWith(namespaceLabelPrefix)) {
      const name = label.key.slice(namespaceLabelPrefix.length);
      const truth = name === 'kubernetes.io/metadata.name' ? own : namespaceLabels[name];
      return label.value !== truth;
    }
    // No other text may be read as one of the system's by whoever splits it in another place.
    return /^k8s:(reserved:|io\.cilium\.k8s\.|io\.kubernetes\.pod\.namespace([.=]|$))/.test(text);
  });
}

describe('by every way in', () => {
  test('what identities are made of', () => {
    fc.assert(
      fc.property(labels, labels, filters, (podLabels, namespaceLabels, patterns) => {
        const pod = {
          labels: podLabels,
          namespace: own,
          namespaceLabels,
          cluster,
          serviceAccount: account,
        };
        const found = podIdentityLabels(pod, labelFilter(patterns)).labels;
        // kubernetes.io/metadata.name is the caller's to set: LabelSource does.
        const { ['kubernetes.io/metadata.name']: _, ...rest } = namespaceLabels;
        const without = podIdentityLabels(
          { ...pod, namespaceLabels: rest },
          labelFilter(patterns),
        ).labels;
        expect(mimicked(without, rest)).toEqual([]);
        expect(found.every((text) => text.startsWith('k8s:'))).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  test('a request, a Pod object and a Namespace object together', () => {
    const texts = fc.array(
      fc.oneof(
        fc.tuple(key, value).map(([name, text]) => `${name}=${text}`),
        fc
          .tuple(fc.constantFrom('k8s', 'reserved', 'any', 'cni', ''), key)
          .map((two) => two.join(':')),
      ),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(
        texts,
        fc.option(labels),
        labels,
        filters,
        (asked, object, namespaceLabels, patterns) => {
          const filter = labelFilter(patterns);
          const podObject =
            object === null ? undefined : { labels: object, serviceAccount: account, ports: [] };
          const source = new LabelSource((pod) => podIdentityLabels({ ...pod, cluster }, filter), {
            pod: () => podObject as never,
            namespaceLabels: () => namespaceLabels,
          });
          const where = { namespace: own, podName: 'p' };
          const taken = source.own(asked, where);
          // A request that is refused makes no endpoint; one that is taken is kept for later.
          const kept = 'refused' in taken && typeof taken.refused === 'string' ? {} : taken;
          const { labels: found } = source.facts(kept as Record<string, string>, where);
          expect(mimicked(found, namespaceLabels)).toEqual([]);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('objects as text: what gets through the parser still mimics nobody', () => {
    let parsedOnce = 0;
    fc.assert(
      fc.property(
        labels,
        labels,
        fc.constantFrom(...names, 'reserved:host', 'a.b'),
        (podLabels, namespaceLabels, name) => {
          const text = [
            {
              apiVersion: 'v1',
              kind: 'Namespace',
              metadata: { name: own, labels: namespaceLabels },
            },
            {
              apiVersion: 'v1',
              kind: 'Pod',
              metadata: { name: 'p', namespace: own, labels: podLabels },
              spec: { serviceAccountName: name },
            },
          ]
            .map((one) => JSON.stringify(one))
            .join('\n---\n');
          const parsed = parseDocuments(text);
          if (parsed.kind === 'refused') return;
          parsedOnce++;
          const pod = parsed.objects.find((one) => one.kind === 'Pod');
          const namespace = parsed.objects.find((one) => one.kind === 'Namespace');
          if (pod === undefined || namespace === undefined) throw new Error('objects are lost');
          const source = new LabelSource(
            (one) => podIdentityLabels({ ...one, cluster }, labelFilter()),
            {
              pod: () => pod,
              namespaceLabels: () => namespace.labels,
            },
          );
          const { labels: found } = source.facts({}, { namespace: own, podName: 'p' });
          const asAccount = found.map((one) =>
            one.replace(`${accountKey}=${name}`, `${accountKey}=${account}`),
          );
          expect(mimicked(asAccount, { ...namespace.labels })).toEqual([]);
        },
      ),
      { numRuns: 1500 },
    );
    expect(parsedOnce).toBeGreaterThan(20);
  });

  test('the check itself sees what mimics', () => {
    for (const text of [
      'reserved:host',
      `k8s:${namespaceKey}=victim`,
      `k8s:${clusterKey}=there`,
      `k8s:${accountKey}=admin`,
      `k8s:${namespaceLabelPrefix}team=x`,
      'k8s:reserved:host',
    ])
      expect([text, mimicked([text], {})]).toEqual([text, [text]]);
  });
});

describe('on a node', () => {
  let node: TestNode;
  let server: Pod;
  let impostor: Pod;
  beforeAll(async () => {
    node = await TestNode.create();
    server = await node.addPod('server');
    impostor = await node.addPod(
      'impostor',
      { app: 'impostor' },
      { namespace: 'outside', name: 'impostor' },
    );
    const traffic = await node.traffic(server);
    await traffic.call('tcpServe', { port: 7000 });
  });
  afterAll(async () => await node[Symbol.asyncDispose]());

  /** Who may be let in by what an impostor would like to be. */
  const guarded = policy('guarded', {
    endpointSelector: app('server'),
    ingress: [
      { fromEntities: ['host', 'remote-node', 'init', 'health', 'kube-apiserver'] },
      { fromEndpoints: [{}, app('admin')] },
      { fromEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'kube-system' } }] },
      { fromEndpoints: [{ matchLabels: { [`k8s:${namespaceLabelPrefix}team`]: 'admins' } }] },
    ],
  });

  async function letters(): Promise<string[]> {
    const traffic = await node.traffic(impostor);
    const targets = families.map((family) => ({
      host: server.address[family],
      port: 7000,
      protocol: 'tcp' as const,
    }));
    return await traffic.call('reach', { targets, timeoutMs: 200 });
  }

  test('no label of a pod or of its runtime opens what is not its own', async () => {
    await node.changePolicy(() => node.writePolicy('guarded.json', guarded));
    expect(await letters()).toEqual(['n', 'n']);
    const path = `/endpoint/cni-attachment-id:${impostor.containerId}:eth0`;
    for (const label of [
      'reserved:host',
      'reserved:init',
      'reserved:remote-node',
      'k8s:io.kubernetes.pod.namespace=kube-system',
      'k8s:io.kubernetes.pod.namespace=default',
      `k8s:${namespaceLabelPrefix}team=admins`,
      `k8s:${clusterKey}=other`,
      'any:app=server',
    ]) {
      const { status } = await node.rest('PATCH', path, JSON.stringify({ labels: [label] }));
      expect([label, status]).toEqual([label, 400]);
    }
    for (const [at, labels] of [
      { 'reserved:host': '' },
      { 'io.kubernetes.pod.namespace': 'default' },
      { 'io.cilium.k8s.policy.serviceaccount': 'admin' },
    ].entries()) {
      const netns = node.createPodNetns(`bad-${at}`);
      const answer = await node.cni('ADD', { name: `bad-${at}`, netns, labels: labels as never });
      expect([labels, answer.exitCode === 0]).toEqual([labels, false]);
    }
    expect(await letters()).toEqual(['n', 'n']);
  });

  test('neither does a Pod object, nor the labels of its namespace', async () => {
    const object = (labels: object) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'impostor', namespace: 'outside', labels },
    });
    const namespaces = (labels: object) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'outside', labels },
    });
    const identity = async () =>
      (await node.endpoints()).find(
        (one: Json) => one.status['external-identifiers']['k8s-pod-name'] === 'impostor',
      )?.status.identity.labels as string[];
    for (const [podLabels, namespaceLabels] of [
      [{ app: 'admin', 'io.kubernetes.pod.namespace': 'default' }, {}],
      [{ 'io.cilium.k8s.namespace.labels.team': 'admins', app: 'admin' }, {}],
      [{ app: 'admin' }, { 'kubernetes.io/metadata.name': 'default' }],
      [{ app: 'admin' }, { 'io.kubernetes.pod.namespace': 'kube-system' }],
    ] as const) {
      const before = await node.revision();
      node.writePolicy('objects.json', [object(podLabels), namespaces(namespaceLabels)]);
      await eventually('the file to be read', async () => {
        const row = (await node.table('policy-files')).find((one) => one.name === 'objects.json');
        return (
          row !== undefined && (row.status.kind === 'error' || (await node.revision()) > before)
        );
      });
      // Refused as a whole, or taken without what mimics.
      const row = (await node.table('policy-files')).find((one) => one.name === 'objects.json');
      if (row?.status.kind !== 'error') {
        await eventually('the labels to be in force', async () =>
          (await identity()).includes('k8s:app=admin'),
        );
      }
      await node.policySettled();
      const found = await identity();
      expect(found).toContain('k8s:io.kubernetes.pod.namespace=outside');
      expect(
        found.filter((one) => one.startsWith('k8s:io.kubernetes.pod.namespace=')),
      ).toHaveLength(1);
      expect(found.filter((one) => one.includes('labels.kubernetes.io/metadata.name='))).toEqual([
        `k8s:${namespaceLabelPrefix}kubernetes.io/metadata.name=outside`,
      ]);
      expect(found.filter((one) => one.includes('team'))).toEqual([]);
      expect(await letters()).toEqual(['n', 'n']);
      await node.changePolicy(() => node.removePolicy('objects.json'));
    }
    // It can be let in: by the label that its namespace really has.
    await node.changePolicy(() =>
      node.writePolicy('objects.json', [
        object({ app: 'impostor' }),
        namespaces({ team: 'admins' }),
      ]),
    );
    await eventually('the labels to be in force', async () =>
      (await identity()).some((one) => one.includes('team=admins')),
    );
    await node.policySettled();
    expect(await letters()).toEqual(['y', 'y']);
  });
});
