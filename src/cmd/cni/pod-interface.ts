/**
 * @module The pod's interface: a veth pair, made, set up, checked and removed over rtnetlink. The
 * host side stays down until the agent has attached its programs, and without carrier the pod's side
 * passes nothing: there is no moment at which a packet goes unjudged.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { formatAddress, requireAddress } from '../../net/address.ts';
import type { IfIndex } from '../../net/if-index.ts';
import { isKernelError } from '../../net/kernel-error.ts';
import { randomMac } from '../../net/mac.ts';
import {
  addInterfaceAddress,
  dumpInterfaceAddresses,
} from '../../net/netlink/interface-address.ts';
import { createVeth, deleteLink, getLink, setLink } from '../../net/netlink/link.ts';
import type { Request } from '../../net/netlink/message.ts';
import { replaceNeighbor } from '../../net/netlink/neighbor.ts';
import { addRoute, replaceRoute } from '../../net/netlink/route.ts';
import { NetlinkSocket } from '../../net/netlink/socket.ts';
import { Netns, withNetns } from '../../net/netns.ts';
import { hostPrefix, requirePrefix } from '../../net/prefix.ts';
import type { PodAddress, PodAddresses } from './agent.ts';
import { CniError } from './error.ts';

/** As a veth pair gets by default; then the batches need not set it. */
const defaultMtu = 1500;
const txQueueLength = 1000;
/** addr_gen_mode: no link-local address. The host's side speaks for nobody. */
const addressGenerationNone = '1';

/** Both ends of a pair. */
export interface PodLink {
  readonly hostName: string;
  readonly hostIndex: IfIndex;
  readonly hostMac: Uint8Array;
  readonly podName: string;
  readonly podIndex: IfIndex;
  readonly podMac: Uint8Array;
}

/** Name of the host side of an attachment's pair: the same for every call, and 15 bytes. */
export function hostInterfaceName(containerId: string, ifname: string): string {
  const digest = new Bun.CryptoHasher('sha256').update(`${containerId}:${ifname}`).digest('hex');
  return `lxc${digest.slice(0, 12)}`;
}

