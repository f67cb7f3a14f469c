/**
 * @module
 * Peers in classes: a class of identities at a place (an address set, or a class of them) has one
 * number, which policy maps are keyed by. It keeps the number as long as both go on.
 */

import type { MemberClass, Membership } from './partition.ts';
import { classNone, type PeerNumber } from './peer.ts';

/** Where peers are, as far as selectors of addresses can tell. */
export interface PeerPlace<S extends Membership> {
  readonly selectors: ReadonlySet<S>;
}

/** The place that no selector in use names. */
export const elsewhere: PeerPlace<never> = { selectors: new Set() };

class NumberedClass<S extends Membership> {
  readonly id: number;
  readonly label: MemberClass<S>;
  readonly place: PeerPlace<S>;
  readonly members = new Set<PeerNumber>();

  constructor(id: number, label: MemberClass<S>, place: PeerPlace<S>) {
    this.id = id;
    this.label = label;
    this.place = place;
  }

  has(selector: S): boolean {
    return this.label.selectors.has(selector) || this.place.selectors.has(selector);
  }
}

/** Hears of every class that came or went. */
type ClassListener<S extends Membership> = (changed: NumberedClass<S>) => void;

export class PeerClassTable<S extends Membership> {
  readonly #idBase: number;
  readonly #listener: ClassListener<S>;
  #lastId = classNone;
  readonly #byLabel = new Map<MemberClass<S>, Map<PeerPlace<S>, NumberedClass<S>>>();
  readonly #byPlace = new Map<PeerPlace<S>, Set<NumberedClass<S>>>();
  readonly #byPeer = new Map<PeerNumber, NumberedClass<S>>();

  /** Numbers begin above the base. */
  constructor(idBase: number, listener: ClassListener<S>) {
    this.#idBase = idBase;
    this.#listener = listener;
  }

  get size(): number {
    let size = 0;
    for (const classes of this.#byPlace.values()) size += classes.size;
    return size;
  }

  classOf(peer: PeerNumber): NumberedClass<S> | undefined {
    return this.#byPeer.get(peer);
  }

  /** Of the class with this number; it is looked for. */
  members(id: number): ReadonlySet<PeerNumber> {
    for (const classes of this.#byPlace.values()) {
      for (const each of classes) if (each.id === id) return each.members;
    }
    return new Set();
  }

  *atPlaces(places: Iterable<PeerPlace<S>>): IterableIterator<NumberedClass<S>> {
    for (const place of places) yield* this.#byPlace.get(place) ?? [];
  }

  *ofLabels(labels: Iterable<MemberClass<S>>): IterableIterator<NumberedClass<S>> {
    for (const label of labels) yield* this.#byLabel.get(label)?.values() ?? [];
  }

  /** Puts a peer where it belongs. True if it has another number now. */
  put(peer: PeerNumber, label: MemberClass<S>, place: PeerPlace<S>): boolean {
    const before = this.#byPeer.get(peer);
    if (before?.label === label && before.place === place) return false;
    const after = this.#byLabel.get(label)?.get(place) ?? this.#create(label, place);
    after.members.add(peer);
    this.#byPeer.set(peer, after);
    if (before !== undefined) this.#leave(peer, before);
    return true;
  }

  /** True if it was there. */
  remove(peer: PeerNumber): boolean {
    const before = this.#byPeer.get(peer);
    if (before === undefined) return false;
    this.#byPeer.delete(peer);
    this.#leave(peer, before);
    return true;
  }

  #create(label: MemberClass<S>, place: PeerPlace<S>): NumberedClass<S> {
    // What no selector can tell from anything has a number that programs need not look for.
    const isNone = label.id === classNone && place === elsewhere;
    const id = isNone ? classNone : this.#idBase + ++this.#lastId;
    const made = new NumberedClass<S>(id, label, place);
    const places = this.#byLabel.get(label) ?? new Map<PeerPlace<S>, NumberedClass<S>>();
    this.#byLabel.set(label, places.set(place, made));
    const classes = this.#byPlace.get(place) ?? new Set<NumberedClass<S>>();
    this.#byPlace.set(place, classes.add(made));
    this.#listener(made);
    return made;
  }

  #leave(peer: PeerNumber, left: NumberedClass<S>): void {
    left.members.delete(peer);
    if (left.members.size > 0) return;
    const { label, place } = left;
    const places = this.#byLabel.get(label);
    places?.delete(place);
    if (places?.size === 0) this.#byLabel.delete(label);
    const classes = this.#byPlace.get(place);
    classes?.delete(left);
    if (classes?.size === 0) this.#byPlace.delete(place);
    this.#listener(left);
  }
}
