/**
 * @module The network around a test's node: node — router — world, each a namespace of its own. The
 * world knows the node's addresses and no pod's, so what comes back was translated.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { requireAddress } from '../../src/net/address.ts';
import type { IfIndex } from '../../src/net/if-index.ts';
import * as libc from '../../src/net/libc.ts';
import { addInterfaceAddress } from '../../src/net/netlink/interface-address.ts';
import { createVeth, getLink, setLink } from '../../src/net/netlink/link.ts';
import { addRoute } from '../../src/net/netlink/route.ts';
import { NetlinkSocket } from '../../src/net/netlink/socket.ts';
import { type Netns, withNetns } from '../../src/net/netns.ts';
import { requirePrefix } from '../../src/net/prefix.ts';
import { writeSysctl } from '../../src/net/sysctl.ts';
import { createNamespaceAt } from '../../src/sandbox/namespace.ts';

export const addresses = {
  node: { 4: '172.30.0.2', 6: 'fd00:172:30::2' },
  router: { 4: '172.30.0.1', 6: 'fd00:172:30::1' },
  routerOutside: { 4: '203.0.113.1', 6: '2001:db8:1::1' },
  world: { 4: '203.0.113.10', 6: '2001:db8:1::10' },
  routerBeyond: { 4: '198.51.100.1', 6: '2001:db8:2::1' },
  far: { 4: '198.51.100.10', 6: '2001:db8:2::10' },
  podGateway: { 4: '10.244.0.1', 6: 'fd00:10:244::1' },
} as const;
export const podRanges = { 4: '10.244.0.0/24', 6: 'fd00:10:244::/120' } as const;
export const families = [4, 6] as const;
const lengths = { 4: 24, 6: 64 } as const;

/** Smaller than a pod's packets: the router answers with "too big". */
export const narrowMtu = 1400;

/** Namespaces as bind mounts in a folder of the test, so that the host's own list stays as it is. */
export class Namespaces implements Disposable {
  readonly #folder: string;
  readonly #open = new Map<string, Netns>();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  create(name: string): Netns {
    const netns = createNamespaceAt(this.path(name));
    this.#open.set(name, netns);
    this.within(name, (socket) => socket.request(setLink('lo', { up: true })));
    return netns;
  }

  get(name: string): Netns {
    const netns = this.#open.get(name);
    if (netns === undefined) throw new Error(`no namespace ${name}`);
    return netns;
  }

  /** Runs a function in a namespace with a netlink socket of it. */
  within<T>(name: string, body: (socket: NetlinkSocket) => T): T {
    let result: T | undefined;
    withNetns(this.get(name).fd, () => {
      using socket = NetlinkSocket.open();
      result = body(socket);
    });
    return result as T;
  }

  delete(name: string): void {
    this.#open.get(name)?.[Symbol.dispose]();
    if (!this.#open.delete(name)) return;
    libc.unmount(this.path(name), libc.MNT_DETACH);
    rmSync(this.path(name), { force: true });
  }

  /** Closes what is open; the mounts go with the folder. */
  [Symbol.dispose](): void {
    for (const netns of this.#open.values()) netns[Symbol.dispose]();
    this.#open.clear();
  }
}

/** Makes `node`, `router` and `world` and what joins them. */
export function createWorld(namespaces: Namespaces): void {
  namespaces.create('node');
  const router = namespaces.create('router');
  const world = namespaces.create('world');
  for (const name of ['router', 'world']) {
    // Link-local addresses too are there at once.
    namespaces.within(name, () => writeSysctl('net.ipv6.conf.default.accept_dad', '0'));
  }
  namespaces.within('node', (socket) => {
    socket.request(createVeth({ name: 'eth0' }, { name: 'inside', netnsFd: router.fd }));
    writeSysctl('net.ipv6.conf.eth0.accept_dad', '0');
    const device = bringUp(socket, 'eth0', addresses.node);
    for (const family of families) defaultRoute(socket, family, addresses.router[family], device);
  });
  namespaces.within('router', (socket) => {
    socket.request(
      createVeth(
        { name: 'outside', mtu: narrowMtu },
        { name: 'eth0', mtu: narrowMtu, netnsFd: world.fd },
      ),
    );
    bringUp(socket, 'inside', addresses.router);
    bringUp(socket, 'outside', addresses.routerOutside);
    writeSysctl('net.ipv4.ip_forward', '1');
    writeSysctl('net.ipv6.conf.all.forwarding', '1');
  });
  namespaces.within('world', (socket) => {
    const device = bringUp(socket, 'eth0', addresses.world);
    for (const family of families) {
      defaultRoute(socket, family, addresses.routerOutside[family], device);
    }
  });
}

function bringUp(
  socket: NetlinkSocket,
  name: string,
  own: { readonly 4: string; readonly 6: string },
): IfIndex {
  const link = getLink(socket, name);
  if (link === undefined) throw new Error(`no interface ${name}`);
  socket.request(setLink(link.index, { up: true }));
  for (const family of families) {
    // Duplicate detection would take a second, and there is nobody else.
    const address = requireAddress(own[family]);
    socket.request(addInterfaceAddress(link.index, address, lengths[family], { nodad: true }));
  }
  return link.index;
}

function defaultRoute(socket: NetlinkSocket, family: 4 | 6, via: string, device: IfIndex): void {
  const destination = requirePrefix(family === 4 ? '0.0.0.0/0' : '::/0');
  socket.request(addRoute({ destination, via: requireAddress(via), device }));
}

/** Adds `far` behind the router: outside as the world is, and in another network. */
export function createFar(namespaces: Namespaces): void {
  const far = namespaces.create('far');
  namespaces.within('far', () => writeSysctl('net.ipv6.conf.default.accept_dad', '0'));
  namespaces.within('router', (socket) => {
    socket.request(createVeth({ name: 'beyond' }, { name: 'eth0', netnsFd: far.fd }));
    bringUp(socket, 'beyond', addresses.routerBeyond);
  });
  namespaces.within('far', (socket) => {
    const device = bringUp(socket, 'eth0', addresses.far);
    for (const family of families) {
      defaultRoute(socket, family, addresses.routerBeyond[family], device);
    }
  });
}

/** Lets the world reach pods by their own addresses. */
export function routePodsFromWorld(namespaces: Namespaces): void {
  namespaces.within('router', (socket) => {
    for (const family of families) {
      const destination = requirePrefix(podRanges[family]);
      socket.request(addRoute({ destination, via: requireAddress(addresses.node[family]) }));
    }
  });
}
