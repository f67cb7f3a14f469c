/**
 * @module `cilium policy why FROM TO[:PORT/PROTO]`: the verdict, the rules that made it on each side, what
 * came near, and what would change it.
 */
import {
  type Consideration,
  considerations,
  nearMisses,
  type Question,
} from '../../daemon/policy/explain/explain.ts';
import { type Change, changeOf } from '../../daemon/policy/explain/explain-change.ts';
import { type End, OfflineCluster, type SideVerdict } from '../../daemon/policy/explain/offline.ts';
import {
  formatSegments,
  type Segment,
  segmentsOf,
} from '../../daemon/policy/explain/port-segments.ts';
import {
  describePolicies,
  describeRule,
  ruleNames,
} from '../../daemon/policy/explain/rule-name.ts';
import type { Direction } from '../../daemon/policy/rule.ts';
import { policyName } from '../../daemon/policy/table.ts';
import type { Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { renderValue } from '../rendering.ts';
import { printOut } from '../terminal.ts';
import { endName, formatL4, type L4, type Pair, pairsOf, portTo, splitTarget } from './ends.ts';
import { answering, exitCode, familiesOf } from './options.ts';
import { loadModel } from './source.ts';
import { whyText } from './why-text.ts';

/** Misses shown for a side. */
const missesMax = 5;

export interface MissAnswer {
  readonly rule: string;
  readonly path: string;
  readonly failed: number;
  readonly reasons: readonly string[];
}

export interface SideAnswer {
  readonly verdict: 'allowed' | 'denied';
  /** What the side denies is only told of, and goes on. */
  readonly audit: boolean;
  /** False where no policy speaks about the direction. */
  readonly enforced: boolean;
  /** Denied because nothing allows it. */
  readonly default: boolean;
  readonly rules: readonly string[];
  /** The same in words; empty where nothing decided. */
  readonly by: string;
  /** Rules that hand the connection on to the next tier. */
  readonly passed: readonly string[];
  readonly misses: readonly MissAnswer[];
  readonly change: Change;
}

export interface Answer {
  readonly from: string;
  readonly to: string;
  readonly family: 4 | 6;
  /** Undefined for "any port". */
  readonly port: number | undefined;
  readonly protocol: string | undefined;
  /** What policy says. */
  readonly verdict: 'allowed' | 'denied' | 'partly allowed';
  /** What is denied is let through, for every side that denies it is only audited. */
  readonly audit: boolean;
  /** For "any port": what is open. */
  readonly open?: string;
  /** What is explained below. */
  readonly explained: string;
  /** Undefined where the end has no policy: it is outside, or a node. */
  readonly egress: SideAnswer | undefined;
  readonly ingress: SideAnswer | undefined;
  /** Policies for nodes that may deny it, too: no host firewall is asked about that end. */
  readonly unasked: Readonly<Record<Direction, readonly string[]>>;
}

export function why(invocation: Invocation): Promise<number> {
  return answering(invocation, async () => {
    const [fromText, toText, ...more] = invocation.args;
    if (fromText === undefined || toText === undefined || more.length > 0) {
      throw new UsageError('two ends are needed: FROM TO[:PORT/PROTO]');
    }
    const { flags } = invocation;
    const namespace = flags.string('namespace') ?? 'default';
    const target = splitTarget(toText);
    const cluster = new OfflineCluster(await loadModel(invocation));
    const pairs = pairsOf(
      cluster,
      endName(cluster, fromText, namespace),
      endName(cluster, target.name, namespace),
      familiesOf(invocation),
    );
    const asked = pairs.filter(
      ({ family }) =>
        target.port.kind !== 'icmp' ||
        target.port.proto === undefined ||
        (target.port.proto === 58) === (family === 6),
    );
    if (asked.length === 0) throw new UsageError(`${toText}: there is no such ICMP between them`);
    const answers = asked.map((pair) => answerOf(cluster, pair, portTo(target.port, pair)));
    const form = flags.string('output');
    if (form === undefined) printOut(whyText(answers, flags.boolean('suggest')));
    else printOut(await renderValue(form, together(answers)));
    return answers.every((each) => each.verdict !== 'denied') ? exitCode.fine : exitCode.negative;
  });
}

/** One object for programs, whatever the number of families. */
function together(answers: readonly Answer[]): object {
  const [first] = answers;
  const verdicts = new Set(answers.map((each) => each.verdict));
  const verdict = verdicts.size === 1 ? first?.verdict : 'differs';
  const closed = answers.filter((each) => each.verdict !== 'allowed');
  const audit = closed.length > 0 && closed.every((each) => each.audit);
  const { family: _, ...rest } = first ?? { family: 4 };
  return { ...rest, verdict, audit, families: answers };
}

/** One family. Without a port, the ports that are open, and why the rest is as it is. */
export function answerOf(cluster: OfflineCluster, pair: Pair, l4: L4 | undefined): Answer {
  const { from, to, family } = pair;
  if (l4 !== undefined) {
    const { allowed, audit } = cluster.judge(from, to, l4.proto, l4.port);
    const verdict = allowed ? 'allowed' : 'denied';
    return {
      ...namesOf(pair),
      port: l4.port,
      protocol: formatL4(l4).replace(/^\d+\/|\/\d+$/g, ''),
      verdict,
      audit,
      explained: formatL4(l4),
      ...sidesOf(cluster, pair, l4),
    };
  }
  const segments = segmentsOf([cluster.model]).filter(
    ({ proto }) => proto !== (family === 4 ? 58 : 1),
  );
  const verdictAt = ({ proto, first }: Segment) => cluster.judge(from, to, proto, first);
  const open = segments.filter((each) => verdictAt(each).allowed);
  const closed = segments.filter((each) => !open.includes(each));
  // The rest is explained where people look first, at a port that no rule names.
  const widest = (list: readonly Segment[]) =>
    list.toSorted(
      (a, b) =>
        Number(b.proto === 6) - Number(a.proto === 6) || b.last - b.first - (a.last - a.first),
    )[0];
  const example = widest(closed) ?? widest(open) ?? { proto: 6, first: 1, last: 1 };
  const at = { proto: example.proto, port: Math.min(example.last, Math.max(example.first, 1)) };
  return {
    ...namesOf(pair),
    port: undefined,
    protocol: undefined,
    verdict: closed.length === 0 ? 'allowed' : open.length === 0 ? 'denied' : 'partly allowed',
    audit: closed.length > 0 && closed.every((each) => verdictAt(each).audit),
    open: open.length === 0 ? 'nothing' : formatSegments(open),
    explained: formatSegments([example]),
    ...sidesOf(cluster, pair, { ...at, anyPort: true }),
  };
}

function namesOf({ from, to, family }: Pair) {
  return { from: from.name, to: to.name, family };
}

function sidesOf(
  cluster: OfflineCluster,
  { from, to }: Pair,
  { anyPort = false, ...l4 }: L4 & { readonly anyPort?: boolean },
) {
  const verdict = cluster.judge(from, to, l4.proto, l4.port);
  const [egress, ingress] = (['egress', 'ingress'] as const).map((direction) => {
    const side = verdict[direction];
    const [own, peer] = direction === 'egress' ? [from, to] : [to, from];
    const seen = cluster.asSeenBy(own, peer);
    return side && sideOf(cluster, { direction, own, peer: seen, ...l4, anyPort }, side);
  });
  const unasked = {
    egress: unaskedNames(cluster, from, 'egress'),
    ingress: unaskedNames(cluster, to, 'ingress'),
  };
  return { egress, ingress, unasked };
}

function unaskedNames(cluster: OfflineCluster, end: End, direction: Direction): string[] {
  const rows = cluster.unaskedOf(end, direction);
  return [...new Set(rows.map((row) => `${row.kind} ${policyName(row)}`))].sort();
}

function sideOf(cluster: OfflineCluster, question: Question, side: SideVerdict): SideAnswer {
  const { direction, own, peer } = question;
  const isItself = cluster.isItself(own, peer);
  const all = side.enforced ? considerations(cluster, question) : [];
  const rows = cluster.rulesOf(question.own);
  return {
    verdict: side.allowed ? 'allowed' : 'denied',
    audit: !side.allowed && cluster.isAudited(question.own),
    enforced: side.enforced,
    default: side.isDefault,
    rules: ruleNames(side, direction),
    by: side.enforced ? describePolicies(side, rows, direction) : isItself ? itselfText : '',
    passed: passedOf(all),
    misses: side.allowed ? [] : nearMisses(all).slice(0, missesMax).map(missOf),
    change: isItself
      ? {
          kind: 'none',
          direction,
          rules: [],
          becomes: 'allowed',
          becauseOf: [],
          obstacle: itselfText,
        }
      : changeOf(cluster, question),
  };
}

const itselfText = 'no policy is asked about what an end sends to itself';

function passedOf(all: readonly Consideration[]): string[] {
  return all
    .filter(({ item, failed, reached }) => reached && item.action === 'pass' && failed === 0)
    .map(({ row, item }) => `${describeRule(row, item)} ${item.path}`);
}

function missOf({ row, item, failed, reasons }: Consideration): MissAnswer {
  return { rule: describeRule(row, item), path: item.path, failed, reasons };
}
