/**
 * @module What the address-carrying netlink objects share: the family byte and address attributes.
 */
import { type Address, addressFromBytes, type Family } from '../address.ts';
import { type IfIndex, ifIndex } from '../if-index.ts';
import { AF_INET, AF_INET6 } from '../libc.ts';
import { type Prefix, prefixOf } from '../prefix.ts';
import type { Attributes } from './message.ts';

/** AF_INET or AF_INET6; no family is AF_UNSPEC. */
export function familyNumber(family: Family | undefined): number {
  if (family === undefined) return 0;
  return family === 4 ? AF_INET : AF_INET6;
}

/** Inverse; `undefined` for the families that are none of ours (bridge, MPLS, multicast routing). */
export function familyFromNumber(value: number | undefined): Family | undefined {
  if (value === AF_INET) return 4;
  return value === AF_INET6 ? 6 : undefined;
}

/** An address attribute of the family's length. */
export function addressAttribute(
  attributes: Attributes,
  type: number,
  family: Family,
): Address | undefined {
  const value = attributes.bytes(type);
  return value?.length === (family === 4 ? 4 : 16) ? addressFromBytes(value) : undefined;
}

/** An address attribute with the length that stands in the header; absent means the whole space. */
export function prefixAttribute(
  attributes: Attributes,
  type: number,
  family: Family,
  length: number,
): Prefix | undefined {
  const address = addressAttribute(attributes, type, family);
  // A v4-mapped IPv6 address would change its family: no route of ours has one.
  if (address === undefined || address.family !== family) return undefined;
  return length <= (family === 4 ? 32 : 128) ? prefixOf(address, length) : undefined;
}

/** An interface attribute; `undefined` when it is absent or not an index. */
export function deviceAttribute(attributes: Attributes, type: number): IfIndex | undefined {
  const value = attributes.u32(type);
  return value === undefined || value === 0 || value > 0x7fffffff ? undefined : ifIndex(value);
}
