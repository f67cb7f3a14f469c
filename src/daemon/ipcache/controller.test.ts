import { expect, test } from 'bun:test';
import { type ClusterObject, objectKey } from '../../k8s/object.ts';
import { endpointRow } from '../endpoint-fixture.ts';
import {
  type IdentityId,
  identityHost,
  identityId,
  identityRemoteNode,
} from '../identity/table.ts';
import { agentTables } from '../tables.ts';
import { IpcacheController } from './controller.ts';

function start(isKnownPeer: (identity: IdentityId) => boolean = () => true) {
  const tables = agentTables();
  const controller = new IpcacheController(tables.ipcache, {
    endpoints: tables.endpoints,
    addresses: tables.nodeAddresses,
    objects: tables.clusterObjects,
    blocks: tables.addressSets,
    remotePods: tables.remotePods,
    peers: tables.policyPeers,
    isKnownPeer,
    identities: { allocate: () => undefined, release: () => undefined },
    nodeName: 'here',
    ranges: [],
    families: [],
  });
  const rows = () =>
    [...tables.ipcache.all()].map(
      ({ prefix, source, identity }) => `${prefix} ${source} ${identity}`,
    );
  const node = (name: string, ...addresses: string[]): ClusterObject => ({
    ...{ kind: 'Node', name, labels: {} },
    addresses,
  });
  const write = (object: ClusterObject) =>
    tables.clusterObjects.upsert({ object, origin: 'test.yaml' });
  const remove = (object: ClusterObject) => tables.clusterObjects.delete(objectKey(object));
  return { tables, controller, rows, node, write, remove };
}

const settled = () => Promise.resolve();

test('addresses of other nodes follow their objects, one by one', async () => {
  const { controller, rows, node, write, remove } = start();
  using _ = controller;
  write(node('here', '192.0.2.1'));
  write(node('a', '192.0.2.10', '2001:db8::a'));
  write(node('b', '192.0.2.11'));
  await settled();
  const both = [
    `192.0.2.10/32 directory ${identityRemoteNode}`,
    `2001:db8::a/128 directory ${identityRemoteNode}`,
    `192.0.2.11/32 directory ${identityRemoteNode}`,
  ];
  expect(rows().sort()).toEqual(both.toSorted());
  write(node('a', '192.0.2.12'));
  await settled();
  expect(rows().map((row) => row.split(' ')[0])).toEqual(['192.0.2.11/32', '192.0.2.12/32']);
  remove(node('b'));
  await settled();
  expect(rows()).toEqual([`192.0.2.12/32 directory ${identityRemoteNode}`]);
});

test('an address that is several things is the best of them, and the next when that is gone', async () => {
  const { tables, controller, rows, node, write, remove } = start();
  using _ = controller;
  const prefix = '192.0.2.10/32';
  const identity = 70_000 as IdentityId;
  const pod = { ...{ namespace: 'a', name: 'x', identity, ports: '' }, prefixes: [prefix] };
  write(node('a', '192.0.2.10'));
  tables.remotePods.upsert(pod);
  await settled();
  expect(rows()).toEqual([`${prefix} remote ${identity}`]);
  tables.nodeAddresses.upsert({ address: '192.0.2.10', device: 'eth0' });
  await settled();
  expect(rows()).toEqual([`${prefix} host ${identityHost}`]);
  tables.nodeAddresses.delete('192.0.2.10');
  tables.remotePods.delete('a/x');
  await settled();
  expect(rows()).toEqual([`${prefix} directory ${identityRemoteNode}`]);
  remove(node('a'));
  await settled();
  expect(rows()).toEqual([]);
});

test('an address of two remote pods is the later one’s, also when the other changes', async () => {
  const { tables, controller, rows } = start();
  using _ = controller;
  const put = (name: string, id: number) =>
    tables.remotePods.upsert({
      ...{ namespace: 'a', name, identity: identityId(id), ports: '' },
      prefixes: ['10.0.1.1/32'],
    });
  put('one', 1000);
  put('two', 1001);
  await settled();
  put('one', 1002);
  await settled();
  expect(rows()).toEqual(['10.0.1.1/32 remote 1001']);
});

