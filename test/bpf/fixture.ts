/**
 * @module
 * The real programs and maps in a bpffs and a network namespace of their own, with two pods, a host
 * and a native device, run packet by packet with BPF_PROG_TEST_RUN. Nothing is attached: a redirect
 * shows as its verdict, and where it goes in the conntrack row.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type dropReason,
  dropReasonNames,
  eventFlags,
  eventTypeNames,
  ipcacheFlags,
  legKindNames,
} from '../../src/bpf/gen/constants.ts';
import { type CtEntry, type CtKey, decodeFlowRecord } from '../../src/bpf/gen/layouts.ts';
import { ciliumFragments } from '../../src/bpf/gen/maps.ts';
import { BpfObject } from '../../src/bpf/libbpf/object.ts';
import type { BpfProgram, TestResult } from '../../src/bpf/libbpf/program.ts';
import { RingBufferReader } from '../../src/bpf/libbpf/ring-buffer.ts';
import type { TypedMap } from '../../src/bpf/libbpf/typed-map.ts';
import {
  type Constants,
  type DatapathMaps,
  type DatapathPrograms,
  loadObjects,
  openPinnedMap,
} from '../../src/bpf/loader/objects.ts';
import {
  fillPolicyMap,
  installPolicyMaps,
  type PolicyMapEntry,
  type PolicySummary,
  policyConfigInvalid,
  policyConfigOf,
  policySlot,
} from '../../src/bpf/map/policy.ts';
import { RuntimeConfig } from '../../src/bpf/map/runtime-config.ts';
import { addressFromBytes, formatAddress, requireAddress } from '../../src/net/address.ts';
import type { IfIndex } from '../../src/net/if-index.ts';
import { MNT_DETACH, mount, unmount } from '../../src/net/libc.ts';
import { formatMac, requireMac } from '../../src/net/mac.ts';
import { addInterfaceAddress } from '../../src/net/netlink/interface-address.ts';
import { createVeth, getLink, setLink } from '../../src/net/netlink/link.ts';
import { addNeighbor } from '../../src/net/netlink/neighbor.ts';
import { addRoute } from '../../src/net/netlink/route.ts';
import { NetlinkSocket } from '../../src/net/netlink/socket.ts';
import { createNetns, deleteNetns, type Netns, withNetns } from '../../src/net/netns.ts';
import { requirePrefix } from '../../src/net/prefix.ts';
import { writeSysctl } from '../../src/net/sysctl.ts';
import { nodeMac, podMac } from './packet.ts';

/** Addresses of everything in the fixture, by family. */
export const addresses = {
  4: {
    a: '10.1.0.11',
    b: '10.1.0.12',
    gateway: '10.1.0.1',
    unallocated: '10.1.0.99',
    world: '198.51.100.7',
    otherWorld: '198.51.100.8',
    node: '172.20.0.1',
    router: '172.20.0.254',
    multicast: '224.0.0.251',
  },
  6: {
    a: 'fd01::11',
    b: 'fd01::12',
    gateway: 'fd01::1',
    unallocated: 'fd01::99',
    world: '2001:db8::7',
    otherWorld: '2001:db8::8',
    node: 'fd20::1',
    router: 'fd20::fe',
    multicast: 'ff02::fb',
  },
} as const;
export const families = [4, 6] as const;
export type Family = (typeof families)[number];

export const podA = { id: 11, identity: 1001, policyId: 1, classId: 101 } as const;
export const podB = { id: 12, identity: 1002, policyId: 2, classId: 102 } as const;
/** The node. Its policy's slot is 0, which is none, unless a test gives it one. */
export const host = { identity: 1, policyId: 3, classId: 103 } as const;
export const worldIdentity = { 4: 9, 6: 10 } as const;
/** Peer class of every world address. */
export const worldClass = 109;

export type DropName = keyof typeof dropReason;
export type Verdict = 'pass' | 'drop' | 'redirect';
const verdicts: ReadonlyMap<number, Verdict> = new Map([
  [0, 'pass'],
  [2, 'drop'],
  [7, 'redirect'],
]);

/** A program, and the device whose traffic it sees. */
export type Hook = 'from-a' | 'from-b' | 'to-a' | 'to-b' | 'from-native' | 'to-native';

