/**
 * @module Netlink, namespaces and sysctls against the running kernel (needs root): what the CNI plugin
 * does for a pod, read back, refused requests, and announcements. Everything happens in namespaces of
 * its own.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { formatAddress, requireAddress } from '../../src/net/address.ts';
import { type IfIndex, ifIndex } from '../../src/net/if-index.ts';
import { KernelError } from '../../src/net/kernel-error.ts';
import { formatMac, randomMac } from '../../src/net/mac.ts';
import {
  addInterfaceAddress,
  deleteInterfaceAddress,
  dumpInterfaceAddresses,
} from '../../src/net/netlink/interface-address.ts';
import {
  createBridge,
  createVeth,
  deleteLink,
  dumpLinks,
  getLink,
  setLink,
} from '../../src/net/netlink/link.ts';
import {
  addNeighbor,
  deleteNeighbor,
  dumpNeighbors,
  replaceNeighbor,
} from '../../src/net/netlink/neighbor.ts';
import { addClsact, deleteClsact } from '../../src/net/netlink/qdisc.ts';
import { addRoute, deleteRoute, dumpRoutes, replaceRoute } from '../../src/net/netlink/route.ts';
import { addRule, deleteRule, dumpRules, ensureRule } from '../../src/net/netlink/rule.ts';
import { NetlinkSocket } from '../../src/net/netlink/socket.ts';
import { type NetlinkEvent, subscribe } from '../../src/net/netlink/subscribe.ts';
import {
  createNetns,
  currentNetnsCookie,
  deleteNetns,
  Netns,
  withNetns,
} from '../../src/net/netns.ts';
import { formatPrefix, hostPrefix, requirePrefix } from '../../src/net/prefix.ts';
import { readSysctl, tryReadSysctl, writeSysctl } from '../../src/net/sysctl.ts';

const nodeName = `net-test-${process.pid}-node`;
const podName = `net-test-${process.pid}-pod`;
let node: Netns;
let pod: Netns;
let nodeSocket: NetlinkSocket;
let podSocket: NetlinkSocket;

beforeAll(() => {
  node = createNetns(nodeName);
  pod = createNetns(podName);
  nodeSocket = withNetns(node.fd, () => NetlinkSocket.open());
  podSocket = withNetns(pod.fd, () => NetlinkSocket.open());
});

afterAll(() => {
  nodeSocket[Symbol.dispose]();
  podSocket[Symbol.dispose]();
  node[Symbol.dispose]();
  pod[Symbol.dispose]();
  deleteNetns(nodeName);
  deleteNetns(podName);
});

const podIpv4 = requireAddress('10.9.0.7');
const podIpv6 = requireAddress('fd00:9::7');
const gatewayIpv4 = requireAddress('10.9.0.1');
const gatewayIpv6 = requireAddress('fd00:9::1');

/** The messages that make a pod's namespace: as in `cilium cni` ADD. */
function podRequests(device: IfIndex, hostMac: Uint8Array) {
  return [
    setLink(ifIndex(1), { up: true }),
    setLink(device, { up: true }),
    addInterfaceAddress(device, podIpv4),
    addInterfaceAddress(device, podIpv6, 128, { nodad: true }),
    addNeighbor(device, gatewayIpv4, hostMac),
    addNeighbor(device, gatewayIpv6, hostMac),
    addRoute({ destination: hostPrefix(gatewayIpv4), device }),
    addRoute({ destination: hostPrefix(gatewayIpv6), device }),
    addRoute({ destination: requirePrefix('0.0.0.0/0'), via: gatewayIpv4, device, mtu: 1450 }),
    addRoute({ destination: requirePrefix('::/0'), via: gatewayIpv6, device, mtu: 1450 }),
  ];
}

/** Creates the pair and configures the pod. Returns the ends' indexes. */
function attachPod(name: string, hostMac: Uint8Array, podMac: Uint8Array) {
  nodeSocket.request(
    createVeth(
      { name, mac: hostMac, mtu: 1500, up: true },
      { name: 'eth0', mac: podMac, mtu: 1500, netnsFd: pod.fd },
    ),
  );
  const host = getLink(nodeSocket, name)!;
  podSocket.batch(podRequests(host.parent, hostMac));
  return host;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`timed out: ${what}`);
    await Bun.sleep(1);
  }
}

