/**
 * @module Packets of pods in both families: between pods, to and from the node, to the world and
 * back, errors on the way, large datagrams; and what a pod may not send.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { requireAddress } from '../../src/net/address.ts';
import { addInterfaceAddress } from '../../src/net/netlink/interface-address.ts';
import { getLink } from '../../src/net/netlink/link.ts';
import { dumpRoutes } from '../../src/net/netlink/route.ts';
import { type Pod, TestNode } from './harness.ts';
import { addresses, families } from './world.ts';

const port = 7000;
let node: TestNode;
let a: Pod;
let b: Pod;

beforeAll(async () => {
  node = await TestNode.create();
  a = await node.addPod('a');
  b = await node.addPod('b');
  for (const where of [a, b, 'node', 'world'] as const) {
    const traffic = await node.traffic(where);
    await traffic.call('tcpServe', { port });
    await traffic.call('udpServe', { port });
  }
});
afterAll(async () => await node[Symbol.asyncDispose]());

/** Everything that two ends can say to each other. */
async function expectFullService(from: Pod | 'node' | 'world', host: string): Promise<void> {
  const traffic = await node.traffic(from);
  const tcp = await traffic.call('connect', { host, port });
  const udp = await traffic.call('udp', { host, port });
  const ping = await traffic.call('ping', { host });
  expect({ tcp: tcp.result, udp: udp.result, ping }).toEqual({
    tcp: 'echo',
    udp: 'echo',
    ping: { kind: 'reply', bytes: 56 },
  });
}

describe.each(families)('IPv%d', (family) => {
  test('pod to pod, both ways', async () => {
    await expectFullService(a, b.address[family]);
    await expectFullService(b, a.address[family]);
  });

  test('pod to itself', () => expectFullService(a, a.address[family]));

  test('node to pod', () => expectFullService('node', a.address[family]));

  test('pod to node, by its own and by the gateway address', async () => {
    await expectFullService(a, addresses.node[family]);
    await expectFullService(a, addresses.podGateway[family]);
  });

  test('pod to world comes from the node', async () => {
    await expectFullService(a, addresses.world[family]);
    // The world has a route to the node and none to pods, yet says whom it sees.
    const world = await node.traffic('world');
    expect(await world.call('lastPeer', {})).toBe(addresses.node[family]);
  });

  test('large datagrams, in fragments', async () => {
    for (const [from, host] of [
      [a, b.address[family]],
      [a, addresses.node[family]],
      ['node', a.address[family]],
    ] as const) {
      const outcome = await (await node.traffic(from)).call('udp', { host, port, bytes: 9000 });
      expect([from === 'node' ? 'node' : from.name, host, outcome.result]).toEqual([
        from === 'node' ? 'node' : from.name,
        host,
        'echo',
      ]);
    }
  });

  test('large datagrams to the world and back', async () => {
    const traffic = await node.traffic(a);
    const host = addresses.world[family];
    // The first meets the narrow link and learns its size.
    await traffic.call('udp', { host, port, bytes: 5000, timeoutMs: 300 });
    expect((await traffic.call('udp', { host, port, bytes: 5000 })).result).toBe('echo');
  });

  test('a large message by TCP over a link with a smaller MTU', async () => {
    const traffic = await node.traffic(b);
    const target = { host: addresses.world[family], port, bytes: 300_000, timeoutMs: 10_000 };
    expect((await traffic.call('connect', target)).result).toBe('echo');
  });

  test('an ICMP error from the way is about the pod’s own packet', async () => {
    const traffic = await node.traffic(a);
    const outcome = await traffic.call('ping', { host: addresses.world[family], ttl: 2 });
    expect(outcome).toEqual({
      kind: 'error',
      type: family === 4 ? 11 : 3,
      code: 0,
      quotedSource: a.address[family],
    });
  });

  test('a closed port of the world refuses', async () => {
    const traffic = await node.traffic(a);
    const outcome = await traffic.call('connect', { host: addresses.world[family], port: 9 });
    expect(outcome.result).toBe('refused');
  });

  test('an address that no pod has is unreachable, not silent in the node', async () => {
    const host = family === 4 ? '10.244.0.200' : 'fd00:10:244::c8';
    expect((await (await node.traffic('node')).call('ping', { host })).kind).toBe('refused');
    const before = node.drops('DROP_UNROUTABLE');
    expect((await (await node.traffic(a)).call('udp', { host, port })).result).toBe('timeout');
    expect(node.drops('DROP_UNROUTABLE')).toBeGreaterThan(before);
  });

  test('a source address that is another’s is dropped and counted', async () => {
    const before = node.drops('DROP_INVALID_SIP');
    const foreign = family === 4 ? '10.244.0.250' : 'fd00:10:244::fa';
    node.namespaces.within('pod-a', (socket) => {
      const eth0 = getLink(socket, 'eth0');
      if (eth0 === undefined) throw new Error('no eth0');
      socket.request(
        addInterfaceAddress(eth0.index, requireAddress(foreign), family === 4 ? 32 : 128, {
          nodad: true,
        }),
      );
    });
    const traffic = await node.traffic(a);
    const outcome = await traffic.call('udp', { host: b.address[family], port, from: foreign });
    expect(outcome.result).toBe('timeout');
    expect(node.drops('DROP_INVALID_SIP')).toBeGreaterThan(before);
  });
});

test('router advertisements neither leave a pod nor reach one', async () => {
  const traffic = await node.traffic(a);
  const eth0 = node.namespaces.within('pod-a', (socket) => getLink(socket, 'eth0'));
  const routesOf = (name: string) =>
    node.namespaces.within(
      name,
      (socket) => dumpRoutes(socket).filter((route) => route.via !== undefined).length,
    );
  const before = [routesOf('pod-b'), routesOf('node')];
  await traffic.call('sendFrame', { device: eth0?.index ?? 0, hex: routerAdvertisement() });
  // A round trip by the same path, so that what was sent before has arrived.
  await expectFullService(a, b.address[6]);
  expect([routesOf('pod-b'), routesOf('node')]).toEqual(before);
});

/** To all nodes, from a link-local address: "I am your default router". */
function routerAdvertisement(): string {
  const source = 'fe80000000000000000000000000bad0';
  const target = 'ff020000000000000000000000000001';
  const body = '8600 0000 40 00 0708 00000000 00000000'.replaceAll(' ', '');
  const pseudo = `${source}${target}${(body.length / 2).toString(16).padStart(8, '0')}0000003a`;
  const words = `${pseudo}${body}`.match(/.{4}/g) ?? [];
  let sum = words.reduce((total, word) => total + Number.parseInt(word, 16), 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  const checksum = (~sum & 0xffff).toString(16).padStart(4, '0');
  const length = (body.length / 2).toString(16).padStart(4, '0');
  const header = `60000000${length}3aff${source}${target}`;
  return `33330000000102000000000086dd${header}${body.slice(0, 4)}${checksum}${body.slice(8)}`;
}
