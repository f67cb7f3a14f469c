/**
 * @module Addresses of the datapath (128 bits, IPv4 mapped) as text.
 */
import { formatAddressBytes } from '../../net/address.ts';
import { formatPrefix, prefixFromMapped } from '../../net/prefix.ts';

export function addressText(bytes: Uint8Array): string {
  return formatAddressBytes(bytes, 0);
}

/** `a.b.c.d:port` or `[v6]:port`. */
export function socketText(bytes: Uint8Array, port: number): string {
  const address = addressText(bytes);
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

export function isIpv6(bytes: Uint8Array): boolean {
  return addressText(bytes).includes(':');
}

export function prefixText(bytes: Uint8Array, prefixlen: number): string {
  return formatPrefix(prefixFromMapped(bytes, prefixlen));
}

const protocolNames: ReadonlyMap<number, string> = new Map([
  [1, 'ICMP'],
  [6, 'TCP'],
  [17, 'UDP'],
  [58, 'ICMPv6'],
  [132, 'SCTP'],
]);

export function protocolText(proto: number): string {
  return protocolNames.get(proto) ?? String(proto);
}

export function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
