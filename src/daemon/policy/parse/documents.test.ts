import { describe, expect, test } from 'bun:test';
import { objectKey } from '../../../k8s/object.ts';
import { formatProblem } from '../../../k8s/problem.ts';
import {
  ccnp,
  cilium,
  cnp,
  ingress,
  networkPolicy,
  policyOf,
  ports,
  problemsOf,
  repeat,
  ruleOf,
  testRefused,
  textsOf,
} from './case-fixture.ts';
import { parseDocuments } from './parse.ts';

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
    const { rules, places, ...policy } = policyOf({
      ...ingress({}),
      metadata,
      status: { conditions: [] },
    });
    expect(policy).toEqual({
      kind: 'CiliumNetworkPolicy',
      namespace: 'x',
      name: 'a.b',
      uid: '1-2',
    });
    expect(rules).toHaveLength(1);
    expect(places.map((place) => place.text)).toEqual(['x/a.b: spec']);
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

describe('refused', () => {
  testRefused([
    ['hello', 'document 1: must be an object, is "hello"'],
    ['[1]', 'document 1: must be an object, is [1]'],
    ['a: 1\na: 2', 'document 1: Map keys must be unique'],
    [{}, 'document 1: kind: must be a string, is null'],
    [{ kind: 1 }, 'document 1: kind: must be a string, is 1'],
    [
      { kind: 'CiliumNetworkPolicie' },
      'document 1: kind: unknown kind "CiliumNetworkPolicie" (did you mean CiliumNetworkPolicy?)',
    ],
    [{ kind: 'Deployment', apiVersion: 'apps/v1' }, 'document 1: kind: unknown kind "Deployment"'],
    [
      { kind: 'CiliumNetworkPolicy' },
      'document 1: apiVersion: must be "cilium.io/v2" for kind CiliumNetworkPolicy, is undefined',
    ],
    [
      { kind: 'NetworkPolicy', apiVersion: 'extensions/v1beta1' },
      'document 1: apiVersion: must be "networking.k8s.io/v1" for kind NetworkPolicy, is "extensions/v1beta1"',
    ],
    [
      { kind: 'CiliumCIDRGroup', apiVersion: 'v1' },
      'document 1: apiVersion: must be "cilium.io/v2" or "cilium.io/v2alpha1" for kind CiliumCIDRGroup, is "v1"',
    ],
    [
      { kind: 'AdminNetworkPolicy' },
      'document 1: kind: AdminNetworkPolicy is not supported; use ClusterNetworkPolicy with tier Admin',
    ],
    [
      { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: undefined },
      'document 1: metadata: is missing',
    ],
    [
      { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: {} },
      'document 1: metadata.name: is missing',
    ],
    [
      { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: { name: 'A' } },
      'document 1: metadata.name: not a name: "A"',
    ],
    [
      { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: { name: 'a', namespace: 'a.b' } },
      'document 1: metadata.namespace: not a namespace: "a.b"',
    ],
    [
      { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: { name: 'a', uid: 'a b' } },
      'document 1: metadata.uid: not a uid: "a b"',
    ],
    [
      { ...cnp({ endpointSelector: {}, ingress: [] }), metadata: { name: 'a', nane: '' } },
      'document 1: metadata.nane: unknown field (did you mean name?)',
    ],
    [
      {
        ...cnp({ endpointSelector: {}, ingress: [] }),
        metadata: { name: 'a', labels: { 'a b': 'c' } },
      },
      'document 1: metadata.labels["a b"]: not a label key: "a b"',
    ],
    [
      cilium(
        'CiliumClusterwideNetworkPolicy',
        { endpointSelector: {}, ingress: [] },
        { namespace: 'a' },
      ),
      'document 1: metadata.namespace: must be absent: the kind belongs to the whole cluster',
    ],
    [
      { ...cnp({ endpointSelector: {}, ingress: [] }), specc: 1 },
      'document 1: specc: unknown field (did you mean spec?)',
    ],
    [{ ...cnp({}), spec: undefined }, 'ns/foo: has neither spec nor specs'],
    [{ ...cnp({}), spec: undefined, specs: [] }, 'ns/foo: has neither spec nor specs'],
    [{ ...cnp({}), spec: null }, 'ns/foo: spec: must be an object, is null'],
    [
      { ...cnp({}), spec: undefined, specs: [{ endpointSelector: {}, ingres: [], egress: [] }] },
      'ns/foo: specs[0].ingres: unknown field (did you mean ingress?)',
    ],
    [{ apiVersion: 'v1', kind: 'List' }, 'document 1: items: is missing'],
    [{ apiVersion: 'v1', kind: 'List', items: {} }, 'document 1: items: must be a list, is {}'],
    [
      { apiVersion: 'v1', kind: 'List', items: [1] },
      'document 1: items[0]: must be an object, is 1',
    ],
    [
      { apiVersion: 'v1', kind: 'List', items: repeat(2001, {}) },
      'document 1: items: has 2001 entries, at most 2000 are possible',
    ],
  ]);
});

