/**
 * @module Random NetworkPolicy objects.
 */
import type { NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicyRule } from './documents.ts';
import type { Random } from './random.ts';
import {
  cidrs,
  namespaceLabels,
  namespaces,
  numericPorts,
  podLabels,
  portNames,
  randomExcept,
  randomSelector,
} from './vocabulary.ts';

/** All forms of policyTypes, absent and empty lists, and every kind of peer and port. */
export function randomNetworkPolicy(random: Random, index: number): object {
  const ingress = random.chance(0.75);
  const egress = !ingress || random.chance(0.5);
  const rules = (key: 'from' | 'to') =>
    random.chance(0.12) ? [] : random.times(1, 3, () => randomRule(random, key));
  const types = [...(ingress ? ['Ingress'] : []), ...(egress ? ['Egress'] : [])];
  // Types left out always mean ingress, and egress only where there are rules for it.
  const written = !ingress || random.chance(0.7);
  const egressRules = egress ? rules('to') : [];
  const namesTypes = written || (egress && egressRules.length === 0);
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: `np-${index}`, namespace: random.pick(namespaces) },
    spec: {
      podSelector: randomSelector(random, podLabels, 0.4),
      ...(namesTypes ? { policyTypes: types } : {}),
      ...(ingress && random.chance(0.9) ? { ingress: rules('from') } : {}),
      ...(egress ? { egress: egressRules } : {}),
    },
  };
}

function randomRule(random: Random, key: 'from' | 'to'): NetworkPolicyRule {
  const peers = random.chance(0.08) ? [] : random.times(1, 3, () => randomPeer(random));
  const ports = random.chance(0.1) ? [] : random.times(1, 3, () => randomPort(random));
  return {
    ...(random.chance(0.8) ? { [key]: peers } : {}),
    ...(random.chance(0.5) ? { ports } : {}),
  };
}

function randomPeer(random: Random): NetworkPolicyPeer {
  if (random.chance(0.4)) {
    const cidr = random.pick(cidrs);
    const except = random.chance(0.4) ? randomExcept(random, cidr) : [];
    return { ipBlock: { cidr, ...(except.length > 0 ? { except } : {}) } };
  }
  const podSelector = randomSelector(random, podLabels);
  const namespaceSelector = randomSelector(random, namespaceLabels);
  return random.pick([{ podSelector }, { namespaceSelector }, { podSelector, namespaceSelector }]);
}

function randomPort(random: Random): NetworkPolicyPort {
  const protocol = random.chance(0.7)
    ? { protocol: random.pick(['TCP', 'TCP', 'UDP', 'SCTP'] as const) }
    : {};
  if (random.chance(0.15)) return protocol;
  if (random.chance(0.3)) return { ...protocol, port: random.pick(portNames) };
  const port = random.pick(numericPorts);
  if (random.chance(0.7)) return { ...protocol, port };
  return { ...protocol, port, endPort: Math.min(65535, port + random.pick([0, 1, 500, 40000])) };
}
