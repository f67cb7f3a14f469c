/**
 * @module
 * Reads a frame back and checks every checksum in it, that of a packet quoted by an ICMP error
 * included. Independent of packet.ts as far as it can be: offsets are worked out from the bytes.
 */
import { addressFromBytes, formatAddress } from '../../src/net/address.ts';
import { formatMac } from '../../src/net/mac.ts';
import { crc32c, etherType, icmpErrors, onesSum, proto, pseudoHeader } from './packet.ts';

export interface ParsedPacket {
  readonly smac: string;
  readonly dmac: string;
  readonly family: 4 | 6;
  readonly from: string;
  readonly to: string;
  readonly ttl: number;
  readonly protocol: number;
  readonly fragment: { readonly id: number; readonly offset: number; readonly more: boolean };
  /** Of a later fragment, and of unknown transports, 0. Of an echo: the id, in both. */
  readonly sport: number;
  readonly dport: number;
  readonly tcpFlags: number;
  readonly icmpType: number | undefined;
  /** Where the transport header begins in the frame. */
  readonly transportOffset: number;
  readonly payload: Uint8Array;
  /** What an ICMP error is about. */
  readonly quoted: ParsedPacket | undefined;
  /** Names of the checksums that are wrong. */
  readonly wrong: readonly string[];
}

export function parsePacket(frame: Uint8Array): ParsedPacket {
  const macs = {
    smac: formatMac(frame.subarray(6, 12)),
    dmac: formatMac(frame.subarray(0, 6)),
  };
  const type = word(frame, 12);
  if (type !== etherType.ipv4 && type !== etherType.ipv6) {
    throw new RangeError(`not an IP packet: type ${type.toString(16)}`);
  }
  return { ...parseNetwork(frame, 14, false), ...macs };
}

type NetworkPacket = Omit<ParsedPacket, 'smac' | 'dmac'>;

interface NetworkHeader {
  readonly family: 4 | 6;
  readonly from: string;
  readonly to: string;
  readonly ttl: number;
  readonly protocol: number;
  readonly fragment: ParsedPacket['fragment'];
  readonly end: number;
  readonly bodyEnd: number;
  readonly wrong: readonly string[];
}

const none = { id: 0, offset: 0, more: false };

function readIpv4(frame: Uint8Array, at: number): NetworkHeader {
  const length = (frame[at]! & 15) * 4;
  const flags = word(frame, at + 6);
  return {
    family: 4,
    from: address(frame, at + 12, 4),
    to: address(frame, at + 16, 4),
    ttl: frame[at + 8]!,
    protocol: frame[at + 9]!,
    fragment: {
      id: word(frame, at + 4),
      offset: (flags & 0x1fff) * 8,
      more: (flags & 0x2000) !== 0,
    },
    end: at + length,
    bodyEnd: at + word(frame, at + 2),
    wrong: onesSum(frame.subarray(at, at + length)) === 0xffff ? [] : ['ipv4'],
  };
}

function readIpv6(frame: Uint8Array, at: number): NetworkHeader {
  let protocol = frame[at + 6]!;
  let end = at + 40;
  let fragment = none;
  while ([0, 43, 44, 60].includes(protocol)) {
    if (protocol === 44) {
      const flags = word(frame, end + 2);
      const id = word(frame, end + 4) * 65536 + word(frame, end + 6);
      fragment = { id, offset: flags & 0xfff8, more: (flags & 1) !== 0 };
    }
    const length = protocol === 44 ? 8 : (frame[end + 1]! + 1) * 8;
    protocol = frame[end]!;
    end += length;
  }
  return {
    family: 6,
    from: address(frame, at + 8, 16),
    to: address(frame, at + 24, 16),
    ttl: frame[at + 7]!,
    protocol,
    fragment,
    end,
    bodyEnd: at + 40 + word(frame, at + 4),
    wrong: [],
  };
}

/** A quoted packet is cut and its transport's checksum stays the sender's: only the rest is checked. */
function parseNetwork(frame: Uint8Array, at: number, isQuoted: boolean): NetworkPacket {
  const header = frame[at]! >> 4 === 4 ? readIpv4(frame, at) : readIpv6(frame, at);
  const { end, bodyEnd, ...network } = header;
  const body = frame.subarray(end, isQuoted ? undefined : bodyEnd);
  const isWhole = network.fragment.offset === 0 && !network.fragment.more && !isQuoted;
  const base = {
    ...network,
    ...{ sport: 0, dport: 0, tcpFlags: 0, icmpType: undefined, quoted: undefined },
    ...{ transportOffset: end, payload: body },
    wrong: isWhole ? [...network.wrong, ...wrongTransport(header, body)] : network.wrong,
  };
  if (network.fragment.offset !== 0) return base;
  if (network.protocol === proto.icmp || network.protocol === proto.icmpv6) {
    return parseIcmp(frame, base, isQuoted);
  }
  const headerLength = headerLengths.get(network.protocol);
  if (headerLength === undefined) return base;
  return {
    ...base,
    sport: word(body, 0),
    dport: word(body, 2),
    tcpFlags: network.protocol === proto.tcp ? (body[13] ?? 0) : 0,
    payload: body.subarray(headerLength),
  };
}

/** Of the transports that have ports. */
const headerLengths: ReadonlyMap<number, number> = new Map([
  [proto.tcp, 20],
  [proto.udp, 8],
  [proto.sctp, 12],
]);

function parseIcmp(frame: Uint8Array, base: NetworkPacket, isQuoted: boolean): NetworkPacket {
  const body = base.payload;
  const icmpType = body[0]!;
  const isError = Object.values(icmpErrors).some((types) => types[base.family][0] === icmpType);
  if (!isError || isQuoted) {
    const id = word(body, 4);
    return { ...base, icmpType, sport: id, dport: id, payload: body.subarray(8) };
  }
  const inner = parseNetwork(frame, base.transportOffset + 8, true);
  const quoted = { ...inner, smac: '', dmac: '' };
  const wrong = [...base.wrong, ...inner.wrong.map((name) => `quoted ${name}`)];
  return { ...base, icmpType, quoted, wrong, payload: body.subarray(8) };
}

function wrongTransport(header: NetworkHeader, body: Uint8Array): string[] {
  const { protocol, from, to, family } = header;
  const name = Object.entries(proto).find(([, number]) => number === protocol)?.[0];
  if (name === undefined || name === 'gre') return [];
  if (name === 'sctp') return isSctpSummed(body) ? [] : ['sctp'];
  if (protocol === proto.udp && word(body, 6) === 0) return family === 4 ? [] : ['udp'];
  const isSummedAlone = protocol === proto.icmp;
  const pseudo = isSummedAlone ? new Uint8Array(0) : pseudoHeader(from, to, protocol, body.length);
  return onesSum(pseudo, body) === 0xffff ? [] : [name];
}

/** The sum is over the packet with a sum of 0, and no address. */
function isSctpSummed(body: Uint8Array): boolean {
  const zeroed = body.slice();
  zeroed.fill(0, 8, 12);
  const sum = new DataView(body.buffer, body.byteOffset, body.length).getUint32(8, true);
  return crc32c(zeroed) === sum;
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function address(bytes: Uint8Array, at: number, length: number): string {
  return formatAddress(addressFromBytes(bytes.subarray(at, at + length)));
}