/** An event in words. Cookies are those of the fixture's policies, 0 where none was asked. */
export interface SeenEvent {
  readonly type: string;
  readonly reason: string | undefined;
  readonly from: string;
  readonly to: string;
  readonly sport: number;
  readonly dport: number;
  readonly proto: number;
  readonly identities: readonly [number, number];
  readonly endpoints: readonly [number, number];
  readonly flags: readonly string[];
  readonly cookie: { readonly ingress: number; readonly egress: number };
  readonly matchType: { readonly ingress: number; readonly egress: number };
  readonly direction: number;
  /** Of a drop: 1 for the programs of devices, 2 for those of pods. */
  readonly file: number;
  readonly tracePoint: number;
  /** Source and destination. */
  readonly macs: readonly [string, string];
}

export interface Outcome {
  readonly verdict: Verdict;
  readonly packet: Uint8Array;
  readonly events: readonly SeenEvent[];
  /** Of the drop's event. */
  readonly reason: string | undefined;
}

export interface FixtureOptions {
  readonly conntrack?: number;
  readonly constants?: Constants;
}

const vlanObject = join(import.meta.dir, '../../dist/bpf/test/vlan_tagged.o');
const zeroAddress = new Uint8Array(16);
const sizes = { conntrack: 4096, nat: 4096, policyEntries: 256, endpoints: 64 };
const lifetimes = { ctTcp: 100_000, ctTcpSyn: 6000, ctTcpFin: 1000, ctAny: 6000, ctFresh: 6000 };
let fixtures = 0;

/** A bpffs and a network namespace that nobody else uses. */
class Place implements Disposable {
  readonly netns: Netns;
  readonly bpffs: string;
  readonly #name = `bpf-test-${process.pid}-${fixtures++}`;

