/**
 * @module
 * Peers in classes: two peers are in the same class if the same selectors select both. A class keeps
 * its number while selectors come and go; only what has to part or to meet gets another one. So a
 * selector that selects whole classes changes nothing in the kernel but its own policy's entries.
 */

import { classNone, type PeerNumber } from './peer.ts';

/** A selector as a partition needs it. */
export interface Member {
  readonly members: ReadonlySet<PeerNumber>;
  /** Random; the sum over a class's selectors finds the class. */
  readonly hash: number;
}

export interface PeerClass<S extends Member> {
  /** What policy maps are keyed by. Never given twice, except `classNone`. */
  readonly id: number;
  readonly selectors: ReadonlySet<S>;
  readonly members: ReadonlySet<PeerNumber>;
}

interface Class<S extends Member> extends PeerClass<S> {
  readonly selectors: Set<S>;
  readonly members: Set<PeerNumber>;
  /** Of the selectors. */
  signature: number;
}

const hashModulus = 2 ** 50;

/** The hash of a new selector. */
export function selectorHash(): number {
  return Math.floor(Math.random() * hashModulus);
}

export class Partition<S extends Member> {
  readonly #idBase: number;
  #lastId = classNone;
  readonly #classes = new Set<Class<S>>();
  readonly #byPeer = new Map<PeerNumber, Class<S>>();
  readonly #bySelector = new Map<S, Set<Class<S>>>();
  readonly #bySignature = new Map<number, Class<S>[]>();
  /** Class of a peer at the last flush, for those that something happened to since. */
  readonly #before = new Map<PeerNumber, number | undefined>();
  readonly #changedSelectors = new Set<S>();

  /** Numbers of classes begin above the base. */
  constructor(idBase: number) {
    this.#idBase = idBase;
  }

  get size(): number {
    return this.#classes.size;
  }

  classOf(peer: PeerNumber): PeerClass<S> | undefined {
    return this.#byPeer.get(peer);
  }

  classesOf(selector: S): ReadonlySet<PeerClass<S>> {
    return this.#bySelector.get(selector) ?? new Set();
  }

  /** Of the class with this number; it is looked for. */
  members(id: number): ReadonlySet<PeerNumber> {
    for (const each of this.#classes) if (each.id === id) return each.members;
    return new Set();
  }

  /** The selector tells its members from the others from now on. */
  addSelector(selector: S): void {
    const parts = new Map<Class<S>, PeerNumber[]>();
    for (const peer of selector.members) {
      const found = this.#byPeer.get(peer);
      if (found === undefined) continue;
      const part = parts.get(found);
      if (part === undefined) parts.set(found, [peer]);
      else part.push(peer);
    }
    for (const [whole, part] of parts) {
      if (part.length < whole.members.size || whole.id === classNone) {
        this.#split(whole, part, selector);
      } else this.#select(whole, selector);
    }
    this.#changedSelectors.add(selector);
  }

  removeSelector(selector: S): void {
    for (const each of [...(this.#bySelector.get(selector) ?? [])]) {
      const twin = this.#without(each, selector);
      if (twin === undefined && each.selectors.size > 1) this.#unselect(each, selector);
      else if (twin === undefined) this.#move([...each.members], each, this.#create(new Set()));
      else if (twin.id !== classNone && each.members.size > twin.members.size) {
        this.#move([...twin.members], twin, each);
        this.#unselect(each, selector);
      } else this.#move([...each.members], each, twin);
    }
    this.#changedSelectors.delete(selector);
  }

  /** A peer that is new, or that other selectors select now. */
  place(peer: PeerNumber, selectors: ReadonlySet<S>): void {
    const before = this.#byPeer.get(peer);
    const target = this.#find(selectors) ?? this.#create(selectors);
    if (before === target) return;
    this.#remember(peer);
    before?.members.delete(peer);
    target.members.add(peer);
    this.#byPeer.set(peer, target);
    if (before !== undefined && before.members.size === 0) this.#delete(before);
  }

  remove(peer: PeerNumber): void {
    const found = this.#byPeer.get(peer);
    if (found === undefined) return;
    this.#remember(peer);
    found.members.delete(peer);
    this.#byPeer.delete(peer);
    if (found.members.size === 0) this.#delete(found);
  }

  /** Class by peer where it changed (undefined: gone), and selectors whose set of classes is another. */
  flush(): { readonly peers: Map<PeerNumber, number | undefined>; readonly selectors: Set<S> } {
    const peers = new Map<PeerNumber, number | undefined>();
    for (const [peer, before] of this.#before) {
      const id = this.#byPeer.get(peer)?.id;
      if (id !== before) peers.set(peer, id);
    }
    this.#before.clear();
    const selectors = new Set(this.#changedSelectors);
    this.#changedSelectors.clear();
    return { peers, selectors };
  }

  /** The smaller side moves; a class without selectors is the one that has to keep its number. */
  #split(whole: Class<S>, part: readonly PeerNumber[], selector: S): void {
    const selected = new Set(whole.selectors).add(selector);
    if (whole.id === classNone || part.length * 2 <= whole.members.size) {
      this.#move(part, whole, this.#create(selected));
      return;
    }
    const moving = new Set(part);
    const rest = [...whole.members].filter((peer) => !moving.has(peer));
    const { selectors } = whole;
    this.#select(whole, selector);
    const others = new Set(selectors);
    others.delete(selector);
    this.#move(rest, whole, this.#find(others) ?? this.#create(others));
  }

  #move(peers: readonly PeerNumber[], from: Class<S>, to: Class<S>): void {
    for (const peer of peers) {
      this.#remember(peer);
      from.members.delete(peer);
      to.members.add(peer);
      this.#byPeer.set(peer, to);
    }
    if (from.members.size === 0) this.#delete(from);
  }

  #create(selectors: ReadonlySet<S>): Class<S> {
    const id = selectors.size === 0 ? classNone : this.#idBase + ++this.#lastId;
    const signature = signatureOf(selectors);
    const made: Class<S> = { id, selectors: new Set(selectors), members: new Set(), signature };
    this.#classes.add(made);
    for (const selector of selectors) this.#link(selector, made);
    this.#sign(made);
    return made;
  }

  #delete(gone: Class<S>): void {
    this.#unsign(gone);
    this.#classes.delete(gone);
    for (const selector of gone.selectors) {
      const classes = this.#bySelector.get(selector);
      classes?.delete(gone);
      if (classes?.size === 0) this.#bySelector.delete(selector);
      this.#changedSelectors.add(selector);
    }
  }

