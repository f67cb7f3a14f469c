import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { type Membership, Partition, selectorHash } from './partition.ts';
import { classNone } from './peer.ts';

const members = [0, 1, 2, 3, 4, 5, 6, 7];

interface TestSelector extends Membership {
  readonly members: Set<number>;
}

/** What a step does is decided by who is there; the numbers only choose. */
type Step = readonly [kind: 'select' | 'unselect' | 'place' | 'remove' | 'flush', bits: number];

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.tuple(fc.constantFrom('select', 'unselect', 'place', 'remove', 'flush'), fc.nat(255)),
  { maxLength: 40, size: 'max' },
);

/** The partition, and beside it only who is there and which selectors there are. */
class Model {
  readonly partition = new Partition<TestSelector>();
  readonly selectors = new Set<TestSelector>();
  readonly present = new Set<number>();
  readonly flushed = new Map<number, number | undefined>();

  readonly #hash: () => number;

  constructor(hash: () => number) {
    this.#hash = hash;
  }

  run([kind, bits]: Step): void {
    const member = bits % members.length;
    switch (kind) {
      case 'select': {
        const selected = new Set(
          members.filter((each) => this.present.has(each) && (bits >> each) & 1),
        );
        const selector = { members: selected, hash: this.#hash() };
        this.selectors.add(selector);
        this.partition.addSelector(selector);
        return;
      }
      case 'unselect': {
        const selector = [...this.selectors][bits % Math.max(this.selectors.size, 1)];
        if (selector === undefined) return;
        this.selectors.delete(selector);
        this.partition.removeSelector(selector);
        return;
      }
      case 'place': {
        for (const [at, selector] of [...this.selectors].entries()) {
          if ((bits >> (at % 8)) & 1) selector.members.add(member);
          else selector.members.delete(member);
        }
        this.present.add(member);
        this.partition.place(member, this.selectorsOf(member));
        return;
      }
      case 'remove':
        for (const selector of this.selectors) selector.members.delete(member);
        this.present.delete(member);
        this.partition.remove(member);
        return;
      case 'flush':
        this.flush();
    }
  }

  selectorsOf(member: number): Set<TestSelector> {
    return new Set([...this.selectors].filter((each) => each.members.has(member)));
  }

  /** It tells exactly of those whose number is another. */
  flush(): void {
    const told = new Set(this.partition.flush());
    for (const member of members) {
      const id = this.partition.classOf(member)?.id;
      if (id !== this.flushed.get(member)) expect(told).toContain(member);
      this.flushed.set(member, id);
    }
  }

  check(): void {
    const byId = new Map<number, Set<TestSelector>>();
    for (const member of members) {
      const found = this.partition.classOf(member);
      expect(found !== undefined).toBe(this.present.has(member));
      if (found === undefined) continue;
      const own = this.selectorsOf(member);
      expect(found.selectors).toEqual(own);
      expect(found.members).toContain(member);
      expect(found.id === classNone).toBe(own.size === 0);
      for (const selector of own) expect(this.partition.classesOf(selector)).toContain(found);
      // One number for each set of selectors, and one set for each number.
      const known = byId.get(found.id) ?? own;
      expect(known).toEqual(own);
      for (const [id, selectors] of byId) {
        if (id !== found.id) expect(selectors.symmetricDifference(own).size).not.toBe(0);
      }
      byId.set(found.id, own);
    }
  }
}

test.each([
  ['with hashes', selectorHash],
  ['though all hashes are the same', () => 7],
])('members are together if the same selectors select them, %s', (_name, hash) => {
  fc.assert(
    fc.property(steps, (all) => {
      const model = new Model(hash);
      for (const step of all) {
        model.run(step);
        model.check();
      }
      model.flush();
    }),
    { numRuns: 500 },
  );
});

test('a selector of whole classes changes no number', () => {
  const partition = new Partition<TestSelector>();
  const selectorOf = (...own: number[]) => ({ members: new Set(own), hash: selectorHash() });
  const [one, other] = [selectorOf(1), selectorOf(2)];
  for (const each of [one, other]) partition.addSelector(each);
  partition.place(1, new Set([one]));
  partition.place(2, new Set([other]));
  partition.flush();
  partition.addSelector(selectorOf(1, 2));
  expect(partition.flush()).toEqual([]);
  expect(partition.classOf(1)?.selectors.size).toBe(2);
});

test('a class is found by a selector that split another one before', () => {
  const partition = new Partition<TestSelector>();
  const selectorOf = (...own: number[]) => ({ members: new Set(own), hash: selectorHash() });
  const [one, other] = [selectorOf(1, 2, 3), selectorOf(4)];
  for (const each of [one, other]) partition.addSelector(each);
  for (const member of one.members) partition.place(member, new Set([one]));
  partition.place(4, new Set([other]));
  const both = selectorOf(1, 2, 4);
  partition.addSelector(both);
  both.members.add(5);
  other.members.add(5);
  partition.place(5, new Set([other, both]));
  expect(partition.classOf(5)).toBe(partition.classOf(4));
  expect(partition.classOf(3)?.selectors).toEqual(new Set([one]));
});
