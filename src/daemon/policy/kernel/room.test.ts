/**
 * The maps of blocks and peers hold two states of full size, not three: whatever comes in which
 * order, also after a restart, gets in force, and every state on the way is the old policy or the
 * new one.
 */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { formatPrefix, requirePrefix } from '../../../net/prefix.ts';
import { type IdentityId, reservedIdentities } from '../../identity/table.ts';
import type { Someone } from '../compile/arbitrary.ts';
import type { PolicyRuleRow } from '../table.ts';
import { KernelModel, type Room } from './kernel-model.ts';
import { changes, ingressRule, startAgent, verdicts } from './reconciler-fixture.ts';

/** Each looks at hundreds of states; raise it to look longer. */
const runs = Number(process.env['PROPERTY_RUNS'] ?? 8);
const testTimeoutMs = 30_000;
/** The other bank is never told. */
const settleMs = 600_000;

const pod = 1000 as IdentityId;
const labels = new Map<IdentityId, readonly string[]>([
  ...reservedIdentities.map((each) => [each.id, each.labels] as const),
  [pod, ['k8s:app=own']],
]);
const places = Array.from({ length: 16 }, (_, index) => index);
const people: readonly Someone[] = [
  { identity: pod, address: '10.0.0.1', ports: '' },
  ...places.flatMap((bits) => [
    { identity: 9 as IdentityId, address: `172.16.${bits << 4}.1`, ports: '' },
    { identity: 10 as IdentityId, address: `2001:db8:${hex(bits)}::1`, ports: '' },
  ]),
];

/** Few bits, so that blocks are in one another. */
const blocks = fc.uniqueArray(
  fc
    .record({ isIpv4: fc.boolean(), bits: fc.nat(15), length: fc.nat(4) })
    .map(({ isIpv4, bits, length }) => {
      const first = bits & (0xf0 >> length);
      const text = isIpv4
        ? `172.16.${first << 4}.0/${16 + length}`
        : `2001:db8:${hex(first)}::/${32 + length}`;
      return formatPrefix(requirePrefix(text));
    }),
  { minLength: 12, maxLength: 12 },
);

const action = fc.constantFrom('allow' as const, 'deny' as const);

/** A policy of so many blocks, each of which makes an address set of its own. */
const list = fc
  .tuple(blocks, fc.array(action, { minLength: 12, maxLength: 12 }))
  .map(([cidrs, actions]): PolicyRuleRow[] => [
    ingressRule(
      cidrs.map((cidr, index) => ({
        action: actions[index] ?? 'allow',
        peers: [{ kind: 'cidr', cidr, except: [], scope: 'outside' }],
      })),
    ),
  ]);

const fourLists = fc.tuple(list, list, list, list);

function hex(bits: number): string {
  return (bits << 12).toString(16);
}

/** What a kernel looks like in which nothing else ever was. */
async function fresh(rows: readonly PolicyRuleRow[]) {
  const kernel = new KernelModel();
  using agent = startAgent(kernel, labels, people);
  await agent.apply(rows);
  return { sizes: kernel.sizes(), verdicts: verdicts(kernel, agent.slots(), people) };
}

/** Room for two states as large as the largest, and how many peers that one has. */
async function roomFor(lists: readonly (readonly PolicyRuleRow[])[]) {
  // Every state has it.
  const { sizes: common } = await fresh([]);
  const sizes = await Promise.all(lists.map(async (rows) => (await fresh(rows)).sizes));
  const peersMax = Math.max(...sizes.map((each) => each.classes));
  const setsMax = Math.max(...sizes.map((each) => each.sets));
  const room: Room = { classes: 2 * peersMax - common.classes, sets: 2 * setsMax - common.sets };
  return { room, peersMax };
}

type Agent = ReturnType<typeof startAgent>;

function compile({ world }: Agent, rows: readonly PolicyRuleRow[]): void {
  world.setRules(rows);
  world.run();
  world.sweep();
}

/** After it the rows are in force, and there was no third state on the way. */
async function change(agent: Agent, rows: readonly PolicyRuleRow[], slots: readonly number[]) {
  const { kernel } = agent;
  const ask = () => verdicts(kernel, slots, people);
  const states = [ask()];
  kernel.onWrite = () => states.push(ask());
  compile(agent, rows);
  await agent.settled();
  kernel.onWrite = undefined;
  expect(changes(states).length).toBeLessThanOrEqual(2);
  expect(ask()).toBe((await fresh(rows)).verdicts);
}

test.each([
  ['and faster than the other bank is told', 0],
  ['while peers that are gone would stay', 600_000],
])(
  'states of full size that come one after another get in force, %s',
  async (_, lingerMs) => {
    await fc.assert(
      fc.asyncProperty(fourLists, async (lists) => {
        const { room, peersMax } = await roomFor(lists);
        const kernel = new KernelModel(room);
        const options = { settleMs, lingerMs, peersMax };
        using agent = startAgent(kernel, labels, people, options);
        await agent.settled();
        const slots = agent.slots();
        expect(slots.length).toBe(1);
        for (const rows of lists) await change(agent, rows, slots);
      }),
      { numRuns: runs },
    );
  },
  testTimeoutMs,
);

test(
  'an agent that starts over a full map gets its policy in force, and leaves nothing behind',
  async () => {
    await fc.assert(
      fc.asyncProperty(fourLists, async ([first, second, third, fourth]) => {
        const { room } = await roomFor([first, second, third, fourth]);
        const kernel = new KernelModel(room);
        let slots: number[];
        {
          using earlier = startAgent(kernel, labels, people, { settleMs });
          await earlier.settled();
          slots = earlier.slots();
          await change(earlier, first, slots);
          await change(earlier, second, slots);
        }
        {
          using agent = startAgent(kernel, labels, people, { settleMs });
          // Its address sets have numbers that the earlier agent's have not.
          compile(agent, [...first, ...second.map((row) => ({ ...row, key: 'second' }))]);
          await change(agent, third, slots);
          await change(agent, fourth, slots);
        }
        using last = startAgent(kernel, labels, people);
        await change(last, first, slots);
        expect(kernel.sizes()).toEqual((await fresh(first)).sizes);
      }),
      { numRuns: runs },
    );
  },
  testTimeoutMs,
);
