/**
 * @module Host-scope IPAM of both families: who holds which pod address. Owns the table `addresses`
 * and the timers of addresses that no endpoint has claimed yet.
 * Input: REST (`/ipam`), the endpoint reflector, restored endpoints. Output: table `addresses`.
 */

import type { Table } from '../../kv/table.ts';
import { type Address, type Family, formatAddress, parseAddress } from '../../net/address.ts';
import { formatPrefix, type Prefix } from '../../net/prefix.ts';
import { AddressPool } from './pool.ts';
import { type AddressRow, isRefusal, type Refusal } from './table.ts';

/** The only pool of host-scope IPAM. */
export const poolName = 'default';
/** How long an address waits for its endpoint; as upstream. */
export const expirationMs = 10 * 60 * 1000;

/** Owner of the address that pods use as their gateway. */
const routerOwner = 'router';

/** What a family's pods get. */
export interface FamilyRange {
  readonly range: Prefix;
  /** `local-router-ipv4`/`-ipv6`; the first usable address if absent. May lie outside the range. */
  readonly router?: Address;
}

export interface IpamOptions {
  readonly table: Table<AddressRow>;
  readonly ipv4?: FamilyRange;
  readonly ipv6?: FamilyRange;
  /** Tests put their own clock here. */
  readonly expirationMs?: number;
}

interface FamilyPool {
  readonly pool: AddressPool;
  readonly router: string;
}

/** The outcome of an allocation: one row for each family that was asked for and is enabled. */
export type Allocation = { readonly [family in 'ipv4' | 'ipv6']: AddressRow | undefined };

/** Allocates, claims and releases pod addresses. Every method is synchronous: all of it or nothing. */
export class IpamAllocator implements Disposable {
  readonly #table: Table<AddressRow>;
  readonly #families = new Map<Family, FamilyPool>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #expirationMs: number;

  constructor(options: IpamOptions) {
    this.#table = options.table;
    this.#expirationMs = options.expirationMs ?? expirationMs;
    if (options.ipv4 !== undefined) this.#addFamily(4, options.ipv4);
    if (options.ipv6 !== undefined) this.#addFamily(6, options.ipv6);
  }

