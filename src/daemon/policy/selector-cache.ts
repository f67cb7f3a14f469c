/**
 * @module
 * Which peers each selector in use selects, kept up to date from both sides: a new peer is tried
 * against the selectors that can match it, a new selector against the peers that it can match. Sorts
 * the peers into classes on the way; the compiler reads both.
 */

import { type IdentityId, parseLabel } from '../identity/table.ts';
import { addressSetNone } from './address-sets.ts';
import { type Member, Partition, type PeerClass, selectorHash } from './partition.ts';
import {
  addressSetOf,
  classNone,
  groupBase,
  identityOf,
  type PeerNumber,
  peerNumber,
} from './peer.ts';
import type { Selector } from './rule.ts';
import {
  addressLabel,
  addressTerms,
  anchorsOf,
  isOfAddress,
  type LabelSet,
  labelSet,
  matcherOf,
} from './selector.ts';

/** A selector in use. */
export interface CachedSelector extends Member {
  readonly selector: Selector;
  readonly uses: number;
  /** Selects so many peers that policy maps have it by groups; see `groups`. */
  readonly isWide: boolean;
}

interface Entry extends CachedSelector {
  readonly anchors: readonly string[];
  readonly matches: (labels: LabelSet) => boolean;
  /** Asks for an address: then it is found by labels of address sets alone. */
  readonly isAboutAddress: boolean;
  readonly members: Set<PeerNumber>;
  uses: number;
  isWide: boolean;
}

interface Peer {
  /** Of the identity, and of the address set. */
  readonly labels: readonly string[];
  readonly extra: readonly string[];
  readonly set: LabelSet;
  readonly matched: Set<Entry>;
}

/** What a flush found. */
export interface ClassChanges {
  /** Class and group by peer; undefined if the peer is gone. */
  readonly peers: ReadonlyMap<PeerNumber, PeerClasses | undefined>;
  /** Selectors that policies must have other entries for. */
  readonly selectors: ReadonlySet<CachedSelector>;
}

export interface PeerClasses {
  readonly classId: number;
  readonly groupId: number;
}

/** A selector with more peers than this is wide. */
const wideMin = 128;

const unanchored = '';

/**
 * Classes tell apart what any selector tells apart, groups what the wide ones do. A rule for wide
 * selectors needs an entry for each group instead of one for each class: few, however many peers.
 */
export class SelectorCache {
  readonly classes = new Partition<Entry>(0);
  readonly groups = new Partition<Entry>(groupBase);
  readonly #selectors = new Map<string, Entry>();
  readonly #selectorsByAnchor = new Map<string, Set<Entry>>();
  readonly #peers = new Map<PeerNumber, Peer>();
  /** Identities by their labels, other peers by those of their address set. */
  readonly #peersByLabel = new Map<string, Set<PeerNumber>>();
  readonly #peersByAddress = new Map<string, Set<PeerNumber>>();
  /** The peers that an identity is met as. */
  readonly #variants = new Map<IdentityId, Set<PeerNumber>>();
  readonly #extras = new Map<number, readonly string[]>();
  /** Whose number of members changed. */
  readonly #resized = new Set<Entry>();
  readonly #unused = new Set<Entry>();

  /** Those in use. */
  *selectors(): IterableIterator<CachedSelector> {
    for (const entry of this.#selectors.values()) if (entry.uses > 0) yield entry;
  }

  get(key: string): CachedSelector | undefined {
    return this.#selectors.get(key);
  }

  members(key: string): ReadonlySet<PeerNumber> {
    return this.#selectors.get(key)?.members ?? new Set();
  }

  peers(): IterableIterator<PeerNumber> {
    return this.#peers.keys();
  }

  labels(peer: PeerNumber): readonly string[] | undefined {
    return this.#peers.get(peer)?.labels;
  }

  /** All selectors that select the peer. */
  matched(peer: PeerNumber): ReadonlySet<CachedSelector> {
    return this.#peers.get(peer)?.matched ?? new Set();
  }

  classesOf(key: string): ReadonlySet<PeerClass<CachedSelector>> {
    const entry = this.#selectors.get(key);
    return entry === undefined ? new Set() : this.classes.classesOf(entry);
  }

  groupsOf(key: string): ReadonlySet<PeerClass<CachedSelector>> {
    const entry = this.#selectors.get(key);
    return entry === undefined ? new Set() : this.groups.classesOf(entry);
  }

  /** As of the last flush. */
  classesOfPeer(peer: PeerNumber): PeerClasses {
    return {
      classId: this.classes.classOf(peer)?.id ?? classNone,
      groupId: this.#groupId(peer),
    };
  }

  #groupId(peer: PeerNumber): number {
    return this.groups.classOf(peer)?.id ?? classNone;
  }

