/**
 * @module Kubernetes NetworkPolicy, from its published meaning: the union of what the policies of a
 * pod's own namespace allow.
 */
import type {
  Direction,
  LabelSelector,
  NetworkPolicyObject,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  NetworkPolicyRule,
} from './documents.ts';
import type { PodFacts } from './parties.ts';
import {
  anyPeer,
  anyPeerOf,
  anyPort,
  anyPortOf,
  inPrefixes,
  type NetworkTier,
  namedPort,
  type PeerTest,
  type PortTest,
  portRange,
  ruleName,
} from './rules.ts';
import { selectsObject } from './selectors.ts';

const kind = 'NetworkPolicy';

/** Adds what the policies say of this pod in this direction. */
export function addNetworkPolicies(
  tier: NetworkTier,
  policies: readonly NetworkPolicyObject[],
  pod: PodFacts,
  direction: Direction,
): void {
  for (const policy of policies) {
    const namespace = policy.metadata.namespace ?? 'default';
    if (namespace !== pod.namespace || !coversDirection(policy, direction)) continue;
    if (!selectsObject(policy.spec.podSelector, pod.labels)) continue;
    tier.present = true;
    tier.causes.push(ruleName(kind, namespace, policy.metadata.name, 0, direction));
    for (const [index, rule] of (policy.spec[direction] ?? []).entries()) {
      tier.allows.push({
        name: ruleName(kind, namespace, policy.metadata.name, 0, `${direction}[${index}]`),
        action: 'allow',
        matchesPeer: peersOf(rule, direction, namespace),
        matchesPort: portsOf(rule),
      });
    }
  }
}

function coversDirection({ spec }: NetworkPolicyObject, direction: Direction): boolean {
  if (spec.policyTypes !== undefined && spec.policyTypes.length > 0)
    return spec.policyTypes.includes(direction === 'ingress' ? 'Ingress' : 'Egress');
  return direction === 'ingress' || spec.egress !== undefined;
}

function peersOf(rule: NetworkPolicyRule, direction: Direction, namespace: string): PeerTest {
  const peers = (direction === 'ingress' ? rule.from : rule.to) ?? [];
  if (peers.length === 0) return anyPeer;
  return anyPeerOf(peers.map((peer) => peerTest(peer, namespace)));
}

function peerTest(peer: NetworkPolicyPeer, namespace: string): PeerTest {
  if (peer.ipBlock !== undefined) return inPrefixes([peer.ipBlock.cidr], peer.ipBlock.except);
  const { podSelector = {}, namespaceSelector } = peer;
  const inNamespace = (pod: PodFacts) => namespaceHolds(pod, namespaceSelector, namespace);
  return ({ pod }) =>
    pod !== undefined && inNamespace(pod) && selectsObject(podSelector, pod.labels);
}

/** An absent selector is the policy's own namespace; an empty one is every namespace. */
function namespaceHolds(
  pod: PodFacts,
  selector: LabelSelector | undefined,
  namespace: string,
): boolean {
  if (selector === undefined) return pod.namespace === namespace;
  return selectsObject(selector, pod.namespaceLabels);
}

function portsOf(rule: NetworkPolicyRule): PortTest {
  const ports = rule.ports ?? [];
  return ports.length === 0 ? anyPort : anyPortOf(ports.map(portTest));
}

function portTest({ port, endPort, protocol = 'TCP' }: NetworkPolicyPort): PortTest {
  if (port === undefined) return portRange(protocol);
  if (typeof port === 'string') return namedPort(port, protocol);
  return portRange(protocol, port, endPort ?? port);
}
