/**
 * @module `cilium policy simulate`: recorded flows against policies that are not applied. What would be
 * judged otherwise than it was, with the rules that would do it. What the policies that are in force judge
 * otherwise, too, is older than they are: no change of those that are tried.
 */
import { OfflineCluster, type PairVerdict } from '../../daemon/policy/explain/offline.ts';
import { ruleNames, rulesText } from '../../daemon/policy/explain/rule-name.ts';
import { printable } from '../../k8s/problem.ts';
import type { Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { renderValue } from '../rendering.ts';
import { printOut } from '../terminal.ts';
import { formatL4 } from './ends.ts';
import { count, readFlows, type SeenConnection } from './flows.ts';
import { answering, exitCode, InputError } from './options.ts';
import { seatOf, shownEnd, withFlowEnds } from './replay.ts';
import { agentModel, fileModel, readDocuments, tried } from './source.ts';

type Verdict = 'allowed' | 'denied';

interface FlipAnswer {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly family: 4 | 6;
  readonly recorded: Verdict;
  readonly simulated: Verdict;
  readonly flows: number;
  readonly egress: readonly string[];
  readonly ingress: readonly string[];
}

export function simulate(invocation: Invocation): Promise<number> {
  return answering(invocation, async () => {
    const { flags, args } = invocation;
    const [paths, base] = [flags.strings('file'), flags.strings('base')];
    if (args.length > 0)
      throw new UsageError(`unexpected ${JSON.stringify(args[0])}: policies are -f FILE`);
    if (paths.length === 0) throw new UsageError('-f FILE: the policies to try are needed');
    if (paths.includes('-') && flags.string('flows') === '-') {
      throw new UsageError('standard input is either the policies or the flows');
    }
    const model = base.length > 0 ? fileModel(invocation, base) : await agentModel(invocation);
    const documents = readDocuments(paths, model.cluster);
    const { connections, read, skipped } = await readFlows(invocation);
    if (connections.length === 0) {
      throw new InputError([
        `none of ${count(read, 'flow')} tells of a connection: nothing is judged`,
      ]);
    }
    const now = new OfflineCluster(withFlowEnds(model, connections));
    const next = new OfflineCluster(withFlowEnds(tried(model, documents), connections));
    const judged = connections.map((seen) => ({
      seen,
      before: verdictOn(now, seen),
      after: verdictOn(next, seen),
    }));
    const flips = judged.flatMap(flipOf);
    const unknown = judged.filter(({ after }) => after === undefined).length;
    const denied = judged.filter(({ after }) => after?.allowed === false).length;
    const older = judged.filter(
      ({ seen, before, after }) =>
        after !== undefined && nameOf(after) !== seen.verdict && before?.allowed === after.allowed,
    ).length;
    const totals = {
      flows: read,
      skipped,
      connections: connections.length,
      denied,
      unknown,
      older,
    };
    const form = flags.string('output');
    if (form === undefined) printOut(text(flips, totals));
    else printOut(await renderValue(form, { flips, ...totals }));
    return flips.length === 0 ? exitCode.fine : exitCode.negative;
  });
}

function verdictOn(cluster: OfflineCluster, seen: SeenConnection): PairVerdict | undefined {
  const from = seatOf(cluster, seen.from, seen.family);
  const to = seatOf(cluster, seen.to, seen.family);
  if (from === undefined || to === undefined) return undefined;
  return cluster.judge(from, to, seen.proto, seen.port);
}

function nameOf({ allowed }: PairVerdict): Verdict {
  return allowed ? 'allowed' : 'denied';
}

interface Judged {
  readonly seen: SeenConnection;
  readonly before: PairVerdict | undefined;
  readonly after: PairVerdict | undefined;
}

/** With the rules that deny, or those that allow on the side that denied before. */
function flipOf({ seen, before, after }: Judged): FlipAnswer[] {
  if (before === undefined || after === undefined || before.allowed === after.allowed) return [];
  if (nameOf(after) === seen.verdict) return [];
  const deciders = (direction: 'egress' | 'ingress') => {
    const { [direction]: side } = after;
    const decides = (after.allowed ? before[direction] : side)?.allowed === false;
    return decides ? ruleNames(side, direction) : [];
  };
  return [
    {
      from: shownEnd(seen.from),
      to: shownEnd(seen.to),
      port: formatL4(seen),
      family: seen.family,
      recorded: seen.verdict,
      simulated: nameOf(after),
      flows: seen.flows,
      egress: deciders('egress'),
      ingress: deciders('ingress'),
    },
  ];
}

interface Totals {
  readonly flows: number;
  readonly skipped: number;
  readonly connections: number;
  readonly denied: number;
  readonly unknown: number;
  /** Judged otherwise than recorded by the policies that are in force already. */
  readonly older: number;
}

function text(flips: readonly FlipAnswer[], totals: Totals): string {
  const lines = flips.map(
    ({ from, to, port, family, recorded, simulated, flows, egress, ingress }) => {
      const sign = simulated === 'allowed' ? '+' : '-';
      const by = rulesText([...egress, ...ingress]);
      const why = by === '' ? 'no policy applies' : `by ${by}`;
      return printable(
        `${sign} ${from} -> ${to} ${port} IPv${family} ${recorded} -> ${simulated}, ${count(flows, 'flow')} (${why})`,
      );
    },
  );
  const { flows, skipped, connections, unknown, older } = totals;
  const lost = unknown === 0 ? '' : `, ${unknown} between pods that have no address now`;
  lines.push(
    `${flips.length} of ${count(connections, 'connection')} change (${count(flows, 'flow')}, ${skipped} skipped${lost})`,
  );
  if (older > 0) {
    const which = count(older, 'connection');
    lines.push(`${which} recorded under older policies: those in force judge otherwise already`);
  }
  return `${lines.join('\n')}\n`;
}
