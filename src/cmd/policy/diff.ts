/**
 * @module `cilium policy diff OLD NEW`: which pairs of pods and outside addresses, on which ports, are
 * judged otherwise. Pairs that both sets cannot tell apart are judged once.
 */
import { type End, OfflineCluster, type PairVerdict } from '../../daemon/policy/explain/offline.ts';
import type { OfflineModel } from '../../daemon/policy/explain/offline-model.ts';
import { namedBlocks, sampleBlocks } from '../../daemon/policy/explain/outside-sample.ts';
import {
  formatSegments,
  mergeSegments,
  type Segment,
  segmentsOf,
} from '../../daemon/policy/explain/port-segments.ts';
import { ruleNames, rulesText } from '../../daemon/policy/explain/rule-name.ts';
import { objectKey } from '../../k8s/object.ts';
import { printable } from '../../k8s/problem.ts';
import type { Family } from '../../net/address.ts';
import type { Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { renderValue } from '../rendering.ts';
import { printError, printOut } from '../terminal.ts';
import { answering, exitCode, familiesOf, InputError } from './options.ts';
import { nobodyOf, type Party, partiesOf } from './parties.ts';
import { Progress } from './rows.ts';
import {
  agentModel,
  type Documents,
  documentModel,
  manifestConfig,
  readDocuments,
  tried,
} from './source.ts';

/** Segments whose verdict goes the same way for the same reasons. */
interface Flip {
  readonly segments: readonly Segment[];
  readonly before: 'allowed' | 'denied';
  /** The rules that decide now. */
  readonly by: readonly string[];
}

interface Difference extends Omit<Flip, 'segments'> {
  readonly from: string;
  readonly to: string;
  /** Set where only one family differs. */
  readonly family: Family | undefined;
  readonly ports: string;
  readonly after: 'allowed' | 'denied';
}

/** Blocks of rules that are judged unasked, each by one address. */
const sampledBlocksMax = 16;

/** Who is judged besides pods, and what to say of it. */
interface Outside {
  readonly names: readonly string[];
  readonly hint: string | undefined;
}

/** What is asked for; else the world, and an address of each block that a rule of either side names. */
function outsideOf(
  invocation: Invocation,
  clusters: Clusters,
  families: readonly Family[],
): Outside {
  const external = invocation.flags.strings('external');
  if (external.length > 0) return { names: external, hint: undefined };
  const blocks = new Set(clusters.flatMap((cluster) => [...namedBlocks(cluster)]));
  const isMuch = blocks.size > sampledBlocksMax;
  const addresses = isMuch ? [] : sampleBlocks(blocks, families, clusters);
  const left = isMuch ? `, none of ${blocks.size} blocks that rules name` : '';
  const judged = ['pods', 'world', ...addresses].join(', ');
  return {
    names: ['world', ...addresses],
    hint: `judged: ${judged}${left}; --external names others, such as host or an address`,
  };
}

export function diff(invocation: Invocation): Promise<number> {
  return answering(invocation, async () => {
    const [before, after] = await modelsOf(invocation);
    const { flags } = invocation;
    const clusters = [new OfflineCluster(before), new OfflineCluster(after)] as const;
    const families = familiesOf(invocation);
    const [old, next] = clusters;
    const { names, hint } = outsideOf(invocation, clusters, families);
    const parties = commonOf(partiesOf(old, names, families), partiesOf(next, names, families));
    if (!parties.some(isJudged)) throw new InputError([nobodyOf(invocation)]);
    const found = differences(clusters, parties, segmentsOf([before, after]));
    const form = flags.string('output');
    if (form === undefined && hint !== undefined) printError(hint);
    if (form === undefined) printOut(text(found));
    else printOut(await renderValue(form, found));
    return found.length === 0 ? exitCode.fine : exitCode.negative;
  });
}

async function modelsOf(invocation: Invocation): Promise<[OfflineModel, OfflineModel]> {
  const { args, flags } = invocation;
  const paths = flags.strings('file');
  const config = manifestConfig(invocation);
  const [oldPath, newPath] = args;
  if (args.length === 2 && paths.length === 0 && oldPath !== undefined && newPath !== undefined) {
    const old = readDocuments([oldPath], config.cluster);
    const next = readDocuments([newPath], config.cluster);
    return [
      documentModel({ ...old, objects: completed(old, next) }, config),
      documentModel({ ...next, objects: completed(next, old) }, config),
    ];
  }
  if (args.length > 0 || paths.length === 0) {
    throw new UsageError('OLD and NEW are needed, or -f NEW to compare with the agent');
  }
  const model = await agentModel(invocation);
  return [model, tried(model, readDocuments(paths, model.cluster))];
}

/** A set without pods of its own is about those of the other. */
function completed(own: Documents, other: Documents) {
  if (own.objects.some((one) => one.kind === 'Pod')) return own.objects;
  const keys = new Set(own.objects.map(objectKey));
  return [...own.objects, ...other.objects.filter((one) => !keys.has(objectKey(one)))];
}

interface CommonParty {
  readonly before: Party;
  readonly after: Party;
}

/** Those that both clusters have. */
function commonOf(before: readonly Party[], after: readonly Party[]): CommonParty[] {
  const byName = new Map(after.map((party) => [party.name, party]));
  return before.flatMap((party) => {
    const other = byName.get(party.name);
    return other === undefined ? [] : [{ before: party, after: other }];
  });
}

/** The host firewall may be in one of the two alone. */
function isJudged({ before, after }: CommonParty): boolean {
  return before.isJudged || after.isJudged;
}

type Clusters = readonly [OfflineCluster, OfflineCluster];

function differences(
  clusters: Clusters,
  parties: readonly CommonParty[],
  segments: readonly Segment[],
): Difference[] {
  using progress = new Progress('pairs', parties.length ** 2);
  const known = new Map<string, readonly Flip[]>();
  return parties.flatMap((from, index) => {
    progress.at(index * parties.length);
    return parties.flatMap((to) => {
      // Nothing of ours judges what goes from outside to outside; a pod reaches itself.
      if ((!isJudged(from) && !isJudged(to)) || from === to) return [];
      return pairDifferences(clusters, from, to, segments, known);
    });
  });
}

function pairDifferences(
  clusters: Clusters,
  from: CommonParty,
  to: CommonParty,
  segments: readonly Segment[],
  known: Map<string, readonly Flip[]>,
): Difference[] {
  const perFamily = ([4, 6] as const).flatMap((family) => {
    const ends = [from.before, to.before, from.after, to.after].map((one) => one.ends.get(family));
    const [one, b, other, d] = ends;
    if (one === undefined || b === undefined || other === undefined || d === undefined) return [];
    const [old, next] = clusters;
    const [a, c] = [old.asSource(one), next.asSource(other)];
    const key = [
      ...[old.likeness(a, b), old.likeness(b, a)],
      ...[next.likeness(c, d), next.likeness(d, c)],
      family,
    ];
    const text = key.join('|');
    const flips = known.get(text) ?? flipsOf(clusters, [a, b], [c, d], family, segments);
    if (known.size < knownMax) known.set(text, flips);
    return [{ family, flips }];
  });
  const texts = perFamily.map(({ flips }) => flips.map(flipText).join('\n'));
  const isSame = texts.every((each) => each === texts[0]);
  return (isSame ? perFamily.slice(0, 1) : perFamily).flatMap(({ family, flips }) =>
    flips.map(({ segments: where, before, by }) => ({
      from: from.before.name,
      to: to.before.name,
      family: isSame ? undefined : family,
      ports: formatSegments(where),
      before,
      after: before === 'allowed' ? 'denied' : 'allowed',
      by,
    })),
  );
}

/** Distinct pairs remembered. */
const knownMax = 200_000;

function flipText({ segments, before, by }: Flip): string {
  // Each family has its own ICMP; that alone is no difference.
  const ports = segments.map((each) => ({ ...each, proto: each.proto === 58 ? 1 : each.proto }));
  return JSON.stringify([ports, before, by]);
}

function flipsOf(
  [old, next]: Clusters,
  [a, b]: readonly [End, End],
  [c, d]: readonly [End, End],
  family: Family,
  segments: readonly Segment[],
): readonly Flip[] {
  const flips = new Map<string, { segments: Segment[]; before: Flip['before']; by: string[] }>();
  for (const segment of segments) {
    const { proto, first } = segment;
    if (proto === (family === 4 ? 58 : 1)) continue;
    const before = old.judge(a, b, proto, first);
    const after = next.judge(c, d, proto, first);
    if (before.allowed === after.allowed) continue;
    const by = decidersOf(after, before);
    const key = `${before.allowed} ${by.join()}`;
    const flip = flips.get(key) ?? {
      segments: [],
      before: before.allowed ? 'allowed' : 'denied',
      by,
    };
    flip.segments.push(segment);
    flips.set(key, flip);
  }
  return [...flips.values()].map((flip) => ({ ...flip, segments: mergeSegments(flip.segments) }));
}

/** What denies now, or what allows now on the side that denied before. */
function decidersOf(after: PairVerdict, before: PairVerdict): string[] {
  return (['egress', 'ingress'] as const).flatMap((direction) => {
    const side = after[direction];
    const decides = after.allowed ? before[direction]?.allowed === false : side?.allowed === false;
    return decides ? ruleNames(side, direction) : [];
  });
}

function text(found: readonly Difference[]): string {
  if (found.length === 0) return 'no difference\n';
  const opened = found.filter((each) => each.after === 'allowed').length;
  const lines = found.map(({ from, to, family, ports, before, after, by }) => {
    const sign = after === 'allowed' ? '+' : '-';
    const version = family === undefined ? '' : ` IPv${family}`;
    const why = by.length === 0 ? 'no policy applies' : `by ${rulesText(by)}`;
    return printable(`${sign} ${from} -> ${to}${version} ${ports} ${before} -> ${after} (${why})`);
  });
  lines.push(`${found.length - opened} closed, ${opened} opened`);
  return `${lines.join('\n')}\n`;
}