describe('a pod', () => {
  const hostMac = randomMac();
  const podMac = randomMac();

  test('gets its interface, addresses, neighbours and routes in one batch', () => {
    const host = attachPod('lxc0', hostMac, podMac);
    const eth0 = getLink(podSocket, 'eth0')!;
    expect(host).toMatchObject({ kind: 'veth', mac: formatMac(hostMac), mtu: 1500, up: true });
    expect(host.parentNetnsId).toBeNumber();
    expect(eth0).toMatchObject({
      index: host.parent,
      mac: formatMac(podMac),
      up: true,
      running: true,
    });
    expect(
      dumpLinks(podSocket)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['eth0', 'lo']);

    const addresses = dumpInterfaceAddresses(podSocket, { device: eth0.index });
    const texts = addresses.map(({ address, length }) => `${formatAddress(address)}/${length}`);
    expect(texts).toContain('10.9.0.7/32');
    expect(texts).toContain('fd00:9::7/128');
    expect(addresses.find(({ address }) => address.family === 6)).toMatchObject({
      tentative: false,
      permanent: true,
    });

    const neighbors = dumpNeighbors(podSocket, { device: eth0.index });
    for (const gateway of [gatewayIpv4, gatewayIpv6]) {
      const entry = neighbors.find(({ address }) => Bun.deepEquals(address, gateway));
      expect(entry).toMatchObject({ mac: formatMac(hostMac), state: 0x80 });
    }

    const routes = dumpRoutes(podSocket, { table: 254 });
    const byDestination = new Map(routes.map((route) => [formatPrefix(route.destination), route]));
    expect(byDestination.get('10.9.0.1/32')).toMatchObject({ device: eth0.index, scope: 253 });
    expect(byDestination.get('0.0.0.0/0')).toMatchObject({
      via: gatewayIpv4,
      mtu: 1450,
      type: 'unicast',
    });
    expect(byDestination.get('::/0')).toMatchObject({ via: gatewayIpv6, mtu: 1450 });
  });

  test('is changed and renamed', () => {
    const host = getLink(nodeSocket, 'lxc0')!;
    nodeSocket.request(
      setLink(host.index, {
        gsoMaxSize: 65000,
        gsoIpv4MaxSize: 64000,
        mtu: 1400,
        alias: 'pod of a test',
      }),
    );
    nodeSocket.request(setLink(host.index, { name: 'lxc.1' }));
    expect(getLink(nodeSocket, host.index)).toMatchObject({
      name: 'lxc.1',
      mtu: 1400,
      alias: 'pod of a test',
      gsoMaxSize: 65000,
      gsoIpv4MaxSize: 64000,
    });
    expect(getLink(nodeSocket, 'lxc0')).toBeUndefined();
    nodeSocket.request(addClsact(host.index));
    nodeSocket.request(addClsact(host.index));
    nodeSocket.request(deleteClsact(host.index));
    nodeSocket.request(deleteClsact(host.index));
    const name = ['net', 'ipv4', 'conf', 'lxc.1', 'rp_filter'];
    withNetns(node.fd, () => {
      const before = writeSysctl(name, 2);
      expect(readSysctl('net/ipv4/conf/lxc.1/rp_filter')).toBe('2');
      writeSysctl(name, before);
    });
    expect(tryReadSysctl(name)).toBeUndefined();
    expect(() => withNetns(node.fd, () => writeSysctl('net.ipv4.ip_forward', 'x'))).toThrow(
      'write "x" to sysctl net/ipv4/ip_forward: EINVAL',
    );
  });

  test('is deleted, twice', () => {
    const host = getLink(nodeSocket, 'lxc.1')!;
    const eth0 = getLink(podSocket, 'eth0')!;
    podSocket.batch([
      deleteNeighbor(eth0.index, gatewayIpv4),
      deleteNeighbor(eth0.index, gatewayIpv4),
      deleteInterfaceAddress(eth0.index, podIpv6),
      deleteInterfaceAddress(eth0.index, podIpv6),
    ]);
    nodeSocket.request(deleteLink('lxc.1'));
    nodeSocket.request(deleteLink(host.index));
    nodeSocket.request(deleteLink('lxc.1'));
    expect(getLink(podSocket, 'eth0')).toBeUndefined();
  });
});

