import { describe, expect, test } from 'bun:test';
import {
  ccnp,
  cnp,
  egress,
  expression,
  ingress,
  labels,
  repeat,
  ruleOf,
  short,
  tcp80,
  testAccepted,
  testRefused,
} from './case-fixture.ts';

describe('what is absent, empty, or {}', () => {
  testAccepted([
    ['an empty entry is nobody', ingress({}), ['ingress[0] allow nobody on all']],
    ['no entries', ingress(), []],
    ['no peers with ports is anybody', ingress(tcp80), ['ingress[0] allow any on 6:80']],
    ['no peers with empty ports', ingress({ toPorts: [] }), ['ingress[0] allow nobody on all']],
    ['no peers with empty icmps', ingress({ icmps: [] }), ['ingress[0] allow nobody on all']],
    [
      'an empty list of peers is nobody',
      ingress({ fromEndpoints: [], ...tcp80 }),
      ['ingress[0] allow nobody on 6:80'],
    ],
    ['empty entities', ingress({ fromEntities: [] }), ['ingress[0] allow nobody on all']],
    ['empty blocks', egress({ toCIDR: [] }), ['egress[0] allow nobody on all']],
    ['empty services', egress({ toServices: [] }), ['egress[0] allow nobody on all']],
    [
      '{} is the namespace',
      ingress({ fromEndpoints: [{}] }),
      ['ingress[0] allow {k8s:NS=[ns]} on all'],
    ],
    [
      '{} of a clusterwide policy is every pod',
      ccnp({ endpointSelector: {}, ingress: [{ fromEndpoints: [{}] }] }),
      ['ingress[0] allow {k8s:NS} on all'],
    ],
    [
      'an empty deny entry denies nobody',
      cnp({ ingressDeny: [{}] }),
      ['ingressDeny[0] deny nobody on all'],
    ],
    [
      'sections in order',
      cnp({
        egressDeny: [tcp80],
        egress: [{ toEntities: ['all'] }],
        ingress: [{}],
        ingressDeny: [tcp80],
      }),
      [
        'ingress[0] allow nobody on all',
        'ingressDeny[0] deny any on 6:80',
        'egress[0] allow any on all',
        'egressDeny[0] deny any on 6:80',
      ],
    ],
  ]);
});

describe('subjects', () => {
  const subjectOf = (document: object) => {
    const { subject, subjectKind } = ruleOf(document);
    return `${subjectKind} ${short(subject.key)}`;
  };
  const section = { ingress: [{}] };

  test.each([
    ['all of the namespace', cnp(section), 'endpoint {k8s:NS=[ns]}'],
    [
      'never out of the namespace',
      cnp({
        endpointSelector: expression('k8s:io.kubernetes.pod.namespace', 'Exists'),
        ...section,
      }),
      'endpoint {k8s:NS&k8s:NS=[ns]}',
    ],
    [
      'its own namespace by name',
      cnp({ endpointSelector: labels({ 'io.kubernetes.pod.namespace': 'ns' }), ...section }),
      'endpoint {k8s:NS=[ns]}',
    ],
    ['clusterwide', ccnp({ endpointSelector: {}, ...section }), 'endpoint {}'],
    [
      'clusterwide by label',
      ccnp({ endpointSelector: labels({ 'k8s:a': 'b' }), ...section }),
      'endpoint {k8s:a=[b]}',
    ],
    ['nodes', ccnp({ nodeSelector: {}, ...section }), 'node {}'],
    [
      'nodes by label',
      ccnp({ nodeSelector: labels({ 'node-role.kubernetes.io/worker': '' }), ...section }),
      'node {any:node-role.kubernetes.io/worker=[]}',
    ],
  ])('%s', (_name, document, expected) => expect(subjectOf(document)).toBe(expected));
});

describe('the default deny', () => {
  const denyOf = (spec: object) => {
    const { defaultDeny } = ruleOf(cnp(spec));
    return [defaultDeny.ingress, defaultDeny.egress];
  };

  test.each([
    [{ ingress: [] }, [true, false]],
    [{ egress: [{}] }, [false, true]],
    [{ ingressDeny: [{}] }, [true, false]],
    [{ egressDeny: [], ingress: [] }, [true, true]],
    [{ ingress: [{}], enableDefaultDeny: { ingress: false } }, [false, false]],
    [{ ingress: [{}], egress: [{}], enableDefaultDeny: { egress: false } }, [true, false]],
    [{ ingress: [{}], enableDefaultDeny: { ingress: true, egress: false } }, [true, false]],
    [{ ingress: [{}], enableDefaultDeny: {} }, [true, false]],
  ])('%j', (spec, expected) => expect(denyOf(spec)).toEqual(expected));

  test('a section that is absent leaves its direction alone', () => {
    expect(ruleOf(cnp({ ingress: [] })).egress).toBeUndefined();
    expect(ruleOf(cnp({ egressDeny: [] })).ingress).toBeUndefined();
    expect(ruleOf(cnp({ egressDeny: [] })).egress).toEqual([]);
  });
});