  #addFamily(family: Family, { range, router }: FamilyRange): void {
    const pool = new AddressPool(range);
    const gateway = router ?? pool.firstUsable;
    const address = formatAddress(gateway);
    if (pool.take(gateway) === 'taken') this.#record(address, family, routerOwner, false);
    this.#families.set(family, { pool, router: address });
  }

  /** The range of a family, or `undefined` if the family is off. */
  range(family: Family): string | undefined {
    const entry = this.#families.get(family);
    return entry === undefined ? undefined : formatPrefix(entry.pool.range);
  }

  /** The address of the gateway of a family's pods, or `undefined` if the family is off. */
  router(family: Family): string | undefined {
    return this.#families.get(family)?.router;
  }

  /** Number of addresses of a family that can be given out, the router's included. */
  capacity(family: Family): bigint {
    return this.#families.get(family)?.pool.capacity ?? 0n;
  }

  /** Every allocated address. */
  all(): IterableIterator<AddressRow> {
    return this.#table.all();
  }

  /**
   * The next address of each family asked for (both if none is named). With `expiration` they come
   * back by themselves unless an endpoint claims them in time.
   */
  allocateNext(request: {
    readonly family?: Family;
    readonly owner: string;
    readonly expiration: boolean;
  }): Allocation | Refusal {
    const wanted: readonly Family[] = request.family === undefined ? [4, 6] : [request.family];
    const enabled = wanted.filter((family) => this.#families.has(family));
    if (enabled.length === 0) {
      return { refused: 'failed', message: `IPv${wanted.join(' and IPv')} allocation is disabled` };
    }
    const rows = new Map<Family, AddressRow>();
    for (const family of enabled) {
      const row = this.#allocateFamily(family, request.owner, request.expiration);
      if (isRefusal(row)) {
        for (const done of rows.values()) this.release(done.address);
        return row;
      }
      rows.set(family, row);
    }
    return { ipv4: rows.get(4), ipv6: rows.get(6) };
  }

  #allocateFamily(family: Family, owner: string, expiration: boolean): AddressRow | Refusal {
    const pool = this.#families.get(family)?.pool;
    const address = pool?.allocate();
    if (pool === undefined || address === undefined) {
      const range = this.range(family) ?? '';
      return {
        refused: 'exhausted',
        message: `no more IPv${family} addresses: all ${this.capacity(family)} of ${range} are in use`,
      };
    }
    return this.#record(formatAddress(address), family, owner, expiration);
  }

  /** Takes one certain address of the range. */
  allocateAddress(text: string, owner: string): AddressRow | Refusal {
    const address = parseAddress(text);
    if (address === undefined)
      return { refused: 'invalid', message: `Invalid IP address: ${text}` };
    const pool = this.#families.get(address.family)?.pool;
    if (pool === undefined) {
      return { refused: 'failed', message: `IPv${address.family} allocation is disabled` };
    }
    switch (pool.take(address)) {
      case 'in-use':
        return { refused: 'conflict', message: 'provided IP is already allocated' };
      case 'out-of-range':
        return {
          refused: 'invalid',
          message: `provided IP is not in the valid range. The range of valid IPs is ${formatPrefix(pool.range)}`,
        };
      case 'taken':
        return this.#record(formatAddress(address), address.family, owner, false);
    }
  }

  /**
   * Makes an address an endpoint's for good and stops its timer. An address outside of the range is
   * nobody's business here (another IPAM gave it); one inside is taken if it was free. The UUID has
   * to be the one of the allocation if the allocation has one.
   */
  claim(text: string, owner: string, expirationUuid: string | undefined): Refusal | undefined {
    const refusal = this.checkClaim(text, expirationUuid);
    if (refusal !== undefined) return refusal;
    const address = parseAddress(text);
    const pool = address === undefined ? undefined : this.#families.get(address.family)?.pool;
    if (address === undefined || pool === undefined) return undefined;
    const canonical = formatAddress(address);
    if (this.#table.get(canonical) === undefined && pool.take(address) !== 'taken')
      return undefined;
    this.#stopTimer(canonical);
    this.#record(canonical, address.family, owner, false);
    return undefined;
  }

  /** The checks of `claim` alone, so that a request can be refused before anything changes. */
  checkClaim(text: string, expirationUuid: string | undefined): Refusal | undefined {
    const address = parseAddress(text);
    if (address === undefined)
      return { refused: 'invalid', message: `Invalid IP address: ${text}` };
    const row = this.#table.get(formatAddress(address));
    if (row?.owner === routerOwner) {
      return { refused: 'conflict', message: `IP ${text} is the router's` };
    }
    if (expirationUuid === undefined || expirationUuid === row?.expirationUuid) return undefined;
    return {
      refused: 'invalid',
      message: `expiration uuid ${expirationUuid} does not belong to ${text}: the allocation has expired`,
    };
  }

  /** Gives an address back. Absent is success: the caller wanted it gone. */
  release(text: string): Refusal | undefined {
    const address = parseAddress(text);
    if (address === undefined)
      return { refused: 'invalid', message: `Invalid IP address: ${text}` };
    const canonical = formatAddress(address);
    if (this.#table.get(canonical)?.owner === routerOwner) {
      return { refused: 'conflict', message: `IP ${canonical} is the router's` };
    }
    this.#stopTimer(canonical);
    this.#families.get(address.family)?.pool.release(address);
    this.#table.delete(canonical);
    return undefined;
  }

  /** Takes the addresses of a restored endpoint. One outside of the range stays with its endpoint. */
  restore(text: string, owner: string): void {
    const address = parseAddress(text);
    if (address === undefined) return;
    const result = this.#families.get(address.family)?.pool.restore(address);
    if (result === 'taken') this.#record(formatAddress(address), address.family, owner, false);
  }

  /** Stops every timer. The rows stay. */
  [Symbol.dispose](): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #record(address: string, family: Family, owner: string, expiration: boolean): AddressRow {
    const row: AddressRow = {
      address,
      family,
      owner,
      pool: poolName,
      expirationUuid: expiration ? crypto.randomUUID() : undefined,
      expiresAt: expiration ? new Date(Date.now() + this.#expirationMs).toISOString() : undefined,
    };
    this.#table.upsert(row);
    if (expiration) {
      const timer = setTimeout(() => this.#expire(address, row.expirationUuid), this.#expirationMs);
      timer.unref();
      this.#timers.set(address, timer);
    }
    return row;
  }

  #expire(address: string, uuid: string | undefined): void {
    this.#timers.delete(address);
    if (this.#table.get(address)?.expirationUuid === uuid) this.release(address);
  }

  #stopTimer(address: string): void {
    clearTimeout(this.#timers.get(address));
    this.#timers.delete(address);
  }
}
