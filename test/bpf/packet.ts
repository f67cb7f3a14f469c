/**
 * @module
 * Builds Ethernet frames for packet tests, with right checksums unless a test asks for a wrong one.
 * The family follows from the addresses. Every function returns a whole frame.
 */
import { requireAddress, wireBytes } from '../../src/net/address.ts';
import { requireMac } from '../../src/net/mac.ts';

export const proto = { icmp: 1, tcp: 6, udp: 17, gre: 47, icmpv6: 58, sctp: 132 } as const;
export const etherType = {
  ...{ ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd },
  ...{ vlan: 0x8100, serviceVlan: 0x88a8 },
} as const;

export const podMac = '02:00:00:00:00:0a';
export const nodeMac = '02:00:00:00:00:01';

/** An IPv6 extension header: its number, and what follows the first two bytes. */
export interface Extension {
  readonly header: 'hop-by-hop' | 'routing' | 'destination';
  /** Length in bytes, a multiple of 8. */
  readonly bytes?: number;
}

/** The network header. */
export interface Ip {
  readonly from: string;
  readonly to: string;
  readonly ttl?: number;
  /** IPv4 only: a multiple of 4 bytes. */
  readonly options?: Uint8Array;
  /** IPv6 only. */
  readonly extensions?: readonly Extension[];
  readonly smac?: string;
  readonly dmac?: string;
}

/** One's complement sum of 16-bit words, folded; 0xffff over something with a right checksum. */
export function onesSum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at++) {
      sum += at % 2 === 0 ? (part[at] ?? 0) << 8 : (part[at] ?? 0);
    }
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

export function checksum(...parts: readonly Uint8Array[]): number {
  return ~onesSum(...parts) & 0xffff;
}

export function pseudoHeader(from: string, to: string, protocol: number, length: number) {
  const addresses = [requireAddress(from), requireAddress(to)].map(wireBytes);
  return concat(...addresses, be16(length >>> 16), be16(length), Uint8Array.of(0, protocol));
}

export function be16(value: number): Uint8Array {
  return Uint8Array.of((value >> 8) & 0xff, value & 0xff);
}

