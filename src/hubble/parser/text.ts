/**
 * @module
 * Texts of the parts of an event record, made when a filter or an encoder asks:
 * addresses, MAC addresses, and the flow's uuid.
 */
import { formatAddressBytes } from '../../net/address.ts';

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** The 16 bytes at `offset` as text. */
export function addressText(bytes: Uint8Array, offset: number): string {
  // ::ffff:0:0/96 is an IPv4 address; by far the most common, so without the general formatter.
  if (
    bytes[offset + 10] === 0xff &&
    bytes[offset + 11] === 0xff &&
    bytes[offset] === 0 &&
    bytes[offset + 1] === 0 &&
    bytes[offset + 9] === 0
  ) {
    return `${bytes[offset + 12]}.${bytes[offset + 13]}.${bytes[offset + 14]}.${bytes[offset + 15]}`;
  }
  return formatAddressBytes(bytes, offset);
}

export function macText(bytes: Uint8Array, offset: number): string {
  let text = hex[bytes[offset] ?? 0] ?? '';
  for (let at = 1; at < 6; at++) text += `:${hex[bytes[offset + at] ?? 0]}`;
  return text;
}

export function isZero(bytes: Uint8Array, offset: number, length: number): boolean {
  for (let at = offset; at < offset + length; at++) if (bytes[at] !== 0) return false;
  return true;
}

/**
 * Names flows: a version 4 UUID from the flow's sequence number and a secret of this
 * process, so that it costs nothing to store and the same flow always has the same one.
 */
export class FlowUuids {
  readonly #key: Uint32Array;
  readonly #words = new Uint32Array(4);

  constructor(key: Uint32Array = crypto.getRandomValues(new Uint32Array(4))) {
    this.#key = key;
  }

  /** Four words; valid until the next call. */
  words(sequence: number): Uint32Array {
    const low = sequence >>> 0;
    const high = Math.floor(sequence / 2 ** 32);
    const words = this.#words;
    for (let at = 0; at < 4; at++) {
      const key = this.#key[at] ?? 0;
      let value = (low ^ key) >>> 0;
      value = Math.imul(value ^ (value >>> 16), 0x7feb352d);
      value = Math.imul(value ^ (value >>> 15) ^ (high + at), 0x846ca68b);
      words[at] = (value ^ (value >>> 16) ^ Math.imul(key, 0x9e3779b1)) >>> 0;
    }
    words[1] = ((words[1] ?? 0) & 0xffff0fff) | 0x4000;
    words[2] = ((words[2] ?? 0) & 0x3fffffff) | 0x80000000;
    return words;
  }

  text(sequence: number): string {
    const [a = 0, b = 0, c = 0, d = 0] = this.words(sequence);
    const all = [a, b, c, d].map((word) => word.toString(16).padStart(8, '0')).join('');
    return `${all.slice(0, 8)}-${all.slice(8, 12)}-${all.slice(12, 16)}-${all.slice(16, 20)}-${all.slice(20)}`;
  }
}
