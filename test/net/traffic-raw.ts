/**
 * @module Packets that ordinary sockets do not send: ICMP echo with its errors, frames as they are.
 */
import { addressFromBytes, formatAddress, requireAddress } from '../../src/net/address.ts';
import * as libc from '../../src/net/libc.ts';
import type { PingOutcome, PingSpec } from './traffic-types.ts';

const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const IP_TTL = 2;
const IPV6_UNICAST_HOPS = 16;
const AF_PACKET = 17;
const pollMs = 2;

/** Which addresses a protocol's errors quote: offset of the source and length, after the ICMP header. */
const shapes = {
  4: { request: 8, reply: 0, header: 20, source: 12, length: 4 },
  6: { request: 128, reply: 129, header: 40, source: 8, length: 16 },
} as const;

let nextId = (process.pid * 7) & 0xffff;

/** Sends one echo request and waits for its answer, or for an error that quotes it. */
export async function ping(spec: PingSpec): Promise<PingOutcome> {
  const address = requireAddress(spec.host);
  const { family } = address;
  const shape = shapes[family];
  const fd =
    family === 4
      ? libc.socket(libc.AF_INET, libc.SOCK_RAW | libc.SOCK_CLOEXEC, IPPROTO_ICMP)
      : libc.socket(libc.AF_INET6, libc.SOCK_RAW | libc.SOCK_CLOEXEC, IPPROTO_ICMPV6);
  try {
    if (spec.ttl !== undefined) {
      const [level, option] = family === 4 ? [0, IP_TTL] : [41, IPV6_UNICAST_HOPS];
      libc.setSocketOption(fd, level, option, spec.ttl);
    }
    const id = ++nextId & 0xffff;
    try {
      libc.sendTo(fd, echoRequest(shape.request, id, spec.bytes ?? 56), socketAddress(spec.host));
    } catch (error) {
      return { kind: 'refused', message: String(error) };
    }
    const deadline = performance.now() + (spec.timeoutMs ?? 1000);
    const into = new Uint8Array(65_536);
    while (performance.now() < deadline) {
      const length = libc.recv(fd, into, libc.MSG_DONTWAIT);
      if (length === undefined) {
        await Bun.sleep(pollMs);
        continue;
      }
      const start = family === 4 ? ((into[0] ?? 0) & 15) * 4 : 0;
      const answer = readAnswer(into.subarray(start, length), shape, id, family);
      if (answer !== undefined) return answer;
    }
    return { kind: 'timeout' };
  } finally {
    libc.close(fd);
  }
}

function readAnswer(
  bytes: Uint8Array,
  shape: (typeof shapes)[4 | 6],
  id: number,
  family: 4 | 6,
): PingOutcome | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const type = bytes[0] ?? 0;
  if (type === shape.reply) {
    return view.getUint16(4) === id ? { kind: 'reply', bytes: bytes.length - 8 } : undefined;
  }
  const isError = family === 4 ? [3, 11, 12].includes(type) : type < 128;
  const quoted = 8 + shape.header;
  if (!isError || bytes.length < quoted + 8 || view.getUint16(quoted + 4) !== id) return undefined;
  const source = bytes.slice(8 + shape.source, 8 + shape.source + shape.length);
  return {
    kind: 'error',
    type,
    code: bytes[1] ?? 0,
    quotedSource: formatAddress(addressFromBytes(source)),
  };
}

function echoRequest(type: number, id: number, payload: number): Uint8Array {
  const bytes = new Uint8Array(8 + payload).fill(0x61);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type << 24);
  view.setUint16(4, id);
  view.setUint16(6, 1);
  // The kernel fills in ICMPv6's own.
  if (type === shapes[4].request) view.setUint16(2, checksum(bytes));
  return bytes;
}

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2)
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** struct sockaddr_in or sockaddr_in6. Raw sockets of IPv6 want no port. */
export function socketAddress(host: string, port = 0): Uint8Array {
  const { family, bytes } = requireAddress(host);
  const out = new Uint8Array(family === 4 ? 16 : 28);
  const view = new DataView(out.buffer);
  view.setUint16(0, family === 4 ? libc.AF_INET : libc.AF_INET6, true);
  view.setUint16(2, port);
  if (family === 4) out.set(bytes.subarray(12), 4);
  else out.set(bytes, 8);
  return out;
}

/** Sends a frame out of a device. */
export function sendFrame({ device, hex }: { device: number; hex: string }): void {
  const fd = libc.socket(AF_PACKET, libc.SOCK_RAW | libc.SOCK_CLOEXEC, 0);
  try {
    const address = new Uint8Array(20);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setInt32(4, device, true);
    address[11] = 6;
    libc.sendTo(fd, Uint8Array.fromHex(hex), address);
  } finally {
    libc.close(fd);
  }
}