test('an object that is no node costs the same however many addresses there are', async () => {
  const { tables, controller, node, write } = start();
  using _ = controller;
  for (let at = 0; at < 1000; at++) write(node(`node-${at}`, `10.0.${at >> 8}.${at & 255}`));
  await settled();
  let looked = 0;
  const { get } = tables.ipcache;
  tables.ipcache.get = (key) => {
    looked++;
    return get.call(tables.ipcache, key);
  };
  write({ kind: 'Namespace', name: 'a', labels: {} });
  await settled();
  expect(looked).toBe(0);
});

const prefix = '10.0.0.1/32';
const one = endpointRow({ id: 1, identity: identityId(1000), policyId: 5, ipv4: '10.0.0.1' });
const identityOf = ({ tables, controller }: ReturnType<typeof start>) => {
  controller.compute();
  return tables.ipcache.get(prefix)?.identity;
};

test('an endpoint that changes its identity and goes leaves no address', () => {
  const world = start();
  using _ = world.controller;
  const { endpoints } = world.tables;
  endpoints.upsert(one);
  expect(identityOf(world)).toBe(identityId(1000));
  endpoints.upsert({ ...one, identity: identityId(1001), policyId: 0 });
  expect(identityOf(world)).toBe(identityId(1000));
  endpoints.delete(one.id);
  expect(identityOf(world)).toBeUndefined();
});

test('a successor that goes before it is announced leaves no address', () => {
  const world = start();
  using _ = world.controller;
  const { endpoints } = world.tables;
  endpoints.upsert(one);
  expect(identityOf(world)).toBe(identityId(1000));
  const two = endpointRow({ id: 2, identity: identityId(1001), policyId: 0, ipv4: '10.0.0.1' });
  endpoints.upsert(two);
  endpoints.delete(one.id);
  identityOf(world);
  endpoints.delete(two.id);
  expect(identityOf(world)).toBeUndefined();
});

test('an address stays that of the endpoint that has taken it over', () => {
  const world = start();
  using _ = world.controller;
  const { endpoints } = world.tables;
  endpoints.upsert(one);
  const two = endpointRow({ id: 2, identity: identityId(1001), policyId: 6, ipv4: '10.0.0.1' });
  endpoints.upsert(two);
  expect(identityOf(world)).toBe(identityId(1001));
  endpoints.delete(one.id);
  expect(identityOf(world)).toBe(identityId(1001));
});

test('pods that come after the start are not waited for, however many come', async () => {
  const known = new Set<number>();
  const { tables, controller } = start((identity) => known.has(identity));
  using _ = controller;
  const pod = (at: number) =>
    tables.remotePods.upsert({
      ...{ namespace: 'a', name: `pod-${at}`, identity: identityId(1000 + at), ports: '' },
      prefixes: [`10.0.1.${at}/32`],
    });
  pod(1);
  pod(2);
  let isAnnounced = false;
  const wait = controller.announced().then(() => (isAnnounced = true));
  for (let at = 3; at < 10; at++) {
    pod(at);
    known.add(1000 + at - 1);
    await settled();
    await settled();
    expect(isAnnounced).toBe(false);
  }
  known.add(1001);
  pod(10);
  await Bun.sleep(1);
  expect(isAnnounced).toBe(true);
  await wait;
});

test('an endpoint that an earlier agent left before its policy was in force is waited for', async () => {
  const { tables, controller } = start();
  using _ = controller;
  const { endpoints } = tables;
  const two = endpointRow({ id: 2, identity: identityId(1001), policyId: 0, ipv4: '10.0.0.2' });
  endpoints.upsert(one);
  endpoints.upsert(two);
  endpoints.upsert({ ...two, id: 3 as typeof two.id, ipv4: '10.0.0.3' });
  endpoints.upsert(endpointRow({ id: 4, identity: 0, policyId: 0, ipv4: '10.0.0.4' }));
  let isAnnounced = false;
  const wait = controller.announced().then(() => (isAnnounced = true));
  await settled();
  endpoints.upsert({ ...two, policyId: 6 });
  await Bun.sleep(1);
  expect(isAnnounced).toBe(false);
  endpoints.delete(3 as typeof two.id);
  await wait;
  expect(tables.ipcache.get('10.0.0.2/32')?.identity).toBe(identityId(1001));
});
