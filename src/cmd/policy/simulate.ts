/**
 * @module `cilium policy simulate`: recorded flows against policies that are not applied. What would be
 * judged otherwise than it was, with the rules that would do it.
 */
import { OfflineCluster, type PairVerdict } from '../../daemon/policy/offline.ts';
import { overlay } from '../../daemon/policy/offline-model.ts';
import { ruleNames } from '../../daemon/policy/rule-name.ts';
import { printable } from '../../k8s/problem.ts';
import type { Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { renderValue } from '../rendering.ts';
import { printOut } from '../terminal.ts';
import { formatL4 } from './ends.ts';
import { readFlows, type SeenConnection } from './flows.ts';
import { answering, exitCode } from './options.ts';
import { seatOf, shownEnd, withFlowEnds } from './replay.ts';
import { agentModel, fileModel, readDocuments } from './source.ts';

interface FlipAnswer {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly recorded: 'allowed' | 'denied';
  readonly simulated: 'allowed' | 'denied';
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
    const { policies, objects } = readDocuments(paths, model.cluster);
    const { connections, read, skipped } = await readFlows(invocation);
    const cluster = new OfflineCluster(
      withFlowEnds(overlay(model, policies, objects), connections),
    );
    const judged = connections.map((each) => ({ each, verdict: verdictOn(cluster, each) }));
    const flips = judged.flatMap(({ each, verdict }) => flipOf(each, verdict));
    const unknown = judged.filter(({ verdict }) => verdict === undefined).length;
    const denied = judged.filter(({ verdict }) => verdict?.allowed === false).length;
    const totals = { flows: read, skipped, connections: connections.length, denied, unknown };
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

function flipOf(seen: SeenConnection, verdict: PairVerdict | undefined): FlipAnswer[] {
  if (verdict === undefined || verdict.allowed === (seen.verdict === 'allowed')) return [];
  return [
    {
      from: shownEnd(seen.from),
      to: shownEnd(seen.to),
      port: formatL4(seen),
      recorded: seen.verdict,
      simulated: verdict.allowed ? 'allowed' : 'denied',
      flows: seen.flows,
      egress: ruleNames(verdict.egress, 'egress'),
      ingress: ruleNames(verdict.ingress, 'ingress'),
    },
  ];
}

interface Totals {
  readonly flows: number;
  readonly skipped: number;
  readonly connections: number;
  readonly denied: number;
  readonly unknown: number;
}

function text(flips: readonly FlipAnswer[], totals: Totals): string {
  const lines = flips.map(({ from, to, port, recorded, simulated, flows, egress, ingress }) => {
    const sign = simulated === 'allowed' ? '+' : '-';
    const by = [...egress, ...ingress].join(', ');
    const why = by === '' ? 'no policy applies' : `by ${by}`;
    return printable(
      `${sign} ${from} -> ${to} ${port} ${recorded} -> ${simulated}, ${count(flows, 'flow')} (${why})`,
    );
  });
  const { flows, skipped, connections, unknown } = totals;
  const lost = unknown === 0 ? '' : `, ${unknown} between pods that have no address now`;
  lines.push(
    `${flips.length} of ${count(connections, 'connection')} change (${count(flows, 'flow')}, ${skipped} skipped${lost})`,
  );
  return `${lines.join('\n')}\n`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
