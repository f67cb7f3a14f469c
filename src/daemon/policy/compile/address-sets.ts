/**
 * @module
 * What policy must know about an address besides its identity: which of the blocks in use contain
 * it, and the numbers of its pod's named ports. Every block in use has an address set; an address
 * has the set of the longest block around it, which is how the datapath finds it.
 */

import { type Family, requireAddress } from '../../../net/address.ts';
import {
  familyBits,
  hostPrefix,
  mappedLength,
  type Prefix,
  requirePrefix,
} from '../../../net/prefix.ts';
import type { CidrScope } from '../rule.ts';
import { addressLabel } from '../selector.ts';

/** The set of an address that no block in use contains. */
export const addressSetNone = 0;

/** Sets known at the same time; a peer's number has 21 bits for them. */
export const addressSetsMax = 2 ** 21;

/**
 * The sets of a block: for what is outside of the cluster every block counts, for pods and nodes
 * only those that mean every address.
 */
export interface SetPair {
  readonly outside: number;
  readonly inside: number;
}

/** More than this are not put into the list one by one. */
const splicedMax = 16;

interface Block {
  readonly cidr: string;
  readonly span: Span;
  /** Uses as a block of addresses. */
  readonly uses: Record<CidrScope, number>;
  /** Scopes that count: those in use, and those that were. */
  readonly kept: Set<CidrScope>;
  /** `port:…` labels of the pod with exactly this address. */
  ports: readonly string[];
  sets: SetPair;
  /** The longest other block around it in the 128-bit space, as of the last flush. */
  parent: Block | undefined;
  /** Whether a flush has told of the block. */
  known: boolean;
}

/** A prefix as a range: 32 hexadecimal digits each, in the 128-bit space. */
export interface Span {
  readonly family: Family;
  readonly first: string;
  readonly last: string;
  /** Bits, in the 128-bit space. */
  readonly length: number;
}

/** What a flush found. */
export interface AddressSetChanges {
  /** Sets by block; undefined if the block is not in use any more. */
  readonly blocks: ReadonlyMap<string, SetPair | undefined>;
  /** Addresses outside of these have the set that they had. */
  readonly spans: readonly Span[];
}

export class AddressSets {
  readonly #blocks = new Map<string, Block>();
  /** By first address, the wider block first; as of the last flush. */
  #sorted: Block[] = [];
  readonly #fresh = new Set<Block>();
  readonly #gone = new Set<Block>();
  readonly #labels = new Map<number, readonly string[]>();
  readonly #ids = new Map<string, number>();
  readonly #uses = new Map<number, number>();
  #lastId = addressSetNone;
  #dirty: Span[] = [];
  readonly #removed = new Set<string>();
  /** Blocks with a scope that counts, and that nobody uses. */
  readonly #unused = new Set<Block>();

  /** Blocks that are there for the named ports of a pod, whether a rule names them or not. */
  portBlocks = 0;

  /** Blocks in use. */
  get size(): number {
    return this.#blocks.size;
  }

  /** The labels that an address of the set has, sorted; see `addressLabel`. */
  labels(set: number): readonly string[] {
    return this.#labels.get(set) ?? [];
  }

  /** Every call needs a `release`. */
  acquire(cidr: string, scope: CidrScope): void {
    const block = this.#blocks.get(cidr) ?? this.#insert(cidr, spanOf(requirePrefix(cidr)));
    if (block.uses[scope]++ === 0 && !block.kept.has(scope)) this.#dirty.push(block.span);
    block.kept.add(scope);
    if (!keepsUnused(block)) this.#unused.delete(block);
  }

  /** The block stays as it is until `sweep`: it is likely to be used again, and to go is costly. */
  release(cidr: string, scope: CidrScope): void {
    const block = this.#blocks.get(cidr);
    if (block === undefined || block.uses[scope] === 0) return;
    if (--block.uses[scope] === 0) this.#unused.add(block);
  }

  /** True if there are blocks, or one of their scopes, that nobody uses. */
  get hasUnused(): boolean {
    return this.#unused.size > 0;
  }

