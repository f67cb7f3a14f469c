/**
 * @module
 * What this agent adds to the node's own network: the cilium_host/cilium_net pair with the gateway
 * addresses of the pods, a route that refuses addresses of the pod ranges that nobody has, and
 * forwarding. Every sysctl that it changes is noted with its former value for the way back.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Address, formatAddress } from '../../net/address.ts';
import { replaceInterfaceAddress } from '../../net/netlink/interface-address.ts';
import { createVeth, deleteLink, getLink, type Link, setLink } from '../../net/netlink/link.ts';
import { deleteRoute, replaceRoute } from '../../net/netlink/route.ts';
import type { NetlinkSocket } from '../../net/netlink/socket.ts';
import type { Prefix } from '../../net/prefix.ts';
import { readSysctl, type SysctlName, tryReadSysctl, writeSysctl } from '../../net/sysctl.ts';

export const hostInterface = 'cilium_host';
export const hostPeerInterface = 'cilium_net';
/** Host side of every pod's veth. */
export const podInterfacePrefix = 'lxc';

/** Behind every other route: only addresses without a pod come to it. */
const refusalPriority = 0x7fff_ffff;

export interface HostNetwork {
  readonly ranges: readonly Prefix[];
  /** One per family: what pods have as gateway. */
  readonly routers: readonly Address[];
  readonly mtu: number;
}

/** Makes the node as described. May be repeated; an earlier agent's pair is kept. */
export function ensureHostNetwork(
  socket: NetlinkSocket,
  network: HostNetwork,
  journal: SysctlJournal,
): Link {
  if (getLink(socket, hostInterface) === undefined) {
    socket.request(
      createVeth({ name: hostInterface, mtu: network.mtu }, { name: hostPeerInterface }),
    );
  }
  for (const router of network.routers) {
    if (router.family === 6)
      journal.set(['net', 'ipv6', 'conf', hostInterface, 'disable_ipv6'], '0');
  }
  socket.batch([setLink(hostInterface, { up: true }), setLink(hostPeerInterface, { up: true })]);
  const link = getLink(socket, hostInterface);
  if (link === undefined) throw new Error(`set up ${hostInterface}: it is gone again`);
  const options = { nodad: true, noPrefixRoute: false };
  socket.batch([
    ...network.routers.map((router) =>
      replaceInterfaceAddress(link.index, router, undefined, options),
    ),
    ...network.ranges.map((destination) =>
      replaceRoute({ destination, type: 'unreachable', priority: refusalPriority }),
    ),
  ]);
  enableForwarding(network, journal);
  return link;
}

function enableForwarding(network: HostNetwork, journal: SysctlJournal): void {
  const families = new Set(network.ranges.map((range) => range.family));
  if (families.has(4)) journal.set('net.ipv4.ip_forward', '1');
  if (!families.has(6)) return;
  // A node that forwards ignores router advertisements unless told otherwise.
  for (const device of journal.devicesWith(['net', 'ipv6', 'conf'], 'accept_ra', '1')) {
    journal.set(['net', 'ipv6', 'conf', device, 'accept_ra'], '2');
  }
  journal.set('net.ipv6.conf.all.forwarding', '1');
}

/** Takes away what `ensureHostNetwork` made. Absent is success. */
export function removeHostNetwork(socket: NetlinkSocket, ranges: readonly Prefix[]): void {
  for (const destination of ranges) {
    socket.request(deleteRoute({ destination, type: 'unreachable', priority: refusalPriority }));
  }
  socket.request(deleteLink(hostInterface));
}

/** Former values of the sysctls that the agent has changed, kept in its state directory. */
export class SysctlJournal {
  readonly #path: string;
  readonly #former: Map<string, string>;

  constructor(stateDirectory: string) {
    this.#path = join(stateDirectory, 'sysctl-journal.json');
    this.#former = new Map(Object.entries(readJournal(this.#path)));
  }

  /** Writes a value; the first change of a name is noted, on disk before it is made. */
  set(name: SysctlName, value: string): void {
    const former = readSysctl(name);
    if (former === value) return;
    const key = typeof name === 'string' ? name : name.join('/');
    if (!this.#former.has(key)) {
      this.#former.set(key, former);
      this.#save();
    }
    writeSysctl(name, value);
  }

  /** Names below a folder whose leaf has the value. */
  devicesWith(folder: readonly string[], leaf: string, value: string): string[] {
    const names = new Set(['all', 'default', ...listDevices()]);
    return [...names].filter((name) => tryReadSysctl([...folder, name, leaf]) === value);
  }

  /** Puts everything back. A device that is gone took its values along. */
  restore(): void {
    for (const [key, value] of [...this.#former].reverse()) {
      const name = key.includes('/') ? key.split('/') : key;
      if (tryReadSysctl(name) !== undefined) writeSysctl(name, value);
      this.#former.delete(key);
    }
    this.#save();
  }

  #save(): void {
    const text = `${JSON.stringify(Object.fromEntries(this.#former), null, 2)}\n`;
    writeFileSync(`${this.#path}.tmp`, text, { mode: 0o640 });
    renameSync(`${this.#path}.tmp`, this.#path);
  }
}

function readJournal(path: string): Record<string, string> {
  if (!existsSync(path)) return {};
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof parsed !== 'object' || parsed === null) return {};
    return Object.fromEntries(
      Object.entries(parsed).filter(
        (pair): pair is [string, string] => typeof pair[1] === 'string',
      ),
    );
  } catch {
    // Cut short by a full disk: the values are lost, and what is there now counts as former.
    return {};
  }
}

function listDevices(): string[] {
  const text = readFileSync('/proc/net/dev', 'utf8');
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .flatMap(([name, rest]) => (rest === undefined || name === undefined ? [] : [name.trim()]));
}

/** For logs: the gateway addresses. */
export function describeRouters(network: HostNetwork): string {
  return network.routers.map(formatAddress).join(', ');
}