/** Opens a pod's namespace. Throws `CniError` if there is none. */
export function openPodNetns(path: string): Netns {
  try {
    return Netns.open(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CniError('unknownContainer', `opening netns pinned at ${path}: ${reason}`, '', cause);
  }
}

/**
 * Creates the pair, the host side down and with the alias that says whose it is, the peer in the
 * pod's namespace. `EEXIST` if it is there.
 */
export function createPodLink(
  socket: NetlinkSocket,
  netns: Netns,
  hostName: string,
  podName: string,
  alias: string,
): PodLink {
  const hostMac = randomMac();
  const podMac = randomMac();
  socket.request(
    createVeth(
      { name: hostName, mac: hostMac, txQueueLength },
      { name: podName, mac: podMac, txQueueLength, netnsFd: netns.fd },
    ),
  );
  const link = getLink(socket, hostName);
  if (link === undefined) throw new Error(`create veth ${hostName}: it is gone again`);
  // By its index: the name may be another's by now. The kernel ignores an alias at creation.
  try {
    socket.request(setLink(link.index, { alias }));
  } catch (error) {
    removeHostLink(socket, link.index);
    throw error;
  }
  return { hostName, hostIndex: link.index, hostMac, podName, podIndex: link.parent, podMac };
}

/** Configures the pod's side: addresses, the router as only neighbour, routes through it. */
export function configurePod(netns: Netns, link: PodLink, addresses: PodAddresses): void {
  withNetns(netns.fd, () => {
    if (addresses.ipv6 !== undefined) enableIpv6(link.podName);
    using socket = NetlinkSocket.open();
    const mtu = addresses.deviceMtu === defaultMtu ? {} : { mtu: addresses.deviceMtu };
    const requests: Request[] = [
      setLink('lo', { up: true }),
      setLink(link.podIndex, { up: true, ...mtu }),
    ];
    for (const family of [addresses.ipv4, addresses.ipv6]) {
      if (family !== undefined) requests.push(...podFamily(link, family, addresses.routeMtu));
    }
    socket.batch(requests);
  });
}

function podFamily(link: PodLink, family: PodAddress, mtu: number): readonly Request[] {
  const device = link.podIndex;
  const address = requireAddress(family.address);
  const router = requireAddress(family.router);
  const anywhere = requirePrefix(address.family === 4 ? '0.0.0.0/0' : '::/0');
  return [
    addInterfaceAddress(device, address, undefined, { nodad: true }),
    replaceNeighbor(device, router, link.hostMac),
    addRoute({ destination: hostPrefix(router), device }),
    addRoute({ destination: anywhere, via: router, device, mtu }),
  ];
}

/** Namespaces made by container engines may have IPv6 switched off. */
function enableIpv6(podName: string): void {
  for (const name of ['all', podName]) writeIfDifferent('ipv6', name, 'disable_ipv6', '0');
}

function writeIfDifferent(family: string, device: string, parameter: string, value: string): void {
  const path = `/proc/sys/net/${family}/conf/${device}/${parameter}`;
  if (readFileSync(path, 'utf8').trim() !== value) writeFileSync(path, value);
}

/** Opens the gate once the agent has attached its programs: host side up, then the way to the pod. */
export function activateHost(socket: NetlinkSocket, link: PodLink, addresses: PodAddresses): void {
  const device = link.hostIndex;
  if (addresses.ipv6 !== undefined) {
    writeIfDifferent('ipv6', link.hostName, 'disable_ipv6', '0');
    writeIfDifferent('ipv6', link.hostName, 'addr_gen_mode', addressGenerationNone);
  }
  const mtu = addresses.deviceMtu === defaultMtu ? {} : { mtu: addresses.deviceMtu };
  const requests: Request[] = [setLink(device, { up: true, ...mtu })];
  for (const family of [addresses.ipv4, addresses.ipv6]) {
    if (family === undefined) continue;
    const address = requireAddress(family.address);
    const source = requireAddress(family.router);
    requests.push(replaceNeighbor(device, address, link.podMac));
    requests.push(replaceRoute({ destination: hostPrefix(address), device, source }));
  }
  socket.batch(requests);
}

/** Removes the pair by its host side. Absent is success. */
export function removeHostLink(socket: NetlinkSocket, ref: IfIndex | string): void {
  socket.request(deleteLink(ref));
}

/**
 * Removes the pod's interface from inside its namespace, and with it the host side. Absent is
 * success. Throws `CniError` for one that cannot be removed, such as the loopback.
 */
export function removePodInterface(netns: Netns, ifname: string): void {
  withNetns(netns.fd, () => {
    using socket = NetlinkSocket.open();
    try {
      socket.request(deleteLink(ifname));
    } catch (cause) {
      if (!isKernelError(cause)) throw cause;
      const message = `removing interface ${JSON.stringify(ifname)} from the pod: ${cause.message}`;
      throw new CniError('internal', message, '', cause);
    }
  });
}

/** As `removePodInterface`, for a namespace that may be gone: then so is everything in it. */
export function removeFromNetns(path: string, ifname: string): void {
  if (path === '' || ifname === 'lo') return;
  let netns: Netns;
  try {
    netns = Netns.open(path);
  } catch {
    return;
  }
  using opened = netns;
  removePodInterface(opened, ifname);
}

/** What CHECK finds in a pod. */
export interface FoundInterface {
  readonly mac: string;
  readonly up: boolean;
  /** With their lengths. */
  readonly addresses: readonly string[];
}

/** Reads the pod's interface; `undefined` if there is none of that name. */
export function readPodInterface(netns: Netns, ifname: string): FoundInterface | undefined {
  return withNetns(netns.fd, () => {
    using socket = NetlinkSocket.open();
    const link = getLink(socket, ifname);
    if (link === undefined) return undefined;
    const addresses = dumpInterfaceAddresses(socket, { device: link.index });
    return {
      mac: link.mac,
      up: link.up && link.running,
      addresses: addresses.map(({ address, length }) => `${formatAddress(address)}/${length}`),
    };
  });
}
