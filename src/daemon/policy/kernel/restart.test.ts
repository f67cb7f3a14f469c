/**
 * An agent that starts over what an earlier one left in the kernel. It numbers classes and address
 * sets anew, so no number of one may be taken for one of the other: after every single write the
 * verdicts about those whom the kernel knew are the earlier agent's or the new one's, the same of the
 * two for all, and who is new is not judged before the new policies are in force.
 */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { IdentityId } from '../../identity/table.ts';
import { everybody, identities, rules } from '../compile/arbitrary.ts';
import { KernelModel } from './kernel-model.ts';
import { changes, startAgent, verdicts } from './reconciler-fixture.ts';

/** Each looks at hundreds of states; raise it to look longer. */
const runs = Number(process.env['PROPERTY_RUNS'] ?? 8);
const testTimeoutMs = 120_000;

test('who comes before the other bank is told is known when the rows say so', async () => {
  await fc.assert(
    fc.asyncProperty(identities, rules, async (labels, some) => {
      const kernel = new KernelModel();
      const all = everybody(labels).filter(({ identity }) => identity >= 1000);
      using agent = startAgent(kernel, labels, [], { settleMs: 600_000 });
      await agent.apply(some);
      agent.world.addPeers(all);
      await agent.settled();
      expect(agent.slots().length).toBeGreaterThan(0);
      expect(verdicts(kernel, agent.slots(), all)).not.toContain('N');
    }),
    { numRuns: runs },
  );
});

test(
  'a restart with other rules and identities: the old policy or the new one',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        identities,
        rules,
        rules,
        rules,
        fc.nat(5),
        async (labels, first, second, third, pick) => {
          const kernel = new KernelModel();
          const all = everybody(labels);
          const pods = [...labels.keys()].filter((each) => each >= 1000);
          const late = pods[pick % pods.length] as IdentityId;
          const known = all.filter((each) => each.identity !== late);
          const newcomers = all.filter((each) => each.identity === late);
          const slots = new Set<number>();
          {
            using before = startAgent(kernel, labels, known);
            await before.apply(first);
            for (const { slot } of before.world.local()) slots.add(slot);
          }
          using after = startAgent(kernel, labels, all);
          const ask = () => verdicts(kernel, [...slots], known);
          const askOfNew = () => verdicts(kernel, [...slots], newcomers);
          const [old, oldOfNew] = [ask(), askOfNew()];
          const seen: string[] = [];
          const seenOfNew: string[] = [];
          kernel.onWrite = () => {
            seen.push(ask());
            seenOfNew.push(askOfNew());
          };
          await after.apply(second);
          kernel.onWrite = undefined;
          expect(changes([old, ...seen]).length).toBeLessThanOrEqual(2);
          expect(seen.at(-1)).toBe(ask());
          // Letter by letter: slots may change before the newcomers are known.
          const newest = askOfNew();
          for (const state of seenOfNew) {
            const strange = [...state].filter(
              (letter, at) => ![oldOfNew[at], newest[at], 'N'].includes(letter),
            );
            expect(strange).toEqual([]);
          }
          const inForce = ask();
          seen.length = 0;
          kernel.onWrite = () => seen.push(ask());
          await after.apply(third);
          expect(changes([inForce, ...seen]).length).toBeLessThanOrEqual(2);
        },
      ),
      { numRuns: runs },
    );
  },
  testTimeoutMs,
);

test(
  'a restart without some of them: who is gone is not taken for somebody else',
  async () => {
    await fc.assert(
      fc.asyncProperty(identities, rules, rules, fc.nat(5), async (labels, first, second, pick) => {
        const kernel = new KernelModel();
        const all = everybody(labels);
        const pods = [...labels.keys()].filter((each) => each >= 1000);
        const late = pods[pick % pods.length] as IdentityId;
        const gone = all.filter((each) => each.identity === late);
        const slots = new Set<number>();
        {
          using before = startAgent(kernel, labels, all);
          await before.apply(first);
          for (const { slot } of before.world.local()) slots.add(slot);
        }
        const left = all.filter((each) => each.identity !== late);
        using after = startAgent(kernel, labels, left);
        const ask = () => verdicts(kernel, [...slots], gone);
        const old = ask();
        const seen: string[] = [];
        kernel.onWrite = () => seen.push(ask());
        await after.apply(second);
        kernel.onWrite = undefined;
        const newest = ask();
        for (const state of seen) {
          const strange = [...state].filter(
            (letter, at) => ![old[at], newest[at], 'N'].includes(letter),
          );
          expect(strange).toEqual([]);
        }
      }),
      { numRuns: runs },
    );
  },
  testTimeoutMs,
);

