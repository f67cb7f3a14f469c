/**
 * @module
 * What would turn a verdict around: found by trying. Rules are taken away, or one is added, the
 * cluster is compiled again, and the connection is judged again.
 */

import { parseLabel } from '../../identity/table.ts';
import { parseDocuments } from '../parse/parse.ts';
import type { CookiePolicy, PolicyRuleRow } from '../table.ts';
import type { Question } from './explain.ts';
import { type End, OfflineCluster, type SideVerdict } from './offline.ts';
import { overlay } from './offline-model.ts';
import { protocolNames } from './port-segments.ts';
import { implicitReason, isRuleOf, ruleNames } from './rule-name.ts';
import { exactBlock, policyNameOf, selectorFor, workloadOf } from './workload.ts';

export interface Change {
  readonly kind: 'add' | 'remove' | 'select' | 'none';
  /** The side that it concerns. */
  readonly direction: Question['direction'];
  /** Rules to take away, in the order in which they were. */
  readonly rules: readonly string[];
  /** A document to add. */
  readonly document?: object;
  /** What the side then says. */
  readonly becomes: 'allowed' | 'denied';
  readonly becauseOf: readonly string[];
  /** Why there is no document that would allow it; undefined if there is one, or if it is allowed. */
  readonly obstacle?: string;
}

/** Rounds of taking rules away; each compiles the cluster once. */
const roundsMax = 6;

export function changeOf(cluster: OfflineCluster, question: Question): Change {
  const side = sideOf(cluster, question);
  if (side === undefined) return unchanged(question, 'allowed');
  if (side.allowed) {
    if (!isOpen(side)) return without(cluster, question, side, false);
    const because = ruleNames(side, question.direction);
    return because.length === 0 ? selected(question) : unchanged(question, 'allowed', because);
  }
  if (side.isDefault) return added(cluster, question);
  if (isBaseline(cluster, side))
    return added(cluster, question, { enableDefaultDeny: { [question.direction]: false } });
  return { ...without(cluster, question, side, true), obstacle: deniesText };
}

const deniesText = 'a rule that denies comes before every CiliumNetworkPolicy that allows';

/** The last tier comes after whatever a policy of a namespace allows. */
function isBaseline({ model }: OfflineCluster, { policies }: SideVerdict): boolean {
  return policies.every((policy) =>
    model.rules.some((row) => isRuleOf(row, policy) && row.rule.tier === 'baseline'),
  );
}

function isOpen(side: SideVerdict): boolean {
  return side.policies.every((each) => implicitReason(each) !== undefined);
}

function unchanged(
  { direction }: Question,
  becomes: Change['becomes'],
  becauseOf: readonly string[] = [],
): Change {
  return { kind: 'none', direction, rules: [], becomes, becauseOf };
}

/** Nothing speaks about the connection: a policy that selects the end would deny. */
function selected({ direction }: Question): Change {
  return { kind: 'select', direction, rules: [], becomes: 'denied', becauseOf: [] };
}

function sideOf(cluster: OfflineCluster, question: Question): SideVerdict | undefined {
  const { direction, own, peer, proto, port } = question;
  const [from, to] = direction === 'egress' ? [own, peer] : [peer, own];
  return cluster.judge(from, to, proto, port)[direction];
}

/** Takes away what decides, round by round, until something else decides the other way. */
function without(
  cluster: OfflineCluster,
  question: Question,
  first: SideVerdict,
  wanted: boolean,
): Change {
  const { direction } = question;
  const rules: string[] = [];
  let side: SideVerdict | undefined = first;
  let { model } = cluster;
  for (let round = 0; round < roundsMax; round++) {
    if (side === undefined || side.allowed === wanted || side.isDefault || isOpen(side)) break;
    rules.push(...ruleNames(side, direction));
    const { policies }: SideVerdict = side;
    model = { ...model, rules: model.rules.map((row) => withoutItems(row, policies, direction)) };
    const next = new OfflineCluster(model);
    side = sideOf(next, reseated(next, question));
  }
  return {
    kind: 'remove',
    direction,
    rules,
    becomes: side?.allowed === false ? 'denied' : 'allowed',
    becauseOf: ruleNames(side, direction),
  };
}

function withoutItems(
  row: PolicyRuleRow,
  policies: readonly CookiePolicy[],
  direction: Question['direction'],
): PolicyRuleRow {
  const gone = policies.filter((each) => isRuleOf(row, each)).flatMap((each) => each.items);
  const items = row.rule[direction];
  if (gone.length === 0 || items === undefined) return row;
  const left = items.filter((each) => !gone.includes(each.path));
  return { ...row, rule: { ...row.rule, [direction]: left } };
}

