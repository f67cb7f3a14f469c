/**
 * @module Who stands in a matrix or a comparison: the pods of a cluster and outside addresses, and the
 * verdicts on each pair of them.
 */
import type {
  End,
  OfflineCluster,
  PairVerdict,
  SideVerdict,
} from '../../daemon/policy/explain/offline.ts';
import { hostName } from '../../daemon/policy/explain/offline-model.ts';
import { ruleNames } from '../../daemon/policy/explain/rule-name.ts';
import { type Family, parseAddress } from '../../net/address.ts';
import type { Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { printError } from '../terminal.ts';
import { endName, type L4, portTo, type WrittenPort } from './ends.ts';

/** Why there is nobody to judge. */
export function nobodyOf({ flags, args }: Invocation, namespace?: string): string {
  if (namespace !== undefined) return `there are no pods of namespace ${JSON.stringify(namespace)}`;
  // Policies to compare with an agent are files, too.
  const isOfAgent = args.length === 0 && flags.strings('file').length === 0;
  return isOfAgent
    ? 'the agent knows no pods yet'
    : 'there are no pods to judge: Pod documents are needed beside the policies';
}

/** A pod or an address, in the families that it has. */
export interface Party {
  readonly name: string;
  /** A pod, or the node under a host firewall: what it sends and gets is judged. */
  readonly isJudged: boolean;
  readonly ends: ReadonlyMap<Family, End>;
}

export interface Cell {
  readonly from: Party;
  readonly to: Party;
  readonly l4: L4;
  /** Set where the families of two ends differ. */
  readonly family: Family | undefined;
  readonly verdict: PairVerdict;
}

/** The pods by name, then the outside addresses as given. Throws `UsageError`. */
export function partiesOf(
  cluster: OfflineCluster,
  external: readonly string[],
  families: readonly Family[],
  namespace?: string,
): Party[] {
  const pods = [...cluster.model.pods, ...cluster.model.hostPods]
    .filter(({ name }) => namespace === undefined || name.startsWith(`${namespace}/`))
    .map(({ name }) => partyOf(cluster, name, families, true))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const without = pods.filter((pod) => pod.ends.size === 0);
  if (without.length > 0) {
    const names = without.slice(0, 3).map((pod) => pod.name);
    const more = without.length > 3 ? ` and ${without.length - 3} more` : '';
    printError(`left out, for they have no address: ${names.join(', ')}${more}`);
  }
  const outside = external.map((text) => {
    const name = endName(cluster, text, 'default');
    const isSpecial = name === 'world' || name === hostName || cluster.hasNode(name);
    if (parseAddress(name) === undefined && !isSpecial) {
      throw new UsageError(
        `--external ${JSON.stringify(text)}: no address, no Node by this name, and neither "world" nor "host"`,
      );
    }
    return partyOf(cluster, name, families, false);
  });
  return [...pods.filter((pod) => pod.ends.size > 0), ...outside];
}

function partyOf(
  cluster: OfflineCluster,
  name: string,
  families: readonly Family[],
  isPod: boolean,
): Party {
  const ends = new Map<Family, End>();
  for (const family of families) {
    const end = cluster.end(name, family);
    if (end !== undefined) ends.set(family, end);
  }
  const hasPolicy = [...ends.values()].some((end) => end.subject !== undefined);
  return { name, isJudged: isPod || hasPolicy, ends };
}

/** Every pair and port in order; two of a pair where its families differ. */
export function* cellsOf(
  cluster: OfflineCluster,
  from: Party,
  to: Party,
  ports: readonly WrittenPort[],
): Generator<Cell> {
  if (!from.isJudged && !to.isJudged) return;
  // A name and a number may be the same port.
  const judged = new Set<string>();
  for (const port of ports) {
    let first: Cell | undefined;
    let second: Cell | undefined;
    for (const [family, each] of from.ends) {
      const end = cluster.asSource(each);
      const other = to.ends.get(family);
      if (other === undefined) continue;
      const l4 = numberOf(port, family, end, other);
      if (l4 === undefined) continue;
      const key = `${family} ${l4.proto}/${l4.port}`;
      if (judged.has(key)) continue;
      judged.add(key);
      const verdict = cluster.judge(end, other, l4.proto, l4.port);
      const cell: Cell = { from, to, l4, family, verdict };
      if (first === undefined) first = cell;
      else second = cell;
    }
    if (first === undefined) continue;
    if (second === undefined || isSame(first, second)) yield { ...first, family: undefined };
    else {
      yield first;
      yield second;
    }
  }
}

/** Undefined where there is no such port: a name that the receiver does not have. */
function numberOf(port: WrittenPort, family: Family, from: End, to: End): L4 | undefined {
  if (port.kind === 'number') return port;
  if (port.kind === 'icmp' && port.proto !== undefined) {
    if ((port.proto === 58) !== (family === 6)) return undefined;
  }
  try {
    return portTo(port, { family, from, to });
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}

function isSame(a: Cell, b: Cell): boolean {
  return (
    a.l4.proto === b.l4.proto &&
    sameSide(a.verdict.egress, b.verdict.egress, 'egress') &&
    sameSide(a.verdict.ingress, b.verdict.ingress, 'ingress')
  );
}

function sameSide(
  a: SideVerdict | undefined,
  b: SideVerdict | undefined,
  direction: 'egress' | 'ingress',
): boolean {
  if (a === b) return true;
  return (
    a?.allowed === b?.allowed && ruleNames(a, direction).join() === ruleNames(b, direction).join()
  );
}
