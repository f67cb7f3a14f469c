import { describe, expect, test } from 'bun:test';
import { FieldReader } from './field.ts';
import { parseMetadata } from './metadata.ts';
import type { ClusterObjectKind } from './object.ts';
import { parseObject } from './parse-object.ts';
import { Place } from './place.ts';
import { Problems } from './problem.ts';

function parse(kind: ClusterObjectKind, fields: object, metadata: object = { name: 'foo' }) {
  const problems = new Problems();
  const place = new Place({ title: kind, locate: () => undefined });
  const isNamespaced = !['Namespace', 'Node', 'CiliumCIDRGroup'].includes(kind);
  const object = FieldReader.openLenient({ metadata, ...fields }, place, problems);
  const read = object === undefined ? undefined : parseMetadata(object, isNamespaced);
  const parsed = object && read ? parseObject(kind, object, read) : undefined;
  const texts = problems.list.map(({ path, message }) => `${path}: ${message}`);
  expect(parsed === undefined).toBe(texts.length > 0);
  return texts.length > 0 ? texts : parsed;
}

describe('Namespace', () => {
  test('its name is always among its labels, whatever is written', () => {
    const labels = { team: 'red', 'kubernetes.io/metadata.name': 'other' };
    expect(parse('Namespace', {}, { name: 'foo', labels })).toEqual({
      kind: 'Namespace',
      name: 'foo',
      labels: { team: 'red', 'kubernetes.io/metadata.name': 'foo' },
    });
  });

  test.each([
    [{ name: 'a.b' }, 'Namespace: metadata.name: not a namespace: "a.b"'],
    [
      { name: 'a', labels: { 'a=b': '' } },
      'Namespace: metadata.labels["a=b"]: not a label key: "a=b"',
    ],
    [{ name: 'a', labels: { a: 1 } }, 'Namespace: metadata.labels["a"]: must be a string: "1"'],
    [
      { name: 'a', labels: { a: 'b c' } },
      'Namespace: metadata.labels["a"]: not a label value: "b c"',
    ],
    [{ name: 'a', labels: [] }, 'Namespace: metadata.labels: must be an object, is []'],
  ])('%j', (metadata, expected) => expect(parse('Namespace', {}, metadata)).toEqual([expected]));

  test('no labels', () => {
    const expected = { 'kubernetes.io/metadata.name': 'foo' };
    const parsed = parse('Namespace', {}, { name: 'foo', labels: null });
    expect(parsed).toMatchObject({ labels: expected });
  });
});

describe('Pod', () => {
  test('all that policy needs, and nothing else', () => {
    const spec = {
      serviceAccountName: 'account',
      nodeName: 'one',
      hostNetwork: true,
      unknown: { anything: [1] },
      containers: [
        {
          name: 'web',
          ports: [
            { name: 'http', containerPort: 8080 },
            { containerPort: 9 },
            { name: '', containerPort: 10 },
            { name: 'dns', containerPort: 53, protocol: 'UDP' },
          ],
        },
        { name: 'none' },
      ],
      initContainers: [
        { restartPolicy: 'Always', ports: [{ name: 'side', containerPort: 1, protocol: 'SCTP' }] },
        { ports: [{ name: 'gone', containerPort: 2 }] },
      ],
    };
    const status = {
      phase: 'Running',
      podIP: '10.0.0.1',
      podIPs: [{ ip: '10.0.0.1' }, { ip: 'FD00:0::1' }],
    };
    const metadata = { name: 'web', namespace: 'ns', uid: '1', labels: { app: 'web' } };
    expect(parse('Pod', { spec, status }, metadata)).toEqual({
      kind: 'Pod',
      namespace: 'ns',
      name: 'web',
      uid: '1',
      labels: { app: 'web' },
      serviceAccount: 'account',
      nodeName: 'one',
      hostNetwork: true,
      addresses: ['10.0.0.1', 'fd00::1'],
      ports: [
        { name: 'http', port: 8080, proto: 6 },
        { name: 'dns', port: 53, proto: 17 },
        { name: 'side', port: 1, proto: 132 },
      ],
      ended: false,
    });
  });

  test('one that has hardly begun', () => {
    for (const fields of [
      {},
      { spec: null, status: null },
      { status: { podIP: '', podIPs: null } },
    ]) {
      expect(parse('Pod', fields)).toMatchObject({
        namespace: 'default',
        addresses: [],
        ports: [],
        hostNetwork: false,
        ended: false,
      });
    }
  });

  test.each([
    ['Pending', false],
    ['Running', false],
    ['Unknown', false],
    ['Succeeded', true],
    ['Failed', true],
  ])('%s has ended: %p', (phase, ended) => {
    expect(parse('Pod', { status: { phase } })).toMatchObject({ ended });
  });

  const withPort = (port: unknown) => ({ spec: { containers: [{ ports: [port] }] } });
  const portAt = 'Pod: spec.containers[0].ports[0]';

  test.each<[object, string]>([
    [{ status: { podIP: 'x' } }, 'Pod: status.podIP: not an address: "x"'],
    [{ status: { podIPs: [{ ip: 1 }] } }, 'Pod: status.podIPs[0].ip: must be a string: "1"'],
    [{ status: { podIPs: {} } }, 'Pod: status.podIPs: must be a list, is {}'],
    [{ status: [] }, 'Pod: status: must be an object, is []'],
    [{ spec: { hostNetwork: 'yes' } }, 'Pod: spec.hostNetwork: must be true or false, is "yes"'],
    [{ spec: { nodeName: 1 } }, 'Pod: spec.nodeName: must be a string: "1"'],
    [withPort({ name: 'http' }), `${portAt}.containerPort: is missing`],
    [
      withPort({ name: 'http', containerPort: 0 }),
      `${portAt}.containerPort: must be a number from 1 to 65535, is 0`,
    ],
    [
      withPort({ name: 'Http', containerPort: 1 }),
      `${portAt}.name: not the name of a port: "Http"`,
    ],
    [
      withPort({ name: 'a', containerPort: 1, protocol: 'tcp' }),
      `${portAt}.protocol: must be one of TCP, UDP, SCTP, is "tcp" (did you mean TCP?)`,
    ],
  ])('%j', (fields, expected) => expect(parse('Pod', fields)).toEqual([expected]));
});