  /** Adds an identity, or gives it other labels. Its peers come by `addPeer`. */
  upsertIdentity(id: IdentityId, labels: readonly string[]): void {
    const base = peerNumber(id, addressSetNone);
    const before = this.#peers.get(base);
    if (before !== undefined && sameLabels(before.labels, labels)) return;
    const sets = [...(this.#variants.get(id) ?? [])];
    if (before !== undefined) this.deleteIdentity(id);
    const made: Peer = { labels, extra: [], set: labelSet(labels), matched: new Set() };
    this.#peers.set(base, made);
    this.#tryAnchor(unanchored, base, made);
    for (const label of labelTexts(labels)) {
      add(this.#peersByLabel, label, base);
      this.#tryAnchor(label, base, made);
    }
    for (const peer of sets) this.addPeer(peer, this.#extras.get(addressSetOf(peer)) ?? []);
  }

  deleteIdentity(id: IdentityId): void {
    for (const peer of [...(this.#variants.get(id) ?? [])]) this.deletePeer(peer);
    const base = peerNumber(id, addressSetNone);
    const found = this.#peers.get(base);
    if (found === undefined) return;
    for (const label of labelTexts(found.labels)) remove(this.#peersByLabel, label, base);
    this.#forget(base, found);
    this.#peers.delete(base);
  }

  /**
   * The identity is met in an address set with these labels. Without it an identity is in no class:
   * it may still be the subject of rules.
   */
  addPeer(peer: PeerNumber, extra: readonly string[]): void {
    const id = identityOf(peer);
    const base = this.#peers.get(peerNumber(id, addressSetNone));
    if (base === undefined) return;
    const isNew = !(this.#variants.get(id)?.has(peer) ?? false);
    add(this.#variants, id, peer);
    if (addressSetOf(peer) === addressSetNone) {
      if (isNew) this.#place(peer, base);
      return;
    }
    if (!isNew) return;
    this.#extras.set(addressSetOf(peer), extra);
    const { labels } = base;
    const made: Peer = { labels, extra, set: extendedSet(base.set, extra), matched: new Set() };
    this.#peers.set(peer, made);
    for (const entry of base.matched) {
      if (entry.isAboutAddress) continue;
      made.matched.add(entry);
      this.#enter(entry, peer);
    }
    for (const label of labelTexts(extra)) {
      add(this.#peersByAddress, label, peer);
      this.#tryAnchor(label, peer, made);
    }
    this.#place(peer, made);
  }

  deletePeer(peer: PeerNumber): void {
    const id = identityOf(peer);
    if (!(this.#variants.get(id)?.has(peer) ?? false)) return;
    remove(this.#variants, id, peer);
    this.classes.remove(peer);
    this.groups.remove(peer);
    const found = this.#peers.get(peer);
    if (addressSetOf(peer) === addressSetNone || found === undefined) return;
    for (const label of labelTexts(found.extra)) remove(this.#peersByAddress, label, peer);
    this.#forget(peer, found);
    this.#peers.delete(peer);
  }

  /** Whether the identity is met in the address set of the peer. */
  hasPeer(peer: PeerNumber): boolean {
    return this.#variants.get(identityOf(peer))?.has(peer) ?? false;
  }

  #forget(peer: PeerNumber, { matched }: Peer): void {
    for (const entry of matched) {
      entry.members.delete(peer);
      this.#resized.add(entry);
    }
  }

  #enter(entry: Entry, peer: PeerNumber): void {
    entry.members.add(peer);
    this.#resized.add(entry);
  }

  #place(peer: PeerNumber, { matched }: Peer): void {
    const wide = new Set<Entry>();
    for (const entry of matched) if (entry.isWide) wide.add(entry);
    this.classes.place(peer, matched);
    this.groups.place(peer, wide);
  }

  /** Counts a use. Every call needs a `release`. */
  acquire(selector: Selector): void {
    const known = this.#selectors.get(selector.key);
    const entry = known ?? this.#insert(selector);
    entry.uses++;
    this.#unused.delete(entry);
    if (known !== undefined) return;
    this.classes.addSelector(entry);
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

  /** How many selectors nobody uses. */
  get unused(): number {
    return this.#unused.size;
  }

  /** Forgets the selectors that nobody uses. */
  sweep(): void {
    for (const entry of this.#unused) this.#delete(entry);
    this.#unused.clear();
  }

  #delete(entry: Entry): void {
    if (entry.isWide) this.groups.removeSelector(entry);
    entry.isWide = false;
    this.classes.removeSelector(entry);
    for (const peer of entry.members) this.#peers.get(peer)?.matched.delete(entry);
    for (const anchor of entry.anchors) remove(this.#selectorsByAnchor, anchor, entry);
    this.#resized.delete(entry);
    this.#selectors.delete(entry.selector.key);
  }

  /** What differs since the last call. */
  flush(): ClassChanges {
    const changed = new Set<CachedSelector>();
    for (const entry of this.#resized) {
      const isWide = entry.members.size > wideMin;
      if (isWide === entry.isWide) continue;
      entry.isWide = isWide;
      if (isWide) this.groups.addSelector(entry);
      else this.groups.removeSelector(entry);
      changed.add(entry);
    }
    this.#resized.clear();
    const classes = this.classes.flush();
    const groups = this.groups.flush();
    // A wide selector has no entries by class, and one that is not wide none by group.
    for (const entry of classes.selectors) if (!entry.isWide) changed.add(entry);
    for (const entry of groups.selectors) if (entry.isWide) changed.add(entry);
    const peers = new Map<PeerNumber, PeerClasses | undefined>();
    for (const peer of [...classes.peers.keys(), ...groups.peers.keys()]) {
      if (!this.hasPeer(peer)) peers.set(peer, undefined);
      else if (!peers.has(peer)) peers.set(peer, this.classesOfPeer(peer));
    }
    return { peers, selectors: changed };
  }

  #insert(selector: Selector): Entry {
    const found = anchorsOf(selector);
    const anchors = found ?? [unanchored];
    const { cidrs, ports } = addressTerms(selector);
    const entry: Entry = {
      selector,
      anchors,
      matches: matcherOf(selector),
      isAboutAddress: cidrs.length > 0 || ports.length > 0,
      members: new Set(),
      hash: selectorHash(),
      uses: 0,
      isWide: false,
    };
    this.#selectors.set(selector.key, entry);
    for (const anchor of anchors) {
      add(this.#selectorsByAnchor, anchor, entry);
      if (entry.isAboutAddress) this.#tryAddresses(anchor, entry);
      else this.#tryIdentities(found === undefined ? undefined : anchor, entry);
    }
    return entry;
  }

  /** What selects an identity selects it at every address. */
  #tryIdentities(anchor: string | undefined, entry: Entry): void {
    const candidates = anchor === undefined ? this.#peers.keys() : this.#peersByLabel.get(anchor);
    for (const base of candidates ?? []) {
      const found = this.#peers.get(base);
      if (found === undefined || addressSetOf(base) !== addressSetNone) continue;
      if (!entry.matches(found.set)) continue;
      entry.members.add(base);
      found.matched.add(entry);
      for (const peer of this.#variants.get(identityOf(base)) ?? []) {
        entry.members.add(peer);
        this.#peers.get(peer)?.matched.add(entry);
      }
    }
  }

  /** What asks for nothing but the address has one answer for all peers of an address set. */
  #tryAddresses(anchor: string, entry: Entry): void {
    const isOnlyAddress = entry.selector.requirements.every(({ source }) => isOfAddress(source));
    const answers = new Map<number, boolean>();
    for (const peer of this.#peersByAddress.get(anchor) ?? []) {
      const found = this.#peers.get(peer);
      if (found === undefined) continue;
      let isSelected: boolean | undefined;
      if (isOnlyAddress) {
        const key = addressSetOf(peer) * 2 + Number(found.labels.includes(addressLabel.outside));
        isSelected = answers.get(key) ?? entry.matches(found.set);
        answers.set(key, isSelected);
      } else isSelected = entry.matches(found.set);
      if (!isSelected) continue;
      entry.members.add(peer);
      found.matched.add(entry);
    }
  }

  #tryAnchor(anchor: string, peer: PeerNumber, made: Peer): void {
    for (const entry of this.#selectorsByAnchor.get(anchor) ?? []) {
      if (!entry.matches(made.set)) continue;
      made.matched.add(entry);
      this.#enter(entry, peer);
    }
  }
}

/** The identities among peers, ascending, each once. */
export function identitiesOf(peers: Iterable<PeerNumber>): IdentityId[] {
  return [...new Set([...peers].map(identityOf))].sort((a, b) => a - b);
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

/** Labels of an address set have sources and keys that no identity has. */
function extendedSet(base: LabelSet, extra: readonly string[]): LabelSet {
  const own = labelSet(extra);
  return {
    exact: {
      has: (name) => own.exact.has(name) || base.exact.has(name),
      get: (name) => own.exact.get(name) ?? base.exact.get(name),
    },
    anySource: {
      has: (key) => own.anySource.has(key) || base.anySource.has(key),
      get: (key) => own.anySource.get(key) ?? base.anySource.get(key),
    },
  };
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
