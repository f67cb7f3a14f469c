/**
 * @module
 * Peers in classes: a class of identities at a place (an address set, or a class of them) has one
 * number, which policy maps are keyed by. It keeps the number as long as both go on, and also where
 * all of its peers are somewhere else now: then only the rules about addresses have other entries.
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
  place: PeerPlace<S>;
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

/** Hears of every class that came or went, and of every place that some left or came to. */
interface ClassListener<S extends Membership> {
  onChange(changed: NumberedClass<S>): void;
  onMove(place: PeerPlace<S>): void;
}

export class PeerClassTable<S extends Membership> {
  readonly #idBase: number;
  readonly #listener: ClassListener<S>;
  #lastId = classNone;
  readonly #byLabel = new Map<MemberClass<S>, Map<PeerPlace<S>, NumberedClass<S>>>();
  readonly #byPlace = new Map<PeerPlace<S>, Set<NumberedClass<S>>>();
  readonly #byPeer = new Map<PeerNumber, NumberedClass<S>>();
  /** Places that classes left or came to since the last `settle`. */
  readonly #moved = new Set<PeerPlace<S>>();
  /** Without members since the last `settle`. */
  readonly #vacant = new Map<MemberClass<S>, NumberedClass<S>>();

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

  /** How many there are at the places; counting ends above the limit. */
  countAt(places: Iterable<PeerPlace<S>>, limit: number): number {
    let count = 0;
    for (const place of places) {
      count += this.#byPlace.get(place)?.size ?? 0;
      if (count > limit) break;
    }
    return count;
  }

  /** How many there are of the labels; counting ends above the limit. */
  countOf(labels: Iterable<MemberClass<S>>, limit: number): number {
    let count = 0;
    for (const label of labels) {
      count += this.#byLabel.get(label)?.size ?? 0;
      if (count > limit) break;
    }
    return count;
  }

  /** Puts a peer where it belongs. True if it has another number now. */
  put(peer: PeerNumber, label: MemberClass<S>, place: PeerPlace<S>): boolean {
    const before = this.#byPeer.get(peer);
    if (before?.label === label && before.place === place) return false;
    const after =
      this.#byLabel.get(label)?.get(place) ??
      this.#move(label, place) ??
      this.#create(label, place);
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

  /** To be called when all peers are put: forgets the classes that have none any more. */
  settle(): void {
    for (const each of this.#vacant.values()) if (each.members.size === 0) this.#delete(each);
    for (const place of this.#moved) this.#listener.onMove(place);
    this.#vacant.clear();
    this.#moved.clear();
  }

  /** A class of the same identities that nobody needs where it was. */
  #move(label: MemberClass<S>, place: PeerPlace<S>): NumberedClass<S> | undefined {
    const found = this.#vacant.get(label);
    if (found === undefined || found.members.size > 0 || isNone(label, place)) return undefined;
    this.#vacant.delete(label);
    this.#unlink(found);
    this.#moved.add(found.place).add(place);
    found.place = place;
    this.#link(found);
    return found;
  }

  #create(label: MemberClass<S>, place: PeerPlace<S>): NumberedClass<S> {
    // What no selector can tell from anything has a number that programs need not look for.
    const id = isNone(label, place) ? classNone : this.#idBase + ++this.#lastId;
    const made = new NumberedClass<S>(id, label, place);
    this.#link(made);
    this.#listener.onChange(made);
    return made;
  }

  #link(made: NumberedClass<S>): void {
    const { label, place } = made;
    const places = this.#byLabel.get(label);
    if (places === undefined) this.#byLabel.set(label, new Map([[place, made]]));
    else places.set(place, made);
    const classes = this.#byPlace.get(place);
    if (classes === undefined) this.#byPlace.set(place, new Set([made]));
    else classes.add(made);
  }

  #leave(peer: PeerNumber, left: NumberedClass<S>): void {
    left.members.delete(peer);
    if (left.members.size > 0) return;
    const other = this.#vacant.get(left.label);
    const isOther = other !== undefined && other !== left && other.members.size === 0;
    if (left.id === classNone || isOther) this.#delete(left);
    else this.#vacant.set(left.label, left);
  }

  #delete(gone: NumberedClass<S>): void {
    this.#unlink(gone);
    this.#listener.onChange(gone);
  }

  #unlink(gone: NumberedClass<S>): void {
    const { label, place } = gone;
    const places = this.#byLabel.get(label);
    places?.delete(place);
    if (places?.size === 0) this.#byLabel.delete(label);
    const classes = this.#byPlace.get(place);
    classes?.delete(gone);
    if (classes?.size === 0) this.#byPlace.delete(place);
  }
}

function isNone<S extends Membership>(label: MemberClass<S>, place: PeerPlace<S>): boolean {
  return label.id === classNone && place === elsewhere;
}