  constructor() {
    this.netns = createNetns(this.#name);
    this.bpffs = mkdtempSync('/tmp/cilium-test-bpffs-');
    mount('bpf', this.bpffs, 'bpf', 0);
  }

  [Symbol.dispose](): void {
    unmount(this.bpffs, MNT_DETACH);
    rmSync(this.bpffs, { recursive: true });
    this.netns[Symbol.dispose]();
    deleteNetns(this.#name);
  }
}

function load(bpffs: string, options: FixtureOptions) {
  const { conntrack = sizes.conntrack, constants = {} } = options;
  return loadObjects(
    bpffs,
    { ...sizes, conntrack },
    {
      routerIpv4: requireAddress(addresses[4].gateway).bytes,
      routerIpv6: requireAddress(addresses[6].gateway).bytes,
      ...lifetimes,
      ...constants,
    },
  );
}

export class Fixture implements AsyncDisposable {
  readonly maps: DatapathMaps;
  readonly programs: DatapathPrograms;
  readonly fragments: TypedMap<unknown, unknown>;
  readonly config: RuntimeConfig;
  readonly ifindex: { readonly a: number; readonly b: number; readonly native: number };
  readonly netns: Netns;
  readonly #place: Place;
  readonly #events: RingBufferReader;
  readonly #hooks: Readonly<Record<Hook, readonly [BpfProgram, number]>>;

  constructor(options: FixtureOptions = {}) {
    this.#place = new Place();
    this.netns = this.#place.netns;
    try {
      this.ifindex = makeDevices(this.netns);
      const loaded = load(this.#place.bpffs, options);
      this.maps = loaded.maps;
      this.programs = loaded.programs;
    } catch (error) {
      this.#place[Symbol.dispose]();
      throw error;
    }
    this.fragments = openPinnedMap(this.#place.bpffs, ciliumFragments) as TypedMap<
      unknown,
      unknown
    >;
    this.config = new RuntimeConfig(this.maps.runtimeConfig.map);
    this.config.events = { drop: true, trace: true, verdict: true };
    this.#events = new RingBufferReader(this.maps.events);
    const { a, b, native } = this.ifindex;
    this.#hooks = {
      'from-a': [this.programs.fromContainer, a],
      'from-b': [this.programs.fromContainer, b],
      'to-a': [this.programs.toContainer, a],
      'to-b': [this.programs.toContainer, b],
      'from-native': [this.programs.fromNetdev, native],
      'to-native': [this.programs.toNetdev, native],
    };
    this.#fillTables();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#events[Symbol.dispose]();
    for (const map of Object.values(this.maps)) map[Symbol.dispose]();
    this.fragments[Symbol.dispose]();
    this.#place[Symbol.dispose]();
  }

  /** Both pods may talk to everybody, and the tables are as new. */
  async reset(): Promise<void> {
    for (const map of [this.maps.conntrack, this.maps.snat, this.fragments]) {
      for (const [key] of [...map.entries()]) (map as TypedMap<unknown, unknown>).delete(key);
    }
    for (const [key] of [...this.maps.addressSets.entries()]) this.maps.addressSets.delete(key);
    this.config.addressSets = [false, false];
    this.config.policyAudit = false;
    this.#setClasses();
    this.setEndpoint(podA, this.ifindex.a);
    this.setEndpoint(podB, this.ifindex.b);
    this.drain();
    const all = [podA, podB, host];
    await this.setPolicies(new Map(all.map(({ policyId }) => [policyId, openPolicy])));
  }

  /** Sets policies in both banks and moves the epoch by two, so that the bank stays. */
  async setPolicies(policies: ReadonlyMap<number, PolicySummary | undefined>): Promise<void> {
    for (const bank of [0, 1] as const) await this.setBank(bank, policies);
    this.config.epoch += 2;
  }

  /** Fills one bank and leaves the epoch alone. */
  async setBank(
    bank: 0 | 1,
    policies: ReadonlyMap<number, PolicySummary | undefined>,
  ): Promise<void> {
    const filled = [...policies].map(([policyId, policy]) => {
      const slot = policySlot(bank, policyId);
      const { map } = fillPolicyMap(policy?.entries ?? [], sizes.policyEntries);
      return { slot, map, policy };
    });
    const { settled } = await installPolicyMaps(this.maps.policy, filled);
    for (const { slot, policy } of filled) {
      const row = policy === undefined ? policyConfigInvalid : policyConfigOf(policy, false);
      this.maps.policyConfig.update(slot, row);
    }
    await settled;
    for (const { map } of filled) map[Symbol.dispose]();
  }

  /** `cameBy` is the device by which the node got the packet; 0 when it is the node's own. */
  run(hook: Hook, packet: Uint8Array, cameBy = 0): Outcome {
    return this.#outcome(hook, this.testRun(hook, packet, 1, cameBy));
  }

  /** Runs a frame whose VLAN tag the kernel keeps beside it, as it does on the way in. */
  runTagged(
    hook: Hook,
    packet: Uint8Array,
    tag: 'vlan_tagged' | 'priority_tagged' = 'vlan_tagged',
  ): Outcome {
    const [program, ifindex] = this.#hooks[hook];
    using object = BpfObject.open('vlan_tagged', readFileSync(vlanObject));
    object.load();
    const next = new Uint8Array(new Uint32Array([program.fd]).buffer);
    object.map('vlan_next').update(new Uint8Array(4), next);
    const context = deviceContext(ifindex);
    const result = withNetns(this.netns.fd, () =>
      object.program(tag).testRun({ packet, context, repeat: 1 }),
    );
    return this.#outcome(hook, result);
  }

  #outcome(hook: Hook, result: TestResult): Outcome {
    const events = this.drain();
    const verdict = verdicts.get(result.returned);
    if (verdict === undefined) throw new RangeError(`verdict ${result.returned} of ${hook}`);
    return {
      verdict,
      packet: result.packet,
      events,
      reason: events.find(({ type }) => type === 'DROP')?.reason,
    };
  }

  testRun(hook: Hook, packet: Uint8Array, repeat = 1, cameBy = 0): TestResult {
    const [program, ifindex] = this.#hooks[hook];
    const context = deviceContext(ifindex, cameBy);
    return withNetns(this.netns.fd, () => program.testRun({ packet, context, repeat }));
  }

  /** Reads what waits in the ring. */
  drain(): SeenEvent[] {
    const seen: SeenEvent[] = [];
    this.#events.read((view, offset) => {
      seen.push(describeEvent(view, offset));
    });
    return seen;
  }

  /** The conntrack row of a connection between two addresses. */
  connection(from: string, to: string): ConnectionRow | undefined {
    const rows = [...this.maps.conntrack.entries()].filter(([key]) => {
      const ends = key.addr.map((bytes) => formatAddress(addressFromBytes(bytes)));
      return ends.includes(from) && ends.includes(to);
    });
    if (rows.length > 1) throw new RangeError(`${rows.length} connections of ${from} and ${to}`);
    const [row] = rows;
    return row && describeConnection(row[0], row[1], from);
  }

  /** Rewrites the only connection of two addresses. */
  changeConnection(from: string, to: string, change: Partial<CtEntry>): void {
    const row = this.connection(from, to);
    if (row === undefined) throw new RangeError(`no connection of ${from} and ${to}`);
    this.maps.conntrack.update(row.key, { ...row.entry, ...change });
  }