test('Node: addresses, not host names', () => {
  const addresses = [
    { type: 'InternalIP', address: '10.0.0.1' },
    { type: 'InternalIP', address: 'FD00::1' },
    { type: 'Hostname', address: 'one' },
    { type: 'ExternalIP', address: '10.0.0.1' },
  ];
  const metadata = { name: 'one', labels: { zone: 'a' } };
  expect(parse('Node', { status: { addresses } }, metadata)).toEqual({
    kind: 'Node',
    name: 'one',
    labels: { zone: 'a' },
    addresses: ['10.0.0.1', 'fd00::1'],
  });
  expect(parse('Node', {})).toMatchObject({ addresses: [] });
  expect(parse('Node', { status: { addresses: 1 } })).toEqual([
    'Node: status.addresses: must be a list, is 1',
  ]);
});

test('Service: its labels and selector', () => {
  const metadata = { name: 'db', namespace: 'ns', labels: { tier: 'db' } };
  expect(parse('Service', { spec: { selector: { app: 'db' } } }, metadata)).toEqual({
    kind: 'Service',
    namespace: 'ns',
    name: 'db',
    labels: { tier: 'db' },
    selector: { app: 'db' },
  });
  expect(parse('Service', { spec: {} })).toMatchObject({ selector: undefined });
  expect(parse('Service', { spec: { selector: { a: 1 } } })).toEqual([
    'Service: spec.selector["a"]: must be a string: "1"',
  ]);
});

test('Endpoints: the addresses that are ready', () => {
  const subsets = [
    { addresses: [{ ip: '10.0.0.1' }], notReadyAddresses: [{ ip: '10.0.0.9' }] },
    { addresses: [{ ip: 'fd00::1' }, { ip: '10.0.0.1' }] },
    { notReadyAddresses: [] },
  ];
  expect(parse('Endpoints', { subsets })).toEqual({
    kind: 'Endpoints',
    namespace: 'default',
    name: 'foo',
    service: 'foo',
    addresses: ['10.0.0.1', 'fd00::1'],
  });
  expect(parse('Endpoints', { subsets: [{ addresses: [{}] }] })).toEqual([
    'Endpoints: subsets[0].addresses[0].ip: is missing',
  ]);
});

test('EndpointSlice: the addresses that serve, and whose they are', () => {
  const endpoints = [
    { addresses: ['10.0.0.1'] },
    { addresses: ['10.0.0.2'], conditions: { ready: false } },
    { addresses: ['10.0.0.3'], conditions: { ready: false, serving: true, terminating: true } },
    { addresses: ['10.0.0.4'], conditions: { ready: true } },
  ];
  const labels = { 'kubernetes.io/service-name': 'db' };
  expect(parse('EndpointSlice', { endpoints }, { name: 'db-1', labels })).toEqual({
    kind: 'EndpointSlice',
    namespace: 'default',
    name: 'db-1',
    service: 'db',
    addresses: ['10.0.0.1', '10.0.0.3', '10.0.0.4'],
  });
  const names = { addressType: 'FQDN', endpoints: [{ addresses: ['a.com'] }] };
  expect(parse('EndpointSlice', names)).toMatchObject({ service: undefined, addresses: [] });
  expect(parse('EndpointSlice', { endpoints: [{ addresses: ['a.com'] }] })).toEqual([
    'EndpointSlice: endpoints[0].addresses[0]: not an address: "a.com"',
  ]);
});

test('CiliumCIDRGroup: blocks of both families', () => {
  const externalCIDRs = ['10.1.2.3/8', 'FD00::/8', '10.0.0.0/8'];
  const metadata = { name: 'partners', labels: { kind: 'vpn' } };
  expect(parse('CiliumCIDRGroup', { spec: { externalCIDRs } }, metadata)).toEqual({
    kind: 'CiliumCIDRGroup',
    name: 'partners',
    labels: { kind: 'vpn' },
    cidrs: ['10.0.0.0/8', 'fd00::/8'],
  });
  expect(parse('CiliumCIDRGroup', { spec: { externalCIDRs: [] } })).toMatchObject({ cidrs: [] });
});

test.each<[object, string]>([
  [{}, 'CiliumCIDRGroup: spec: is missing'],
  [{ spec: {} }, 'CiliumCIDRGroup: spec.externalCIDRs: is missing'],
  [
    { spec: { externalCIDRs: ['10.0.0.1'] } },
    'CiliumCIDRGroup: spec.externalCIDRs[0]: not a block of addresses: "10.0.0.1"; one address is 10.0.0.1/32',
  ],
])('CiliumCIDRGroup %j', (fields, expected) => {
  expect(parse('CiliumCIDRGroup', fields)).toEqual([expected]);
});