describe('a refused request', () => {
  function refusal(run: () => void): KernelError {
    try {
      run();
    } catch (error) {
      if (error instanceof KernelError) return error;
    }
    throw new Error('was not refused');
  }

  test('carries the kernel’s own words', () => {
    const destination = requirePrefix('192.0.2.0/24');
    const error = refusal(() =>
      nodeSocket.request(addRoute({ destination, via: requireAddress('198.51.100.1') })),
    );
    expect(error.code).toBe('ENETUNREACH');
    expect(error.detail).toContain('gateway');
    expect(error.message).toBe(
      `add route 192.0.2.0/24 via 198.51.100.1: ENETUNREACH (${error.detail})`,
    );
  });

  test('does not stop the rest of its batch', () => {
    nodeSocket.request(createBridge({ name: 'br0' }));
    const results = nodeSocket.tryBatch([
      createBridge({ name: 'br1' }),
      createBridge({ name: 'br0' }),
      createBridge({ name: 'br2' }),
    ]);
    expect(results.map((error) => error?.code)).toEqual([undefined, 'EEXIST', undefined]);
    nodeSocket.batch(['br0', 'br1', 'br2'].map((name) => deleteLink(name)));
  });

  test('of more messages than one send takes is answered for each', () => {
    nodeSocket.request(createBridge({ name: 'br0', up: true }));
    const { index } = getLink(nodeSocket, 'br0')!;
    const requests = Array.from({ length: 300 }, (_, last) =>
      replaceNeighbor(index, requireAddress(`10.1.${last >> 8}.${last & 255}`), randomMac()),
    );
    expect(nodeSocket.tryBatch(requests)).toEqual(new Array(300).fill(undefined));
    expect(dumpNeighbors(nodeSocket, { device: index, family: 4 }).length).toBe(300);
    nodeSocket.request(deleteLink('br0'));
  });
});

test('routes and rules in tables of their own', () => {
  nodeSocket.request(setLink('lo', { up: true }));
  const lo = ifIndex(1);
  const local = { table: 2004, device: lo, type: 'local' as const };
  const ipv4 = { ...local, destination: requirePrefix('0.0.0.0/0') };
  const ipv6 = { ...local, destination: requirePrefix('::/0') };
  const blackhole = { destination: requirePrefix('10.66.0.0/16'), type: 'blackhole' as const };
  const unreachable = { destination: requirePrefix('fd66::/64'), type: 'unreachable' as const };
  expect(dumpRoutes(nodeSocket, { table: 2004 })).toEqual([]);
  nodeSocket.batch([ipv4, ipv6, blackhole, unreachable].map(replaceRoute));
  nodeSocket.batch([ipv4, ipv6, blackhole, unreachable].map(replaceRoute));
  expect(dumpRoutes(nodeSocket, { table: 2004 }).map(({ type }) => type)).toEqual([
    'local',
    'local',
  ]);
  expect(
    dumpRoutes(nodeSocket, { table: 254 })
      .map(({ type }) => type)
      .sort(),
  ).toEqual(['blackhole', 'unreachable']);
  nodeSocket.batch([ipv4, ipv6, blackhole, unreachable].map(deleteRoute));
  nodeSocket.batch([ipv4, ipv6, blackhole, unreachable].map(deleteRoute));
  expect(dumpRoutes(nodeSocket, { table: 254 })).toEqual([]);

  const rule = { priority: 9, table: 2004, mark: 0x200, mask: 0xf00 };
  const from = { family: 4 as const, priority: 20, table: 300, from: requirePrefix('10.9.0.0/24') };
  nodeSocket.batch([
    addRule({ family: 4, ...rule }),
    addRule({ family: 6, ...rule }),
    addRule(from),
  ]);
  nodeSocket.request(ensureRule(from));
  expect(
    dumpRules(nodeSocket).filter(({ priority }) => priority === 9 || priority === 20),
  ).toMatchObject([{ family: 4, ...rule }, from, { family: 6, ...rule }]);
  const rules = [{ family: 4 as const, ...rule }, { family: 6 as const, ...rule }, from];
  nodeSocket.batch([...rules, ...rules].map(deleteRule));
  expect(dumpRules(nodeSocket).some(({ priority }) => priority === 9 || priority === 20)).toBe(
    false,
  );
});

