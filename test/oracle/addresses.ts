/**
 * @module Address arithmetic of the oracle, on whole numbers. It is deliberately its own: a mistake
 * in the project's arithmetic must not be repeated in what judges it.
 */
import type { Family } from './documents.ts';

export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

export interface Prefix extends Address {
  readonly length: number;
}

/** Undefined when the text is no address. */
export function parseAddress(text: string): Address | undefined {
  const value = text.includes(':') ? parseV6(text) : parseV4(text);
  return value === undefined ? undefined : { family: text.includes(':') ? 6 : 4, value };
}

function parseV4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256n + BigInt(part);
  }
  return value;
}

function parseV6(text: string): bigint | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? '');
  const tail = groupsOf(halves[1] ?? '');
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  let value = 0n;
  for (const group of [...head, ...Array<string>(missing).fill('0'), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    value = value * 65536n + BigInt(`0x${group}`);
  }
  return value;
}

function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':');
}

/** Throws when the text is no prefix: the oracle only judges valid documents. */
export function parsePrefix(text: string): Prefix {
  const [address = '', length = ''] = text.split('/');
  const parsed = parseAddress(address);
  const bits = parsed?.family === 4 ? 32 : 128;
  if (parsed === undefined || !/^\d+$/.test(length) || Number(length) > bits)
    throw new Error(`cidr: "${text}" is no prefix`);
  return { ...parsed, length: Number(length) };
}

/** Never across families: an IPv4 address is in no IPv6 prefix. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  if (prefix.family !== address.family) return false;
  const shift = BigInt((prefix.family === 4 ? 32 : 128) - prefix.length);
  return prefix.value >> shift === address.value >> shift;
}

/** Whether the inner prefix is a proper part of the outer one. */
export function prefixIsInside(inner: Prefix, outer: Prefix): boolean {
  return inner.length > outer.length && prefixContains(outer, inner);
}