test('all problems of all documents, in the order of the file', () => {
  const bad = ingress({ fromCIDR: ['x'], icmps: 1, fromEntities: ['x'] });
  const good = ingress({});
  expect(textsOf({ apiVersion: 'v1', kind: 'List', items: [good, bad] })).toHaveLength(5);
  expect(textsOf(`${JSON.stringify(good)}\n---\n${JSON.stringify(bad)}`)).toHaveLength(5);
});

test('the same object twice', () => {
  const text = JSON.stringify(ingress({}));
  expect(textsOf(`${text}\n---\n${text}`)).toEqual(['ns/foo: is in this file twice']);
  const other = JSON.stringify({ ...ingress({}), metadata: { name: 'foo', namespace: 'other' } });
  expect(textsOf(`${text}\n---\n${other}`)).toEqual([]);
});

test('the problems of one file are bounded', () => {
  const texts = textsOf(ingress({ fromCIDR: repeat(1000, 'x') }));
  expect(texts).toHaveLength(51);
  expect(texts[50]).toBe('file: and 950 more problems');
});

describe('lines', () => {
  const text = `# words
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web}
spec:
  endpointSelector: {}
  ingress:
  - fromEndpoints:
    - matchLabels:
        "k9s:a": b
    toPorts:
    - ports:
      - {protocol: TCP, port: "x_"}
      - {protocol: TCP}
  - fromEntities: [host,
      wrold]
---
kind: Foo
---
a: 1
 b: 2
`;

  test('of the field, or of what it should be in', () => {
    const found = problemsOf(text).map(({ path, line, column }) => [path, line, column]);
    expect(found).toEqual([
      ['default/web: spec.ingress[0].fromEndpoints[0].matchLabels["k9s:a"]', 10, 9],
      ['default/web: spec.ingress[0].toPorts[0].ports[0].port', 13, 25],
      ['default/web: spec.ingress[0].toPorts[0].ports[1].port', 14, 9],
      ['default/web: spec.ingress[1].fromEntities[1]', 16, 7],
      ['document 2: kind', 18, 1],
      ['document 3', 20, 4],
      ['document 3', 20, 4],
    ]);
  });

  test('as people read it', () => {
    const result = parseDocuments(text, { source: 'web.yaml' });
    const texts = result.kind === 'refused' ? result.problems.map(formatProblem) : [];
    expect(texts[1]).toBe(
      'web.yaml: line 13: default/web: spec.ingress[0].toPorts[0].ports[0].port: not a port: "x_"',
    );
  });

  test('of entries of lists, and through aliases', () => {
    const list = `kind: List
items:
- &one
  apiVersion: cilium.io/v2
  kind: CiliumNetworkPolicy
  metadata: {name: a}
  spec: &spec
    endpointSelector: {}
- apiVersion: cilium.io/v2
  kind: CiliumNetworkPolicy
  metadata: {name: b}
  spec: *spec
`;
    expect(problemsOf(list).map(({ path, line }) => [path, line])).toEqual([
      ['default/a: spec', 7],
      ['default/b: spec', 12],
    ]);
  });
});

describe('kinds that have nothing to do with policy', () => {
  const skipped = (document: unknown) => {
    const text = typeof document === 'string' ? document : JSON.stringify(document);
    const result = parseDocuments(text, { otherKinds: 'skip' });
    return (result.kind === 'parsed' ? result.warnings : result.problems).map(formatProblem);
  };

  test.each([
    [
      { apiVersion: 'apps/v1', kind: 'Deployment' },
      'line 1: document 1: kind "Deployment" of "apps/v1" has no part in policy: skipped here, refused in an agent\'s folder',
    ],
    [
      { apiVersion: 'crd.projectcalico.org/v1', kind: 'NetworkPolicy' },
      'line 1: document 1: kind "NetworkPolicy" of "crd.projectcalico.org/v1" has no part in policy: skipped here, refused in an agent\'s folder',
    ],
    [
      { apiVersion: 'serving.knative.dev/v1', kind: 'Service' },
      'line 1: document 1: kind "Service" of "serving.knative.dev/v1" has no part in policy: skipped here, refused in an agent\'s folder',
    ],
  ])('%j is skipped', (document, expected) => expect(skipped(document)).toEqual([expected]));

  test.each([
    [{ apiVersion: 'cilium.io/v3', kind: 'CiliumNetworkPolicy' }, 'must be "cilium.io/v2"'],
    [{ apiVersion: 'extensions/v1beta1', kind: 'NetworkPolicy' }, 'must be "networking.k8s.io/v1"'],
    [
      { apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'BaselineAdminNetworkPolicy' },
      'use ClusterNetworkPolicy with tier Baseline',
    ],
    [{ kind: 'Deployment' }, 'unknown kind'],
    [{ apiVersion: 'v1' }, 'must be a string'],
  ])('%j is not', (document, expected) => expect(skipped(document).join()).toContain(expected));
});
