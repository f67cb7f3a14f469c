/**
 * @module
 * Which peers each selector in use selects, kept up to date from both sides, and the classes of
 * peers that follow from it. A selector asks for labels of an identity, or for an address: the first
 * kind is tried against identities, the second against address sets. So a class is a class of
 * identities at an address set, and a rule about addresses need not look at the identities at all.
 */

import { type IdentityId, parseLabel } from '../../identity/table.ts';
import type { Selector } from '../rule.ts';
import { anchorsOf, isAboutAddress, type LabelSet, labelSet, matcherOf } from '../selector.ts';
import { addressSetNone } from './address-sets.ts';
import { type Membership, Partition, selectorHash } from './partition.ts';
import {
  addressSetOf,
  classNone,
  groupBase,
  identityOf,
  type PeerNumber,
  peerNumber,
} from './peer.ts';
import { elsewhere, PeerClassTable } from './peer-classes.ts';

/** A selector in use. Its members are identities, or address sets if it asks for an address. */
export interface CachedSelector extends Membership {
  readonly selector: Selector;
  readonly uses: number;
  readonly isAddress: boolean;
  /** Selects so many peers that policy maps have it by groups. */
  readonly isWide: boolean;
}

interface Entry extends CachedSelector {
  readonly anchors: readonly string[];
  readonly matches: (labels: LabelSet) => boolean;
  readonly members: Set<number>;
  uses: number;
  isWide: boolean;
}

/** A class or a group, as entries of policies need it. */
export interface PeerClass {
  /** What policy maps are keyed by. */
  readonly id: number;
  has(selector: CachedSelector): boolean;
  readonly members: ReadonlySet<PeerNumber>;
}

export interface PeerClasses {
  readonly classId: number;
  readonly groupId: number;
}

/** What a flush found. */
export interface ClassChanges {
  /** Class and group by peer, where they changed; undefined if the peer is gone. */
  readonly peers: ReadonlyMap<PeerNumber, PeerClasses | undefined>;
  /** Selectors that policies must have other entries for. */
  readonly selectors: ReadonlySet<CachedSelector>;
}

/** An address set, with the selectors that its labels match. */
interface Matched {
  readonly id: number;
  readonly labels: readonly string[];
  readonly parsed: LabelSet;
  readonly selectors: Set<Entry>;
}

/** An identity. While it is met anywhere the selectors that select it are those of its class. */
interface Identity extends Pick<Matched, 'id' | 'labels' | 'parsed'> {
  selectors: Set<Entry> | undefined;
}

/** A selector with more classes than this is wide. */
const wideMin = 128;
const unanchored = '';

/**
 * Classes tell apart what any selector tells apart, groups what the wide ones do. A rule for wide
 * selectors needs an entry for each group instead of one for each class: few, however many peers.
 */
export class SelectorCache {
  readonly #labelClasses = new Partition<Entry>();
  readonly #labelGroups = new Partition<Entry>();
  readonly #setGroups = new Partition<Entry>();
  readonly classes = this.#table(0, false);
  readonly groups = this.#table(groupBase, true);
  readonly #selectors = new Map<string, Entry>();
  readonly #selectorsByAnchor = new Map<string, Set<Entry>>();
  readonly #identities = new Map<number, Identity>();
  readonly #identitiesByLabel = new Map<string, Set<Identity>>();
  readonly #sets = new Map<number, Matched>();
  readonly #setsByLabel = new Map<string, Set<Matched>>();
  /** Address sets where an identity is met. */
  readonly #setsOf = new Map<number, Set<number>>();
  /** How many identities are met in a set. */
  readonly #meetings = new Map<number, number>();
  /** Identities in sets. */
  peerCount = 0;
  readonly #moved = new Set<PeerNumber>();
  /** Whether they are wide is to be looked at. */
  readonly #resized = new Set<Entry>();
  /** That policies must have other entries for. */
  readonly #changed = new Set<Entry>();
  readonly #unused = new Set<Entry>();

