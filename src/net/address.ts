/**
 * @module IP addresses as values. Both families are 16 bytes, IPv4 in its mapped form
 * (`::ffff:a.b.c.d`), which is what the datapath's maps and events hold; a mapped IPv6 text is
 * therefore the IPv4 address. Text comes from people and files, bytes from the kernel.
 */

export type Family = 4 | 6;

/** An IP address. Immutable: nobody writes to `bytes` (16, network order). */
export interface Address {
  readonly family: Family;
  readonly bytes: Uint8Array;
}

/** Longest text that can be an address: eight groups, the last two as dotted decimal. */
const textMax = 45;

/** Parses an address, or returns `undefined`. Refuses leading zeros, zone ids, brackets and spaces. */
export function parseAddress(text: string): Address | undefined {
  if (text.length > textMax) return undefined;
  const bytes = new Uint8Array(16);
  if (!text.includes(':')) {
    bytes[10] = 0xff;
    bytes[11] = 0xff;
    return parseDotted(text, bytes, 12) ? { family: 4, bytes } : undefined;
  }
  return parseColons(text, bytes) ? { family: familyOf(bytes), bytes } : undefined;
}

/** Parses an address that must be one: constants, and rows that were checked before. */
export function requireAddress(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new RangeError(`parse address ${JSON.stringify(text)}`);
  return address;
}

// Written out, like the rest of what a CNI call runs: each call starts cold, and a first regular
// expression or iterator costs it more than the loop does.
function parseDotted(text: string, into: Uint8Array, at: number): boolean {
  const parts = text.split('.');
  if (parts.length !== 4) return false;
  for (let index = 0; index < 4; index++) {
    const value = parseDecimalByte(parts[index] ?? '');
    if (value < 0) return false;
    into[at + index] = value;
  }
  return true;
}

/** 0..255 without leading zeros, or -1. */
function parseDecimalByte(text: string): number {
  if (text.length === 0 || text.length > 3 || (text.length > 1 && text[0] === '0')) return -1;
  let value = 0;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value > 255 ? -1 : value;
}

/** Up to four hexadecimal digits, or -1. */
function parseGroup(text: string): number {
  if (text.length === 0 || text.length > 4) return -1;
  let value = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at) | 0x20;
    const isDigit = code >= 0x30 && code <= 0x39;
    if (!isDigit && (code < 0x61 || code > 0x66)) return -1;
    value = value * 16 + (isDigit ? code - 0x30 : code - 0x57);
  }
  return value;
}

function parseColons(text: string, into: Uint8Array): boolean {
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const [left = '', right] = halves;
  const head = parseGroups(left, right === undefined);
  const tail = right === undefined ? [] : parseGroups(right, true);
  if (head === undefined || tail === undefined) return false;
  const length = head.length + tail.length;
  // `::` stands for at least one group of zeros.
  if (right === undefined ? length !== 16 : length > 14) return false;
  into.set(head, 0);
  into.set(tail, 16 - tail.length);
  return true;
}

/** Bytes of `a:b:c`, which may end in dotted decimal when it ends the address. */
function parseGroups(text: string, isEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (let index = 0; index < groups.length; index++) {
    const group = groups[index] ?? '';
    if (group.includes('.')) {
      const dotted = new Uint8Array(4);
      if (!isEnd || index !== groups.length - 1 || !parseDotted(group, dotted, 0)) return undefined;
      bytes.push(...dotted);
      continue;
    }
    const value = parseGroup(group);
    if (value < 0) return undefined;
    bytes.push(value >> 8, value & 0xff);
  }
  return bytes;
}

function familyOf(bytes: Uint8Array): Family {
  for (let at = 0; at < 10; at++) if (bytes[at] !== 0) return 6;
  return bytes[10] === 0xff && bytes[11] === 0xff ? 4 : 6;
}

/** Address from 4 or 16 bytes in network order, which are copied. Throws on any other length. */
export function addressFromBytes(source: Uint8Array): Address {
  if (source.length === 16) {
    const bytes = new Uint8Array(source);
    return { family: familyOf(bytes), bytes };
  }
  if (source.length !== 4) throw new RangeError(`address of ${source.length} bytes`);
  const bytes = new Uint8Array(16);
  bytes[10] = 0xff;
  bytes[11] = 0xff;
  bytes.set(source, 12);
  return { family: 4, bytes };
}

/** The bytes on the wire: 4 for IPv4, 16 for IPv6. */
export function wireBytes(address: Address): Uint8Array {
  return address.family === 4 ? address.bytes.subarray(12) : address.bytes;
}

/** Text form; IPv6 as RFC 5952 wants it (lower case, longest run of zeros shortened). */
export function formatAddress(address: Address): string {
  return formatAddressBytes(address.bytes, 0);
}

/** Text of 16 bytes inside a larger record, without making an `Address`: for map and event decoding. */
export function formatAddressBytes(bytes: Uint8Array, offset: number): string {
  const words: number[] = [];
  for (let at = offset; at < offset + 16; at += 2) {
    words.push(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
  }
  const [a, b, c, d, e, f, g = 0, h = 0] = words;
  if (f === 0xffff && a === 0 && b === 0 && c === 0 && d === 0 && e === 0) {
    return `${g >> 8}.${g & 0xff}.${h >> 8}.${h & 0xff}`;
  }
  const run = longestZeroRun(words);
  let text = '';
  for (let index = 0; index < 8; index++) {
    if (run.length > 1 && index === run.start) {
      text += '::';
      index += run.length - 1;
      continue;
    }
    const separator = text === '' || text.endsWith('::') ? '' : ':';
    text += separator + (words[index] ?? 0).toString(16);
  }
  return text;
}

/** RFC 5952 section 4.2: the longest run, the first one of equals. */
function longestZeroRun(words: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let index = 0; index < words.length; index++) {
    if (words[index] !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}

/** IPv4 before IPv6, then by bytes. */
export function compareAddresses(a: Address, b: Address): number {
  if (a.family !== b.family) return a.family - b.family;
  return Buffer.compare(a.bytes, b.bytes);
}

export function equalAddresses(a: Address, b: Address): boolean {
  return compareAddresses(a, b) === 0;
}

/** The 16 bytes as one number, for arithmetic on ranges. */
export function addressToBigInt(address: Address): bigint {
  return BigInt(`0x${Buffer.from(address.bytes).toString('hex')}`);
}

/** Inverse of `addressToBigInt`. Throws outside 0 .. 2^128-1. */
export function addressFromBigInt(value: bigint): Address {
  if (value < 0n || value >> 128n !== 0n) throw new RangeError(`address out of range: ${value}`);
  return addressFromBytes(Buffer.from(value.toString(16).padStart(32, '0'), 'hex'));
}

/** 0.0.0.0 or ::. */
export function isUnspecified(address: Address): boolean {
  return wireBytes(address).every((byte) => byte === 0);
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(address: Address): boolean {
  if (address.family === 4) return address.bytes[12] === 127;
  return address.bytes.every((byte, index) => byte === (index === 15 ? 1 : 0));
}

/** 169.254.0.0/16 or fe80::/10. */
export function isLinkLocal(address: Address): boolean {
  const [first = 0, second = 0] = wireBytes(address);
  return address.family === 4
    ? first === 169 && second === 254
    : first === 0xfe && (second & 0xc0) === 0x80;
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(address: Address): boolean {
  const first = wireBytes(address)[0] ?? 0;
  return address.family === 4 ? first >> 4 === 0xe : first === 0xff;
}
