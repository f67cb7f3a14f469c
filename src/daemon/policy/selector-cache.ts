/**
 * @module
 * Which identities each selector in use selects, kept up to date from both sides: a new identity
 * is tried against the selectors that can match it, a new selector against the identities that it
 * can match. Peer classes and the compiler read it.
 */

import type { IdentityId } from '../identity/table.ts';
import type { Selector } from './rule.ts';
import { anchorOf, type LabelSet, labelSet, selects } from './selector.ts';

/** A selector in use. */
export interface CachedSelector {
  readonly selector: Selector;
  readonly members: ReadonlySet<IdentityId>;
  /** Uses as a peer and as the subject of a rule. */
  readonly peerUses: number;
  readonly subjectUses: number;
}

interface Entry extends CachedSelector {
  readonly anchor: string | undefined;
  readonly members: Set<IdentityId>;
  peerUses: number;
  subjectUses: number;
}

interface Identity {
  readonly labels: readonly string[];
  readonly set: LabelSet;
  readonly matched: Set<string>;
}

type Use = 'peer' | 'subject';

/** Told about every identity whose set of matching peer selectors changed. */
export type Reclassify = (id: IdentityId) => void;

const unanchored = '';

export class SelectorCache {
  readonly #selectors = new Map<string, Entry>();
  readonly #selectorsByAnchor = new Map<string, Set<string>>();
  readonly #identities = new Map<IdentityId, Identity>();
  readonly #identitiesByLabel = new Map<string, Set<IdentityId>>();
  readonly #reclassify: Reclassify;

  constructor(reclassify: Reclassify) {
    this.#reclassify = reclassify;
  }

  selectors(): IterableIterator<CachedSelector> {
    return this.#selectors.values();
  }

  members(key: string): ReadonlySet<IdentityId> {
    return this.#selectors.get(key)?.members ?? new Set();
  }

  identities(): IterableIterator<IdentityId> {
    return this.#identities.keys();
  }

  labels(id: IdentityId): readonly string[] | undefined {
    return this.#identities.get(id)?.labels;
  }

  /** Keys of all selectors that select the identity. */
  matched(id: IdentityId): ReadonlySet<string> {
    return this.#identities.get(id)?.matched ?? new Set();
  }

  /** Keys of the peer selectors that select the identity, sorted; undefined if it is gone. */
  matchedPeers(id: IdentityId): string[] | undefined {
    const identity = this.#identities.get(id);
    if (identity === undefined) return undefined;
    const keys: string[] = [];
    for (const key of identity.matched) {
      if ((this.#selectors.get(key)?.peerUses ?? 0) > 0) keys.push(key);
    }
    return keys.sort();
  }

  /** Adds an identity, or gives it other labels. False if nothing changed. */
  upsertIdentity(id: IdentityId, labels: readonly string[]): boolean {
    const before = this.#identities.get(id);
    if (before !== undefined && sameLabels(before.labels, labels)) return false;
    this.deleteIdentity(id);
    const set = labelSet(labels);
    const matched = new Set<string>();
    this.#identities.set(id, { labels, set, matched });
    this.#tryAnchor(unanchored, id, set, matched);
    for (const label of labelTexts(set)) {
      add(this.#identitiesByLabel, label, id);
      this.#tryAnchor(label, id, set, matched);
    }
    this.#reclassify(id);
    return true;
  }

  deleteIdentity(id: IdentityId): boolean {
    const identity = this.#identities.get(id);
    if (identity === undefined) return false;
    for (const label of labelTexts(identity.set)) remove(this.#identitiesByLabel, label, id);
    for (const key of identity.matched) this.#selectors.get(key)?.members.delete(id);
    this.#identities.delete(id);
    this.#reclassify(id);
    return true;
  }

  /** Counts a use. Every call needs a `release` of the same use. */
  acquire(selector: Selector, use: Use): void {
    const entry = this.#selectors.get(selector.key) ?? this.#insert(selector);
    if (use === 'subject') entry.subjectUses++;
    else if (entry.peerUses++ === 0) entry.members.forEach(this.#reclassify);
  }

  release(key: string, use: Use): void {
    const entry = this.#selectors.get(key);
    if (entry === undefined) return;
    if (use === 'subject') entry.subjectUses--;
    else if (--entry.peerUses === 0) entry.members.forEach(this.#reclassify);
    if (entry.peerUses > 0 || entry.subjectUses > 0) return;
    for (const id of entry.members) this.#identities.get(id)?.matched.delete(key);
    remove(this.#selectorsByAnchor, entry.anchor ?? unanchored, key);
    this.#selectors.delete(key);
  }

  #insert(selector: Selector): Entry {
    const { key } = selector;
    const anchor = anchorOf(selector);
    const members = new Set<IdentityId>();
    const entry: Entry = { selector, anchor, members, peerUses: 0, subjectUses: 0 };
    this.#selectors.set(key, entry);
    add(this.#selectorsByAnchor, anchor ?? unanchored, key);
    const candidates =
      anchor === undefined ? this.#identities.keys() : this.#identitiesByLabel.get(anchor);
    for (const id of candidates ?? []) {
      const identity = this.#identities.get(id);
      if (identity === undefined || !selects(selector, identity.set)) continue;
      members.add(id);
      identity.matched.add(key);
    }
    return entry;
  }

  #tryAnchor(anchor: string, id: IdentityId, set: LabelSet, matched: Set<string>): void {
    for (const key of this.#selectorsByAnchor.get(anchor) ?? []) {
      const entry = this.#selectors.get(key);
      if (entry === undefined || !selects(entry.selector, set)) continue;
      entry.members.add(id);
      matched.add(key);
    }
  }
}

function sameLabels(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((label, index) => label === b[index]);
}

/** `key=value` under any source. */
function labelTexts(set: LabelSet): Set<string> {
  const texts = new Set<string>();
  for (const [key, values] of set.anySource)
    for (const value of values) texts.add(`${key}=${value}`);
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
