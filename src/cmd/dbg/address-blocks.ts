/**
 * @module Which addresses the number of an address set stands for, out of the pinned map
 * cilium_address_sets: an address has the set of the longest block around it.
 */
import { addressSetLayout, ipcacheKeyLayout } from '../../bpf/gen/layouts.ts';
import { prefixText } from '../../bpf/map/address-text.ts';
import {
  identityWorld,
  identityWorldIpv4,
  identityWorldIpv6,
} from '../../daemon/identity/table.ts';
import { type RawRow, viewOf } from './pinned.ts';

/** The addresses of a set: in one of the blocks, and in none of those that are excepted. */
export interface AddressBlocks {
  readonly in: readonly string[];
  readonly except: readonly string[];
}

/** The blocks of a peer's set; undefined for a set that no block has any more. */
export type BlocksOf = (identity: number, addressSet: number) => AddressBlocks | undefined;

interface Block {
  readonly text: string;
  readonly isIpv4: boolean;
  /** Every bit of its first address, as 0 and 1. */
  readonly bits: string;
  readonly length: number;
  readonly outside: number;
  readonly inside: number;
}

type Found = Map<number, { readonly in: string[]; readonly except: string[] }>;

const worlds: readonly number[] = [identityWorld, identityWorldIpv4, identityWorldIpv6];

/** Blocks by set, for a bank of the rows of cilium_address_sets. */
export function addressBlocks(rows: readonly RawRow[], bank: number): BlocksOf {
  const blocks = rows.map((row) => blockOf(row, bank));
  // A block comes behind those around it; IPv4 lies within IPv6, and is no part of it to anybody.
  blocks.sort(
    (a, b) =>
      Number(b.isIpv4) - Number(a.isIpv4) ||
      (a.bits === b.bits ? a.length - b.length : a.bits < b.bits ? -1 : 1),
  );
  const [outside, inside] = [bySet(blocks, 'outside'), bySet(blocks, 'inside')];
  return (identity, addressSet) => {
    if (worlds.includes(identity)) return outside.get(addressSet);
    // Nodes count as outside with policy-cidr-match-mode=nodes alone.
    return inside.get(addressSet) ?? outside.get(addressSet);
  };
}

function blockOf({ key, value }: RawRow, bank: number): Block {
  const { addr, prefixlen } = ipcacheKeyLayout.decode(viewOf(key));
  const sets = addressSetLayout.decode(viewOf(value));
  const text = prefixText(addr, prefixlen);
  return {
    text,
    isIpv4: text.includes('.'),
    bits: [...addr].map((byte) => byte.toString(2).padStart(8, '0')).join(''),
    length: prefixlen,
    outside: sets.outside[bank] ?? 0,
    inside: sets.inside[bank] ?? 0,
  };
}

function bySet(blocks: readonly Block[], side: 'outside' | 'inside'): Found {
  const found: Found = new Map();
  const of = (set: number) => {
    const known = found.get(set) ?? { in: [], except: [] };
    found.set(set, known);
    return known;
  };
  const around: Block[] = [];
  for (const block of blocks) {
    while (around.length > 0 && !contains(around.at(-1), block)) around.pop();
    const outer = around.at(-1)?.[side] ?? 0;
    around.push(block);
    if (block[side] === outer) continue;
    if (block[side] !== 0) of(block[side]).in.push(block.text);
    if (outer !== 0) of(outer).except.push(block.text);
  }
  return found;
}

function contains(outer: Block | undefined, inner: Block): boolean {
  if (outer === undefined || outer.isIpv4 !== inner.isIpv4) return false;
  return inner.bits.startsWith(outer.bits.slice(0, outer.length));
}