describe('announcements', () => {
  test('arrive for links, addresses and routes', async () => {
    const events: NetlinkEvent[] = [];
    using subscription = withNetns(node.fd, () =>
      subscribe(['link', 'address', 'route', 'neighbor', 'rule'], (event) => events.push(event)),
    );
    nodeSocket.request(createBridge({ name: 'br0', up: true }));
    const bridge = getLink(nodeSocket, 'br0')!;
    nodeSocket.batch([
      addInterfaceAddress(bridge.index, requireAddress('192.0.2.1'), 24),
      addNeighbor(bridge.index, requireAddress('192.0.2.9'), randomMac()),
      addRule({ family: 4, priority: 77, table: 300 }),
      deleteRule({ family: 4, priority: 77, table: 300 }),
    ]);
    nodeSocket.request(deleteLink('br0'));
    const seen = (kind: string, deleted: boolean) =>
      events.some(
        (event) => event.kind === kind && 'deleted' in event && event.deleted === deleted,
      );
    await until(() => seen('link', true) && seen('rule', true), 'deletions');
    for (const kind of ['link', 'address', 'route', 'neighbor', 'rule'])
      expect(seen(kind, false)).toBe(true);
    expect(seen('address', true)).toBe(true);
    expect(subscription.overruns).toBe(0);
  });

  test('that were lost are told, and then go on', async () => {
    const events: NetlinkEvent[] = [];
    using subscription = withNetns(node.fd, () =>
      subscribe(['link', 'neighbor'], (event) => events.push(event), { receiveBufferBytes: 4096 }),
    );
    const lo = ifIndex(1);
    const address = (last: number) => requireAddress(`10.2.0.${last}`);
    nodeSocket.batch(
      Array.from({ length: 200 }, (_, last) => replaceNeighbor(lo, address(last), randomMac())),
    );
    await until(() => events.some(({ kind }) => kind === 'resync'), 'resync');
    expect(subscription.overruns).toBeGreaterThan(0);
    let last = 0;
    events.length = 0;
    await until(() => {
      nodeSocket.request(replaceNeighbor(lo, address(last++ % 200), randomMac()));
      return events.some(({ kind }) => kind === 'neighbor');
    }, 'events after the loss');
  });
});

describe('namespaces', () => {
  test('are entered and left, also by exception', () => {
    using own = Netns.current();
    const cookie = currentNetnsCookie();
    expect(node.inode).not.toBe(own.inode);
    expect(node.cookie).not.toBe(cookie);
    const inside = withNetns(node.fd, () => {
      using current = Netns.current();
      return current.inode;
    });
    expect(inside).toBe(node.inode);
    expect(() =>
      withNetns(node.fd, () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(currentNetnsCookie()).toBe(cookie);
    using named = Netns.named(nodeName);
    expect(named.inode).toBe(node.inode);
    expect(node.cookie).not.toBe(pod.cookie);
  });

  test('have one owner of a name, and a file that is none is refused', () => {
    expect(() => createNetns(nodeName)).toThrow(`create netns ${nodeName}: EEXIST`);
    expect(() => Netns.open('/proc/self/status')).toThrow('not a namespace');
    expect(() => Netns.named('absent-here')).toThrow('open netns /run/netns/absent-here: ENOENT');
    deleteNetns('absent-here');
  });
});

test('pods are attached and removed again and again', () => {
  for (let round = 0; round < 30; round++) {
    attachPod(`lxc${round}`, randomMac(), randomMac());
    nodeSocket.request(deleteLink(`lxc${round}`));
  }
  expect(dumpLinks(nodeSocket).filter((link) => link.name.startsWith('lxc'))).toEqual([]);
});
