/**
 * @module
 * One side of a verdict explained: the rules that apply to its end, entry by entry, which of them
 * match, and how near the others come. The verdict itself is the compiler's; this reads the rules
 * as they are written, and a test holds the two together.
 */

import { parsePorts } from '../../ports.ts';
import { isNamed } from '../compile/resolve.ts';
import {
  type Direction,
  type NamedPort,
  type PortMatch,
  type PortRange,
  type RuleItem,
  type Tier,
  tiers,
} from '../rule.ts';
import { labelSet, selects } from '../selector.ts';
import type { PolicyRuleRow } from '../table.ts';
import { peerFailure, requirementText } from './explain-peer.ts';
import type { End, OfflineCluster } from './offline.ts';
import { protocolNames } from './port-segments.ts';

/** A connection as one side sees it. */
export interface Question {
  readonly direction: Direction;
  /** Whose policy is asked. */
  readonly own: End;
  readonly peer: End;
  readonly proto: number;
  /** The type for ICMP. */
  readonly port: number;
  /** Every port is meant: this one is an example. */
  readonly anyPort?: boolean;
}

/** One entry of a rule that applies to the end. */
export interface Consideration {
  readonly row: PolicyRuleRow;
  readonly item: RuleItem;
  /** What does not hold; none if the entry matches. */
  readonly reasons: readonly string[];
  /** How many conditions do not hold. */
  readonly failed: number;
  /** False if something before it has decided, or has left its tier. */
  readonly reached: boolean;
}

/** Every entry for the direction, in the order in which they are asked. */
export function considerations(cluster: OfflineCluster, question: Question): Consideration[] {
  const { direction, own } = question;
  const rows = cluster.rulesOf(own);
  const all = rows.flatMap((row) =>
    (row.rule[direction] ?? []).map((item, index) => ({
      ...consider(cluster, rows, row, item, question),
      order: orderOf(row, index),
    })),
  );
  all.sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0));
  const always = cluster.model.config.enablePolicy === 'always';
  const hasDefaultDeny = always || rows.some((row) => row.rule.defaultDeny[direction]);
  return withReach(all, hasDefaultDeny);
}

/** Text that sorts as tiers do, and within the ordered ones as rules do. */
function orderOf({ rule, name }: PolicyRuleRow, index: number): string {
  const tier = String(tiers.indexOf(rule.tier));
  if (rule.tier === 'network') return tier;
  return `${tier}${String(rule.priority).padStart(5, '0')}\n${name}\n${String(index).padStart(5, '0')}`;
}

/** Says of each entry whether it is asked at all. */
function withReach(
  all: readonly Omit<Consideration, 'reached'>[],
  hasDefaultDeny: boolean,
): Consideration[] {
  const left = new Set<Tier>();
  let decidedIn: Tier | undefined;
  return all.map(({ row, item, reasons, failed }) => {
    const { tier } = row.rule;
    const isDecided = decidedIn !== undefined && decidedIn !== tier;
    const reached = !isDecided && !left.has(tier) && !(tier === 'baseline' && hasDefaultDeny);
    if (reached && failed === 0) {
      // In tier `network` all are asked together: a deny beats every allow.
      if (tier !== 'network') left.add(tier);
      if (item.action !== 'pass') decidedIn = tier;
    }
    return { row, item, reasons, failed, reached };
  });
}

/** Entries that would have allowed if they had matched, the nearest first. */
export function nearMisses(all: readonly Consideration[]): Consideration[] {
  const isDenied = all.some(
    ({ row, item, failed, reached }) =>
      reached && failed === 0 && item.action === 'deny' && row.rule.tier === 'network',
  );
  return (
    all
      .filter(({ item, failed, reached }) => item.action === 'allow' && failed > 0 && reached)
      // There a deny beats whatever is allowed.
      .filter(({ row }) => !isDenied || row.rule.tier !== 'network')
      .sort((a, b) => a.failed - b.failed)
  );
}

function consider(
  cluster: OfflineCluster,
  rows: readonly PolicyRuleRow[],
  row: PolicyRuleRow,
  item: RuleItem,
  question: Question,
): Omit<Consideration, 'reached'> {
  const { direction, own, peer, proto, port } = question;
  const receiver = direction === 'ingress' ? own : peer;
  const failures = [
    peerFailure(cluster, row.rule, item, direction, peer),
    ...missingRequirements(cluster, rows, row, item, question),
    portFailure(item.ports, proto, port, receiver),
  ].filter((each) => each !== undefined);
  return {
    row,
    item,
    reasons: failures.map((each) => each.reason),
    failed: failures.reduce((sum, each) => sum + each.failed, 0),
  };
}