  /** Forgets what nobody uses, so many blocks. */
  sweep(blocksMax = Number.POSITIVE_INFINITY): void {
    let blocks = 0;
    for (const block of this.#unused) {
      if (blocks++ >= blocksMax) return;
      this.#unused.delete(block);
      for (const scope of [...block.kept]) if (block.uses[scope] === 0) block.kept.delete(scope);
      this.#dirty.push(block.span);
      this.#drop(block);
    }
  }

  /** `port:…` labels of the pod that has the address; without any it is an address like others. */
  setPorts(address: string, labels: readonly string[]): void {
    const prefix = hostPrefix(requireAddress(address));
    const cidr = `${address}/${familyBits(prefix.family)}`;
    const before = this.#blocks.get(cidr);
    if (before === undefined && labels.length === 0) return;
    const block = before ?? this.#insert(cidr, spanOf(prefix));
    if (labels.join() === block.ports.join()) return;
    this.portBlocks += Math.sign(labels.length) - Math.sign(block.ports.length);
    block.ports = labels;
    this.#dirty.push(block.span);
    this.#drop(block);
  }

  /** As of the last flush: the set of the longest block that covers the span. */
  setOf(span: Span, place: keyof SetPair): number {
    return this.#covering(span)?.sets[place] ?? addressSetNone;
  }

  /** As of the last flush: the sets that addresses of the span have. */
  setsWithin(span: Span, place: keyof SetPair): Set<number> {
    const sets = new Set([this.setOf(span, place)]);
    for (const block of this.#inside(span)) sets.add(block.sets[place]);
    return sets;
  }

  /** Gives every block around which something changed its set. */
  flush(): AddressSetChanges {
    this.#order();
    const blocks = new Map<string, SetPair | undefined>();
    for (const cidr of this.#removed) if (!this.#blocks.has(cidr)) blocks.set(cidr, undefined);
    this.#removed.clear();
    const spans = this.#dirty;
    this.#dirty = [];
    const touched = new Set<Block>();
    for (const span of spans) for (const block of this.#inside(span)) touched.add(block);
    for (const block of touched) {
      const before = block.sets;
      const [outside, inside] = this.#labelsOf(block).map((labels) => this.#intern(labels));
      block.sets = { outside: outside ?? addressSetNone, inside: inside ?? addressSetNone };
      this.#forget(before.outside);
      this.#forget(before.inside);
      const isSame = block.sets.outside === before.outside && block.sets.inside === before.inside;
      if (block.known && isSame) continue;
      block.known = true;
      blocks.set(block.cidr, block.sets);
    }
    return { blocks, spans };
  }

  /** Of addresses outside of the cluster, and of those inside. */
  #labelsOf(block: Block): [string[], string[]] {
    const outside: string[] = [];
    const inside = [...block.ports];
    for (let each: Block | undefined = block; each !== undefined; each = each.parent) {
      const { cidr, kept, span } = each;
      if (span.family !== block.span.family) continue;
      if (kept.size > 0) outside.push(addressLabel.cidr(cidr));
      if (kept.has('address')) inside.push(addressLabel.cidr(cidr));
    }
    return [outside.sort(), inside.sort()];
  }

  /** The number of the labels; counts a use. */
  #intern(labels: readonly string[]): number {
    if (labels.length === 0) return addressSetNone;
    const key = labels.join(',');
    let id = this.#ids.get(key);
    if (id === undefined) {
      do this.#lastId = (this.#lastId % (addressSetsMax - 1)) + 1;
      while (this.#labels.has(this.#lastId));
      id = this.#lastId;
      this.#ids.set(key, id);
      this.#labels.set(id, labels);
    }
    this.#uses.set(id, (this.#uses.get(id) ?? 0) + 1);
    return id;
  }

  #forget(set: number): void {
    if (set === addressSetNone) return;
    const uses = (this.#uses.get(set) ?? 1) - 1;
    this.#uses.set(set, uses);
    if (uses > 0) return;
    this.#uses.delete(set);
    this.#ids.delete(this.labels(set).join(','));
    this.#labels.delete(set);
  }

  #insert(cidr: string, span: Span): Block {
    const block: Block = {
      cidr,
      span,
      uses: { outside: 0, address: 0 },
      kept: new Set(),
      ports: [],
      sets: { outside: addressSetNone, inside: addressSetNone },
      parent: undefined,
      known: false,
    };
    this.#blocks.set(cidr, block);
    this.#fresh.add(block);
    return block;
  }

  #drop(block: Block): void {
    if (block.kept.size > 0 || block.ports.length > 0) return;
    const { cidr, sets, known } = block;
    this.#blocks.delete(cidr);
    if (known) this.#removed.add(cidr);
    if (!this.#fresh.delete(block)) this.#gone.add(block);
    this.#forget(sets.outside);
    this.#forget(sets.inside);
  }

  /** Takes in what is new and takes out what is gone. */
  #order(): void {
    if (this.#fresh.size + this.#gone.size <= splicedMax) {
      for (const { span } of this.#gone) {
        this.#sorted.splice(this.#place(span.first, span.length), 1);
      }
      for (const block of this.#fresh) {
        this.#sorted.splice(this.#place(block.span.first, block.span.length), 0, block);
      }
    } else {
      const left = this.#sorted.filter((block) => !this.#gone.has(block));
      const fresh = [...this.#fresh].sort((a, b) => (isBefore(a.span, b.span) ? -1 : 1));
      this.#sorted = merge(left, fresh);
    }
    if (this.#gone.size + this.#fresh.size > 0) this.#nest();
    this.#gone.clear();
    this.#fresh.clear();
  }

  /** Every block has its parent. */
  #nest(): void {
    let before: Block | undefined;
    for (const block of this.#sorted) {
      block.parent = outwards(before, block.span);
      before = block;
    }
  }

  /** The longest block that covers a span, that of the span itself included. */
  #covering(span: Span): Block | undefined {
    const at = this.#place(span.first, span.length);
    const here = this.#sorted[at];
    const found = here !== undefined && sameSpan(here.span, span) ? here : this.#sorted[at - 1];
    const block = outwards(found, span);
    // IPv4 is a part of the IPv6 space here, and no IPv6 block is about it.
    return block?.span.family === span.family ? block : undefined;
  }

