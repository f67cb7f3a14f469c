/**
 * @module Ethernet addresses: six bytes in the kernel, `aa:bb:cc:dd:ee:ff` in rows and text.
 */

/** Length of an Ethernet address. */
export const macBytes = 6;

const digits = '0123456789abcdef';

/** Parses `aa:bb:cc:dd:ee:ff`, in either case; `undefined` for anything else. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}

/** Parses an address that must be one. */
export function requireMac(text: string): Uint8Array {
  const mac = parseMac(text);
  if (mac === undefined) throw new RangeError(`parse mac ${JSON.stringify(text)}`);
  return mac;
}

/** Lower-case text of the bytes. */
export function formatMac(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    text += `${at === 0 ? '' : ':'}${digits[byte >> 4]}${digits[byte & 15]}`;
  }
  return text;
}

/** A random unicast address of the locally administered space (IEEE 802c). */
export function randomMac(): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(macBytes));
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return bytes;
}