/** What `fromRequires` of any rule of the Cilium kinds asks of every peer that they allow. */
function missingRequirements(
  cluster: OfflineCluster,
  rows: readonly PolicyRuleRow[],
  row: PolicyRuleRow,
  item: RuleItem,
  { direction, peer }: Question,
) {
  if (item.action !== 'allow' || !isCilium(row)) return [];
  const labels = labelSet(cluster.peerLabels(peer));
  const required = rows
    .filter(isCilium)
    .flatMap((each) => each.rule[direction] ?? [])
    .filter((each) => each.action === 'allow')
    .flatMap((each) => each.requires);
  const field = direction === 'ingress' ? 'fromRequires' : 'toRequires';
  return [...new Map(required.map((each) => [each.key, each])).values()]
    .filter((selector) => !selects(selector, labels))
    .map((selector) => ({
      failed: 1,
      reason: `${field} asks for ${selector.requirements.map(requirementText).join(', ')}`,
    }));
}

function isCilium({ kind }: PolicyRuleRow): boolean {
  return kind === 'CiliumNetworkPolicy' || kind === 'CiliumClusterwideNetworkPolicy';
}

function portFailure(
  ports: readonly PortMatch[] | undefined,
  proto: number,
  port: number,
  receiver: End,
) {
  if (ports === undefined) return undefined;
  const own = parsePorts(receiver.pod?.ports ?? '');
  const numbers = ports.flatMap((each): PortRange[] => {
    if (!isNamed(each)) return [each];
    return own
      .filter(({ name, proto: one }) => name === each.name && one === each.proto)
      .map((found) => ({ proto: found.proto, first: found.port, last: found.port }));
  });
  const covers = (each: PortRange) =>
    each.proto === proto && each.first <= port && port <= each.last;
  if (numbers.some(covers)) return undefined;
  const texts = compact(ports).map((each) => portText(each, own, receiver));
  // The protocol is told again only where it is another one.
  const isSame = ports.some((each) => each.proto === proto) && proto !== 1 && proto !== 58;
  const wanted = isSame
    ? String(port)
    : portText({ proto, first: port, last: port }, own, receiver);
  const listed =
    texts.length > textsMax
      ? [...texts.slice(0, textsMax), `${texts.length - textsMax} more`]
      : texts;
  const what = listed.length === 0 ? 'no port' : `port ${listed.join(', ')}`;
  return { failed: 1, reason: `allows ${what}, not ${wanted}` };
}

const textsMax = 8;

/** One that stands for TCP, UDP and SCTP alike is told once, for the protocol 0. */
function compact(ports: readonly PortMatch[]): PortMatch[] {
  const key = (each: PortMatch) => (isNamed(each) ? each.name : `${each.first}-${each.last}`);
  const groups = Map.groupBy(ports, key);
  return [...groups.values()].flatMap((same) => {
    const protocols = new Set(same.map((each) => each.proto));
    const isAny = [6, 17, 132].every((proto) => protocols.has(proto));
    const [first] = same;
    return isAny && first !== undefined ? [{ ...first, proto: 0 }] : same;
  });
}

function portText(port: PortMatch, own: readonly { name: string }[], receiver: End): string {
  const protocol = port.proto === 0 ? 'ANY' : (protocolNames[port.proto] ?? String(port.proto));
  if (isNamed(port)) return namedText(port, protocol, own, receiver);
  const { first, last } = port;
  if (port.proto === 1 || port.proto === 58) {
    return first === 0 && last >= 255 ? protocol : `${protocol} type ${first}`;
  }
  if (first === 0 && last === 65535) return `any/${protocol}`;
  return first === last ? `${first}/${protocol}` : `${first}-${last}/${protocol}`;
}

function namedText(
  { name }: NamedPort,
  protocol: string,
  own: readonly { name: string; port?: number }[],
  receiver: End,
): string {
  const found = own.find((each) => each.name === name);
  if (found === undefined) return `${name}/${protocol}, which ${receiver.name} does not have`;
  return `${name}/${protocol}, which is ${found.port} at ${receiver.name}`;
}
