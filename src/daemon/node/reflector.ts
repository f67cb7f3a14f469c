/**
 * @module
 * Netlink → tables `devices` and `node-addresses`. Whatever is announced, the whole is dumped again
 * after a short pause: there are few devices, and a state read at one instant has no half changes.
 */
import { pending } from '../../kv/status.ts';
import type { Table } from '../../kv/table.ts';
import { type Address, formatAddress, isLinkLocal, isLoopback } from '../../net/address.ts';
import {
  dumpInterfaceAddresses,
  type InterfaceAddress,
} from '../../net/netlink/interface-address.ts';
import { dumpLinks, type Link } from '../../net/netlink/link.ts';
import { dumpRoutes, type Route } from '../../net/netlink/route.ts';
import { NetlinkSocket } from '../../net/netlink/socket.ts';
import { type Subscription, subscribe } from '../../net/netlink/subscribe.ts';
import { hostInterface, hostPeerInterface, podInterfacePrefix } from './host-interface.ts';
import type { DeviceRow, NodeAddressRow } from './table.ts';

/** Announcements come in bursts. */
const settleMs = 30;

export interface NodeTables {
  readonly devices: Table<DeviceRow>;
  readonly addresses: Table<NodeAddressRow>;
}

/** What the kernel says at one instant. */
export interface NodeState {
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
}

export function readNodeState(socket: NetlinkSocket): NodeState {
  return {
    links: dumpLinks(socket),
    addresses: dumpInterfaceAddresses(socket),
    routes: dumpRoutes(socket),
  };
}

/** Follows the namespace that the agent runs in. */
export class NodeReflector implements Disposable {
  readonly #tables: NodeTables;
  readonly #patterns: readonly string[];
  readonly #subscription: Subscription;
  readonly #onError: (error: unknown) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Reads the state before it returns. `patterns` are the `devices` option; empty chooses itself. */
  constructor(tables: NodeTables, patterns: readonly string[], onError: (error: unknown) => void) {
    this.#tables = tables;
    this.#patterns = patterns;
    this.#onError = onError;
    this.#subscription = subscribe(['link', 'address', 'route'], () => this.#schedule());
    this.#read();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#subscription[Symbol.dispose]();
  }

  #schedule(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      try {
        this.#read();
      } catch (error) {
        this.#onError(error);
      }
    }, settleMs);
    this.#timer.unref();
  }

  #read(): void {
    using socket = NetlinkSocket.open();
    const state = readNodeState(socket);
    replaceAll(this.#tables.devices, selectDevices(state, this.#patterns), (row) => row.name);
    replaceAll(this.#tables.addresses, listAddresses(state), (row) => row.address);
  }
}

function replaceAll<Row extends object>(
  table: Table<Row>,
  rows: readonly Row[],
  keyOf: (row: Row) => string,
): void {
  const wanted = new Set(rows.map(keyOf));
  for (const key of [...table.keys()]) if (!wanted.has(key)) table.delete(key);
  for (const row of rows) {
    const before = table.get(keyOf(row));
    if (before === undefined || !sameBesidesStatus(before, row)) table.upsert(row);
  }
}

function sameBesidesStatus(a: object, b: object): boolean {
  const plain = (row: object) => JSON.stringify({ ...row, status: undefined });
  return plain(a) === plain(b);
}

/** `eth+` stands for every name that begins with `eth`. */
export function matchesPattern(name: string, pattern: string): boolean {
  return pattern.endsWith('+') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/**
 * The devices that lead out of the node: those that are named, else those with a default route or
 * a global address, except what pods and this agent have.
 */
export function selectDevices(state: NodeState, patterns: readonly string[]): DeviceRow[] {
  const isOurs = ({ name }: Link) =>
    name === hostInterface || name === hostPeerInterface || name.startsWith(podInterfacePrefix);
  const hasDefaultRoute = (link: Link) =>
    state.routes.some((route) => route.destination.length === 0 && route.device === link.index);
  return state.links
    .filter((link) => !link.loopback && !isOurs(link))
    .filter((link) =>
      patterns.length > 0
        ? patterns.some((pattern) => matchesPattern(link.name, pattern))
        : link.up && (hasDefaultRoute(link) || (link.kind !== 'bridge' && hasGlobal(state, link))),
    )
    .map((link) => ({
      name: link.name,
      ifindex: link.index,
      mtu: link.mtu,
      ipv4: globalAddress(state, link, 4),
      ipv6: globalAddress(state, link, 6),
      status: pending,
    }));
}

function isGlobal(address: Address): boolean {
  return !isLoopback(address) && !isLinkLocal(address);
}

function hasGlobal(state: NodeState, link: Link): boolean {
  return globalAddress(state, link, 4) !== undefined || globalAddress(state, link, 6) !== undefined;
}

function globalAddress(state: NodeState, link: Link, family: 4 | 6): string | undefined {
  const found = state.addresses.find(
    ({ address, device, tentative }) =>
      device === link.index && address.family === family && !tentative && isGlobal(address),
  );
  return found && formatAddress(found.address);
}

/** Every address that packets to this node may have; loopback never comes from outside. */
export function listAddresses(state: NodeState): NodeAddressRow[] {
  const names = new Map(state.links.map((link) => [link.index, link.name]));
  return state.addresses
    .filter(({ address }) => !isLoopback(address))
    .map(({ address, device }) => ({
      address: formatAddress(address),
      device: names.get(device) ?? '',
    }));
}