  /** Packets counted for a reason, over all CPUs. Direction: 1 ingress, 2 egress. */
  counted(reason: number, direction: number): number {
    const values = this.maps.metrics.lookupPerCpu(reason * 4 + direction);
    return values.reduce((sum, { packets }) => sum + Number(packets), 0);
  }

  setEndpoint(pod: typeof podA | typeof podB, ifindex: number, flags = 0): void {
    const { a, b } = { a: addresses[4], b: addresses[6] };
    const name = pod.id === podA.id ? 'a' : 'b';
    const [ipv4, ipv6] = [a[name], b[name]].map((text) => requireAddress(text).bytes);
    const { id, identity, policyId } = pod;
    const row = {
      ...{ ifindex, id, identity, policyId, flags },
      ...{ mac: requireMac(podMac), nodeMac: requireMac(nodeMac), ipv4: ipv4!, ipv6: ipv6! },
    };
    this.maps.endpoints.update(ifindex, row);
    this.maps.lxc.update(row.ipv4, row);
    this.maps.lxc.update(row.ipv6, row);
  }

  setIpcache(prefix: string, identity: number, flags = 0): void {
    const { address, length } = requirePrefix(prefix);
    const prefixlen = address.family === 4 ? 96 + length : length;
    this.maps.ipcache.update(
      { prefixlen, addr: address.bytes },
      { identity, tunnelEndpoint: zeroAddress, flags },
    );
  }

  /** Sets the class of a peer, and its group, in both banks. */
  setClass(identity: number, classId: number, { groupId = 1, addressSet = 0 } = {}): void {
    this.maps.identityClass.update(
      { identity, addressSet },
      { classId: [classId, classId], groupId: [groupId, groupId] },
    );
  }

  /** Says by bank which set the addresses of a block are in. */
  setAddressSet(prefix: string, id: readonly [number, number]): void {
    const { address, length } = requirePrefix(prefix);
    const prefixlen = address.family === 4 ? 96 + length : length;
    const key = { prefixlen, addr: address.bytes };
    this.maps.addressSets.update(key, { outside: id, inside: id });
  }

  /** What every peer is without a test's own doing. */
  #setClasses(): void {
    for (const { identity, classId } of [podA, podB, host]) this.setClass(identity, classId);
    for (const family of families) this.setClass(worldIdentity[family], worldClass);
  }

  #fillTables(): void {
    this.setEndpoint(podA, this.ifindex.a);
    this.setEndpoint(podB, this.ifindex.b);
    this.#setClasses();
    this.setIpcache('10.1.0.0/24', 2, ipcacheFlags.IPCACHE_UNROUTABLE);
    this.setIpcache('fd01::/64', 2, ipcacheFlags.IPCACHE_UNROUTABLE);
    for (const family of families) {
      const { gateway, node } = addresses[family];
      const bits = family === 4 ? 32 : 128;
      for (const address of [gateway, node]) {
        this.setIpcache(`${address}/${bits}`, host.identity, ipcacheFlags.IPCACHE_HOST);
      }
      this.setIpcache(family === 4 ? '0.0.0.0/0' : '::/0', worldIdentity[family]);
    }
    this.maps.devices.update(this.ifindex.native, {
      ipv4: requireAddress(addresses[4].node).bytes,
      ipv6: requireAddress(addresses[6].node).bytes,
      flags: 0,
    });
  }
}

/** Neither direction is enforced. */
export const openPolicy: PolicySummary = {
  ingressEnforced: false,
  egressEnforced: false,
  denyCookie: { ingress: 0, egress: 0 },
  entries: [],
};

/** Cookies of a default deny. */
export const denyCookie = { ingress: 900, egress: 901 } as const;

/** Both directions, or one, enforced with these entries. */
export function policy(
  enforced: 'ingress' | 'egress' | 'both',
  entries: readonly PolicyMapEntry[] = [],
): PolicySummary {
  return {
    ingressEnforced: enforced !== 'egress',
    egressEnforced: enforced !== 'ingress',
    denyCookie,
    entries,
  };
}

export interface EntrySpec {
  readonly classId?: number;
  readonly proto?: number;
  readonly port?: number;
  readonly portPrefix?: number;
  readonly deny?: boolean;
  readonly isDefault?: boolean;
  readonly cookie?: number;
  readonly matchType?: number;
}