  /** Those in use. */
  *selectors(): IterableIterator<CachedSelector> {
    for (const entry of this.#selectors.values()) if (entry.uses > 0) yield entry;
  }

  get(key: string): CachedSelector | undefined {
    return this.#selectors.get(key);
  }

  /** Identities that a selector selects, wherever they are for one that asks for an address. */
  identities(key: string): IdentityId[] {
    const entry = this.#selectors.get(key);
    if (entry?.isAddress !== true) return [...(entry?.members ?? [])] as IdentityId[];
    const found = new Set<IdentityId>();
    for (const each of this.#classesWith(entry)) {
      for (const peer of each.members) found.add(identityOf(peer));
    }
    return [...found];
  }

  /** Classes that all of the selectors select. */
  classesOf(all: readonly CachedSelector[]): PeerClass[] {
    const own = this.#entries(all);
    const first = rarest(own, (entry, limit) => this.#countClasses(entry, limit));
    const candidates = first === undefined ? [] : this.#classesWith(first);
    return [...candidates].filter((each) => own.every((entry) => each.has(entry)));
  }

  #classesWith(entry: Entry) {
    return entry.isAddress
      ? this.classes.atPlaces(valuesOf(this.#sets, entry.members))
      : this.classes.ofLabels(this.#labelClasses.classesOf(entry));
  }

  #countClasses(entry: Entry, limit: number): number {
    return entry.isAddress
      ? this.classes.countAt(valuesOf(this.#sets, entry.members), limit)
      : this.classes.countOf(this.#labelClasses.classesOf(entry), limit);
  }

  /** Groups that all of the selectors select, which are wide. */
  groupsOf(all: readonly CachedSelector[]): PeerClass[] {
    const own = this.#entries(all);
    const first = rarest(own, (entry, limit) => this.#countGroups(entry, limit));
    const candidates = first === undefined ? [] : this.#groupsWith(first);
    return [...candidates].filter((each) => own.every((entry) => each.has(entry)));
  }

  #groupsWith(entry: Entry) {
    return entry.isAddress
      ? this.groups.atPlaces(this.#setGroups.classesOf(entry))
      : this.groups.ofLabels(this.#labelGroups.classesOf(entry));
  }

  #countGroups(entry: Entry, limit: number): number {
    return entry.isAddress
      ? this.groups.countAt(this.#setGroups.classesOf(entry), limit)
      : this.groups.countOf(this.#labelGroups.classesOf(entry), limit);
  }

  #entries(all: readonly CachedSelector[]): Entry[] {
    return all.flatMap((each) => this.#selectors.get(each.selector.key) ?? []);
  }

  /** Of a peer, as of the last flush. */
  classesOfPeer(peer: PeerNumber): PeerClasses {
    return {
      classId: this.classes.classOf(peer)?.id ?? classNone,
      groupId: this.groups.classOf(peer)?.id ?? classNone,
    };
  }

  /** Adds an identity, or gives it other labels. Where it is met comes by `meet`. */
  upsertIdentity(id: IdentityId, labels: readonly string[]): void {
    const before = this.#identities.get(id);
    if (before !== undefined && sameLabels(before.labels, labels)) return;
    if (before !== undefined) this.#forget(id, before);
    const selectors = new Set<Entry>();
    const made: Identity = { id, labels, parsed: labelSet(labels), selectors };
    this.#identities.set(id, made);
    this.#match(unanchored, made, selectors, false);
    for (const label of labelTexts(labels)) {
      add(this.#identitiesByLabel, label, made);
      this.#match(label, made, selectors, false);
    }
    if ((this.#setsOf.get(id)?.size ?? 0) > 0) this.#place(made);
  }

  deleteIdentity(id: IdentityId): void {
    const found = this.#identities.get(id);
    if (found === undefined) return;
    for (const set of [...(this.#setsOf.get(id) ?? [])]) this.leave(id, set);
    this.#forget(id, found);
    this.#identities.delete(id);
  }

  /** The identity is met at addresses of a set with these labels: a peer. */
  meet(id: IdentityId, set: number, labels: readonly string[]): void {
    const found = this.#identities.get(id);
    if (found === undefined || (this.#setsOf.get(id)?.has(set) ?? false)) return;
    if (!this.#sets.has(set)) this.#addSet(set, labels);
    this.#meetings.set(set, (this.#meetings.get(set) ?? 0) + 1);
    this.peerCount++;
    const isFirst = (this.#setsOf.get(id)?.size ?? 0) === 0;
    add(this.#setsOf, id, set);
    this.#moved.add(peerNumber(id, set));
    if (isFirst) this.#place(found);
  }

  leave(id: IdentityId, set: number): void {
    if (!(this.#setsOf.get(id)?.has(set) ?? false)) return;
    remove(this.#setsOf, id, set);
    this.#moved.add(peerNumber(id, set));
    const found = this.#identities.get(id);
    if (!this.#setsOf.has(id)) {
      if (found !== undefined) found.selectors = this.#selectorsOf(found);
      this.#labelClasses.remove(id);
      this.#labelGroups.remove(id);
    }
    this.peerCount--;
    const left = (this.#meetings.get(set) ?? 1) - 1;
    this.#meetings.set(set, left);
    if (left === 0) this.#deleteSet(set);
  }

  #addSet(set: number, labels: readonly string[]): void {
    const made: Matched = { id: set, labels, parsed: labelSet(labels), selectors: new Set() };
    this.#sets.set(set, made);
    for (const label of labelTexts(labels)) {
      add(this.#setsByLabel, label, made);
      this.#match(label, made, made.selectors, true);
    }
    this.#setGroups.place(set, wideOf(made.selectors));
  }

  #deleteSet(set: number): void {
    const found = this.#sets.get(set);
    this.#meetings.delete(set);
    this.#sets.delete(set);
    this.#setGroups.remove(set);
    if (found === undefined) return;
    for (const label of labelTexts(found.labels)) remove(this.#setsByLabel, label, found);
    for (const entry of found.selectors) entry.members.delete(set);
  }

  #match(
    anchor: string,
    { id, parsed }: Pick<Matched, 'id' | 'parsed'>,
    selectors: Set<Entry>,
    isAddress: boolean,
  ): void {
    for (const entry of this.#selectorsByAnchor.get(anchor) ?? []) {
      if (entry.isAddress !== isAddress || !entry.matches(parsed)) continue;
      selectors.add(entry);
      entry.members.add(id);
    }
  }

  #selectorsOf({ id, selectors }: Identity): Set<Entry> {
    return selectors ?? new Set(this.#labelClasses.classOf(id)?.selectors);
  }

  #forget(id: IdentityId, found: Identity): void {
    for (const label of labelTexts(found.labels)) remove(this.#identitiesByLabel, label, found);
    for (const entry of this.#selectorsOf(found)) entry.members.delete(id);
  }

  #place(found: Identity): void {
    const selectors = this.#selectorsOf(found);
    found.selectors = undefined;
    this.#labelClasses.place(found.id, selectors);
    this.#labelGroups.place(found.id, wideOf(selectors));
  }

  /** Counts a use. Every call needs a `release`. */
  acquire(selector: Selector): void {
    const known = this.#selectors.get(selector.key);
    const entry = known ?? this.#insert(selector);
    entry.uses++;
    this.#unused.delete(entry);
    if (known !== undefined) return;
    if (!entry.isAddress) this.#labelClasses.addSelector(entry);
    this.#resized.add(entry);
  }

  /**
   * What nobody uses stays until `sweep`: it changes no verdict, it is likely to be used again, and
   * to merge classes takes time that a change of policy should not take.
   */
  release(key: string): void {
    const entry = this.#selectors.get(key);
    if (entry !== undefined && --entry.uses === 0) this.#unused.add(entry);
  }

  get isUntidy(): boolean {
    return this.#labelClasses.isUntidy || this.#labelGroups.isUntidy || this.#setGroups.isUntidy;
  }

  /** What the next identity would wait for: a few milliseconds after a selector over thousands. */
  tidy(): void {
    this.#labelClasses.tidy();
    this.#labelGroups.tidy();
    this.#setGroups.tidy();
  }

  /** How many selectors nobody uses. */
  get unused(): number {
    return this.#unused.size;
  }

  /** Forgets selectors that nobody uses: as many as have so many members, and at least one. */
  sweep(membersMax = Number.POSITIVE_INFINITY): void {
    let members = 0;
    for (const entry of this.#unused) {
      if (members >= membersMax) return;
      members += entry.members.size;
      this.#delete(entry);
      this.#unused.delete(entry);
    }
  }

  #delete(entry: Entry): void {
    if (entry.isWide) this.#groupsFor(entry).removeSelector(entry);
    if (!entry.isAddress) this.#labelClasses.removeSelector(entry);
    const matched = entry.isAddress ? this.#sets : this.#identities;
    for (const member of entry.members) matched.get(member)?.selectors?.delete(entry);
    for (const anchor of entry.anchors) remove(this.#selectorsByAnchor, anchor, entry);
    this.#resized.delete(entry);
    this.#selectors.delete(entry.selector.key);
  }

  #groupsFor(entry: Entry): Partition<Entry> {
    return entry.isAddress ? this.#setGroups : this.#labelGroups;
  }

  /** What differs since the last call. */
  flush(): ClassChanges {
    const moved = new Set(this.#moved);
    this.#moved.clear();
    const ofClasses = new Set(moved);
    this.#addPeersOf(this.#labelClasses.flush(), ofClasses);
    const peers = new Map<PeerNumber, PeerClasses | undefined>();
    // First those that are gone: who comes in their place takes their class over.
    for (const isThere of [false, true]) {
      for (const peer of ofClasses) {
        if (this.#isThere(peer) === isThere && this.#assignClass(peer)) peers.set(peer, undefined);
      }
    }
    this.classes.settle();
    this.#resize();
    this.#addPeersOf(this.#labelGroups.flush(), moved);
    for (const each of this.classes.atPlaces(valuesOf(this.#sets, this.#setGroups.flush()))) {
      for (const peer of each.members) moved.add(peer);
    }
    for (const peer of moved) if (this.#assignGroup(peer)) peers.set(peer, undefined);
    this.groups.settle();
    for (const peer of peers.keys()) {
      peers.set(peer, this.#isThere(peer) ? this.classesOfPeer(peer) : undefined);
    }
    const selectors = new Set<CachedSelector>(this.#changed);
    this.#changed.clear();
    return { peers, selectors };
  }

  #isThere(peer: PeerNumber): boolean {
    return this.#setsOf.get(identityOf(peer))?.has(addressSetOf(peer)) ?? false;
  }

  #addPeersOf(ids: Iterable<number>, peers: Set<PeerNumber>): void {
    for (const id of ids) {
      for (const set of this.#setsOf.get(id) ?? []) peers.add(peerNumber(id as IdentityId, set));
    }
  }

  #assignClass(peer: PeerNumber): boolean {
    const label = this.#labelClasses.classOf(identityOf(peer));
    const place = this.#sets.get(addressSetOf(peer));
    if (label === undefined || place === undefined || !this.#isThere(peer)) {
      return this.classes.remove(peer);
    }
    return this.classes.put(peer, label, place.id === addressSetNone ? elsewhere : place);
  }

  #assignGroup(peer: PeerNumber): boolean {
    const label = this.#labelGroups.classOf(identityOf(peer));
    const place = this.#setGroups.classOf(addressSetOf(peer));
    if (label === undefined || place === undefined || !this.#isThere(peer)) {
      return this.groups.remove(peer);
    }
    return this.groups.put(peer, label, place.id === classNone ? elsewhere : place);
  }

  #table(idBase: number, isWide: boolean): PeerClassTable<Entry> {
    return new PeerClassTable<Entry>(idBase, {
      onChange: ({ label, place }) => {
        this.#touch(label.selectors, isWide);
        this.#touch(place.selectors, isWide);
      },
      onMove: (place) => this.#touch(place.selectors, isWide),
    });
  }

  /** A class with these selectors came or went. */
  #touch(selectors: ReadonlySet<Entry>, isWide: boolean): void {
    for (const entry of selectors) {
      if (!isWide) this.#resized.add(entry);
      if (entry.isWide === isWide) this.#changed.add(entry);
    }
  }

  /** Wide is what would need many entries by class. */
  #resize(): void {
    for (const entry of this.#resized) {
      const isWide = this.#countClasses(entry, wideMin) > wideMin;
      if (isWide === entry.isWide) continue;
      this.#changed.add(entry);
      entry.isWide = isWide;
      if (isWide) this.#groupsFor(entry).addSelector(entry);
      else this.#groupsFor(entry).removeSelector(entry);
    }
    this.#resized.clear();
  }

  #insert(selector: Selector): Entry {
    const found = anchorsOf(selector);
    const anchors = found?.texts ?? [unanchored];
    const entry: Entry = {
      selector,
      anchors,
      matches: found?.matches ?? matcherOf(selector.requirements),
      members: new Set(),
      isAddress: isAboutAddress(selector),
      hash: selectorHash(),
      uses: 0,
      isWide: false,
    };
    this.#selectors.set(selector.key, entry);
    for (const anchor of anchors) {
      add(this.#selectorsByAnchor, anchor, entry);
      const all = entry.isAddress ? this.#sets : this.#identities;
      const byLabel = entry.isAddress ? this.#setsByLabel : this.#identitiesByLabel;
      const candidates = found === undefined ? all.values() : (byLabel.get(anchor) ?? []);
      for (const each of candidates) tryOne(entry, each);
    }
    return entry;
  }
}

function tryOne(entry: Entry, candidate: Matched | Identity): void {
  if (!entry.matches(candidate.parsed)) return;
  entry.members.add(candidate.id);
  candidate.selectors?.add(entry);
}

function* valuesOf<T>(map: ReadonlyMap<number, T>, keys: Iterable<number>): IterableIterator<T> {
  for (const key of keys) {
    const value = map.get(key);
    if (value !== undefined) yield value;
  }
}

function wideOf(selectors: Iterable<Entry>): Set<Entry> {
  const wide = new Set<Entry>();
  for (const entry of selectors) if (entry.isWide) wide.add(entry);
  return wide;
}

/** The one that the fewest classes or groups have. */
function rarest(
  entries: readonly Entry[],
  count: (entry: Entry, limit: number) => number,
): Entry | undefined {
  let best: Entry | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    const found = entries.length === 1 ? 0 : count(entry, fewest);
    if (found < fewest) [best, fewest] = [entry, found];
  }
  return best;
}

function sameLabels(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((label, index) => label === b[index]);
}

/** `key=value` under any source. */
function labelTexts(labels: readonly string[]): Set<string> {
  const texts = new Set<string>();
  for (const text of labels) {
    const { key, value } = parseLabel(text);
    texts.add(`${key}=${value}`);
  }
  return texts;
}

function add<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([value]));
  else set.add(value);
}

function remove<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set?.delete(value) === true && set.size === 0) map.delete(key);
}
