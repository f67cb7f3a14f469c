/**
 * @module From a policy file renamed to its place to the first packet judged by it: a probe sends a
 * packet every 0.2 ms from one pod to another and notes which of them arrives.
 */
import { join } from 'node:path';
import { allowPolicy } from './documents.ts';
import { type Figure, percentile, spreadOf } from './figures.ts';
import { BenchNode, type Pod } from './node.ts';
import { benchCpu, LineProcess, TrafficProgram } from './traffic.ts';

const rounds = 50;
const unlinkRounds = 20;
const manyIdentities = 200;
const p50BarMs = 4;
const p99BarMs = 12;
const nanosecondsPerMs = 1e6;

const ports = [{ port: 8000, protocol: 'UDP' as const }];
const onTarget = { name: 'probe', app: 'target', direction: 'ingress' as const, ports };
/** What the one policy file says in turn. */
const documents = {
  /** Enforced, and the sender is not among the peers. */
  deny: allowPolicy({ ...onTarget, peer: 'nobody' }),
  allow: allowPolicy({ ...onTarget, peer: 'prober' }),
  allowAll: allowPolicy({ ...onTarget, peer: undefined }),
  /** About other pods. */
  elsewhere: allowPolicy({ ...onTarget, app: 'elsewhere', peer: 'nobody' }),
};

interface Step {
  readonly name: string;
  readonly document: keyof typeof documents;
  /** Whether packets pass then. */
  readonly passes: boolean;
}

const steps: readonly Step[] = [
  { name: 'first policy of a pod', document: 'deny', passes: false },
  { name: 'allow rule added', document: 'allow', passes: true },
  { name: 'allow rule removed', document: 'deny', passes: false },
  { name: 'last policy removed (rewritten)', document: 'elsewhere', passes: true },
];

export async function policy(): Promise<Figure[]> {
  using program = new TrafficProgram();
  await using node = await BenchNode.start();
  const prober = await node.addPod('prober', { app: 'prober' });
  const target = await node.addPod('target', { app: 'target' });
  using probe = new Probe(program, node, prober, target);
  const baseline = await probe.idle();
  const few = await probe.cycles(rounds, '', documents);
  const removals = await probe.removals(unlinkRounds);
  await addIdentities(node);
  const many = await probe.cycles(rounds, `, ${manyIdentities} peer identities`, {
    ...documents,
    allow: documents.allowAll,
  });
  return [
    ...few.flatMap(({ name, samples }) => figuresOf(name, samples, baseline)),
    ...figuresOf('policy file deleted (5 ms of it by design)', removals, baseline, false),
    ...many.flatMap(({ name, samples }) => figuresOf(name, samples, baseline)),
  ];
}

/** Pods with a label each: peers of the policy that allows all. */
async function addIdentities(node: BenchNode): Promise<void> {
  const pods = Array.from({ length: manyIdentities }, (_, at) =>
    node.preparePod(`peer-${at}`, { app: 'peer', number: `${at}` }),
  );
  for (let at = 0; at < pods.length; at += 20) {
    await Promise.all(pods.slice(at, at + 20).map((pod) => node.cni('ADD', pod)));
  }
}

export class Probe implements Disposable {
  readonly #node: BenchNode;
  readonly #process: LineProcess;

  constructor(program: TrafficProgram, node: BenchNode, from: Pod, to: Pod) {
    this.#node = node;
    this.#process = new LineProcess([
      ...[program.path, 'probe', from.netns, to.netns, to.ipv4, `${benchCpu}`],
    ]);
  }

  /** What the probe itself takes to see that packets pass. */
  async idle(): Promise<string> {
    const samples: number[] = [];
    for (let turn = 0; turn < unlinkRounds; turn++) samples.push(await this.#ask('now 1'));
    return `probe ${percentile(samples, 0.5).toFixed(2)} ms`;
  }

  /** Every step of the cycle, again and again. */
  async cycles(count: number, suffix: string, texts: typeof documents) {
    const results = steps.map(({ name }) => ({
      name: `${name}${suffix}`,
      samples: [] as number[],
    }));
    for (let round = -2; round < count; round++) {
      for (const [at, { document, passes }] of steps.entries()) {
        const sample = await this.write(texts[document], passes);
        if (round >= 0) results[at]?.samples.push(sample);
      }
    }
    return results;
  }

  async removals(count: number): Promise<number[]> {
    const samples: number[] = [];
    for (let round = 0; round < count; round++) {
      await this.write(documents.deny, false);
      samples.push(await this.#ask(`unlink ${this.#path} 1`));
    }
    return samples;
  }

  get #path(): string {
    return join(this.#node.policies, 'probe.yaml');
  }

  /** Milliseconds until packets obey the document. */
  async write(text: string, passes: boolean): Promise<number> {
    const draft = join(this.#node.folder, 'draft');
    await Bun.write(draft, text);
    // What the last change left behind (freed maps, a second look at the file) is not this one's.
    await Bun.sleep(30 + Math.random() * 10);
    return await this.#ask(`rename ${draft} ${this.#path} ${passes ? 1 : 0}`);
  }

  async #ask(line: string): Promise<number> {
    const nanoseconds = Number(await this.#process.ask(line));
    if (nanoseconds < 0) throw new Error(`no packet was judged by: ${line}`);
    return nanoseconds / nanosecondsPerMs;
  }

  [Symbol.dispose](): void {
    this.#process[Symbol.dispose]();
  }
}

function figuresOf(
  name: string,
  samples: readonly number[],
  baseline: string,
  judged = true,
): Figure[] {
  const [p50, p99] = [percentile(samples, 0.5), percentile(samples, 0.99)];
  return [
    {
      name: `${name}, P50`,
      value: `${p50.toFixed(1)} ms`,
      baseline,
      spread: `${spreadOf(samples)} ms`,
      ...(judged ? { bar: `≤ ${p50BarMs} ms`, met: p50 <= p50BarMs } : {}),
    },
    {
      name: `${name}, P99`,
      value: `${p99.toFixed(1)} ms`,
      ...(judged ? { bar: `≤ ${p99BarMs} ms`, met: p99 <= p99BarMs } : {}),
    },
  ];
}
