/**
 * @module
 * The kernel's part of a comparison with the oracle: a fixture with a device for each pod of the
 * local node, and packets that are run there.
 */
import type { EndpointRow } from '../../src/daemon/endpoint/table.ts';
import { policyIdHost } from '../../src/daemon/policy/table.ts';
import { requireAddress } from '../../src/net/address.ts';
import { requireMac } from '../../src/net/mac.ts';
import { createVeth, getLink } from '../../src/net/netlink/link.ts';
import { NetlinkSocket } from '../../src/net/netlink/socket.ts';
import { withNetns } from '../../src/net/netns.ts';
import { deviceContext, Fixture, podA, podB, type SeenEvent } from './fixture.ts';
import { nodeMac, podMac } from './packet.ts';

/** More than the pods of any cluster. */
const devicesMax = 20;
const conntrackMax = 65_536;
const zeroAddress = new Uint8Array(16);
const dropped = 2;

/** The program that sees a packet, and on which device. */
export interface Passage {
  readonly program: 'fromContainer' | 'toContainer' | 'fromNetdev' | 'toNetdev';
  readonly ifindex: number;
}

/** What programs are told when they are loaded. */
export interface VerdictKernelOptions {
  readonly hostFirewall: boolean;
  readonly cidrMatchesNodes: boolean;
}

export class VerdictKernel implements AsyncDisposable {
  readonly fixture: Fixture;
  readonly hostFirewall: boolean;
  readonly #devices: readonly number[];
  #endpoints: readonly EndpointRow[] = [];

  constructor({ hostFirewall, cidrMatchesNodes }: VerdictKernelOptions) {
    this.hostFirewall = hostFirewall;
    const constants = {
      ...{ hostFirewall: hostFirewall ? 1 : 0, cidrMatchesNodes: cidrMatchesNodes ? 1 : 0 },
      // Not translated: translation refuses some ICMP, which is no question of policy.
      ...{ masqueradeIpv4: 0, masqueradeIpv6: 0 },
    };
    this.fixture = new Fixture({ conntrack: conntrackMax, constants });
    const { maps, config, netns } = this.fixture;
    config.hostPolicyId = hostFirewall ? policyIdHost : 0;
    this.#devices = withNetns(netns.fd, makeDevices);
    for (const [key] of [...maps.endpoints.entries()]) maps.endpoints.delete(key);
    for (const [key] of [...maps.lxc.entries()]) maps.lxc.delete(key);
    for (const { identity } of [podA, podB]) {
      maps.identityClass.delete({ identity, addressSet: 0 });
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.fixture[Symbol.asyncDispose]();
  }

  /** The interface of the pod that is this many in the order of the cluster. */
  device(at: number): number {
    const ifindex = this.#devices[at];
    if (ifindex === undefined) throw new RangeError(`no device for pod ${at}`);
    return ifindex;
  }

  /** These are all the endpoints of the node. */
  setEndpoints(rows: readonly EndpointRow[]): void {
    const { endpoints, lxc } = this.fixture.maps;
    for (const row of this.#endpoints) {
      endpoints.delete(row.ifindex);
      for (const address of addressesOf(row)) lxc.delete(address);
    }
    this.#endpoints = rows;
    for (const row of rows) {
      const { ifindex, id, identity, policyId } = row;
      const [ipv4, ipv6] = [row.ipv4, row.ipv6].map((text) =>
        text === undefined ? zeroAddress : requireAddress(text).bytes,
      );
      const value = {
        ...{ ifindex, id, identity, policyId, flags: 0, ipv4: ipv4!, ipv6: ipv6! },
        ...{ mac: requireMac(podMac), nodeMac: requireMac(nodeMac) },
      };
      endpoints.update(ifindex, value);
      for (const address of addressesOf(row)) lxc.update(address, value);
    }
  }

  /** Conntrack must not answer for policy. */
  forgetConnections(): void {
    const { conntrack } = this.fixture.maps;
    conntrack.deleteAll([...conntrack.entries()].map(([key]) => key));
    this.fixture.drain();
  }

  /** What became of a packet, and what was told of it. To be called inside `within`. */
  send({ program, ifindex }: Passage, packet: Uint8Array): [passed: boolean, events: SeenEvent[]] {
    const context = deviceContext(ifindex);
    const { returned } = this.fixture.programs[program].testRun({ packet, context });
    return [returned !== dropped, this.fixture.drain()];
  }

  /** Runs a function in the namespace of the devices. */
  within<T>(run: () => T extends PromiseLike<unknown> ? never : T): T {
    return withNetns(this.fixture.netns.fd, run);
  }
}

function addressesOf({ ipv4, ipv6 }: EndpointRow): Uint8Array[] {
  return [ipv4, ipv6]
    .filter((text) => text !== undefined)
    .map((text) => requireAddress(text).bytes);
}

function makeDevices(): number[] {
  using socket = NetlinkSocket.open();
  return Array.from({ length: devicesMax }, (_, at) => {
    const name = `pod${at}`;
    socket.request(createVeth({ name, up: true }, { name: `${name}-peer` }));
    return getLink(socket, name)!.index;
  });
}
