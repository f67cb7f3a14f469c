import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { keepsLabel, labelFilter, podIdentityLabels } from './labels.ts';
import { formatLabel, parseLabel } from './table.ts';

const pod = { namespace: 'shop', cluster: 'default' };

function labelsOf(labels: Record<string, string>, patterns: readonly string[] = []) {
  return podIdentityLabels({ ...pod, labels }, labelFilter(patterns)).labels;
}

describe('label text', () => {
  test.each([
    ['k8s:app=web', { source: 'k8s', key: 'app', value: 'web' }],
    ['reserved:host', { source: 'reserved', key: 'host', value: '' }],
    ['app=a:b', { source: 'unspec', key: 'app', value: 'a:b' }],
    ['k8s:a=b=c', { source: 'k8s', key: 'a', value: 'b=c' }],
    [':x', { source: 'unspec', key: 'x', value: '' }],
  ])('%s', (text, label) => expect(parseLabel(text)).toEqual(label));

  test('what is formatted is read back', () => {
    const name = fc.stringMatching(/^[a-z0-9./-]+$/);
    fc.assert(
      fc.property(name, name, fc.string(), (source, key, value) => {
        expect(parseLabel(formatLabel({ source, key, value }))).toEqual({ source, key, value });
      }),
    );
  });
});

describe('label filter', () => {
  test('defaults', () => {
    const kept = labelsOf({
      app: 'web',
      'app.kubernetes.io/name': 'web',
      'kubernetes.io/hostname': 'n',
      'pod-template-hash': 'x',
      'statefulset.kubernetes.io/pod-name': 'p',
      'foo.beta.kubernetes.io/x': '1',
    });
    expect(kept).toEqual([
      'k8s:app.kubernetes.io/name=web',
      'k8s:app=web',
      'k8s:io.cilium.k8s.policy.cluster=default',
      'k8s:io.kubernetes.pod.namespace=shop',
    ]);
  });

  test('a positive pattern makes a whitelist, a negative one does not', () => {
    expect(labelsOf({ app: 'a', tier: 'b' }, ['k8s:app'])).toContain('k8s:app=a');
    expect(labelsOf({ app: 'a', tier: 'b' }, ['k8s:app'])).not.toContain('k8s:tier=b');
    expect(labelsOf({ app: 'a', tier: 'b' }, ['!app'])).toContain('k8s:tier=b');
    expect(labelsOf({ app: 'a', tier: 'b' }, ['!app'])).not.toContain('k8s:app=a');
    const filter = labelFilter(['!app.kubernetes.io/instance']);
    const label = { source: 'k8s', key: 'app.kubernetes.io/instance', value: 'x' };
    expect(keepsLabel(filter, label)).toBe(false);
    expect(() => labelFilter(['('])).toThrow(SyntaxError);
  });

  test('namespace labels and the service account come from the caller', () => {
    const { labels } = podIdentityLabels(
      {
        ...pod,
        labels: {},
        serviceAccount: 'sa',
        namespaceLabels: { 'kubernetes.io/metadata.name': 'shop' },
      },
      labelFilter(),
    );
    expect(labels).toContain('k8s:io.cilium.k8s.policy.serviceaccount=sa');
    expect(labels).toContain('k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop');
  });
});

test('no pod label becomes a label of the system', () => {
  const hostile = fc.constantFrom(
    'reserved:host',
    'host',
    'io.kubernetes.pod.namespace',
    'k8s:io.kubernetes.pod.namespace',
    'io.kubernetes.pod.namespace=kube-system,k8s:x',
    'io.cilium.k8s.policy.cluster',
    'io.cilium.k8s.policy.serviceaccount',
    'io.cilium.k8s.namespace.labels.team',
    'a,reserved:host',
    'reserved',
  );
  const key = fc.oneof(hostile, fc.string(), fc.stringMatching(/^[a-z.:=,/-]{1,20}$/));
  const value = fc.oneof(fc.constantFrom('x,reserved:host', 'x=y', ''), fc.string());
  const entries = fc.array(fc.tuple(key, value), { maxLength: 8 });
  const system = new Set(labelsOf({}));
  fc.assert(
    fc.property(entries, (pairs) => {
      const record = Object.fromEntries(pairs);
      const result = podIdentityLabels({ ...pod, labels: record }, labelFilter());
      for (const text of result.labels) {
        if (system.has(text)) continue;
        const label = parseLabel(text);
        expect(label.source).toBe('k8s');
        expect(label.key.startsWith('io.cilium.k8s.')).toBe(false);
        expect(label.key.startsWith('io.kubernetes.pod.namespace')).toBe(false);
        expect(Object.hasOwn(record, label.key)).toBe(true);
        expect(text).not.toContain(',');
      }
      for (const text of system) expect(result.labels).toContain(text);
    }),
  );
});