describe('refused', () => {
  testRefused([
    [
      cnp({ endpointSelector: {} }),
      'ns/foo: spec: has none of ingress, ingressDeny, egress, egressDeny',
    ],
    [
      cnp({ endpointSelector: undefined, ingress: [] }),
      'ns/foo: spec.endpointSelector: is missing; {} means every pod of the namespace',
    ],
    [ccnp({ ingress: [] }), 'foo: spec.endpointSelector: is missing; {} means every pod'],
    [
      cnp({ endpointSelector: undefined, nodeSelector: {}, ingress: [] }),
      'ns/foo: spec.nodeSelector: is possible in a CiliumClusterwideNetworkPolicy only',
    ],
    [
      ccnp({ nodeSelector: {}, endpointSelector: {}, ingress: [] }),
      'foo: spec: endpointSelector and nodeSelector cannot stand together',
    ],
    [
      ccnp({ nodeSelector: { matchLabels: { 'reserved:host': '' } }, ingress: [] }),
      'foo: spec.nodeSelector.matchLabels["reserved:host"]: labels here have the source k8s or none, not "reserved"',
    ],
    [cnp({ endpointSelector: {}, ingress: {} }), 'ns/foo: spec.ingress: must be a list, is {}'],
    [
      cnp({ endpointSelector: {}, ingress: repeat(1001, {}) }),
      'ns/foo: spec.ingress: has 1001 entries, at most 1000 are possible',
    ],
    [
      cnp({ endpointSelector: {}, ingress: [], description: 1 }),
      'ns/foo: spec.description: must be a string: "1"',
    ],
    [
      cnp({ endpointSelector: {}, ingress: [], enableDefaultDeny: { egress: true } }),
      'ns/foo: spec.enableDefaultDeny.egress: has no effect without egress; write egress: [{}]',
    ],
    [
      cnp({ endpointSelector: {}, ingress: [], enableDefaultDeny: { ingress: 'no' } }),
      'ns/foo: spec.enableDefaultDeny.ingress: must be true or false, is "no"',
    ],
    [
      cnp({ endpointSelector: {}, ingress: [], enableDefaultDeny: { Ingress: true } }),
      'ns/foo: spec.enableDefaultDeny.Ingress: unknown field (did you mean ingress?)',
    ],
    [
      cnp({
        endpointSelector: {},
        ingress: [],
        labels: [{ key: 'io.cilium.k8s.policy.name', value: 'x' }],
      }),
      'ns/foo: spec.labels[0].key: is set by the system only',
    ],
    [
      cnp({
        endpointSelector: {},
        ingress: [],
        labels: [{ key: 'io.cilium.policy.derived-from' }],
      }),
      'ns/foo: spec.labels[0].key: is set by the system only',
    ],
    [
      cnp({ endpointSelector: {}, ingress: [], labels: [{ key: 'a', source: 'reserved' }] }),
      'ns/foo: spec.labels[0].source: is set by the system only',
    ],
    [
      cnp({ endpointSelector: {}, ingress: [], labels: [{ key: 'a=b' }] }),
      'ns/foo: spec.labels[0].key: not a label key: "a=b"',
    ],
    [
      cnp({ endpointSelector: {}, ingress: [], labels: [{ value: 'b' }] }),
      'ns/foo: spec.labels[0].key: is missing',
    ],
    [
      cnp({ endpointSelector: {}, ingress: [], labels: repeat(101, { key: 'a' }) }),
      'ns/foo: spec.labels: has 101 entries, at most 100 are possible',
    ],
    [
      cnp({
        endpointSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'other' } },
        ingress: [],
      }),
      'ns/foo: spec.endpointSelector.matchLabels: selects namespace "other" from a policy in "ns"',
    ],
    [
      cnp({
        endpointSelector: { matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'other' } },
        ingress: [],
      }),
      'ns/foo: spec.endpointSelector.matchLabels: selects namespace "other" from a policy in "ns"',
    ],
    [
      cnp({ endpointSelector: { matchLabels: { 'cidr:10.0.0.0/8': '' } }, ingress: [] }),
      'ns/foo: spec.endpointSelector.matchLabels["cidr:10.0.0.0/8"]: labels of source cidr cannot be selected; use fromCIDR or toCIDR',
    ],
  ]);
});
