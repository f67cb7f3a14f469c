import { describe, expect, test } from 'bun:test';
import { fixtureModel, podDocument } from '../../daemon/policy/explain/manifest-fixture.ts';
import { OfflineCluster } from '../../daemon/policy/explain/offline.ts';
import { endName, pairsOf, parsePort, portTo, splitTarget } from './ends.ts';

describe('TO[:PORT/PROTO]', () => {
  test.each([
    ['backend', 'backend', { kind: 'any' }],
    ['shop/backend:8080', 'shop/backend', { kind: 'number', proto: 6, port: 8080 }],
    ['backend:53/udp', 'backend', { kind: 'number', proto: 17, port: 53 }],
    ['backend:53/UDP', 'backend', { kind: 'number', proto: 17, port: 53 }],
    ['backend:http', 'backend', { kind: 'name', proto: undefined, name: 'http' }],
    ['backend:http/tcp', 'backend', { kind: 'name', proto: 6, name: 'http' }],
    ['10.0.0.1', '10.0.0.1', { kind: 'any' }],
    ['10.0.0.1:80', '10.0.0.1', { kind: 'number', proto: 6, port: 80 }],
    ['fd00::1', 'fd00::1', { kind: 'any' }],
    ['[fd00::1]:9000/sctp', 'fd00::1', { kind: 'number', proto: 132, port: 9000 }],
    ['[fd00::1]', 'fd00::1', { kind: 'any' }],
    ['2001:db8::/32', '2001:db8::/32', { kind: 'any' }],
    ['world:443', 'world', { kind: 'number', proto: 6, port: 443 }],
    ['backend:icmp', 'backend', { kind: 'icmp', proto: undefined, type: undefined }],
    ['backend:icmp/0', 'backend', { kind: 'icmp', proto: 1, type: 0 }],
    ['backend:icmpv6/128', 'backend', { kind: 'icmp', proto: 58, type: 128 }],
    ['backend:8/ICMP', 'backend', { kind: 'icmp', proto: 1, type: 8 }],
    ['backend:icmp/EchoRequest', 'backend', { kind: 'icmp', proto: 1, type: 8 }],
    ['backend:icmpv6/echorequest', 'backend', { kind: 'icmp', proto: 58, type: 128 }],
    ['backend:icmpv6', 'backend', { kind: 'icmp', proto: 58, type: undefined }],
  ] as const)('%s', (text, name, port) => {
    expect(splitTarget(text)).toEqual({ name, port });
  });

  test.each([
    'backend:0',
    'backend:65536',
    'backend:80/foo',
    'backend:80/tcp/x',
    'backend:icmp/256',
    'fd00::1:zz:80',
    'backend:bad_name',
    'backend:icmp/8/8',
    'backend:300/icmp',
  ])('%s is refused', (text) => {
    expect(() => splitTarget(text)).toThrow();
  });
});

test.each([
  ['80-90/TCP', 'one port, not a range'],
  ['80-90', 'one port, not a range'],
  ['icmp/EchoReq', 'not a type of IPv4: "EchoReq" (did you mean EchoRequest?)'],
  ['icmp/PacketTooBig', 'it is one of family IPv6'],
  ['80/http', 'PORT/tcp, udp or sctp, icmp/TYPE'],
])('port %s is refused with what is possible', (text, message) => {
  expect(() => parsePort(text)).toThrow(message);
});

test('names of ends', () => {
  const node = (name: string) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name } });
  const documents = [podDocument('both', '10.0.0.1'), node('both'), node('one')];
  const cluster = new OfflineCluster(fixtureModel(documents));
  const name = (text: string) => endName(cluster, text, 'default');
  expect(name('web')).toBe('default/web');
  expect(name('data/db')).toBe('data/db');
  expect(name('host')).toBe('host');
  expect(name('one')).toBe('one');
  expect(name('both')).toBe('default/both');
  expect(name('2001:DB8::0:1')).toBe('2001:db8::1');
  expect(() => name('')).toThrow();
  expect(() => name('10.0.0.0/8')).toThrow('"10.0.0.0/8" is a block of addresses: name one');
  expect(() => name('2001:db8::/32')).toThrow('is a block of addresses');
  expect(parsePort(undefined)).toEqual({ kind: 'any' });
});

test('a pod that is in another namespace is what may have been meant', () => {
  const shop = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'shop' } };
  const documents = [podDocument('db', '10.0.0.1'), { ...shop, status: { podIP: '10.0.0.2' } }];
  const cluster = new OfflineCluster(fixtureModel(documents));
  const pairs = (to: string) => () => pairsOf(cluster, 'default/db', to, [4]);
  expect(pairs('default/web')).toThrow('no pod default/web (did you mean shop/web?)');
  expect(pairs('shop/db')).toThrow('no pod shop/db (did you mean default/db?)');
});

test('a name of a port that is one of another protocol is not said to be unknown', () => {
  const ports = [{ name: 'http', containerPort: 8080 }];
  const cluster = new OfflineCluster(
    fixtureModel([podDocument('web', '10.0.1.1', { ports }), podDocument('db', '10.0.1.2')]),
  );
  const [pair] = pairsOf(cluster, 'default/db', 'default/web', [4]);
  expect(portTo(parsePort('http'), pair!)).toEqual({ proto: 6, port: 8080 });
  expect(() => portTo(parsePort('http/udp'), pair!)).toThrow(
    '"http" of default/web is 8080/TCP: a name is of one protocol',
  );
});
