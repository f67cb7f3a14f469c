/**
 * @module What the kernel announces over rtnetlink multicast: changes to links, addresses, routes,
 * rules and neighbours of the network namespace in which the subscription was opened. Bun's event loop
 * watches the socket, so events arrive at once and nothing polls.
 */
import * as libc from '../libc.ts';
import {
  NETLINK_ROUTE,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTM_NEWRULE,
} from './constants.ts';
import { decodeInterfaceAddress, type InterfaceAddress } from './interface-address.ts';
import { decodeLink, type Link } from './link.ts';
import { type Message, splitMessages } from './message.ts';
import { decodeNeighbor, type Neighbor } from './neighbor.ts';
import { decodeRoute, type Route } from './route.ts';
import { decodeRule, type Rule } from './rule.ts';

/** Multicast groups (RTNLGRP_*) by what they announce; both families where there are two. */
const groupNumbers = {
  link: [1],
  neighbor: [3],
  address: [5, 9],
  route: [7, 11],
  rule: [8, 19],
} as const;
export type NetlinkGroup = keyof typeof groupNumbers;

/** A change, or `resync`: events were lost, so what was learned so far must be dumped again. */
export type NetlinkEvent =
  | { readonly kind: 'link'; readonly deleted: boolean; readonly link: Link }
  | { readonly kind: 'address'; readonly deleted: boolean; readonly address: InterfaceAddress }
  | { readonly kind: 'route'; readonly deleted: boolean; readonly route: Route }
  | { readonly kind: 'rule'; readonly deleted: boolean; readonly rule: Rule }
  | { readonly kind: 'neighbor'; readonly deleted: boolean; readonly neighbor: Neighbor }
  | { readonly kind: 'resync' };

export interface Subscription extends Disposable {
  /** How often events were lost since the start. */
  readonly overruns: number;
}

/** Room for some hundreds of announcements while the thread is busy; more than that is a `resync`. */
const receiveBufferBytes = 1024 * 1024;
const reconnectDelayMs = 1000;
const F_DUPFD_CLOEXEC = 1030;

/**
 * Starts listening in the network namespace of the calling thread. Subscribe first, dump second:
 * then nothing falls in between. The subscription does not keep the process alive.
 */
export function subscribe(
  groups: readonly NetlinkGroup[],
  listener: (event: NetlinkEvent) => void,
  options: { readonly receiveBufferBytes?: number } = {},
): Subscription {
  return new NetlinkSubscription(
    groups,
    listener,
    options.receiveBufferBytes ?? receiveBufferBytes,
  );
}

class NetlinkSubscription implements Subscription {
  readonly #fd: number;
  readonly #listener: (event: NetlinkEvent) => void;
  #socket: { terminate(): void } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOpen = true;
  overruns = 0;

  constructor(
    groups: readonly NetlinkGroup[],
    listener: (event: NetlinkEvent) => void,
    bufferBytes: number,
  ) {
    this.#listener = listener;
    this.#fd = openSocket(groups, bufferBytes);
    void this.#connect();
  }

  /**
   * Lets Bun watch a duplicate of the socket. Bun closes what it watches on any error, ENOBUFS
   * included; the socket itself, with its groups and its namespace, lives on through `#fd`.
   */
  async #connect(): Promise<void> {
    try {
      const fd = libc.fcntl(this.#fd, F_DUPFD_CLOEXEC, 0, 'subscribe to netlink');
      const watched: Bun.FdSocketOptions = {
        fd,
        socket: {
          data: (_socket, bytes) => this.#receive(bytes),
          error: () => {},
          close: () => this.#lost(),
        },
      };
      // The published types leave the overload for descriptors out.
      const socket = await Bun.connect(watched as unknown as Bun.UnixSocketOptions);
      socket.unref();
      if (this.#isOpen) this.#socket = socket;
      else socket.terminate();
    } catch {
      // Out of descriptors or the like: events are being lost until it works.
      if (!this.#isOpen) return;
      this.#timer = setTimeout(() => this.#lost(), reconnectDelayMs);
      this.#timer.unref();
    }
  }

  #receive(bytes: Uint8Array): void {
    for (const message of splitMessages(bytes)) {
      const event = this.#isOpen ? decodeEvent(message) : undefined;
      if (event !== undefined) this.#listener(event);
    }
  }

  #lost(): void {
    this.#socket = undefined;
    if (!this.#isOpen) return;
    this.overruns += 1;
    void this.#connect();
    this.#listener({ kind: 'resync' });
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#timer);
    this.#socket?.terminate();
    libc.close(this.#fd);
  }
}

function openSocket(groups: readonly NetlinkGroup[], bufferBytes: number): number {
  const type = libc.SOCK_RAW | libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK;
  const doing = 'subscribe to netlink';
  const fd = libc.socket(libc.AF_NETLINK, type, NETLINK_ROUTE, doing);
  try {
    libc.setSocketOption(fd, libc.SOL_SOCKET, libc.SO_RCVBUFFORCE, bufferBytes, doing);
    // struct sockaddr_nl: family, padding, port 0 (chosen by the kernel), bit mask of groups.
    const address = new DataView(new ArrayBuffer(12));
    address.setUint16(0, libc.AF_NETLINK, true);
    address.setUint32(8, groupMask(groups), true);
    libc.bind(fd, new Uint8Array(address.buffer), doing);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return fd;
}

function groupMask(groups: readonly NetlinkGroup[]): number {
  const numbers = groups.flatMap((group) => groupNumbers[group] as readonly number[]);
  return numbers.reduce((mask, group) => mask | (1 << (group - 1)), 0) >>> 0;
}

/** The event in an announcement; `undefined` for message types and families that are not ours. */
export function decodeEvent(message: Message): NetlinkEvent | undefined {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const link = decodeLink(message);
      return link && { kind: 'link', deleted: message.type === RTM_DELLINK, link };
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = decodeInterfaceAddress(message);
      return address && { kind: 'address', deleted: message.type === RTM_DELADDR, address };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = decodeRoute(message);
      return route && { kind: 'route', deleted: message.type === RTM_DELROUTE, route };
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const neighbor = decodeNeighbor(message);
      return neighbor && { kind: 'neighbor', deleted: message.type === RTM_DELNEIGH, neighbor };
    }
    case RTM_NEWRULE:
    case RTM_DELRULE: {
      const rule = decodeRule(message);
      return rule && { kind: 'rule', deleted: message.type === RTM_DELRULE, rule };
    }
    default:
      return undefined;
  }
}