  #select(whole: Class<S>, selector: S): void {
    this.#unsign(whole);
    whole.selectors.add(selector);
    whole.signature = (whole.signature + selector.hash) % hashModulus;
    this.#link(selector, whole);
    this.#sign(whole);
  }

  #unselect(whole: Class<S>, selector: S): void {
    this.#unsign(whole);
    whole.selectors.delete(selector);
    whole.signature = (whole.signature + hashModulus - selector.hash) % hashModulus;
    const classes = this.#bySelector.get(selector);
    classes?.delete(whole);
    if (classes?.size === 0) this.#bySelector.delete(selector);
    this.#sign(whole);
  }

  #link(selector: S, made: Class<S>): void {
    const classes = this.#bySelector.get(selector);
    if (classes === undefined) this.#bySelector.set(selector, new Set([made]));
    else classes.add(made);
    this.#changedSelectors.add(selector);
  }

  #remember(peer: PeerNumber): void {
    if (!this.#before.has(peer)) this.#before.set(peer, this.#byPeer.get(peer)?.id);
  }

  #find(selectors: ReadonlySet<S>): Class<S> | undefined {
    const candidates = this.#bySignature.get(signatureOf(selectors));
    return candidates?.find((each) => sameSet(each.selectors, selectors));
  }

  /** The class that has all selectors of another one but this. */
  #without(whole: Class<S>, selector: S): Class<S> | undefined {
    const signature = (whole.signature + hashModulus - selector.hash) % hashModulus;
    return this.#bySignature.get(signature)?.find((each) => {
      if (each.selectors.size !== whole.selectors.size - 1) return false;
      for (const one of each.selectors) if (!whole.selectors.has(one)) return false;
      return !each.selectors.has(selector);
    });
  }

  #sign(made: Class<S>): void {
    const { signature } = made;
    const others = this.#bySignature.get(signature);
    if (others === undefined) this.#bySignature.set(signature, [made]);
    else others.push(made);
  }

  #unsign(made: Class<S>): void {
    const { signature } = made;
    const all = this.#bySignature.get(signature) ?? [];
    const left = all.length === 1 && all[0] === made ? [] : all.filter((each) => each !== made);
    if (left.length === 0) this.#bySignature.delete(signature);
    else this.#bySignature.set(signature, left);
  }
}

/** In any order the same; two sets with one signature are still compared. */
function signatureOf(selectors: Iterable<Member>): number {
  let sum = 0;
  for (const { hash } of selectors) sum = (sum + hash) % hashModulus;
  return sum;
}

function sameSet<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  if (a.size !== b.size) return false;
  for (const each of a) if (!b.has(each)) return false;
  return true;
}