  *#inside({ family, first, last, length }: Span): IterableIterator<Block> {
    for (let at = this.#place(first, length); at < this.#sorted.length; at++) {
      const block = this.#sorted[at];
      if (block === undefined || block.span.first > last) return;
      if (block.span.family === family) yield block;
    }
  }

  /** Where a block with this first address and length is or would be. */
  #place(first: string, length: number): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const span = this.#sorted[middle]?.span;
      if (span !== undefined && isBefore(span, { first, length })) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Whether a scope counts only because it was in use. */
function keepsUnused({ kept, uses }: Block): boolean {
  for (const scope of kept) if (uses[scope] === 0) return true;
  return false;
}

function isBefore(a: Pick<Span, 'first' | 'length'>, b: Pick<Span, 'first' | 'length'>): boolean {
  return a.first < b.first || (a.first === b.first && a.length < b.length);
}

/** Both are sorted. */
function merge(left: readonly Block[], right: readonly Block[]): Block[] {
  const merged: Block[] = [];
  let at = 0;
  for (const block of left) {
    for (let next = right[at]; next && isBefore(next.span, block.span); next = right[++at]) {
      merged.push(next);
    }
    merged.push(block);
  }
  for (const block of right.slice(at)) merged.push(block);
  return merged;
}

function sameSpan(a: Span, b: Span): boolean {
  return a.first === b.first && a.length === b.length && a.family === b.family;
}

/** From the block on outwards, the first that covers the span. */
function outwards(from: Block | undefined, { last }: Span): Block | undefined {
  let block = from;
  while (block !== undefined && block.span.last < last) block = block.parent;
  return block;
}

/** A prefix as a range of addresses. */
export function spanOf(prefix: Prefix): Span {
  const length = mappedLength(prefix);
  const first = prefix.address.bytes.toHex();
  return { family: prefix.family, first, last: fillHex(first, length), length };
}

/** Bits past the length set. */
function fillHex(hex: string, length: number): string {
  const whole = length >> 2;
  if (whole === 32) return hex;
  const digit = Number.parseInt(hex[whole] ?? '0', 16) | (0xf >> (length & 3));
  return `${hex.slice(0, whole)}${digit.toString(16)}`.padEnd(32, 'f');
}
