/**
 * @module Addresses of interfaces over rtnetlink: add, delete, list; both families.
 */
import type { Address, Family } from '../address.ts';
import { formatAddress, wireBytes } from '../address.ts';
import { type IfIndex, ifIndex } from '../if-index.ts';
import { familyBits } from '../prefix.ts';
import {
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_NEWADDR,
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

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;

/** sizeof(struct ifaddrmsg). */
const headerLength = 8;

/** Values of `scope`, as for routes. */
export const scopes = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;

/** An address on an interface. `length` is that of its subnet. */
export interface InterfaceAddress {
  readonly device: IfIndex;
  readonly address: Address;
  readonly length: number;
  readonly scope: number;
  readonly permanent: boolean;
  /** Duplicate detection is still running, or has failed: not usable. */
  readonly tentative: boolean;
  readonly duplicate: boolean;
}

export interface InterfaceAddressOptions {
  readonly scope?: number;
  /** Usable at once, without duplicate address detection (IPv6 only; a second and more otherwise). */
  readonly nodad?: boolean;
  /** No route to the subnet comes with it. */
  readonly noPrefixRoute?: boolean;
}

/** Adds an address; `EEXIST` if the interface has it. */
export function addInterfaceAddress(
  device: IfIndex,
  address: Address,
  length = familyBits(address.family),
  options: InterfaceAddressOptions = {},
): Request {
  return encode(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, 'add', device, address, length, options);
}

/** Adds an address or adjusts the one that is there. */
export function replaceInterfaceAddress(
  device: IfIndex,
  address: Address,
  length = familyBits(address.family),
  options: InterfaceAddressOptions = {},
): Request {
  const flags = NLM_F_CREATE | NLM_F_REPLACE;
  return encode(RTM_NEWADDR, flags, 'replace', device, address, length, options);
}

/** Deletes an address. Absent, or without its interface, is success. */
export function deleteInterfaceAddress(
  device: IfIndex,
  address: Address,
  length = familyBits(address.family),
): Request {
  return encode(RTM_DELADDR, 0, 'delete', device, address, length, {}, ['EADDRNOTAVAIL', 'ENODEV']);
}

function encode(
  type: number,
  flags: number,
  verb: string,
  device: IfIndex,
  address: Address,
  length: number,
  options: InterfaceAddressOptions,
  settled: readonly string[] = [],
): Request {
  const doing = `${verb} address ${formatAddress(address)}/${length} of link ${device}`;
  const fill = (writer: MessageWriter) => {
    writeHeader(writer, address.family, device, length, options.scope ?? 0);
    writer.bytes(IFA_LOCAL, wireBytes(address));
    writer.bytes(IFA_ADDRESS, wireBytes(address));
    // IPv4 has no duplicate detection and refuses no flag, but keeps what it does not know.
    const nodad = options.nodad === true && address.family === 6 ? IFA_F_NODAD : 0;
    const bits = nodad | (options.noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0);
    if (bits !== 0) writer.u32(IFA_FLAGS, bits);
  };
  return request(type, flags, doing, fill, settled);
}

function writeHeader(
  writer: MessageWriter,
  family: Family | undefined,
  device: IfIndex | undefined,
  length: number,
  scope: number,
): void {
  writer.struct(headerLength, (view) => {
    view.setUint8(0, familyNumber(family));
    view.setUint8(1, length);
    view.setUint8(3, scope);
    view.setUint32(4, device ?? 0, true);
  });
}

/** Addresses of the namespace, or of one interface or family, filtered by the kernel. */
export function dumpInterfaceAddresses(
  socket: NetlinkSocket,
  filter: { readonly device?: IfIndex; readonly family?: Family } = {},
): InterfaceAddress[] {
  const dump = request(
    RTM_GETADDR,
    0,
    'dump addresses',
    (writer) => writeHeader(writer, filter.family, filter.device, 0, 0),
    ['ENODEV'],
  );
  return socket.dump(dump, decodeInterfaceAddress);
}

/** Decodes RTM_NEWADDR and RTM_DELADDR; `undefined` for what is not an IP address. */
export function decodeInterfaceAddress(message: Message): InterfaceAddress | undefined {
  const { payload } = message;
  if (payload.length < headerLength) return undefined;
  const family = familyFromNumber(payload[0]);
  const index = viewOf(payload).getInt32(4, true);
  if (family === undefined || index < 0) return undefined;
  const attributes = new Attributes(payload, headerLength);
  // IFA_ADDRESS is the peer's on a point-to-point interface; IPv6 often omits IFA_LOCAL.
  const address =
    addressAttribute(attributes, IFA_LOCAL, family) ??
    addressAttribute(attributes, IFA_ADDRESS, family);
  if (address === undefined) return undefined;
  const flags = attributes.u32(IFA_FLAGS) ?? payload[2] ?? 0;
  return {
    device: ifIndex(index),
    address,
    length: payload[1] ?? 0,
    scope: payload[3] ?? 0,
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
    duplicate: (flags & IFA_F_DADFAILED) !== 0,
  };
}
