/**
 * @module
 * Where identities are: addresses and prefixes → identity. With the address sets it tells which
 * peers (identity, address set) there can be, which is what has to be classified.
 */

import { requirePrefix } from '../../../net/prefix.ts';
import type { IdentityId } from '../../identity/table.ts';
import { type AddressSets, type SetPair, type Span, spanOf } from './address-sets.ts';

interface Place {
  readonly span: Span;
  readonly identity: IdentityId;
  readonly side: keyof SetPair;
  /** Address sets of its addresses, as far as counted. */
  sets: ReadonlySet<number>;
}

/** Bits of a whole address, in the 128-bit space. */
const hostLength = 128;

export class Places {
  readonly #sets: AddressSets;
  readonly #places = new Map<string, Place>();
  /** Single addresses, by address; prefixes are few and looked through. */
  readonly #hosts: Place[] = [];
  readonly #wide = new Set<Place>();
  readonly #dirty = new Set<Place>();
  /** How many places a peer has. */
  readonly #counts = new Map<IdentityId, Map<number, number>>();
  readonly #changed = new Map<IdentityId, Set<number>>();

  constructor(sets: AddressSets) {
    this.#sets = sets;
  }

  /** An identity is there. A prefix may have several while it changes hands. */
  put(prefix: string, identity: IdentityId, side: keyof SetPair): void {
    const key = `${prefix} ${identity}`;
    if (this.#places.has(key)) return;
    const span = spanOf(requirePrefix(prefix));
    const place: Place = { span, identity, side, sets: new Set() };
    this.#places.set(key, place);
    if (span.length === hostLength) this.#hosts.splice(this.#position(span.first), 0, place);
    else this.#wide.add(place);
    this.#dirty.add(place);
  }

  /** It is there no more. */
  take(prefix: string, identity: IdentityId): void {
    const key = `${prefix} ${identity}`;
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#places.delete(key);
    this.#dirty.delete(place);
    if (!this.#wide.delete(place)) this.#hosts.splice(this.#indexOf(place), 1);
    for (const set of place.sets) this.#count(identity, set, -1);
  }

  #indexOf(place: Place): number {
    let at = this.#position(place.span.first);
    while (this.#hosts[at] !== place) at++;
    return at;
  }

  /** Address sets in which an identity has places. */
  setsOf(identity: IdentityId): Iterable<number> {
    return this.#counts.get(identity)?.keys() ?? [];
  }

  /** Looks again at what is new, and at the addresses whose sets changed. Returns changed pairs. */
  flush(spans: readonly Span[]): ReadonlyMap<IdentityId, ReadonlySet<number>> {
    for (const span of spans) for (const place of this.#touching(span)) this.#dirty.add(place);
    for (const place of this.#dirty) {
      const isHost = place.span.length === hostLength;
      const sets = isHost
        ? new Set([this.#sets.setOf(place.span, place.side)])
        : this.#sets.setsWithin(place.span, place.side);
      for (const set of sets) if (!place.sets.has(set)) this.#count(place.identity, set, 1);
      for (const set of place.sets) if (!sets.has(set)) this.#count(place.identity, set, -1);
      place.sets = sets;
    }
    this.#dirty.clear();
    const changed = new Map(this.#changed);
    this.#changed.clear();
    return changed;
  }

  *#touching({ first, last }: Span): IterableIterator<Place> {
    for (let at = this.#position(first); at < this.#hosts.length; at++) {
      const place = this.#hosts[at];
      if (place === undefined || place.span.first > last) break;
      yield place;
    }
    for (const place of this.#wide) {
      if (place.span.first <= last && first <= place.span.last) yield place;
    }
  }

  #count(identity: IdentityId, set: number, step: 1 | -1): void {
    const counts = this.#counts.get(identity) ?? new Map<number, number>();
    this.#counts.set(identity, counts);
    const count = (counts.get(set) ?? 0) + step;
    if (count === 0) counts.delete(set);
    else counts.set(set, count);
    if (counts.size === 0) this.#counts.delete(identity);
    // Only the first and the last place make a difference.
    if (count > 1 || (count === 1 && step < 0)) return;
    const changed = this.#changed.get(identity);
    if (changed === undefined) this.#changed.set(identity, new Set([set]));
    else changed.add(set);
  }

  #position(first: string): number {
    let low = 0;
    let high = this.#hosts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#hosts[middle]?.span.first ?? '') < first) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
