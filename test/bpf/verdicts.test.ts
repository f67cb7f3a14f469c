/**
 * The programs against the oracle: random clusters with random policies of all five kinds, carried
 * to the maps of the kernel by the agent's own controllers and reconcilers, and a packet for every
 * question. Whether it passes, why not, and the rules that its event names must be the oracle's.
 * Needs root. The seed is printed; `VERDICT_SEED` repeats a run, `VERDICT_COUNT` makes it longer.
 */
import { afterAll, expect, test } from 'bun:test';
import type { Cluster, KubernetesObject, Query } from '../oracle/documents.ts';
import { generateCluster } from '../oracle/generate.ts';
import { queriesOf } from '../oracle/queries.ts';
import { Random } from '../oracle/random.ts';
import { shrinkCluster } from '../oracle/shrink.ts';
import { nodes } from '../oracle/vocabulary.ts';
import { AgentModel } from './agent-model.ts';
import { askedOf, withCrowd } from './crowd.ts';
import { CaseMaker, packetOf, seenVerdict, sharesConnection } from './verdict-case.ts';
import { VerdictKernel } from './verdict-kernel.ts';

const verdictsMin = Number(process.env['VERDICT_COUNT'] ?? 300_000);
const firstSeed = Number(process.env['VERDICT_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const perPair = 8;
/** Source ports and ids of echoes: no port that a policy names is among them. */
const numbers = { first: 40_000, count: 25_000 } as const;

interface Difference {
  readonly query: Query;
  readonly expected: string;
  readonly actual: string;
}

/** A cluster that is asked about, and what the agent had been told of before, if anything. */
interface Story {
  readonly seed: number;
  readonly before: Cluster | undefined;
  readonly cluster: Cluster;
}

interface Tally {
  verdicts: number;
  readonly seen: Map<string, number>;
}

/** One for each way in which programs are loaded, made when it is needed. */
const kernels = new Map<string, VerdictKernel>();
afterAll(async () => {
  for (const kernel of kernels.values()) await kernel[Symbol.asyncDispose]();
});

/** Half of the clusters have a host firewall. */
function kernelFor({ seed, cluster }: Story): VerdictKernel {
  const { cidrMatchesNodes } = cluster.config;
  const hostFirewall = Math.floor(seed / nodes.length) % 2 === 1;
  const name = `${hostFirewall} ${cidrMatchesNodes}`;
  const kernel = kernels.get(name) ?? new VerdictKernel({ hostFirewall, cidrMatchesNodes });
  kernels.set(name, kernel);
  return kernel;
}

/**
 * Every node of the vocabulary gets its turn as the local one. The agent has just started, or there
 * were fewer policies before, or everything was another, on the same node.
 */
function storyOf(seed: number): Story {
  const random = new Random(~seed);
  const generated = generateCluster(seed);
  const localNode = nodes[seed % nodes.length]!.name;
  const config = { ...generated.config, localNode };
  const cluster = maybeWithCrowd({ objects: generated.objects, config }, random);
  const before = random.pick([
    () => undefined,
    () => ({ config, objects: withFewerPolicies(cluster, random) }),
    () => maybeWithCrowd({ ...generateCluster(random.int(0, 2 ** 31)), config }, random),
  ])();
  return { seed, before, cluster };
}

function maybeWithCrowd(cluster: Cluster, random: Random): Cluster {
  return random.chance(0.25) ? withCrowd(cluster, random.int(0, 2 ** 31)) : cluster;
}

function withFewerPolicies({ objects }: Cluster, random: Random): object[] {
  return (objects as readonly KubernetesObject[]).filter(
    ({ kind }) => !kind.endsWith('Policy') || random.chance(0.5),
  );
}

async function differenceIn(story: Story, tally?: Tally): Promise<Difference | undefined> {
  const { before, cluster } = story;
  const kernel = kernelFor(story);
  await using agent = new AgentModel(kernel, cluster.config);
  if (before !== undefined) await agent.apply(before);
  await agent.apply(cluster);
  kernel.forgetConnections();
  return kernel.within(() => compare(kernel, agent, story, tally));
}

function compare(
  kernel: VerdictKernel,
  agent: AgentModel,
  { cluster, seed }: Story,
  tally: Tally | undefined,
): Difference | undefined {
  const cases = new CaseMaker(cluster, kernel, agent);
  const asked = new Set<string>();
  const cookieRow = (cookie: number) => agent.tables.cookies.get(cookie);
  let number = 0;
  for (const question of queriesOf(askedOf(cluster), new Random(seed), perPair)) {
    const one = cases.caseOf(question);
    if (one === undefined) continue;
    const { query, from, to, passage } = one;
    if (sharesConnection(query)) {
      const connection = `${[from.address, to.address].sort().join(' ')} ${query.port}`;
      if (asked.has(connection)) continue;
      asked.add(connection);
    }
    if (number === numbers.count) throw new RangeError('no source port is left');
    const packet = packetOf(one, numbers.first + number++);
    const [passed, events] = kernel.send(passage, packet);
    const expected = JSON.stringify(cases.expected(one));
    const actual = JSON.stringify(seenVerdict(passed, events, cookieRow));
    if (expected !== actual) return { query, expected, actual };
    if (tally === undefined) continue;
    tally.verdicts++;
    const kind = `${from.kind} to ${to.kind}, ${query.protocol}: ${events[0]?.type ?? 'untold'}`;
    tally.seen.set(kind, (tally.seen.get(kind) ?? 0) + 1);
  }
  return undefined;
}

/** Shrinking asks at once what takes the kernel a while: so it is begun anew after each answer. */
async function shrink(
  cluster: Cluster,
  fails: (cluster: Cluster) => Promise<boolean>,
): Promise<Cluster> {
  const answers = new Map<string, boolean>();
  for (;;) {
    let open: { readonly text: string; readonly cluster: Cluster } | undefined;
    const smallest = shrinkCluster(cluster, (each) => {
      if (open !== undefined) return false;
      const text = JSON.stringify(each.objects);
      const answer = answers.get(text);
      if (answer === undefined) open = { text, cluster: each };
      return answer === true;
    });
    if (open === undefined) return smallest;
    answers.set(open.text, await fails(open.cluster).catch(() => false));
  }
}

/** The least that shows a difference: without what was before, if it shows without. */
async function shrinkStory(story: Story): Promise<Story> {
  const fails = async (each: Story) => (await differenceIn(each)) !== undefined;
  const fresh = { ...story, before: undefined };
  const start = (await fails(fresh)) ? fresh : story;
  const cluster = await shrink(start.cluster, (each) => fails({ ...start, cluster: each }));
  if (start.before === undefined) return { ...start, cluster };
  const before = await shrink(start.before, (each) => fails({ ...start, cluster, before: each }));
  return { ...start, cluster, before };
}

test(`programs and oracle agree on ${verdictsMin} verdicts, seed ${firstSeed}`, async () => {
  console.log(`verdicts: seed ${firstSeed}`);
  const tally: Tally = { verdicts: 0, seen: new Map() };
  for (let seed = firstSeed; tally.verdicts < verdictsMin; seed++) {
    const story = storyOf(seed);
    const found = await differenceIn(story, tally);
    if (found === undefined) continue;
    const small = await shrinkStory(story);
    const difference = (await differenceIn(small)) ?? found;
    console.log(JSON.stringify(small, null, 1));
    expect({ seed, ...difference }).toEqual({ seed, ...difference, actual: difference.expected });
  }
  const kinds = [...tally.seen].sort(([, a], [, b]) => b - a);
  console.log(kinds.map(([kind, count]) => `${count} ${kind}`).join('\n'));
  expect(tally.verdicts).toBeGreaterThanOrEqual(verdictsMin);
}, 600_000);
