/**
 * @module Network interfaces over rtnetlink: create, change, delete, list. Requests are values for
 * `NetlinkSocket.batch`; what comes back is a `Link`. The kernel's side is net/core/rtnetlink.c.
 */
import { type IfIndex, ifIndex } from '../if-index.ts';
import { formatMac } from '../mac.ts';
import { NLM_F_CREATE, NLM_F_EXCL, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK } from './constants.ts';
import {
  Attributes,
  type Message,
  type MessageWriter,
  type Request,
  request,
  viewOf,
} from './message.ts';
import type { NetlinkSocket } from './socket.ts';

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_TXQLEN = 13;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const IFLA_NUM_TX_QUEUES = 31;
const IFLA_NUM_RX_QUEUES = 32;
const IFLA_LINK_NETNSID = 37;
const IFLA_GROUP = 27;
const IFLA_GSO_MAX_SIZE = 41;
const IFLA_GRO_MAX_SIZE = 58;
const IFLA_TSO_MAX_SIZE = 59;
const IFLA_GSO_IPV4_MAX_SIZE = 63;
const IFLA_GRO_IPV4_MAX_SIZE = 64;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const RTEXT_FILTER_SKIP_STATS = 8;

const IFF_UP = 1;
const IFF_LOOPBACK = 8;
const IFF_LOWER_UP = 0x10000;

/** sizeof(struct ifinfomsg). */
const headerLength = 16;
/** IFNAMSIZ without the NUL. */
const nameLengthMax = 15;

/** An interface as the kernel describes it. */
export interface Link {
  readonly index: IfIndex;
  readonly name: string;
  /** `veth`, `bridge`, …; empty for hardware and loopback. */
  readonly kind: string;
  readonly mac: string;
  readonly mtu: number;
  /** Administratively up. */
  readonly up: boolean;
  /** Has carrier. */
  readonly running: boolean;
  readonly loopback: boolean;
  /** Peer of a veth or parent of a VLAN, by its index in its own namespace; 0 for none. */
  readonly parent: IfIndex;
  /** The kernel's id of the parent's namespace, if it is another one. */
  readonly parentNetnsId: number | undefined;
  readonly master: IfIndex;
  readonly alias: string;
  readonly txQueueLength: number;
  readonly txQueues: number;
  readonly rxQueues: number;
  /** `IF_OPER_*`: 6 is up, 0 unknown. */
  readonly operState: number;
  readonly gsoMaxSize: number;
  readonly groMaxSize: number;
  readonly gsoIpv4MaxSize: number;
  readonly groIpv4MaxSize: number;
  readonly tsoMaxSize: number;
}

/** How a request names an interface. */
export type LinkRef = IfIndex | string;

/** What can be set on an interface, at creation or later. */
export interface LinkSettings {
  readonly up?: boolean;
  readonly mtu?: number;
  /** Six bytes. */
  readonly mac?: Uint8Array;
  readonly alias?: string;
  readonly master?: IfIndex;
  readonly txQueueLength?: number;
  /** For what is done to many at once, see `deleteLinkGroup`. */
  readonly group?: number;
  readonly gsoMaxSize?: number;
  readonly groMaxSize?: number;
  readonly gsoIpv4MaxSize?: number;
  readonly groIpv4MaxSize?: number;
  /** Open descriptor of the namespace to create it in or move it to. */
  readonly netnsFd?: number;
}

/** An interface to create. Its alias must be set afterwards: the kernel ignores it at creation. */
export interface LinkSpec extends Omit<LinkSettings, 'alias'> {
  readonly name: string;
}

/**
 * Creates a veth pair. The peer's `netnsFd` puts it into another namespace at once. The kernel
 * refuses `up` on the peer (ENOTCONN): set it afterwards, inside its namespace.
 */