/** The least that allows exactly this, tried out; `more` is what its spec has besides. */
function added(cluster: OfflineCluster, question: Question, more: object = {}): Change {
  const { direction } = question;
  const subject = subjectOf(cluster, question.own);
  if (typeof subject === 'string') {
    return { ...unchanged(question, 'denied'), obstacle: subject };
  }
  const document = leastPolicy(cluster, question, subject, more);
  const parsed = parseDocuments(JSON.stringify(document), { cluster: cluster.model.cluster });
  if (parsed.kind === 'refused') {
    const [problem] = parsed.problems;
    const obstacle = `the policy that would is refused: ${problem?.path}: ${problem?.message}`;
    return { ...unchanged(question, 'denied'), obstacle };
  }
  const next = new OfflineCluster(overlay(cluster.model, parsed.policies, []));
  const side = sideOf(next, reseated(next, question));
  const becauseOf = ruleNames(side, direction);
  if (side?.allowed !== true) {
    const obstacle = `the least rule that would is not enough: ${becauseOf.join(', ')}`;
    return { ...unchanged(question, 'denied', becauseOf), obstacle };
  }
  return { kind: 'add', direction, rules: [], document, becomes: 'allowed', becauseOf };
}

/** The same ends in another cluster of the same pods. */
function reseated(cluster: OfflineCluster, question: Question): Question {
  const seat = (end: End) => cluster.end(end.name, end.family) ?? end;
  return { ...question, own: seat(question.own), peer: seat(question.peer) };
}

/** Whom a written policy would protect, as its kind says it. */
interface WrittenSubject {
  readonly kind: string;
  /** Empty for the node. */
  readonly namespace: string;
  readonly spec: object;
}

const hostnameLabel = 'kubernetes.io/hostname';

/** The pods of a workload, or the node alone; why not, where neither can be named. */
function subjectOf(cluster: OfflineCluster, own: End): WrittenSubject | string {
  if (own.pod === undefined) {
    const prefix = `k8s:${hostnameLabel}=`;
    const label = cluster.model.nodeLabels?.find((each) => each.startsWith(prefix));
    if (label === undefined) return `the node has no label ${hostnameLabel} to select it alone by`;
    const matchLabels = { [hostnameLabel]: label.slice(prefix.length) };
    const spec = { nodeSelector: { matchLabels } };
    return { kind: 'CiliumClusterwideNetworkPolicy', namespace: '', spec };
  }
  const workload = workloadOf(cluster.identityLabels(own));
  if (workload === undefined) return `the labels of ${own.name} are not known`;
  const { namespace } = workload;
  const spec = { endpointSelector: selectorFor(workload, [], 'kept') };
  return { kind: 'CiliumNetworkPolicy', namespace, spec };
}

/** A policy for exactly this connection, or for all ports between these two. */
function leastPolicy(
  cluster: OfflineCluster,
  question: Question,
  { kind, namespace, spec }: WrittenSubject,
  more: object,
): object {
  const { direction, own, peer, proto, port, anyPort = false } = question;
  const verb = direction === 'ingress' ? 'from' : 'to';
  const name = policyNameOf(['allow', shortName(own), verb, shortName(peer)]);
  const ports = anyPort ? {} : portsOf(proto, port, peer);
  return {
    apiVersion: 'cilium.io/v2',
    kind,
    metadata: { name, ...(namespace === '' ? {} : { namespace }) },
    spec: {
      ...spec,
      ...more,
      [direction]: [{ ...peerOf(cluster, peer, verb, namespace), ...ports }],
    },
  };
}

function shortName({ name }: End): string {
  return name.slice(name.indexOf('/') + 1);
}

function peerOf(cluster: OfflineCluster, peer: End, side: 'from' | 'to', namespace: string) {
  const labels = cluster.identityLabels(peer);
  const workload = workloadOf(labels);
  if (workload !== undefined) {
    const { matchLabels = {}, ...rest } = selectorFor(workload, [], 'kept');
    const where =
      workload.namespace === namespace
        ? {}
        : { 'k8s:io.kubernetes.pod.namespace': workload.namespace };
    return { [`${side}Endpoints`]: [{ matchLabels: { ...where, ...matchLabels }, ...rest }] };
  }
  const entity = entityOf(labels);
  if (entity !== undefined && (entity !== 'world' || peer.name === 'world')) {
    return { [`${side}Entities`]: [entity] };
  }
  return { [`${side}CIDR`]: [exactBlock(peer.address)] };
}

/** The entity of a reserved label. */
function entityOf(labels: readonly string[]): string | undefined {
  const reserved = labels.map(parseLabel).filter(({ source }) => source === 'reserved');
  const names = new Set(reserved.map(({ key }) => key));
  if ([...names].some((name) => name.startsWith('world'))) return 'world';
  const order = ['host', 'kube-apiserver', 'remote-node', 'health', 'ingress', 'init', 'unmanaged'];
  return order.find((name) => names.has(name));
}

function portsOf(proto: number, port: number, { family }: End) {
  if (proto === 1 || proto === 58) {
    const name = family === 4 ? 'IPv4' : 'IPv6';
    return { icmps: [{ fields: [{ type: port, family: name }] }] };
  }
  const protocol = protocolNames[proto] ?? 'TCP';
  // Port 0 in a policy would mean every port.
  if (port === 0) return {};
  return { toPorts: [{ ports: [{ port: String(port), protocol }] }] };
}
