/**
 * @module The free and used addresses of one range: allocation in order with wrap-around, so that a
 * released address comes back as late as possible. Knows nothing of owners or time.
 */
import {
  type Address,
  addressFromBigInt,
  addressToBigInt,
  formatAddress,
} from '../../net/address.ts';
import { formatPrefix, type Prefix, prefixContains, prefixSize } from '../../net/prefix.ts';

/** Allocator over one prefix. Its first and last address are never given out, in both families. */
export class AddressPool {
  readonly range: Prefix;
  readonly #start: bigint;
  readonly #first: bigint;
  readonly #end: bigint;
  readonly #used = new Set<bigint>();
  #next: bigint;

  constructor(range: Prefix) {
    this.range = range;
    const size = prefixSize(range);
    this.#start = addressToBigInt(range.address);
    this.#first = 1n;
    this.#end = size - 1n;
    this.#next = this.#first;
  }

  /** Number of addresses that can be given out at all. */
  get capacity(): bigint {
    return this.#end - this.#first;
  }

  get size(): number {
    return this.#used.size;
  }

  /** The first address that a host may have: the router's, unless one is configured. */
  get firstUsable(): Address {
    return addressFromBigInt(this.#start + this.#first);
  }

  /** The next free address, or `undefined` when the range is used up. */
  allocate(): Address | undefined {
    if (BigInt(this.#used.size) >= this.capacity) return undefined;
    // Terminates: at least one index of the range is free.
    let index = this.#next;
    while (this.#used.has(index)) index = this.#after(index);
    this.#used.add(index);
    this.#next = this.#after(index);
    return addressFromBigInt(this.#start + index);
  }

  /** Takes one certain address. */
  take(address: Address): 'taken' | 'in-use' | 'out-of-range' {
    const index = this.#indexOf(address);
    if (index === undefined) return 'out-of-range';
    if (this.#used.has(index)) return 'in-use';
    this.#used.add(index);
    return 'taken';
  }

  /** Takes an address that was held before a restart; what comes next starts behind it. */
  restore(address: Address): 'taken' | 'in-use' | 'out-of-range' {
    const result = this.take(address);
    const index = this.#indexOf(address);
    if (index !== undefined && index >= this.#next) this.#next = this.#after(index);
    return result;
  }

  /** Gives an address back; unknown ones are ignored. */
  release(address: Address): void {
    const index = this.#indexOf(address);
    if (index !== undefined) this.#used.delete(index);
  }

  toString(): string {
    return `${formatPrefix(this.range)} from ${formatAddress(this.firstUsable)}`;
  }

  #after(index: bigint): bigint {
    return index + 1n >= this.#end ? this.#first : index + 1n;
  }

  #indexOf(address: Address): bigint | undefined {
    if (!prefixContains(this.range, address)) return undefined;
    const index = addressToBigInt(address) - this.#start;
    return index >= this.#first && index < this.#end ? index : undefined;
  }
}
