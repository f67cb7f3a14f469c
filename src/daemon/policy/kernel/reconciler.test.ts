/**
 * Every state that the kernel is in on the way from one policy to the next: after each single write,
 * the verdict on every pair must be that of the old policy or that of the new one, the same of the
 * two for all pairs, and never the old one again. So no change opens or closes a hole on its way,
 * whatever classes part or meet.
 */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { type IdentityId, identityHost } from '../../identity/table.ts';
import { everybody, identities, rules } from '../compile/arbitrary.ts';
import { policyIdMax } from '../table.ts';
import { KernelModel } from './kernel-model.ts';
import { type Agent, changes, ingressRule, startAgent, verdicts } from './reconciler-fixture.ts';

/** Each looks at hundreds of states; raise it to look longer. */
const runs = Number(process.env['PROPERTY_RUNS'] ?? 4);

/** Slow machines take their time. */
const testTimeoutMs = 120_000;

/** At most so many states from before the change to after it. */
async function step(agent: Agent, change: () => void, statesMax = 2): Promise<void> {
  const { kernel, world } = agent;
  const slots = agent.slots();
  const ask = () => verdicts(kernel, slots, world.people);
  const states = [ask()];
  kernel.onWrite = () => states.push(ask());
  change();
  await agent.settled();
  kernel.onWrite = undefined;
  // One change of state at most: everything at once.
  expect(changes(states).length).toBeLessThanOrEqual(statesMax);
  expect(states.at(-1)).toBe(ask());
}

test(
  'between two policies there is no third',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        identities,
        fc.array(rules, { minLength: 2, maxLength: 4 }),
        async (labels, list) => {
          using agent = startAgent(new KernelModel(), labels, everybody(labels));
          const { world } = agent;
          await agent.settled();
          for (const rows of list) {
            await step(agent, () => world.setRules(rows));
            expect(world.isTold()).toBe(true);
            // Forgetting what nobody uses any more changes nothing for anybody, piece by piece.
            let isMore = true;
            while (isMore) {
              await step(agent, () => (isMore = world.sweep({ membersMax: 1, blocksMax: 1 })), 1);
            }
          }
        },
      ),
      { numRuns: runs },
    );
  },
  testTimeoutMs,
);

test(
  'who comes or goes changes nothing for the others',
  async () => {
    await fc.assert(
      fc.asyncProperty(identities, rules, fc.nat(5), async (labels, rows, pick) => {
        const all = [...labels.keys()].filter((each) => each >= 1000);
        const late = all[pick % all.length] as IdentityId;
        const kernel = new KernelModel();
        const people = everybody(labels);
        const others = people.filter((each) => each.identity !== late);
        using agent = startAgent(kernel, labels, others);
        const { world } = agent;
        await agent.apply(rows);
        const slots = agent.slots();
        const check = async (change: () => void) => {
          const before = verdicts(kernel, slots, others);
          kernel.onWrite = () => expect(verdicts(kernel, slots, others)).toBe(before);
          change();
          await agent.settled();
          kernel.onWrite = undefined;
        };
        await check(() => world.addPeers(people.filter((each) => each.identity === late)));
        await check(() => world.removePeers(late));
        expect(agent.slots()).toEqual(slots);
        expect(people.some((each) => each.identity === identityHost)).toBe(true);
      }),
      { numRuns: runs },
    );
  },
  testTimeoutMs,
);

test('what cannot be written is tried again after its time, not when its status is told', async () => {
  const kernel = new KernelModel();
  const labels = new Map([[1000 as IdentityId, ['k8s:app=a']]]);
  let attempts = 0;
  kernel.install = async () => {
    attempts++;
    throw new Error('full');
  };
  using agent = startAgent(kernel, labels, everybody(labels));
  agent.world.run();
  // With waits of 40, 80, 160 ms and so on there is room for four.
  await Bun.sleep(500);
  expect(attempts).toBeGreaterThan(1);
  expect(attempts).toBeLessThanOrEqual(4);
  const statuses = [...agent.world.tables.policies.all()].map((row) => row.status.kind);
  expect(statuses).toContain('error');
});

test('a policy that comes back into another slot leaves the first one', async () => {
  const kernel = new KernelModel();
  // Both would have the same slot.
  const [one, two] = [1000 as IdentityId, (1000 + policyIdMax) as IdentityId];
  const labels = new Map([
    [one, ['k8s:app=own']],
    [two, ['k8s:app=own']],
  ]);
  const pods = [one, two].map((identity, at) => ({
    identity,
    address: `10.0.0.${at + 1}`,
    ports: '',
  }));
  using agent = startAgent(kernel, labels, pods, { lingerMs: 100 });
  const { world } = agent;
  await agent.settled();
  const slots = agent.slots();
  expect(slots.length).toBe(2);
  world.removePeers(one);
  world.removePeers(two);
  await agent.settled();
  world.addPeers(pods.filter(({ identity }) => identity === two));
  await agent.settled();
  await Bun.sleep(400);
  await agent.settled();
  const inUse = agent.slots();
  expect(inUse.length).toBe(1);
  const peer = { identity: two, address: '10.0.0.2' };
  const letters = slots.map((slot) => kernel.judge(slot, 'ingress', peer, 6, 80));
  expect(letters).toEqual(slots.map((slot) => (inUse.includes(slot) ? 'o' : 'N')));
});

test('of a policy that is gone the kernel holds no entries', async () => {
  const kernel = new KernelModel();
  const id = 1000 as IdentityId;
  const labels = new Map([[id, ['k8s:app=own']]]);
  const pod = { identity: id, address: '10.0.0.1', ports: '' };
  using agent = startAgent(kernel, labels, [pod]);
  await agent.apply([ingressRule([{ action: 'allow', peers: 'any' }])]);
  expect(kernel.entriesHeld).toBeGreaterThan(0);
  agent.world.removePeers(id);
  await agent.settled();
  await Bun.sleep(20);
  await agent.settled();
  expect(kernel.entriesHeld).toBe(0);
});
