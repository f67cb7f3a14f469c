/**
 * @module Neighbour entries (ARP and neighbour discovery) over rtnetlink.
 */
import { type Address, type Family, formatAddress, wireBytes } from '../address.ts';
import { type IfIndex, ifIndex } from '../if-index.ts';
import { formatMac } from '../mac.ts';
import {
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
} from './constants.ts';
import { addressAttribute, familyFromNumber, familyNumber } from './family.ts';
import {
  Attributes,
  type Message,
  type MessageWriter,
  type Request,
  request,
  viewOf,
} from './message.ts';
import type { NetlinkSocket } from './socket.ts';

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NUD_PERMANENT = 0x80;

/** sizeof(struct ndmsg). */
const headerLength = 12;

/** Bits of `state` (`NUD_*`). */
export const neighborStates = {
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: NUD_PERMANENT,
} as const;

/** An entry as the kernel describes it. */
export interface Neighbor {
  readonly device: IfIndex;
  readonly address: Address;
  /** Absent while the address is being resolved, or when that failed. */
  readonly mac: string | undefined;
  readonly state: number;
}

/** Adds a permanent entry; `EEXIST` if there is one. */
export function addNeighbor(device: IfIndex, address: Address, mac: Uint8Array): Request {
  return encode(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, 'add', device, address, mac);
}

/** Sets a permanent entry, whatever was there. */
export function replaceNeighbor(device: IfIndex, address: Address, mac: Uint8Array): Request {
  return encode(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, 'replace', device, address, mac);
}

/** Deletes an entry. Absent is success. */
export function deleteNeighbor(device: IfIndex, address: Address): Request {
  return encode(RTM_DELNEIGH, 0, 'delete', device, address, undefined);
}

function encode(
  type: number,
  flags: number,
  verb: string,
  device: IfIndex,
  address: Address,
  mac: Uint8Array | undefined,
): Request {
  const doing = `${verb} neighbor ${formatAddress(address)} of link ${device}`;
  const fill = (writer: MessageWriter) => {
    writer.struct(headerLength, (view) => {
      view.setUint8(0, familyNumber(address.family));
      view.setInt32(4, device, true);
      view.setUint16(8, mac === undefined ? 0 : NUD_PERMANENT, true);
    });
    writer.bytes(NDA_DST, wireBytes(address));
    if (mac !== undefined) writer.bytes(NDA_LLADDR, mac);
  };
  return request(type, flags, doing, fill, type === RTM_DELNEIGH ? ['ENOENT', 'ENODEV'] : []);
}

/** Entries of the namespace, or of one interface or family, filtered by the kernel. */
export function dumpNeighbors(
  socket: NetlinkSocket,
  filter: { readonly device?: IfIndex; readonly family?: Family } = {},
): Neighbor[] {
  const { device } = filter;
  const dump = request(RTM_GETNEIGH, 0, 'dump neighbors', (writer) => {
    // A strict dump takes the interface as attribute only.
    writer.struct(headerLength, (view) => view.setUint8(0, familyNumber(filter.family)));
    if (device !== undefined) writer.u32(NDA_IFINDEX, device);
  });
  return socket.dump(dump, decodeNeighbor);
}

/** Decodes RTM_NEWNEIGH and RTM_DELNEIGH; `undefined` for bridge entries and the like. */
export function decodeNeighbor(message: Message): Neighbor | undefined {
  const { payload } = message;
  if (payload.length < headerLength) return undefined;
  const family = familyFromNumber(payload[0]);
  const view = viewOf(payload);
  const index = view.getInt32(4, true);
  if (family === undefined || index < 0) return undefined;
  const attributes = new Attributes(payload, headerLength);
  const address = addressAttribute(attributes, NDA_DST, family);
  const mac = attributes.bytes(NDA_LLADDR);
  if (address === undefined) return undefined;
  return {
    device: ifIndex(index),
    address,
    mac: mac === undefined ? undefined : formatMac(mac),
    state: view.getUint16(8, true),
  };
}