export function be32(value: number): Uint8Array {
  return concat(be16(value >>> 16), be16(value & 0xffff));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export function familyOf(ip: { readonly from: string }): 4 | 6 {
  return requireAddress(ip.from).family;
}

export function ethernet(type: number, payload: Uint8Array, macs: Partial<Ip> = {}): Uint8Array {
  const { smac = podMac, dmac = nodeMac } = macs;
  return concat(requireMac(dmac), requireMac(smac), be16(type), payload);
}

const extensionNumber = { 'hop-by-hop': 0, routing: 43, destination: 60 } as const;

/** A frame with any transport. */
export function ipPacket(ip: Ip, protocol: number, payload: Uint8Array): Uint8Array {
  return familyOf(ip) === 4 ? ipv4(ip, protocol, payload) : ipv6(ip, protocol, payload);
}

interface Ipv4Fragment {
  readonly id: number;
  readonly offset: number;
  readonly more: boolean;
}

function ipv4(ip: Ip, protocol: number, payload: Uint8Array, fragment?: Ipv4Fragment): Uint8Array {
  const { ttl = 64, options = new Uint8Array(0) } = ip;
  const length = 20 + options.length;
  const [from, to] = [ip.from, ip.to].map((a) => wireBytes(requireAddress(a)));
  const flags = fragment === undefined ? 0x4000 : fragment.offset >> 3;
  const header = concat(
    Uint8Array.of(0x40 | (length / 4), 0),
    be16(length + payload.length),
    be16(fragment?.id ?? 0),
    be16(flags | (fragment?.more === true ? 0x2000 : 0)),
    Uint8Array.of(ttl, protocol, 0, 0),
    from!,
    to!,
    options,
  );
  header.set(be16(checksum(header)), 10);
  return ethernet(etherType.ipv4, concat(header, payload), ip);
}

function ipv6(ip: Ip, protocol: number, payload: Uint8Array): Uint8Array {
  const { ttl = 64, extensions = [] } = ip;
  const numbers = [...extensions.map(({ header }) => extensionNumber[header]), protocol];
  const chain = extensions.map(({ bytes = 8 }, at) => {
    const header = new Uint8Array(bytes);
    header.set([numbers[at + 1]!, bytes / 8 - 1]);
    // PadN over the rest, so that the options are valid ones.
    header.set([1, bytes - 4], 2);
    return header;
  });
  const body = concat(...chain, payload);
  const header = concat(
    be32(0x60000000),
    be16(body.length),
    Uint8Array.of(numbers[0]!, ttl),
    wireBytes(requireAddress(ip.from)),
    wireBytes(requireAddress(ip.to)),
  );
  return ethernet(etherType.ipv6, concat(header, body), ip);
}

const flagBits = { F: 1, S: 2, R: 4, P: 8, A: 16 } as const;

/** `SA` → SYN and ACK. */
export function tcpFlags(letters: string): number {
  return [...letters].reduce((bits, letter) => bits | flagBits[letter as keyof typeof flagBits], 0);
}

export interface Transport {
  readonly sport: number;
  readonly dport: number;
  readonly payload?: Uint8Array;
}

/** Flags by letter, by default `A`. */
export function tcp(ip: Ip, transport: Transport & { readonly flags?: string }): Uint8Array {
  const { sport, dport, flags = 'A', payload = new Uint8Array(0) } = transport;
  const segment = concat(
    be16(sport),
    be16(dport),
    be32(0x01020304),
    be32(0x05060708),
    Uint8Array.of(0x50, tcpFlags(flags)),
    be16(0xffff),
    be32(0),
    payload,
  );
  return ipPacket(ip, proto.tcp, summed(ip, proto.tcp, segment, 16));
}

/** `unsummed` sends no checksum, which IPv4 allows. */
export function udp(ip: Ip, transport: Transport & { readonly unsummed?: boolean }): Uint8Array {
  const { sport, dport, payload = text('datagram of a pod') } = transport;
  const datagram = concat(be16(sport), be16(dport), be16(8 + payload.length), be16(0), payload);
  if (transport.unsummed === true) return ipPacket(ip, proto.udp, datagram);
  return ipPacket(ip, proto.udp, summed(ip, proto.udp, datagram, 6));
}

/** The polynomial of CRC-32C, bits reversed. */
const crc32cPolynomial = 0x82f63b78;

/** CRC-32C (RFC 9260, appendix A), as SCTP has it in its header. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? crc32cPolynomial : 0);
  }
  return ~crc >>> 0;
}

/** A packet of SCTP with one chunk, by default an INIT without parameters. */
export function sctp(ip: Ip, { sport, dport, payload = initChunk }: Transport): Uint8Array {
  const packet = concat(be16(sport), be16(dport), be32(0), be32(0), payload);
  new DataView(packet.buffer).setUint32(8, crc32c(packet), true);
  return ipPacket(ip, proto.sctp, packet);
}

const initChunk = concat(
  Uint8Array.of(1, 0),
  be16(20),
  ...[be32(0x0a0b0c0d), be32(65_536), be16(1), be16(1), be32(1)],
);

/** The frame with a VLAN tag in it. */
export function tagged(frame: Uint8Array, type: number = etherType.vlan, vlan = 5): Uint8Array {
  return concat(frame.subarray(0, 12), be16(type), be16(vlan), frame.subarray(12));
}

/** Another transport, or one with a header of the test's own. */
export function transport(ip: Ip, protocol: number, payload: Uint8Array): Uint8Array {
  return ipPacket(ip, protocol, payload);
}

function summed(ip: Ip, protocol: number, segment: Uint8Array, at: number): Uint8Array {
  const pseudo =
    protocol === proto.icmp
      ? new Uint8Array(0)
      : pseudoHeader(ip.from, ip.to, protocol, segment.length);
  const sum = checksum(pseudo, segment);
  segment.set(be16(sum === 0 && protocol === proto.udp ? 0xffff : sum), at);
  return segment;
}

/** ICMP or ICMPv6 by family: type, code, and what follows the checksum. */
export function icmp(ip: Ip, type: number, code: number, rest: Uint8Array): Uint8Array {
  const protocol = familyOf(ip) === 4 ? proto.icmp : proto.icmpv6;
  const message = concat(Uint8Array.of(type, code, 0, 0), rest);
  return ipPacket(ip, protocol, summed(ip, protocol, message, 2));
}

export interface Echo {
  readonly kind: 'request' | 'reply';
  readonly id: number;
  readonly payload?: Uint8Array;
}

export function echo(ip: Ip, { kind, id, payload = text('0123456789abcdef') }: Echo): Uint8Array {
  const types = familyOf(ip) === 4 ? { request: 8, reply: 0 } : { request: 128, reply: 129 };
  return icmp(ip, types[kind], 0, concat(be16(id), be16(1), payload));
}

export const icmpErrors = {
  unreachable: { 4: [3, 3], 6: [1, 4] },
  'too-big': { 4: [3, 4], 6: [2, 0] },
  'time-exceeded': { 4: [11, 0], 6: [3, 0] },
  parameter: { 4: [12, 0], 6: [4, 0] },
} as const;

/** An error about a frame: quotes its network header and what follows, as far as `quoteBytes`. */
export function icmpError(
  ip: Ip,
  kind: keyof typeof icmpErrors,
  quoted: Uint8Array,
  quoteBytes = 128,
): Uint8Array {
  const [type, code] = icmpErrors[kind][familyOf(ip)];
  return icmp(
    ip,
    type,
    code,
    concat(be32(kind === 'too-big' ? 1280 : 0), quote(quoted, quoteBytes)),
  );
}

function quote(frame: Uint8Array, bytes: number): Uint8Array {
  return frame.subarray(14, 14 + bytes);
}

/** Cuts a frame's payload into fragments. Offsets are of the second and later ones, multiples of 8. */
export function fragments(frame: Uint8Array, id: number, offsets: readonly number[]): Uint8Array[] {
  const isIpv4 = frame[12] === 0x08;
  const headerEnd = isIpv4 ? 14 + (frame[14]! & 15) * 4 : 54;
  const payload = frame.subarray(headerEnd);
  const ends = [...offsets, payload.length];
  return [0, ...offsets].map((offset, at) => {
    const part = payload.subarray(offset, ends[at]);
    const more = at < offsets.length;
    const header = frame.slice(0, headerEnd);
    return isIpv4
      ? fragmentIpv4(header, part, { id, offset, more })
      : fragmentIpv6(header, part, { id, offset, more });
  });
}

function fragmentIpv4(header: Uint8Array, part: Uint8Array, { id, offset, more }: Ipv4Fragment) {
  header.set(be16(header.length - 14 + part.length), 16);
  header.set(concat(be16(id), be16((offset >> 3) | (more ? 0x2000 : 0))), 18);
  header.set([0, 0], 24);
  header.set(be16(checksum(header.subarray(14))), 24);
  return concat(header, part);
}

function fragmentIpv6(header: Uint8Array, part: Uint8Array, { id, offset, more }: Ipv4Fragment) {
  const extension = concat(Uint8Array.of(header[20]!, 0), be16(offset | (more ? 1 : 0)), be32(id));
  header.set(be16(extension.length + part.length), 18);
  header[20] = 44;
  return concat(header, extension, part);
}

export interface Arp {
  readonly operation: 'request' | 'reply';
  readonly senderMac: string;
  readonly sender: string;
  readonly targetMac?: string;
  readonly target: string;
}

export function arp(message: Arp): Uint8Array {
  const { operation, senderMac, sender, targetMac = '00:00:00:00:00:00', target } = message;
  const dmac = operation === 'request' ? 'ff:ff:ff:ff:ff:ff' : targetMac;
  const body = concat(
    be16(1),
    be16(etherType.ipv4),
    Uint8Array.of(6, 4),
    be16(operation === 'request' ? 1 : 2),
    requireMac(senderMac),
    wireBytes(requireAddress(sender)),
    requireMac(targetMac),
    wireBytes(requireAddress(target)),
  );
  return ethernet(etherType.arp, body, { smac: senderMac, dmac });
}

/** A message of neighbour discovery about a target, with the sender's MAC as option if given. */
export function discovery(
  ip: Ip,
  kind: 'solicitation' | 'advertisement',
  target: string,
  mac?: string,
): Uint8Array {
  const isSolicitation = kind === 'solicitation';
  const option =
    mac === undefined
      ? new Uint8Array(0)
      : concat(Uint8Array.of(isSolicitation ? 1 : 2, 1), requireMac(mac));
  const flags = be32(isSolicitation ? 0 : 0x60000000);
  const rest = concat(flags, wireBytes(requireAddress(target)), option);
  return icmp({ ttl: 255, ...ip }, isSolicitation ? 135 : 136, 0, rest);
}

/** Router solicitation, router advertisement or redirect. */
export function routerMessage(
  ip: Ip,
  kind: 'solicitation' | 'advertisement' | 'redirect',
): Uint8Array {
  const [type, length] = {
    solicitation: [133, 4],
    advertisement: [134, 12],
    redirect: [137, 36],
  }[kind] as [number, number];
  return icmp({ ttl: 255, ...ip }, type, 0, new Uint8Array(length));
}
