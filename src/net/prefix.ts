/**
 * @module Address prefixes (CIDR) as values: always masked, so that two equal prefixes print alike
 * and can be keys. Text comes from people and files; lengths in the datapath's tries count in the
 * 128-bit space (`mappedLength`).
 */
import {
  type Address,
  addressFromBigInt,
  addressFromBytes,
  addressToBigInt,
  compareAddresses,
  type Family,
  formatAddress,
  parseAddress,
} from './address.ts';

/** A prefix; `address` has no bit set past `length`, which counts in the family's own width. */
export interface Prefix {
  readonly family: Family;
  readonly address: Address;
  readonly length: number;
}

/** 32 or 128. */
export function familyBits(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** Length in the 128-bit space of mapped addresses, as in the LPM keys of the datapath. */
export function mappedLength(prefix: Prefix): number {
  return prefix.family === 4 ? prefix.length + 96 : prefix.length;
}

/** The prefix of this length around the address; bits past it are cleared. Throws on a bad length. */
export function prefixOf(address: Address, length: number): Prefix {
  const bits = familyBits(address.family);
  if (!Number.isInteger(length) || length < 0 || length > bits) {
    throw new RangeError(`prefix length ${length} outside 0..${bits}`);
  }
  return fromMapped(address, length + 128 - bits);
}

/** The whole-length prefix of one address. */
export function hostPrefix(address: Address): Prefix {
  return { family: address.family, address, length: familyBits(address.family) };
}

/** Inverse of `mappedLength`: 16 bytes and a length in the 128-bit space, as read from a trie. */
export function prefixFromMapped(bytes: Uint8Array, length: number): Prefix {
  return fromMapped(addressFromBytes(bytes), length);
}

function fromMapped(address: Address, length: number): Prefix {
  const masked = addressFromBytes(maskBytes(address.bytes, length));
  // Clearing a bit of ::ffff leaves IPv4 space, so the family is that of the masked address.
  return {
    family: masked.family,
    address: masked,
    length: length - (masked.family === 4 ? 96 : 0),
  };
}

function maskBytes(source: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(source);
  const whole = length >> 3;
  if (whole < 16) {
    bytes[whole] = (bytes[whole] ?? 0) & (0xff00 >> (length & 7));
    bytes.fill(0, whole + 1);
  }
  return bytes;
}

/**
 * Parses `address/length`; host bits are cleared. `undefined` for anything else, also for a lone
 * address. A mapped IPv6 text counts its length in 128 bits, as it is written.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = parseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  const length = Number(digits);
  // Printing it back refuses signs, spaces, exponents and leading zeros.
  if (address === undefined || !Number.isInteger(length) || `${length}` !== digits)
    return undefined;
  if (length < 0) return undefined;
  if (text.includes(':')) return length > 128 ? undefined : fromMapped(address, length);
  return length > 32 ? undefined : fromMapped(address, length + 96);
}

/** Parses a prefix that must be one. */
export function requirePrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new RangeError(`parse prefix ${JSON.stringify(text)}`);
  return prefix;
}

/** Canonical text `address/length`. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${prefix.length}`;
}

/** True if the address lies in the prefix; never across families. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  if (prefix.family !== address.family) return false;
  const length = mappedLength(prefix);
  const whole = length >> 3;
  for (let index = 0; index < whole; index++) {
    if (prefix.address.bytes[index] !== address.bytes[index]) return false;
  }
  if (whole === 16) return true;
  const mask = 0xff00 >> (length & 7);
  return (((prefix.address.bytes[whole] ?? 0) ^ (address.bytes[whole] ?? 0)) & mask & 0xff) === 0;
}

/** True if every address of `inner` lies in `outer`. */
export function prefixCovers(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && prefixContains(outer, inner.address);
}

/** IPv4 first, then by address, the shorter prefix first. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  return compareAddresses(a.address, b.address) || a.length - b.length;
}

/** Number of addresses. */
export function prefixSize(prefix: Prefix): bigint {
  return 1n << BigInt(familyBits(prefix.family) - prefix.length);
}

/** The n-th address of the prefix, from 0. Throws outside it. */
export function addressAt(prefix: Prefix, index: bigint): Address {
  if (index < 0n || index >= prefixSize(prefix)) {
    throw new RangeError(`address ${index} of ${formatPrefix(prefix)}`);
  }
  return addressFromBigInt(addressToBigInt(prefix.address) + index);
}

/**
 * The addresses that hosts may have, in order and one at a time: without the network address and,
 * in IPv4, without broadcast; a /31, /32, /127 or /128 gives all of its addresses (RFC 3021, 6164).
 */
export function* hostsOf(prefix: Prefix): IterableIterator<Address> {
  const size = prefixSize(prefix);
  const first = size > 2n ? 1n : 0n;
  const end = size > 2n && prefix.family === 4 ? size - 1n : size;
  const start = addressToBigInt(prefix.address);
  for (let index = first; index < end; index++) yield addressFromBigInt(start + index);
}