export function createVeth(host: LinkSpec, peer: Omit<LinkSpec, 'up'>): Request {
  const doing = `create veth ${host.name}`;
  checkName(peer.name, doing);
  return createLink('veth', host, doing, (writer) => {
    writer.nested(VETH_INFO_PEER, (inner) => {
      inner.struct(headerLength, () => {});
      inner.text(IFLA_IFNAME, peer.name);
      writeSettings(inner, peer);
    });
  });
}

/** Creates a bridge without spanning tree. */
export function createBridge(bridge: LinkSpec): Request {
  return createLink('bridge', bridge, `create bridge ${bridge.name}`);
}

function createLink(
  kind: string,
  end: LinkSpec,
  doing: string,
  fill?: (writer: MessageWriter) => void,
): Request {
  checkName(end.name, doing);
  return request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, doing, (writer) => {
    writeHeader(writer, undefined, end.up);
    writer.text(IFLA_IFNAME, end.name);
    writeSettings(writer, end);
    writer.nested(IFLA_LINKINFO, (inner) => {
      inner.text(IFLA_INFO_KIND, kind);
      if (fill !== undefined) inner.nested(IFLA_INFO_DATA, fill);
    });
  });
}

/** Changes an interface. `name` renames it (in its current namespace it must be free). */
export function setLink(
  ref: LinkRef,
  settings: LinkSettings & { readonly name?: string },
): Request {
  const doing = `set link ${ref}`;
  if (settings.name !== undefined) checkName(settings.name, doing);
  if (settings.name !== undefined && typeof ref === 'string') {
    throw new RangeError(`${doing}: renaming needs the interface index`);
  }
  return request(RTM_NEWLINK, 0, doing, (writer) => {
    writeHeader(writer, ref, settings.up);
    if (settings.name !== undefined) writer.text(IFLA_IFNAME, settings.name);
    writeSettings(writer, settings);
  });
}

/** Deletes an interface (and a veth's peer). Absent is success. Takes the kernel some 16 ms. */
export function deleteLink(ref: LinkRef): Request {
  const doing = `delete link ${ref}`;
  return request(RTM_DELLINK, 0, doing, (writer) => writeHeader(writer, ref, undefined), [
    'ENODEV',
  ]);
}

/** Deletes every interface of a group in the time that one takes. An empty group is success. */
export function deleteLinkGroup(group: number): Request {
  const doing = `delete link group ${group}`;
  return request(
    RTM_DELLINK,
    0,
    doing,
    (writer) => {
      writeHeader(writer, undefined, undefined);
      writer.u32(IFLA_GROUP, group);
    },
    ['ENODEV'],
  );
}

/** The interface, or `undefined` if there is none of that name or index. */
export function getLink(socket: NetlinkSocket, ref: LinkRef): Link | undefined {
  const get = request(
    RTM_GETLINK,
    0,
    `get link ${ref}`,
    (writer) => {
      writeHeader(writer, ref, undefined);
      writer.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    },
    ['ENODEV'],
  );
  return socket.get(get, decodeLink);
}

/** All interfaces of the socket's namespace. */
export function dumpLinks(socket: NetlinkSocket): Link[] {
  const dump = request(RTM_GETLINK, 0, 'dump links', (writer) => {
    writeHeader(writer, undefined, undefined);
    writer.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  });
  return socket.dump(dump, decodeLink);
}

/** `struct ifinfomsg` and, for a reference by name, the name. */
function writeHeader(
  writer: MessageWriter,
  ref: LinkRef | undefined,
  up: boolean | undefined,
): void {
  writer.struct(headerLength, (view) => {
    if (typeof ref === 'number') view.setInt32(4, ref, true);
    if (up === undefined) return;
    view.setUint32(8, up ? IFF_UP : 0, true);
    // ifi_change: only the bits named here are touched.
    view.setUint32(12, IFF_UP, true);
  });
  if (typeof ref === 'string') writer.text(IFLA_IFNAME, ref);
}

