/**
 * @module
 * A peer as policy sees it: an identity at an address of a certain address set. The pair is one
 * number, so that sets of peers are cheap.
 */

import type { IdentityId } from '../../identity/table.ts';
import { addressSetsMax } from './address-sets.ts';

export type PeerNumber = number & { readonly __peer: unique symbol };

/** In a policy entry: any peer. No peer has it. */
export const classAny = 0;
/** The class, and the group, of what no selector in use names. */
export const classNone = 1;
/** Numbers of groups are above; those of classes below. */
export const groupBase = 0x80000000;

export function peerNumber(identity: IdentityId, addressSet: number): PeerNumber {
  return (identity * addressSetsMax + addressSet) as PeerNumber;
}

export function identityOf(peer: PeerNumber): IdentityId {
  return Math.floor(peer / addressSetsMax) as IdentityId;
}

export function addressSetOf(peer: PeerNumber): number {
  return peer % addressSetsMax;
}
