/**
 * @module
 * Peer classes: identities that the same peer selectors select share one number, which is what
 * policy maps are keyed by. The number is a hash of those selectors, so it is the same by every
 * path and on every start; a collision moves on to the next free one.
 */

import { classNone, type IdentityId } from '../identity/table.ts';
import type { SelectorCache } from './selector-cache.ts';

/** In a policy entry: any peer. No identity has it. */
export const classAny = 0;

interface PeerClass {
  readonly id: number;
  readonly signature: string;
  readonly selectorKeys: readonly string[];
  readonly members: Set<IdentityId>;
}

export interface ClassChanges {
  /** Class by identity; undefined if the identity is gone. */
  readonly identities: ReadonlyMap<IdentityId, number | undefined>;
  /** Selectors whose set of classes is another now. */
  readonly selectorKeys: ReadonlySet<string>;
}

const noClasses: ReadonlySet<number> = new Set();

/** Reads the selector cache lazily: what was marked is classified on `flush`. */
export class PeerClasses {
  readonly #classes = new Map<number, PeerClass>();
  readonly #bySignature = new Map<string, PeerClass>();
  readonly #bySelector = new Map<string, Set<number>>();
  readonly #byIdentity = new Map<IdentityId, PeerClass>();
  readonly #marked = new Set<IdentityId>();

  get size(): number {
    return this.#classes.size;
  }

  /** To be looked at by the next flush. */
  readonly mark = (id: IdentityId): void => {
    this.#marked.add(id);
  };

  /** As of the last flush. */
  classOf(id: IdentityId): number {
    return this.#byIdentity.get(id)?.id ?? classNone;
  }

  classesOf(selectorKey: string): ReadonlySet<number> {
    return this.#bySelector.get(selectorKey) ?? noClasses;
  }

  members(classId: number): ReadonlySet<IdentityId> {
    return this.#classes.get(classId)?.members ?? new Set();
  }

  flush(cache: SelectorCache): ClassChanges {
    const identities = new Map<IdentityId, number | undefined>();
    const selectorKeys = new Set<string>();
    // In order of number, so that even colliding classes do not depend on the order of events.
    for (const id of [...this.#marked].sort((a, b) => a - b)) {
      const keys = cache.matchedPeers(id);
      const before = this.#byIdentity.get(id);
      const signature = keys?.join('\n') ?? '';
      if (keys === undefined) this.#byIdentity.delete(id);
      if (keys !== undefined && before?.signature === signature) continue;
      if (before !== undefined) this.#leave(before, id, selectorKeys);
      if (keys === undefined) identities.set(id, undefined);
      else identities.set(id, this.#join(id, signature, keys, selectorKeys));
    }
    this.#marked.clear();
    return { identities, selectorKeys };
  }

  #leave(peerClass: PeerClass, id: IdentityId, changed: Set<string>): void {
    peerClass.members.delete(id);
    if (peerClass.members.size > 0) return;
    this.#classes.delete(peerClass.id);
    this.#bySignature.delete(peerClass.signature);
    for (const key of peerClass.selectorKeys) {
      const classes = this.#bySelector.get(key);
      classes?.delete(peerClass.id);
      if (classes?.size === 0) this.#bySelector.delete(key);
      changed.add(key);
    }
  }

  #join(id: IdentityId, signature: string, keys: readonly string[], changed: Set<string>): number {
    let peerClass = this.#bySignature.get(signature);
    if (peerClass === undefined) {
      const number = this.#number(signature);
      peerClass = { id: number, signature, selectorKeys: keys, members: new Set() };
      this.#classes.set(number, peerClass);
      this.#bySignature.set(signature, peerClass);
      for (const key of keys) {
        const classes = this.#bySelector.get(key);
        if (classes === undefined) this.#bySelector.set(key, new Set([number]));
        else classes.add(number);
        changed.add(key);
      }
    }
    peerClass.members.add(id);
    this.#byIdentity.set(id, peerClass);
    return peerClass.id;
  }

  #number(signature: string): number {
    if (signature === '') return classNone;
    let id = Bun.hash.xxHash32(signature);
    while (id <= classNone || this.#classes.has(id)) id = (id + 1) >>> 0;
    return id;
  }
}
