/**
 * @module
 * What the rules use: selectors of peers, blocks of addresses, names of ports. A node has room for so
 * many blocks; the rules that need the most are left out until the others fit, whatever the order in
 * which they came. Whoever they select is closed.
 */

import { addressTerms } from '../selector.ts';
import type { AddressSets } from './address-sets.ts';
import { blocksOf, type CompiledRule, usesOf } from './compiled-rule.ts';
import type { SelectorCache } from './selector-cache.ts';

/**
 * Half of what cilium_address_sets and cilium_identity_class hold: on the way from one policy to the
 * next the kernel has the blocks and the peers of both.
 */
export const blocksMaxDefault = 256_000;
export const peersMaxDefault = 262_144;

export interface RoomConfig {
  /** Blocks that all rules together may name. */
  readonly blocksMax?: number;
  /** Pairs of an identity and an address set. */
  readonly peersMax?: number;
}

export class RuleUses {
  readonly max: number;
  readonly #peersMax: number;
  readonly #selectors: SelectorCache;
  readonly #sets: AddressSets;
  /** Rules that name blocks, and how many; those left out as well. */
  readonly #costs = new Map<CompiledRule, number>();
  readonly #excluded = new Set<CompiledRule>();
  /** Rules that came to be left out, or no more, since the last look. */
  readonly #turned = new Set<CompiledRule>();
  readonly #portUses = new Map<string, number>();
  /** There may be room for what was left out. */
  #hasRoom = false;
  #portsChanged = false;

  constructor(selectors: SelectorCache, sets: AddressSets, config: RoomConfig) {
    this.#selectors = selectors;
    this.#sets = sets;
    this.max = config.blocksMax ?? blocksMaxDefault;
    this.#peersMax = config.peersMax ?? peersMaxDefault;
  }

  /** Rules for whose blocks there is no room. */
  get excluded(): ReadonlySet<CompiledRule> {
    return this.#excluded;
  }

  /** Every call needs a `release`. */
  acquire(rule: CompiledRule): void {
    const cost = blocksOf(rule);
    if (cost > 0) {
      this.#costs.set(rule, cost);
      for (const other of this.#excluded) if (this.#isWorse(rule, other)) this.#hasRoom = true;
    }
    this.#take(rule);
  }

  release(rule: CompiledRule): void {
    if (this.#costs.delete(rule)) this.#hasRoom = true;
    if (!this.#excluded.delete(rule)) this.#drop(rule);
  }

  /** Named ports, `name/proto`, that egress rules ask for. */
  hasPort(name: string): boolean {
    return this.#portUses.has(name);
  }

  /** True if the answer of `hasPort` differs since the last call. */
  takePortsChanged(): boolean {
    const changed = this.#portsChanged;
    this.#portsChanged = false;
    return changed;
  }

  /** Whatever was left out is tried again by the next `fit`. */
  retry(): boolean {
    this.#hasRoom = this.#excluded.size > 0;
    return this.#hasRoom;
  }

  /** Leaves out as many rules as have to be, the most expensive first. */
  fit(): void {
    if (this.#hasRoom) {
      this.#hasRoom = false;
      for (const rule of this.#excluded) {
        this.#turn(rule);
        this.#take(rule);
      }
      this.#excluded.clear();
    }
    while (this.#sets.size > this.max) {
      if (this.#sets.hasUnused) this.#sets.sweep();
      else if (!this.#exclude()) return;
    }
  }

  /** False if there are no more peers than fit; else a rule was left out. */
  reducePeers(): boolean {
    if (this.#selectors.peerCount <= this.#peersMax) return false;
    const isLess = this.#sets.hasUnused || this.#exclude();
    this.#sets.sweep();
    return isLess;
  }

  /** Rules that were left out or taken in again since the last call. */
  takeTurned(): CompiledRule[] {
    const turned = [...this.#turned];
    this.#turned.clear();
    return turned;
  }

  #exclude(): boolean {
    let worst: CompiledRule | undefined;
    for (const rule of this.#costs.keys()) {
      if (this.#excluded.has(rule)) continue;
      if (worst === undefined || this.#isWorse(rule, worst)) worst = rule;
    }
    if (worst === undefined) return false;
    this.#excluded.add(worst);
    this.#turn(worst);
    this.#drop(worst);
    return true;
  }

  #isWorse(a: CompiledRule, b: CompiledRule): boolean {
    const more = (this.#costs.get(a) ?? 0) - (this.#costs.get(b) ?? 0);
    return more > 0 || (more === 0 && a.row.key < b.row.key);
  }

  /** Left out and taken in again is nothing. */
  #turn(rule: CompiledRule): void {
    if (!this.#turned.delete(rule)) this.#turned.add(rule);
  }

  #take(rule: CompiledRule): void {
    for (const { selector, scope } of usesOf(rule)) {
      const { cidrs, ports } = addressTerms(selector);
      for (const cidr of cidrs) this.#sets.acquire(cidr, scope);
      for (const name of ports) this.#usePort(name, 1);
      this.#selectors.acquire(selector);
    }
  }

  #drop(rule: CompiledRule): void {
    for (const { selector, scope } of usesOf(rule)) {
      const { cidrs, ports } = addressTerms(selector);
      for (const cidr of cidrs) this.#sets.release(cidr, scope);
      for (const name of ports) this.#usePort(name, -1);
      this.#selectors.release(selector.key);
    }
  }

  #usePort(name: string, step: 1 | -1): void {
    const uses = (this.#portUses.get(name) ?? 0) + step;
    if (uses === 0) this.#portUses.delete(name);
    else this.#portUses.set(name, uses);
    this.#portsChanged ||= uses === 0 || (uses === 1 && step === 1);
  }
}