/** An entry; what is absent is a wildcard. */
export function entry(direction: 'ingress' | 'egress', spec: EntrySpec = {}): PolicyMapEntry {
  const { classId = 0, proto = 0, port = 0, cookie = 500, matchType = 1 } = spec;
  const { portPrefix = port === 0 ? 0 : 16, isDefault = false, deny = isDefault } = spec;
  return { direction, classId, proto, port, portPrefix, deny, isDefault, cookie, matchType };
}

export interface ConnectionRow {
  readonly key: CtKey;
  readonly entry: CtEntry;
  /** The side that `from` is. */
  readonly side: 0 | 1;
  readonly flags: number;
  /** By role in the question: what is at `from`, and at the other end. */
  readonly from: LegInWords;
  readonly to: LegInWords;
}

export interface LegInWords {
  readonly kind: string | undefined;
  readonly ifindex: number;
  readonly endpoint: number;
  readonly identity: number;
  readonly initiator: boolean;
}

function describeConnection(key: CtKey, row: CtEntry, from: string): ConnectionRow {
  const side = formatAddress(addressFromBytes(key.addr[0])) === from ? 0 : 1;
  const leg = (at: 0 | 1): LegInWords => ({
    kind: legKindNames.get(row.leg[at].kind)?.replace('LEG_', ''),
    ifindex: row.leg[at].ifindex,
    endpoint: row.leg[at].endpointId,
    identity: row.identity[at],
    initiator: (row.flags & 1) === at,
  });
  const other = side === 0 ? 1 : 0;
  return { key, entry: row, side, flags: row.flags, from: leg(side), to: leg(other) };
}

function describeEvent(view: DataView, offset: number): SeenEvent {
  const record = decodeFlowRecord(view, offset);
  const bytes = (at: number) => new Uint8Array(view.buffer, view.byteOffset + offset + at, 16);
  const mac = (at: number) => formatMac(bytes(at).subarray(0, 6));
  const flags = Object.entries(eventFlags).filter(([, bit]) => (record.flags & bit) !== 0);
  return {
    type: (eventTypeNames.get(record.type) ?? '').replace('EVENT_', ''),
    reason: dropReasonNames.get(record.reason),
    from: formatAddress(addressFromBytes(bytes(8))),
    to: formatAddress(addressFromBytes(bytes(24))),
    sport: record.sport,
    dport: record.dport,
    proto: record.proto,
    identities: [record.srcIdentity, record.dstIdentity],
    endpoints: [record.srcEndpoint, record.dstEndpoint],
    flags: flags.map(([name]) => name.replace('EVENT_', '')).filter((name) => name !== 'IPV6'),
    cookie: { ingress: record.cookie0, egress: record.cookie1 },
    matchType: { ingress: record.matchType0, egress: record.matchType1 },
    direction: record.direction,
    file: record.file,
    tracePoint: record.tracePoint,
    macs: [mac(80), mac(86)],
  };
}

/** struct __sk_buff with nothing but the device, and the one by which the packet came in. */
export function deviceContext(ifindex: number, cameBy = 0): Uint8Array {
  const context = new Uint8Array(192);
  const view = new DataView(context.buffer);
  view.setUint32(36, cameBy, true);
  view.setUint32(40, ifindex, true);
  return context;
}

/** Veth pairs for both pods and the native device, with routes and a neighbour out of the latter. */
function makeDevices(netns: Netns) {
  return withNetns(netns.fd, () => {
    using socket = NetlinkSocket.open();
    const names = ['lxca', 'lxcb', 'native'];
    for (const name of names) {
      socket.request(createVeth({ name, up: true }, { name: `${name}-peer` }));
      socket.request(setLink(`${name}-peer`, { up: true }));
    }
    const [a, b, native] = names.map((name) => getLink(socket, name)!.index) as [
      IfIndex,
      IfIndex,
      IfIndex,
    ];
    writeSysctl('net.ipv4.ip_forward', 1);
    writeSysctl('net.ipv6.conf.all.forwarding', 1);
    const mac = requireMac('02:00:00:00:00:fe');
    for (const family of families) {
      const { node, router } = addresses[family];
      const length = family === 4 ? 24 : 64;
      const destination = requirePrefix(family === 4 ? '0.0.0.0/0' : '::/0');
      const via = requireAddress(router);
      socket.batch([
        addInterfaceAddress(native, requireAddress(node), length, { nodad: family === 6 }),
        addNeighbor(native, via, mac),
        addRoute({ destination, via, device: native }),
      ]);
    }
    return { a, b, native };
  });
}
