/**
 * @module
 * What the rules use: selectors of peers, blocks of addresses, names of ports. A node has room for so
 * many blocks and peers; rules for which there is none are left out (`block-room.ts`). Whoever they
 * select is closed.
 */

import { addressTerms } from '../selector.ts';
import type { AddressSets } from './address-sets.ts';
import { BlockRoom } from './block-room.ts';
import { type CompiledRule, usesOf } from './compiled-rule.ts';
import type { SelectorCache } from './selector-cache.ts';

/**
 * Half of what cilium_address_sets and cilium_identity_class hold: on the way from one policy to the
 * next the kernel has the blocks and the peers of both.
 */
export const blocksMaxDefault = 255_000;
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
  readonly #room = new BlockRoom();
  /** Rules that name blocks, and whose uses are counted. */
  readonly #taken = new Set<CompiledRule>();
  /** Rules that came to be left out, or no more, since the last look. */
  readonly #turned = new Set<CompiledRule>();
  readonly #portUses = new Map<string, number>();
  /** Blocks that rules may name because there were too many peers with more. */
  #maxByPeers = Number.POSITIVE_INFINITY;
  /** Peers that were left when rules were last left out for them; undefined until they are counted. */
  #peersLeft: number | undefined;
  #portsChanged = false;

  constructor(selectors: SelectorCache, sets: AddressSets, config: RoomConfig) {
    this.#selectors = selectors;
    this.#sets = sets;
    this.max = config.blocksMax ?? blocksMaxDefault;
    this.#peersMax = config.peersMax ?? peersMaxDefault;
  }

  /** Rules for whose blocks there is no room. */
  get excluded(): ReadonlySet<CompiledRule> {
    return this.#room.excluded;
  }

  /** Every call needs a `release`. What names blocks is in use from the next `fit` on. */
  acquire(rule: CompiledRule): void {
    if (!this.#room.add(rule)) this.#take(rule);
  }

  release(rule: CompiledRule): void {
    const namesBlocks = this.#room.delete(rule);
    if (!namesBlocks || this.#taken.delete(rule)) this.#drop(rule);
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

  /** True if the next `fit` tries again what was left out for its peers: there are fewer since. */
  retry(): boolean {
    const isLess = this.#selectors.peerCount < (this.#peersLeft ?? 0);
    if (!isLess || !Number.isFinite(this.#maxByPeers)) return false;
    this.#maxByPeers = Number.POSITIVE_INFINITY;
    return true;
  }

  /** Leaves out as many rules as have to be, the most expensive first. */
  fit(): void {
    this.#room.fit(Math.min(this.max - this.#sets.portBlocks, this.#maxByPeers));
    if (this.excluded.size === 0) this.#maxByPeers = Number.POSITIVE_INFINITY;
    this.#apply();
    if (this.#sets.size > this.max) this.#sets.sweep();
  }

  /** False if there are no more peers than fit; else rules were left out. */
  reducePeers(): boolean {
    const peers = this.#selectors.peerCount;
    if (peers <= this.#peersMax) {
      this.#peersLeft ??= peers;
      return false;
    }
    if (!this.#sets.hasUnused) {
      // As many blocks as have the surplus, if they all have as many peers.
      const share = (peers - this.#peersMax) / peers;
      const max = this.#room.reduce(share * this.#sets.size);
      if (max === undefined) return false;
      this.#maxByPeers = max;
      this.#peersLeft = undefined;
      this.#apply();
    }
    this.#sets.sweep();
    return true;
  }

  /** Rules that were left out or taken in again since the last call. */
  takeTurned(): CompiledRule[] {
    const turned = [...this.#turned];
    this.#turned.clear();
    return turned;
  }

  /** What was decided, and only that, is taken or dropped. */
  #apply(): void {
    for (const rule of this.#room.takeMoved()) {
      const isOut = this.excluded.has(rule);
      if (isOut !== this.#taken.has(rule)) continue;
      this.#turned.add(rule);
      if (isOut) {
        this.#taken.delete(rule);
        this.#drop(rule);
      } else {
        this.#taken.add(rule);
        this.#take(rule);
      }
    }
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