/** Refuses the first peers, which are newcomers: they are told of after the flip. */
class RefusingKernel extends KernelModel {
  readonly log: string[] = [];

  constructor() {
    super();
    const { identityClass, addressSets } = this;
    const updatePeers = identityClass.updateAll.bind(identityClass);
    identityClass.updateAll = (pairs) => {
      if (this.log.includes('refused')) return updatePeers(pairs);
      this.log.push('refused');
      throw new Error('the map is full');
    };
    const updateSets = addressSets.updateAll.bind(addressSets);
    addressSets.updateAll = (pairs) => {
      this.log.push('fill');
      updateSets(pairs);
    };
  }

  override get epoch(): number {
    return super.epoch;
  }

  override set epoch(epoch: number) {
    super.epoch = epoch;
    this.log.push('flip');
  }

  override async grace(): Promise<void> {
    this.log.push('grace begins');
    // Longer than the wait for the next attempt.
    await Bun.sleep(150);
    this.log.push('grace is over');
  }
}

test('newcomers cannot be told: the bank that went out of force still has its grace period', async () => {
  const kernel = new RefusingKernel();
  const labels = new Map([[1000 as IdentityId, ['k8s:app=a']]]);
  const all = everybody(labels);
  using agent = startAgent(kernel, labels, all);
  await agent.settled();
  expect(kernel.log.slice(0, 6)).toEqual([
    'fill',
    'flip',
    'grace begins',
    'refused',
    'grace is over',
    'fill',
  ]);
  expect(verdicts(kernel, agent.slots(), all)).not.toContain('N');
});

/** Refuses to forget one peer, once. */
class KeepingKernel extends KernelModel {
  readonly atFlips: boolean[] = [];
  refusals = 0;
  readonly #kept: IdentityId;

  constructor(kept: IdentityId) {
    super();
    this.#kept = kept;
    const { identityClass } = this;
    const deleteAll = identityClass.deleteAll.bind(identityClass);
    identityClass.deleteAll = (keys) => {
      const all = [...keys];
      if (all.some(({ identity }) => identity === kept) && this.refusals++ === 0) {
        throw new Error('busy');
      }
      deleteAll(all);
    };
  }

  override get epoch(): number {
    return super.epoch;
  }

  override set epoch(epoch: number) {
    super.epoch = epoch;
    this.atFlips.push(
      [...this.identityClass.entries()].some(([key]) => key.identity === this.#kept),
    );
  }
}

test('who is gone cannot be forgotten: the new bank does not get in force with them', async () => {
  const [stays, goes, comes] = [1000, 1001, 1002] as [IdentityId, IdentityId, IdentityId];
  const kernel = new KeepingKernel(goes);
  const first = new Map([
    [stays, ['k8s:app=a']],
    [goes, ['k8s:app=b']],
  ]);
  {
    using before = startAgent(kernel, first, everybody(first));
    await before.settled();
  }
  kernel.atFlips.length = 0;
  const second = new Map([
    [stays, ['k8s:app=a']],
    [comes, ['k8s:app=c']],
  ]);
  const all = everybody(second);
  using after = startAgent(kernel, second, all, { settleMs: 10_000 });
  await after.settled();
  expect(kernel.refusals).toBeGreaterThan(1);
  expect(kernel.atFlips).toEqual([false]);
  // And newcomers are told of, though it took two attempts.
  expect(verdicts(kernel, after.slots(), all)).not.toContain('N');
});
