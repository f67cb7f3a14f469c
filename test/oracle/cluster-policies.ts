/**
 * @module ClusterNetworkPolicy of the network policy API: ordered rules before and after the
 * network tier.
 */
import type {
  ClusterPolicyObject,
  ClusterPolicyPeer,
  ClusterPolicyProtocol,
  ClusterPolicyRule,
  DestinationPort,
  Direction,
  PodsSelector,
  Protocol,
} from './documents.ts';
import type { PodFacts } from './parties.ts';
import {
  anyPeer,
  anyPeerOf,
  anyPort,
  anyPortOf,
  inPrefixes,
  namedPort,
  noPeer,
  type PeerTest,
  type PortTest,
  portRange,
  type Rule,
  ruleName,
} from './rules.ts';
import { selectsObject } from './selectors.ts';

/** The rules of a tier for a pod, first match first: by priority, by name, by place in the object. */
export function clusterPolicyRules(
  policies: readonly ClusterPolicyObject[],
  tier: 'Admin' | 'Baseline',
  pod: PodFacts,
  direction: Direction,
): Rule[] {
  return policies
    .filter(({ spec }) => spec.tier === tier && isSubject(spec.subject, pod))
    .sort(comparePolicies)
    .flatMap((policy) =>
      (policy.spec[direction] ?? []).map((rule, index) => toRule(policy, rule, index, direction)),
    );
}

function comparePolicies(a: ClusterPolicyObject, b: ClusterPolicyObject): number {
  if (a.spec.priority !== b.spec.priority) return a.spec.priority - b.spec.priority;
  return a.metadata.name < b.metadata.name ? -1 : 1;
}

function isSubject(subject: ClusterPolicyObject['spec']['subject'], pod: PodFacts): boolean {
  if (subject.namespaces !== undefined)
    return selectsObject(subject.namespaces, pod.namespaceLabels);
  return subject.pods !== undefined && selectsPod(subject.pods, pod);
}

function selectsPod({ namespaceSelector, podSelector }: PodsSelector, pod: PodFacts): boolean {
  return (
    selectsObject(namespaceSelector, pod.namespaceLabels) && selectsObject(podSelector, pod.labels)
  );
}

const actions = { Accept: 'allow', Deny: 'deny', Pass: 'pass' } as const;
const knownPeers = ['namespaces', 'pods', 'nodes', 'networks', 'domainNames'];

function toRule(
  policy: ClusterPolicyObject,
  rule: ClusterPolicyRule,
  index: number,
  direction: Direction,
): Rule {
  const path = `${direction}[${index}]`;
  const name = ruleName('ClusterNetworkPolicy', undefined, policy.metadata.name, 0, path);
  const peers = (direction === 'ingress' ? rule.from : rule.to) ?? [];
  const isUnknown = (peer: ClusterPolicyPeer) =>
    !knownPeers.some((key) => Object.hasOwn(peer, key));
  // A peer from a newer API may have been meant to be anybody.
  if (rule.action !== 'Accept' && peers.some(isUnknown))
    return { name, action: 'deny', matchesPeer: anyPeer, matchesPort: anyPort };
  return {
    name,
    action: actions[rule.action],
    matchesPeer: anyPeerOf(peers.map(peerTest)),
    matchesPort:
      rule.protocols === undefined ? anyPort : anyPortOf(rule.protocols.map(protocolTest)),
  };
}

function peerTest(peer: ClusterPolicyPeer): PeerTest {
  const { namespaces, pods, nodes, networks } = peer;
  if (namespaces !== undefined)
    return ({ pod }) => pod !== undefined && selectsObject(namespaces, pod.namespaceLabels);
  if (pods !== undefined) return ({ pod }) => pod !== undefined && selectsPod(pods, pod);
  if (nodes !== undefined)
    return ({ nodeLabels }) => nodeLabels !== undefined && selectsObject(nodes, nodeLabels);
  return networks === undefined ? noPeer : inPrefixes(networks);
}

function protocolTest(entry: ClusterPolicyProtocol): PortTest {
  if (entry.destinationNamedPort !== undefined) return namedPort(entry.destinationNamedPort);
  if (entry.tcp !== undefined) return destinationTest('TCP', entry.tcp.destinationPort);
  if (entry.udp !== undefined) return destinationTest('UDP', entry.udp.destinationPort);
  if (entry.sctp !== undefined) return destinationTest('SCTP', entry.sctp.destinationPort);
  throw new Error('protocols: an entry names no protocol');
}

function destinationTest(protocol: Protocol, port: DestinationPort | undefined): PortTest {
  if (port?.range !== undefined) return portRange(protocol, port.range.start, port.range.end);
  return portRange(protocol, port?.number, port?.number);
}
