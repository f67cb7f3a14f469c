/**
 * @module
 * Gives label sets their identity on a node without a cluster-wide allocator. The search for a
 * free number starts at a hash of the labels, so the same labels get the same number on every
 * start. The only writer of table `identities`.
 */

import type { Table } from '../../kv/table.ts';
import {
  type IdentityId,
  type IdentityRow,
  identityId,
  identityMax,
  identityMin,
  labelsKey,
  parseLabel,
  reservedIdentities,
  sortLabels,
} from './table.ts';

export type Allocation =
  | { readonly kind: 'allocated'; readonly id: IdentityId; readonly created: boolean }
  | { readonly kind: 'exhausted'; readonly message: string };

export type Restoration =
  | { readonly kind: 'restored'; readonly id: IdentityId }
  | { readonly kind: 'conflict'; readonly message: string };

const numbers = identityMax - identityMin + 1;

/** Where the search for the number of these labels starts. */
export function firstChoice(labels: readonly string[]): IdentityId {
  return identityId(identityMin + (Bun.hash.xxHash32(labelsKey(labels)) % numbers));
}

/** Adds the reserved identities to the table. Once, before anything else. */
export function addReservedIdentities(table: Table<IdentityRow, IdentityId>): void {
  for (const { id, labels } of reservedIdentities) {
    if (table.get(id) !== undefined) continue;
    table.upsert({
      id,
      labels: sortLabels(labels),
      reserved: true,
      refCount: 0,
    });
  }
}

/** Far longer than an address takes to leave the kernel. */
const restMs = 5_000;

/** Counts who holds which identity. Every `allocate` and `restore` needs one `release`. */
export class IdentityAllocator {
  readonly #table: Table<IdentityRow, IdentityId>;
  readonly #now: () => number;
  readonly #isKept: (id: IdentityId) => boolean;
  /** Numbers given back a moment ago, the oldest first: packets may still be seen under them. */
  readonly #released = new Map<IdentityId, { readonly labels: string; readonly since: number }>();

  /** Of these, by their labels. */
  readonly #resting = new Map<string, IdentityId>();

  /** The kernel may still know addresses by numbers of an earlier agent: until then nothing has rested. */
  #isEarlierThere: boolean;

  constructor(
    table: Table<IdentityRow, IdentityId>,
    now: () => number = () => performance.now(),
    /** Numbers of an earlier agent, by which the kernel still knows addresses. */
    earlier: ReadonlyMap<IdentityId, readonly string[]> = new Map(),
    /** Whether an identity that is gone may still be met under its number: then it has not rested. */
    isKept: (id: IdentityId) => boolean = () => false,
  ) {
    this.#isKept = isKept;
    this.#table = table;
    this.#now = now;
    this.#isEarlierThere = earlier.size > 0;
    addReservedIdentities(table);
    for (const [id, labels] of earlier) this.#rest(id, labelsKey(sortLabels(labels)));
  }

  /** The identity of the labels, in any order; a reserved one if a label says so. */
  allocate(labels: readonly string[]): Allocation {
    const sorted = sortLabels(labels);
    const existing = this.lookup(sorted);
    if (existing !== undefined) {
      this.#hold(existing);
      return { kind: 'allocated', id: existing.id, created: false };
    }
    this.#forgetRested();
    const first = firstChoice(sorted);
    const [oldest] = this.#released.keys();
    const key = labelsKey(sorted);
    const own = this.#resting.get(key);
    const isFree = own !== undefined && this.#table.get(own) === undefined;
    const id = isFree ? own : (this.#free(first, key) ?? oldest);
    if (id !== undefined) {
      this.#create(id, sorted);
      return { kind: 'allocated', id, created: true };
    }
    const message = `allocate identity for ${sorted.join(' ')}: all ${numbers} are in use`;
    return { kind: 'exhausted', message };
  }

  /**
   * Holds exactly this number for the labels, as an earlier run did. A conflict leaves all as it
   * is; the caller then allocates, and the endpoint changes its identity.
   */
  restore(id: IdentityId, labels: readonly string[]): Restoration {
    const sorted = sortLabels(labels);
    const row = this.#table.get(id);
    if (row !== undefined) {
      if (labelsKey(row.labels) !== labelsKey(sorted) && this.lookup(sorted)?.id !== id) {
        return { kind: 'conflict', message: `restore identity ${id}: it has other labels` };
      }
      this.#hold(row);
      return { kind: 'restored', id };
    }
    const other = this.lookup(sorted);
    if (other !== undefined) {
      return { kind: 'conflict', message: `restore identity ${id}: its labels have ${other.id}` };
    }
    if (id < identityMin || id > identityMax) {
      return { kind: 'conflict', message: `restore identity ${id}: not a pod's identity` };
    }
    this.#create(id, sorted);
    return { kind: 'restored', id };
  }

  /** Gives back one hold. The last one deletes the row, unless it is a reserved identity. */
  release(id: IdentityId): void {
    const row = this.#table.get(id);
    if (row === undefined || row.refCount === 0) return;
    if (row.refCount === 1 && !row.reserved) {
      this.#table.delete(id);
      this.#rest(id, labelsKey(row.labels));
    } else this.#table.upsert({ ...row, refCount: row.refCount - 1 });
  }

  /** The kernel knows no address by an earlier agent's number any more: a number's rest begins. */
  endEarlier(): void {
    if (!this.#isEarlierThere) return;
    this.#isEarlierThere = false;
    const since = this.#now();
    for (const [id, { labels }] of this.#released) this.#released.set(id, { labels, since });
  }

  /** The row of the labels, which must be sorted, without holding it. */
  lookup(sorted: readonly string[]): IdentityRow | undefined {
    const exact = this.#table.by('labels', labelsKey(sorted))[0];
    if (exact !== undefined) return exact;
    // An endpoint whose labels are not known yet may carry more than its reserved label.
    const reserved = sorted.filter((label) => parseLabel(label).source === 'reserved');
    if (reserved.length === 0 || reserved.length === sorted.length) return undefined;
    return this.#table.by('labels', labelsKey(reserved))[0];
  }

  /** The next number that nobody has, nor had a moment ago with other labels. */
  #free(first: number, labels: string): IdentityId | undefined {
    for (let step = 0; step < numbers; step++) {
      const id = identityId(identityMin + ((first - identityMin + step) % numbers));
      const isOthers = (this.#released.get(id)?.labels ?? labels) !== labels;
      if (this.#table.get(id) === undefined && !isOthers) return id;
    }
    return undefined;
  }

  #forgetRested(): void {
    if (this.#isEarlierThere) return;
    const before = this.#now() - restMs;
    for (const [id, { since }] of this.#released) {
      if (since > before || this.#isKept(id)) return;
      this.#endRest(id);
    }
  }

  #rest(id: IdentityId, labels: string): void {
    this.#endRest(id);
    this.#released.set(id, { labels, since: this.#now() });
    this.#resting.set(labels, id);
  }

  #endRest(id: IdentityId): void {
    const labels = this.#released.get(id)?.labels;
    if (labels === undefined) return;
    this.#released.delete(id);
    if (this.#resting.get(labels) === id) this.#resting.delete(labels);
  }

  #create(id: IdentityId, labels: readonly string[]): void {
    this.#endRest(id);
    this.#table.upsert({ id, labels, reserved: false, refCount: 1 });
  }

  #hold(row: IdentityRow): void {
    this.#table.upsert({ ...row, refCount: row.refCount + 1 });
  }
}
