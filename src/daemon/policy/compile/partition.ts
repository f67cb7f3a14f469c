/**
 * @module
 * Members (identities, or address sets) in classes: two are in the same class if the same selectors
 * select both. A class keeps its number while selectors come and go; only what has to part or to
 * meet gets another one. So a selector that selects whole classes changes nothing in the kernel but
 * its own policy's entries.
 */

import { classNone } from './peer.ts';

/** A selector as a partition needs it. */
export interface Membership {
  readonly members: ReadonlySet<number>;
  /** Random; the sum over a class's selectors finds the class. */
  readonly hash: number;
}

export interface MemberClass<S extends Membership> {
  /** Never given twice, except `classNone`. */
  readonly id: number;
  readonly selectors: ReadonlySet<S>;
  readonly members: ReadonlySet<number>;
}

interface Class<S extends Membership> extends MemberClass<S> {
  readonly selectors: Set<S>;
  readonly members: Set<number>;
  /** Of the selectors. */
  signature: number;
  /** The signature that the class is found by: an older one until the next search. */
  filedUnder: number;
  /** Members that the selector which is being added selects. */
  selected: number;
  /** Another class that happens to have the same signature. */
  twin: Class<S> | undefined;
}

/** The hash of a new selector, 32 bits. */
export function selectorHash(): number {
  return (Math.random() * 2 ** 32) | 0;
}

export class Partition<S extends Membership> {
  #lastId = classNone;
  readonly #classes = new Set<Class<S>>();
  readonly #byMember = new Map<number, Class<S>>();
  readonly #bySelector = new Map<S, Set<Class<S>>>();
  readonly #bySignature = new Map<number, Class<S>>();
  /** Selectors that classes of theirs are not filed under yet. */
  readonly #unfiled = new Set<S>();
  /** Class of a member at the last flush, for those that something happened to since. */
  readonly #before = new Map<number, Class<S> | undefined>();

  get size(): number {
    return this.#classes.size;
  }

  classOf(member: number): MemberClass<S> | undefined {
    return this.#byMember.get(member);
  }

  classesOf(selector: S): ReadonlySet<MemberClass<S>> {
    return this.#bySelector.get(selector) ?? new Set();
  }

  /** The selector tells its members from the others from now on. */
  addSelector(selector: S): void {
    const concerned: Class<S>[] = [];
    for (const member of selector.members) {
      const found = this.#byMember.get(member);
      if (found !== undefined && found.selected++ === 0) concerned.push(found);
    }
    for (const whole of concerned) {
      const isAll = whole.selected === whole.members.size;
      whole.selected = 0;
      if (isAll && whole.id !== classNone) this.#select(whole, selector);
      else this.#split(whole, commonOf(whole.members, selector.members), selector);
    }
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
  }

  /** A member that is new, or that other selectors select now. */
  place(member: number, selectors: ReadonlySet<S>): void {
    const before = this.#byMember.get(member);
    const target = this.#find(selectors) ?? this.#create(selectors);
    if (before === target) return;
    this.#remember(member);
    before?.members.delete(member);
    target.members.add(member);
    this.#byMember.set(member, target);
    if (before !== undefined && before.members.size === 0) this.#delete(before);
  }

  remove(member: number): void {
    const found = this.#byMember.get(member);
    if (found === undefined) return;
    this.#remember(member);
    found.members.delete(member);
    this.#byMember.delete(member);
    if (found.members.size === 0) this.#delete(found);
  }

  /** Whether the next search for a class has something to do first. */
  get isUntidy(): boolean {
    return this.#unfiled.size > 0;
  }

  /** Files classes under what they are found by; a search does it, unless it was done before. */
  tidy(): void {
    for (const selector of this.#unfiled) {
      for (const each of this.#bySelector.get(selector) ?? []) {
        if (each.filedUnder === each.signature) continue;
        this.#unsign(each);
        this.#sign(each);
      }
    }
    this.#unfiled.clear();
  }

