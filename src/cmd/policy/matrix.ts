/**
 * @module `cilium policy matrix`: the verdict on every pair of pods and outside addresses, for some ports.
 * Rows are written as they are found; nothing is kept of a pair that is told.
 */
import { OfflineCluster, type SideVerdict } from '../../daemon/policy/explain/offline.ts';
import { protocolNames } from '../../daemon/policy/explain/port-segments.ts';
import { ruleNames } from '../../daemon/policy/explain/rule-name.ts';
import { parsePorts } from '../../daemon/ports.ts';
import type { Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { parsePort, type WrittenPort } from './ends.ts';
import { matrixGrid, matrixList } from './matrix-text.ts';
import { answering, exitCode, familiesOf, InputError } from './options.ts';
import { cellsOf, nobodyOf, type Party, partiesOf } from './parties.ts';
import { Progress, RowWriter } from './rows.ts';
import { loadModel } from './source.ts';

export function matrix(invocation: Invocation): Promise<number> {
  return answering(invocation, async () => {
    const { flags, args } = invocation;
    if (args.length > 0)
      throw new UsageError(`unexpected ${JSON.stringify(args[0])}: files are -f FILE`);
    const form = flags.string('output') ?? 'table';
    if (!['table', 'list', 'json', 'jsonl'].includes(form)) {
      throw new UsageError(`unknown output format "${form}": table, list, json or jsonl`);
    }
    const ports = flags.strings('port').map(parsePort);
    if (ports.length === 0) ports.push({ kind: 'number', proto: 6, port: 80 });
    if (ports.some((port) => port.kind === 'any')) throw new UsageError('--port: a port is needed');
    const cluster = new OfflineCluster(await loadModel(invocation));
    const families = familiesOf(invocation);
    const parties = partiesOf(
      cluster,
      flags.strings('external'),
      families,
      flags.string('namespace'),
    );
    if (!parties.some((party) => party.isJudged))
      throw new InputError([nobodyOf(invocation, flags.string('namespace'))]);
    checkNames(ports, cluster);
    if (form === 'table' && ports.length === 1) matrixGrid(cluster, parties, ports);
    else if (form === 'table' || form === 'list') matrixList(cluster, parties, ports);
    else writeRows(cluster, parties, ports, form);
    return exitCode.fine;
  });
}

/** A named port that no pod has would leave every field empty. */
function checkNames(ports: readonly WrittenPort[], { model }: OfflineCluster): void {
  const known = new Set(
    model.pods.flatMap((pod) => parsePorts(pod.ports).map((port) => port.name)),
  );
  for (const port of ports) {
    if (port.kind !== 'name' || known.has(port.name)) continue;
    throw new UsageError(`no pod has a port named ${JSON.stringify(port.name)}`);
  }
}

function writeRows(
  cluster: OfflineCluster,
  parties: readonly Party[],
  ports: readonly WrittenPort[],
  form: string,
): void {
  using writer = new RowWriter(form === 'json');
  using progress = new Progress('pairs', parties.length * parties.length);
  const texts = new WeakMap<SideVerdict, string>();
  const names = parties.map((party) => JSON.stringify(party.name));
  const audited = parties.map(({ ends }) =>
    [...ends.values()].some((end) => cluster.isAudited(end)),
  );
  for (const [index, from] of parties.entries()) {
    progress.at(index * parties.length);
    for (const [other, to] of parties.entries()) {
      for (const { l4, family, verdict } of cellsOf(cluster, from, to, ports)) {
        const { egress, ingress, allowed, audit } = verdict;
        // By hand: a million rows take seconds otherwise, and the sides repeat.
        writer.row(
          `{"from":${names[index]},"to":${names[other]},"port":${l4.port}` +
            `,"protocol":"${protocolNames[l4.proto] ?? l4.proto}"` +
            `${family === undefined ? '' : `,"family":${family}`}` +
            `,"verdict":"${allowed ? 'allowed' : 'denied'}","audit":${audit}` +
            `,"egress":${sideText(egress, 'egress', audited[index], texts)}` +
            `,"ingress":${sideText(ingress, 'ingress', audited[other], texts)}}`,
        );
      }
    }
  }
}

function sideText(
  side: SideVerdict | undefined,
  direction: 'egress' | 'ingress',
  isAudited: boolean | undefined,
  texts: WeakMap<SideVerdict, string>,
): string {
  if (side === undefined) return '{"verdict":"allowed","rules":[],"audit":false}';
  let text = texts.get(side);
  if (text === undefined) {
    const verdict = side.allowed ? 'allowed' : 'denied';
    text = JSON.stringify({ verdict, rules: ruleNames(side, direction) });
    texts.set(side, text);
  }
  // Ends with the same policy share the text, and not all of them may be audited.
  return `${text.slice(0, -1)},"audit":${isAudited === true && !side.allowed}}`;
}
