/**
 * Every state that the kernel is in on the way from one policy to the next: after each single write,
 * the verdict on every pair must be that of the old policy or that of the new one, the same of the
 * two for all pairs, and never the old one again. So no change opens or closes a hole on its way,
 * whatever classes part or meet.
 */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { type IdentityId, identityHost } from '../../identity/table.ts';
import { everybody, identities, rules, type Someone } from '../compile/arbitrary.ts';
import { World } from '../compile/world-model.ts';
import { KernelModel } from './kernel-model.ts';
import { PolicyReconciler } from './reconciler.ts';

/** Each looks at hundreds of states; raise it to look longer. */
const runs = Number(process.env['PROPERTY_RUNS'] ?? 4);

/** Slow machines take their time. */
const testTimeoutMs = 120_000;

/** What packets are asked about: protocol and port. */
const questions = [
  [6, 80],
  [6, 8080],
  [6, 8083],
  [17, 80],
  [132, 1],
  [1, 8],
  [58, 128],
] as const;

/** The verdicts on all pairs, as one text. */
function verdicts(
  kernel: KernelModel,
  locals: ReturnType<World['local']>,
  people: readonly Someone[],
): string {
  let text = '';
  for (const { slot } of locals) {
    for (const peer of people) {
      for (const direction of ['ingress', 'egress'] as const) {
        for (const [proto, port] of questions) {
          text += kernel.judge(slot, direction, peer, proto, port);
        }
      }
    }
  }
  return text;
}

async function step(
  world: World,
  kernel: KernelModel,
  change: () => void,
  statesMax = 2,
): Promise<void> {
  const { people } = world;
  const locals = world.local();
  const before = verdicts(kernel, locals, people);
  const seen: string[] = [];
  kernel.onWrite = () => {
    const now = verdicts(kernel, locals, people);
    if (seen.at(-1) !== now) seen.push(now);
  };
  change();
  world.run();
  await world.settled();
  kernel.onWrite = undefined;
  const after = verdicts(kernel, locals, people);
  const states = [before, ...seen].filter((state, at, all) => state !== all[at - 1]);
  // One change of state at most: everything at once.
  expect(states.length).toBeLessThanOrEqual(statesMax);
  expect(states.at(-1)).toBe(after);
}

test(
  'between two policies there is no third',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        identities,
        fc.array(rules, { minLength: 2, maxLength: 4 }),
        async (labels, list) => {
          const kernel = new KernelModel();
          const people = everybody(labels);
          using world = new World(labels, people, kernel);
          using _ = new PolicyReconciler({
            policies: world.tables.policies,
            peers: world.tables.peers,
            addressSets: world.tables.addressSets,
            target: kernel,
            initialized: Promise.resolve(),
            lingerMs: 0,
            settleMs: 0,
          });
          world.run();
          await world.settled();
          for (const rows of list) {
            await step(world, kernel, () => world.setRules(rows));
            expect(world.isTold()).toBe(true);
            // Forgetting what nobody uses any more changes nothing for anybody.
            await step(world, kernel, () => world.sweep(), 1);
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
        using world = new World(labels, others, kernel);
        using _ = new PolicyReconciler({
          policies: world.tables.policies,
          peers: world.tables.peers,
          addressSets: world.tables.addressSets,
          target: kernel,
          initialized: Promise.resolve(),
          lingerMs: 0,
          settleMs: 0,
        });
        world.setRules(rows);
        world.run();
        await world.settled();
        const locals = world.local();
        const check = async (change: () => void) => {
          const before = verdicts(kernel, locals, others);
          kernel.onWrite = () => expect(verdicts(kernel, locals, others)).toBe(before);
          change();
          world.run();
          await world.settled();
          kernel.onWrite = undefined;
        };
        await check(() => world.addPeers(people.filter((each) => each.identity === late)));
        await check(() => world.removePeers(late));
        expect(world.local()).toEqual(locals);
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
  const people = everybody(labels);
  using world = new World(labels, people, kernel);
  let attempts = 0;
  kernel.install = async () => {
    attempts++;
    throw new Error('full');
  };
  using _ = new PolicyReconciler({
    policies: world.tables.policies,
    peers: world.tables.peers,
    addressSets: world.tables.addressSets,
    target: kernel,
    initialized: Promise.resolve(),
    lingerMs: 0,
    settleMs: 0,
  });
  world.run();
  // With waits of 40, 80, 160 ms and so on there is room for four.
  await Bun.sleep(500);
  expect(attempts).toBeGreaterThan(1);
  expect(attempts).toBeLessThanOrEqual(4);
  const statuses = [...world.tables.policies.all()].map((row) => row.status.kind);
  expect(statuses).toContain('error');
});
