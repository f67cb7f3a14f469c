/**
 * @module CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy: denies before allows, and
 * requirements that narrow every allow of a subject.
 */
import { cidrSetTest, entityTest, nodesTest, outside, servicesTest } from './cilium-peers.ts';
import type {
  CiliumEntry,
  CiliumPolicyObject,
  CiliumPort,
  CiliumRule,
  Direction,
  IcmpField,
  LabelSelector,
} from './documents.ts';
import { icmpType } from './icmp-types.ts';
import type { Directory, PodFacts } from './parties.ts';
import {
  anyPeer,
  anyPeerOf,
  anyPort,
  anyPortOf,
  inPrefixes,
  type NetworkTier,
  namedPort,
  noPeer,
  type PeerTest,
  type PortTest,
  portRange,
  type Rule,
  ruleName,
} from './rules.ts';
import { inScope, type Label, namesReserved, selectsIdentity, selectsObject } from './selectors.ts';

/** A rule that selects the subject, with the name that its entries share. */
interface Selected {
  readonly policy: CiliumPolicyObject;
  readonly index: number;
  readonly rule: CiliumRule;
}

/** Who is asked about: a pod, or the local node by the labels of its object. */
export type Subject =
  | { readonly pod: PodFacts; readonly labels: readonly Label[] }
  | { readonly node: Readonly<Record<string, string>> };

/** Adds what the policies of both kinds say of this subject in this direction. */
export function addCiliumPolicies(
  tier: NetworkTier,
  policies: readonly CiliumPolicyObject[],
  directory: Directory,
  subject: Subject,
  direction: Direction,
): void {
  const selected = policies.flatMap((policy) =>
    rulesOf(policy)
      .map((rule, index) => ({ policy, index, rule }))
      .filter((one) => isSelected(one, subject)),
  );
  const required = requirementsOf(selected, direction);
  for (const one of selected) {
    const allows = one.rule[direction] ?? [];
    const denies = one.rule[direction === 'ingress' ? 'ingressDeny' : 'egressDeny'] ?? [];
    if (allows.length === 0 && denies.length === 0) continue;
    tier.present = true;
    if (one.rule.enableDefaultDeny?.[direction] !== false) tier.causes.push(nameOf(one, direction));
    for (const [index, entry] of allows.entries()) {
      const rule = toRule(directory, one, entry, direction, `${direction}[${index}]`, 'allow');
      const { matchesPeer } = rule;
      tier.allows.push({
        ...rule,
        matchesPeer: (peer, family) => matchesPeer(peer, family) && required(peer, family),
      });
    }
    for (const [index, entry] of denies.entries())
      tier.denies.push(
        toRule(directory, one, entry, direction, `${direction}Deny[${index}]`, 'deny'),
      );
  }
}

function rulesOf(policy: CiliumPolicyObject): CiliumRule[] {
  return [...(policy.spec === undefined ? [] : [policy.spec]), ...(policy.specs ?? [])];
}

function nameOf({ policy, index }: Selected, path: string): string {
  return ruleName(policy.kind, policy.metadata.namespace, policy.metadata.name, index, path);
}

/** The namespace of a namespaced policy; undefined for a cluster-wide one. */
function scopeOf(policy: CiliumPolicyObject): string | undefined {
  return policy.kind === 'CiliumNetworkPolicy'
    ? (policy.metadata.namespace ?? 'default')
    : undefined;
}

function isSelected({ policy, rule }: Selected, subject: Subject): boolean {
  if ('node' in subject)
    return rule.nodeSelector !== undefined && selectsObject(rule.nodeSelector, subject.node);
  const namespace = scopeOf(policy);
  if (rule.endpointSelector === undefined) return false;
  if (namespace !== undefined && namespace !== subject.pod.namespace) return false;
  return selectsIdentity(rule.endpointSelector, subject.labels);
}

/** Only allow sections require anything, and of every allow of the subject. */
function requirementsOf(selected: readonly Selected[], direction: Direction): PeerTest {
  const selectors = selected.flatMap(({ policy, rule }) =>
    (rule[direction] ?? [])
      .flatMap((entry) => (direction === 'ingress' ? entry.fromRequires : entry.toRequires) ?? [])
      .map((selector) => inScope(selector, scopeOf(policy))),
  );
  return ({ identityLabels }) => selectors.every((one) => selectsIdentity(one, identityLabels));
}

function toRule(
  directory: Directory,
  selected: Selected,
  entry: CiliumEntry,
  direction: Direction,
  path: string,
  action: 'allow' | 'deny',
): Rule {
  return {
    name: nameOf(selected, path),
    action,
    matchesPeer: peersOf(directory, entry, direction, scopeOf(selected.policy)),
    matchesPort: portsOf(entry),
  };
}

function peersOf(
  directory: Directory,
  entry: CiliumEntry,
  direction: Direction,
  namespace: string | undefined,
): PeerTest {
  const ingress = direction === 'ingress';
  const tests: PeerTest[] = [];
  const add = <T>(list: readonly T[] | undefined, test: (one: T) => PeerTest) => {
    if (list !== undefined) tests.push(anyPeerOf(list.map(test)));
  };
  add(ingress ? entry.fromEndpoints : entry.toEndpoints, (one) => endpointsTest(one, namespace));
  add(ingress ? entry.fromCIDR : entry.toCIDR, (cidr) => outside(directory, inPrefixes([cidr])));
  add(ingress ? entry.fromCIDRSet : entry.toCIDRSet, (set) => cidrSetTest(directory, set));
  add(ingress ? entry.fromEntities : entry.toEntities, entityTest);
  add(ingress ? entry.fromNodes : entry.toNodes, nodesTest);
  if (!ingress) add(entry.toServices, (service) => servicesTest(directory, service));
  if (tests.length > 0) return anyPeerOf(tests);
  // With nothing but ports the entry is about anybody. Without ports it is the empty entry, which is
  // nobody; requirements alone grant nothing either.
  return entry.toPorts !== undefined || entry.icmps !== undefined ? anyPeer : noPeer;
}

function endpointsTest(selector: LabelSelector, namespace: string | undefined): PeerTest {
  const scoped = namesReserved(selector) ? selector : inScope(selector, namespace);
  return ({ identityLabels }) => selectsIdentity(scoped, identityLabels);
}

function portsOf(entry: CiliumEntry): PortTest {
  if (entry.toPorts !== undefined)
    return anyPortOf(entry.toPorts.flatMap(({ ports }) => (ports ?? []).map(portTest)));
  if (entry.icmps !== undefined)
    return anyPortOf(entry.icmps.flatMap(({ fields }) => fields.map(icmpTest)));
  return anyPort;
}

const transports = ['TCP', 'UDP', 'SCTP'] as const;

function portTest({ port, endPort, protocol = 'ANY' }: CiliumPort): PortTest {
  const protocols = protocol === 'ANY' ? transports : [protocol];
  return anyPortOf(
    protocols.map((one) => {
      if (!/^\d+$/.test(port)) return namedPort(port, one);
      const first = Number(port);
      return first === 0 ? portRange(one) : portRange(one, first, endPort ?? first);
    }),
  );
}

function icmpTest({ family = 'IPv4', type }: IcmpField): PortTest {
  const number = icmpType(family, type);
  return portRange(family === 'IPv4' ? 'ICMP' : 'ICMPv6', number, number);
}