function writeSettings(writer: MessageWriter, settings: LinkSettings): void {
  if (settings.mac !== undefined) writer.bytes(IFLA_ADDRESS, settings.mac);
  if (settings.alias !== undefined) writer.text(IFLA_IFALIAS, settings.alias);
  const numbers: readonly (readonly [number, number | undefined])[] = [
    [IFLA_MTU, settings.mtu],
    [IFLA_MASTER, settings.master],
    [IFLA_TXQLEN, settings.txQueueLength],
    [IFLA_GROUP, settings.group],
    [IFLA_GSO_MAX_SIZE, settings.gsoMaxSize],
    [IFLA_GRO_MAX_SIZE, settings.groMaxSize],
    [IFLA_GSO_IPV4_MAX_SIZE, settings.gsoIpv4MaxSize],
    [IFLA_GRO_IPV4_MAX_SIZE, settings.groIpv4MaxSize],
    [IFLA_NET_NS_FD, settings.netnsFd],
  ];
  for (const [type, value] of numbers) if (value !== undefined) writer.u32(type, value);
}

/** The kernel would answer a long or odd name with a bare EINVAL or ERANGE. */
function checkName(name: string, doing: string): void {
  let isValid = name.length > 0 && name.length <= nameLengthMax && name !== '.' && name !== '..';
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    // Printable ASCII without space, slash and colon; the kernel allows more, nobody needs it.
    if (code <= 0x20 || code >= 0x7f || code === 0x2f || code === 0x3a) isValid = false;
  }
  if (!isValid) {
    throw new RangeError(`${doing}: not an interface name: ${JSON.stringify(name)}`);
  }
}

/** Decodes RTM_NEWLINK and RTM_DELLINK; `undefined` for what is too short to be one. */
export function decodeLink(message: Message): Link | undefined {
  const { payload } = message;
  // Other families speak of an interface's role, e.g. that it left a bridge, not of the interface.
  if (payload.length < headerLength || payload[0] !== 0) return undefined;
  const view = viewOf(payload);
  const flags = view.getUint32(8, true);
  const index = view.getInt32(4, true);
  if (index < 0) return undefined;
  const attributes = new Attributes(payload, headerLength);
  const mac = attributes.bytes(IFLA_ADDRESS);
  return {
    index: ifIndex(index),
    name: attributes.text(IFLA_IFNAME) ?? '',
    kind: attributes.nested(IFLA_LINKINFO)?.text(IFLA_INFO_KIND) ?? '',
    mac: mac === undefined ? '' : formatMac(mac),
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_LOWER_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    parent: indexAttribute(attributes, IFLA_LINK),
    parentNetnsId: attributes.u32(IFLA_LINK_NETNSID),
    master: indexAttribute(attributes, IFLA_MASTER),
    alias: attributes.text(IFLA_IFALIAS) ?? '',
    txQueueLength: attributes.u32(IFLA_TXQLEN) ?? 0,
    txQueues: attributes.u32(IFLA_NUM_TX_QUEUES) ?? 1,
    rxQueues: attributes.u32(IFLA_NUM_RX_QUEUES) ?? 1,
    operState: attributes.u8(IFLA_OPERSTATE) ?? 0,
    gsoMaxSize: attributes.u32(IFLA_GSO_MAX_SIZE) ?? 0,
    groMaxSize: attributes.u32(IFLA_GRO_MAX_SIZE) ?? 0,
    gsoIpv4MaxSize: attributes.u32(IFLA_GSO_IPV4_MAX_SIZE) ?? 0,
    groIpv4MaxSize: attributes.u32(IFLA_GRO_IPV4_MAX_SIZE) ?? 0,
    tsoMaxSize: attributes.u32(IFLA_TSO_MAX_SIZE) ?? 0,
  };
}

/** An index attribute; 0 when it is absent or makes no sense. */
function indexAttribute(attributes: Attributes, type: number): IfIndex {
  const value = attributes.u32(type) ?? 0;
  return ifIndex(value > 0x7fffffff ? 0 : value);
}