  /** Members whose class is another or that are gone, since the last call. */
  flush(): number[] {
    const members: number[] = [];
    for (const [member, before] of this.#before) {
      if (this.#byMember.get(member) !== before) members.push(member);
    }
    this.#before.clear();
    return members;
  }

  /** The smaller side moves; a class without selectors is the one that has to keep its number. */
  #split(whole: Class<S>, part: readonly number[], selector: S): void {
    const selected = new Set(whole.selectors).add(selector);
    if (whole.id === classNone || part.length * 2 <= whole.members.size) {
      this.#move(part, whole, this.#create(selected));
      return;
    }
    const moving = new Set(part);
    const rest = [...whole.members].filter((member) => !moving.has(member));
    const { selectors } = whole;
    this.#select(whole, selector);
    const others = new Set(selectors);
    others.delete(selector);
    this.#move(rest, whole, this.#find(others) ?? this.#create(others));
  }

  #move(members: readonly number[], from: Class<S>, to: Class<S>): void {
    for (const member of members) {
      this.#remember(member);
      from.members.delete(member);
      to.members.add(member);
      this.#byMember.set(member, to);
    }
    if (from.members.size === 0) this.#delete(from);
  }

  #create(selectors: ReadonlySet<S>): Class<S> {
    const id = selectors.size === 0 ? classNone : ++this.#lastId;
    const signature = signatureOf(selectors);
    const made: Class<S> = {
      id,
      selectors: new Set(selectors),
      members: new Set(),
      signature,
      filedUnder: signature,
      selected: 0,
      twin: undefined,
    };
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
    }
  }

  #select(whole: Class<S>, selector: S): void {
    whole.selectors.add(selector);
    whole.signature = (whole.signature + selector.hash) | 0;
    this.#link(selector, whole);
    // A selector may select thousands of classes, and nobody may ask for most of them.
    this.#unfiled.add(selector);
  }

  #unselect(whole: Class<S>, selector: S): void {
    this.#unsign(whole);
    whole.selectors.delete(selector);
    whole.signature = (whole.signature - selector.hash) | 0;
    const classes = this.#bySelector.get(selector);
    classes?.delete(whole);
    if (classes?.size === 0) this.#bySelector.delete(selector);
    this.#sign(whole);
  }

  #link(selector: S, made: Class<S>): void {
    const classes = this.#bySelector.get(selector);
    if (classes === undefined) this.#bySelector.set(selector, new Set([made]));
    else classes.add(made);
  }

  #remember(member: number): void {
    if (!this.#before.has(member)) this.#before.set(member, this.#byMember.get(member));
  }

  #find(selectors: ReadonlySet<S>): Class<S> | undefined {
    this.tidy();
    let each = this.#bySignature.get(signatureOf(selectors));
    while (each !== undefined && !sameSet(each.selectors, selectors)) each = each.twin;
    return each;
  }

  /** The class that has all selectors of another one but this. */
  #without(whole: Class<S>, selector: S): Class<S> | undefined {
    this.tidy();
    let each = this.#bySignature.get((whole.signature - selector.hash) | 0);
    while (each !== undefined && !isWithout(each.selectors, whole.selectors, selector)) {
      each = each.twin;
    }
    return each;
  }

  #sign(made: Class<S>): void {
    made.filedUnder = made.signature;
    made.twin = this.#bySignature.get(made.signature);
    this.#bySignature.set(made.signature, made);
  }

  #unsign(made: Class<S>): void {
    const { filedUnder, twin } = made;
    made.twin = undefined;
    let each = this.#bySignature.get(filedUnder);
    if (each === made && twin === undefined) this.#bySignature.delete(filedUnder);
    else if (each === made && twin !== undefined) this.#bySignature.set(filedUnder, twin);
    else {
      while (each !== undefined && each.twin !== made) each = each.twin;
      if (each !== undefined) each.twin = twin;
    }
  }
}

function commonOf(a: ReadonlySet<number>, b: ReadonlySet<number>): number[] {
  const [fewer, more] = a.size < b.size ? [a, b] : [b, a];
  return [...fewer].filter((each) => more.has(each));
}

/** In any order the same; two sets with one signature are still compared. */
function signatureOf(selectors: Iterable<Membership>): number {
  let sum = 0;
  for (const { hash } of selectors) sum = (sum + hash) | 0;
  return sum;
}

/** True if `less` is `all` without this one. */
function isWithout<T>(less: ReadonlySet<T>, all: ReadonlySet<T>, one: T): boolean {
  if (less.size !== all.size - 1 || less.has(one)) return false;
  for (const each of less) if (!all.has(each)) return false;
  return true;
}

function sameSet<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  if (a.size !== b.size) return false;
  for (const each of a) if (!b.has(each)) return false;
  return true;
}
