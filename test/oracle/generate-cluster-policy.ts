/**
 * @module Random ClusterNetworkPolicy objects of both tiers.
 */
import type {
  ClusterPolicyPeer,
  ClusterPolicyProtocol,
  ClusterPolicyRule,
  Direction,
  PodsSelector,
} from './documents.ts';
import type { Random } from './random.ts';
import {
  cidrs,
  namespaceLabels,
  nodeLabels,
  numericPorts,
  podLabels,
  portNames,
  randomSelector,
} from './vocabulary.ts';

/** Few priorities, so that some are equal and the name decides. */
export function randomClusterPolicy(random: Random, index: number): object {
  const ingress = random.chance(0.7);
  const egress = !ingress || random.chance(0.5);
  const rules = (direction: Direction) =>
    random.times(1, 4, (place) => randomRule(random, direction, place));
  return {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    // The number is mixed in so that the order of names is not the order of objects.
    metadata: { name: `tiers-${(index * 7) % 10}-${index}` },
    spec: {
      tier: random.chance(0.6) ? 'Admin' : 'Baseline',
      priority: random.pick([0, 10, 10, 50, 1000]),
      subject: random.chance(0.5)
        ? { namespaces: randomSelector(random, namespaceLabels, 0.4) }
        : { pods: randomPods(random) },
      ...(ingress ? { ingress: rules('ingress') } : {}),
      ...(egress ? { egress: rules('egress') } : {}),
    },
  };
}

function randomPods(random: Random): PodsSelector {
  return {
    namespaceSelector: randomSelector(random, namespaceLabels, 0.4),
    podSelector: randomSelector(random, podLabels),
  };
}

function randomRule(random: Random, direction: Direction, place: number): ClusterPolicyRule {
  const action = random.pick(['Accept', 'Accept', 'Deny', 'Deny', 'Pass'] as const);
  const peers = random.times(1, 3, () => randomPeer(random, direction));
  // A port name is not accepted beside peers whose pods are not known.
  const nameable = peers.every((peer) => peer.nodes === undefined && peer.networks === undefined);
  return {
    ...(random.chance(0.3) ? { name: `rule-${place}` } : {}),
    action,
    ...(direction === 'ingress' ? { from: peers } : { to: peers }),
    ...(random.chance(0.5)
      ? { protocols: random.times(1, 3, () => randomProtocol(random, nameable)) }
      : {}),
  };
}

function randomPeer(random: Random, direction: Direction): ClusterPolicyPeer {
  const choice = random.int(0, direction === 'ingress' ? 5 : 9);
  if (choice < 3) return { namespaces: randomSelector(random, namespaceLabels) };
  if (choice < 6) return { pods: randomPods(random) };
  if (choice < 7) return { nodes: randomSelector(random, nodeLabels) };
  return { networks: random.some(cidrs, 1, 4) };
}

function randomProtocol(random: Random, nameable: boolean): ClusterPolicyProtocol {
  if (nameable && random.chance(0.3)) return { destinationNamedPort: random.pick(portNames) };
  const start = random.pick(numericPorts);
  const range = { start, end: Math.min(65535, start + random.pick([1, 500, 40000])) };
  const destinationPort = random.chance(0.7) ? { number: start } : { range };
  return random.pick([
    { tcp: { destinationPort } },
    { tcp: { destinationPort } },
    { udp: { destinationPort } },
    { sctp: { destinationPort } },
  ]);
}
