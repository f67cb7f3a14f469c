/**
 * @module The network of a sandbox: a node and a world, each a namespace, joined by a veth pair. The
 * host's own namespace takes no part, so nothing in it changes and no address range can collide.
 */
import { mkdirSync } from 'node:fs';
import { parseAddress, requireAddress } from '../net/address.ts';
import type { IfIndex } from '../net/if-index.ts';
import { addInterfaceAddress } from '../net/netlink/interface-address.ts';
import { createVeth, getLink, setLink } from '../net/netlink/link.ts';
import { addRoute } from '../net/netlink/route.ts';
import { NetlinkSocket } from '../net/netlink/socket.ts';
import { Netns, withNetns } from '../net/netns.ts';
import { requirePrefix } from '../net/prefix.ts';
import { createNamespaceAt } from './namespace.ts';
import type { SandboxPaths } from './paths.ts';

/** Addresses of a sandbox; they mean something only inside it. */
export const addresses = {
  node: ['172.30.0.2/24', 'fd00:172:30::2/64'],
  gateway: ['172.30.0.1/24', 'fd00:172:30::1/64'],
  world: ['203.0.113.10', '2001:db8:1::10'],
  podRanges: ['10.244.0.0/24', 'fd00:10:244::/120'],
} as const;

/** Port of the world's HTTP server. */
export const worldPort = 80;

export function nodeNetns(paths: SandboxPaths): string {
  return `${paths.netnsFolder}/node`;
}

export function worldNetns(paths: SandboxPaths): string {
  return `${paths.netnsFolder}/world`;
}

/** Makes both namespaces and what joins them. */
export function createNetwork(paths: SandboxPaths): void {
  mkdirSync(paths.netnsFolder, { recursive: true });
  using node = createNamespaceAt(nodeNetns(paths));
  using world = createNamespaceAt(worldNetns(paths));
  withNetns(node.fd, () => {
    using socket = NetlinkSocket.open();
    socket.request(createVeth({ name: 'eth0' }, { name: 'eth0', netnsFd: world.fd }));
    const device = bringUp(socket, addresses.node);
    for (const [destination, gateway] of [
      ['0.0.0.0/0', addresses.gateway[0]],
      ['::/0', addresses.gateway[1]],
    ] as const) {
      const via = requireAddress(hostOf(gateway));
      socket.request(addRoute({ destination: requirePrefix(destination), via, device }));
    }
  });
  withNetns(world.fd, () => {
    using socket = NetlinkSocket.open();
    bringUp(socket, addresses.gateway);
    const loopback = indexOf(socket, 'lo');
    socket.batch(
      addresses.world.map((text) => addInterfaceAddress(loopback, requireAddress(text))),
    );
  });
}

/** Loopback and eth0 up, with the addresses on eth0. Returns its index. */
function bringUp(socket: NetlinkSocket, prefixes: readonly string[]): IfIndex {
  const device = indexOf(socket, 'eth0');
  socket.batch([setLink('lo', { up: true }), setLink(device, { up: true })]);
  socket.batch(
    prefixes.map((text) => {
      const length = Number(text.slice(text.indexOf('/') + 1));
      // Duplicate detection would take a second, and there is nobody else.
      return addInterfaceAddress(device, requireAddress(hostOf(text)), length, { nodad: true });
    }),
  );
  return device;
}

function hostOf(text: string): string {
  return text.slice(0, text.indexOf('/'));
}

function indexOf(socket: NetlinkSocket, name: string): IfIndex {
  const link = getLink(socket, name);
  if (link === undefined) throw new Error(`find interface ${name}: there is none`);
  return link.index;
}

/** Loopback of a pod's namespace. */
export function raiseLoopback(netnsPath: string): void {
  using netns = Netns.open(netnsPath);
  withNetns(netns.fd, () => {
    using socket = NetlinkSocket.open();
    socket.request(setLink('lo', { up: true }));
  });
}

/** `http://host:port/`, with brackets where needed. */
export function httpUrl(address: string, port: number): string {
  const host = parseAddress(address)?.family === 6 ? `[${address}]` : address;
  return `http://${host}:${port}/`;
}
