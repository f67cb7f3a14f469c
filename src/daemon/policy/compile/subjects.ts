/**
 * @module
 * Which endpoints' identities the subjects of rules select. Only what is local is looked at, so that
 * a rule about everybody costs no more than this node has endpoints.
 */

import type { IdentityId } from '../../identity/table.ts';
import type { Selector } from '../rule.ts';
import { type LabelSet, labelSet, matcherOf } from '../selector.ts';

interface Subject {
  readonly selector: Selector;
  readonly matches: (labels: LabelSet) => boolean;
  readonly members: Set<IdentityId>;
  uses: number;
}

interface Local {
  readonly labels: LabelSet;
  readonly matched: Set<string>;
}

const nobody: ReadonlySet<IdentityId> = new Set();
const nothing: ReadonlySet<string> = new Set();

export class Subjects {
  readonly #subjects = new Map<string, Subject>();
  readonly #local = new Map<IdentityId, Local>();

  /** Every selector in use, with the local identities that it selects. */
  *selectors(): IterableIterator<Pick<Subject, 'selector' | 'members' | 'uses'>> {
    yield* this.#subjects.values();
  }

  members(key: string): ReadonlySet<IdentityId> {
    return this.#subjects.get(key)?.members ?? nobody;
  }

  /** Keys of the selectors that select the identity. */
  matched(id: IdentityId): ReadonlySet<string> {
    return this.#local.get(id)?.matched ?? nothing;
  }

  /** Adds a local identity, or gives it other labels. */
  upsert(id: IdentityId, labels: readonly string[]): void {
    this.delete(id);
    const local: Local = { labels: labelSet(labels), matched: new Set() };
    this.#local.set(id, local);
    for (const [key, subject] of this.#subjects) {
      if (!subject.matches(local.labels)) continue;
      subject.members.add(id);
      local.matched.add(key);
    }
  }

  delete(id: IdentityId): void {
    for (const key of this.matched(id)) this.#subjects.get(key)?.members.delete(id);
    this.#local.delete(id);
  }

  /** Counts a use. Every call needs a `release`. */
  acquire(selector: Selector): void {
    const known = this.#subjects.get(selector.key);
    if (known !== undefined) {
      known.uses++;
      return;
    }
    const matches = matcherOf(selector.requirements);
    const members = new Set<IdentityId>();
    for (const [id, local] of this.#local) {
      if (!matches(local.labels)) continue;
      members.add(id);
      local.matched.add(selector.key);
    }
    this.#subjects.set(selector.key, { selector, matches, members, uses: 1 });
  }

  release(key: string): void {
    const subject = this.#subjects.get(key);
    if (subject === undefined || --subject.uses > 0) return;
    for (const id of subject.members) this.#local.get(id)?.matched.delete(key);
    this.#subjects.delete(key);
  }
}
