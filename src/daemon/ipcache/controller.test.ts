import { expect, test } from 'bun:test';
import { requirePrefix } from '../../net/prefix.ts';
import { clusterObjects, remotePods } from '../cluster/table.ts';
import { endpoints } from '../endpoint/table.ts';
import { endpointRow } from '../endpoint-fixture.ts';
import { identityId } from '../identity/table.ts';
import { nodeAddresses } from '../node/table.ts';
import { addressSets } from '../policy/table.ts';
import { IpcacheController } from './controller.ts';
import { ipcache } from './table.ts';

function start() {
  const rows = endpoints();
  const table = ipcache();
  const controller = new IpcacheController(table, {
    endpoints: rows,
    addresses: nodeAddresses(),
    objects: clusterObjects(),
    blocks: addressSets(),
    remotePods: remotePods(),
    peers: { subscribe: () => ({ [Symbol.dispose]: () => {} }) },
    isKnownPeer: () => true,
    identities: { allocate: () => undefined, release: () => {} },
    nodeName: 'here',
    ranges: [requirePrefix('10.0.0.0/24')],
    families: [4],
  });
  const identityAt = (prefix: string) => {
    controller.compute();
    return table.get(prefix)?.identity;
  };
  return { rows, identityAt, [Symbol.dispose]: () => controller[Symbol.dispose]() };
}

const one = endpointRow({ id: 1, identity: identityId(1000), policyId: 5, ipv4: '10.0.0.1' });

test('an endpoint that changes its identity and goes leaves no address', () => {
  using world = start();
  world.rows.upsert(one);
  expect(world.identityAt('10.0.0.1/32')).toBe(identityId(1000));
  world.rows.upsert({ ...one, identity: identityId(1001), policyId: 0 });
  expect(world.identityAt('10.0.0.1/32')).toBe(identityId(1000));
  world.rows.delete(one.id);
  expect(world.identityAt('10.0.0.1/32')).toBeUndefined();
});

test('a successor that goes before it is announced leaves no address', () => {
  using world = start();
  world.rows.upsert(one);
  expect(world.identityAt('10.0.0.1/32')).toBe(identityId(1000));
  const two = endpointRow({ id: 2, identity: identityId(1001), policyId: 0, ipv4: '10.0.0.1' });
  world.rows.upsert(two);
  world.rows.delete(one.id);
  world.identityAt('10.0.0.1/32');
  world.rows.delete(two.id);
  expect(world.identityAt('10.0.0.1/32')).toBeUndefined();
});

test('an address stays that of the endpoint that has taken it over', () => {
  using world = start();
  world.rows.upsert(one);
  const two = endpointRow({ id: 2, identity: identityId(1001), policyId: 6, ipv4: '10.0.0.1' });
  world.rows.upsert(two);
  expect(world.identityAt('10.0.0.1/32')).toBe(identityId(1001));
  world.rows.delete(one.id);
  expect(world.identityAt('10.0.0.1/32')).toBe(identityId(1001));
});
