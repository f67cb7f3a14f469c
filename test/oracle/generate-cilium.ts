/**
 * @module Random CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy objects. One kind of peer a
 * rule, never ports and ICMP together, as the agent demands of valid rules.
 */
import type {
  CidrRule,
  CiliumEntry,
  CiliumPort,
  CiliumRule,
  Direction,
  IcmpField,
  LabelSelector,
  ServicePeer,
} from './documents.ts';
import type { Random } from './random.ts';
import {
  cidrs,
  groupLabels,
  groupNames,
  joinSelectors,
  namespaceLabels,
  namespaces,
  nodeLabels,
  numericPorts,
  podLabels,
  portNames,
  randomExcept,
  randomSelector,
  services,
} from './vocabulary.ts';

type Kind = 'CiliumNetworkPolicy' | 'CiliumClusterwideNetworkPolicy';

/** A policy of one rule, or of a list of rules. */
export function randomCiliumPolicy(random: Random, kind: Kind, index: number): object {
  const isCluster = kind === 'CiliumClusterwideNetworkPolicy';
  const rule = () => randomRule(random, isCluster);
  return {
    apiVersion: 'cilium.io/v2',
    kind,
    metadata: {
      name: `${isCluster ? 'ccnp' : 'cnp'}-${index}`,
      ...(isCluster ? {} : { namespace: random.pick(namespaces) }),
    },
    ...(random.chance(0.8) ? { spec: rule() } : { specs: random.times(1, 3, rule) }),
  };
}

function randomRule(random: Random, isCluster: boolean): CiliumRule {
  const ingress = random.chance(0.7);
  const egress = !ingress || random.chance(0.5);
  const flags = {
    ...(ingress && random.chance(0.3) ? { ingress: random.chance(0.3) } : {}),
    ...(egress && random.chance(0.3) ? { egress: random.chance(0.3) } : {}),
  };
  const sections: CiliumRule = {
    ...(ingress ? randomSections(random, 'ingress', isCluster) : {}),
    ...(egress ? randomSections(random, 'egress', isCluster) : {}),
    ...(Object.keys(flags).length > 0 ? { enableDefaultDeny: flags } : {}),
  };
  // Rules about nodes lie between the others, to be left alone by every pod.
  if (isCluster && random.chance(0.1))
    return { nodeSelector: randomSelector(random, nodeLabels), ...sections };
  return { endpointSelector: randomSubject(random, isCluster), ...sections };
}

function randomSubject(random: Random, isCluster: boolean): LabelSelector {
  const pods = randomPodSelector(random, 0.4);
  return isCluster && random.chance(0.4)
    ? joinSelectors(pods, randomNamespaceCondition(random))
    : pods;
}

function randomSections(random: Random, direction: Direction, isCluster: boolean): CiliumRule {
  const list = () => random.times(1, 3, () => randomEntry(random, direction, isCluster, true));
  const denials = () => random.times(1, 2, () => randomEntry(random, direction, isCluster, false));
  const denyKey = `${direction}Deny`;
  const choice = random.int(0, 9);
  if (choice < 6) return { [direction]: list() };
  return choice < 8 ? { [direction]: list(), [denyKey]: denials() } : { [denyKey]: denials() };
}

function randomEntry(
  random: Random,
  direction: Direction,
  isCluster: boolean,
  allow: boolean,
): CiliumEntry {
  if (random.chance(0.07)) return {};
  const ports = randomPorts(random, allow ? 0.5 : 0.7);
  // Ports alone are about anybody; no peer and no ports would be the empty entry again.
  if (Object.keys(ports).length > 0 && random.chance(0.2)) return ports;
  const peers = randomPeers(random, direction === 'ingress' ? 'from' : 'to', isCluster, allow);
  return { ...peers, ...ports };
}

function randomPeers(
  random: Random,
  word: 'from' | 'to',
  isCluster: boolean,
  allow: boolean,
): CiliumEntry {
  const most = random.chance(0.05) ? 0 : 3;
  const many = <T>(make: () => T): T[] => random.times(Math.min(1, most), most, make);
  const choice = random.int(0, word === 'to' ? 11 : 10);
  if (choice < 5) return randomEndpoints(random, word, isCluster, allow, many);
  if (choice < 6) return { [`${word}CIDR`]: many(() => random.pick(cidrs)) };
  if (choice < 8) return { [`${word}CIDRSet`]: many(() => randomCidrRule(random)) };
  if (choice < 10) return { [`${word}Entities`]: many(() => randomEntity(random, allow)) };
  if (choice < 11) return { [`${word}Nodes`]: many(() => randomSelector(random, nodeLabels)) };
  return { toServices: many(() => randomService(random)) };
}

function randomEndpoints(
  random: Random,
  word: 'from' | 'to',
  isCluster: boolean,
  allow: boolean,
  many: <T>(make: () => T) => T[],
): CiliumEntry {
  const endpoints = { [`${word}Endpoints`]: many(() => randomEndpointPeer(random, isCluster)) };
  if (!random.chance(allow ? 0.06 : 0.02)) return endpoints;
  // A requirement that demands something positive, so that only pods can meet it.
  const app = random.some(podLabels.app, 1, 2);
  const requirement = { matchExpressions: [{ key: 'app', operator: 'In', values: app }] };
  return { ...endpoints, [`${word}Requires`]: [requirement] };
}

function randomPodSelector(random: Random, empty: number): LabelSelector {
  const prefix = random.chance(0.7) ? '' : random.pick(['k8s:', 'any:']);
  if (random.chance(0.06))
    return { matchLabels: { 'k8s:io.cilium.k8s.policy.serviceaccount': 'robot' } };
  return randomSelector(random, podLabels, empty, prefix);
}

function randomEndpointPeer(random: Random, isCluster: boolean): LabelSelector {
  if (random.chance(0.03))
    return { matchLabels: { [random.pick(['reserved:host', 'reserved:remote-node'])]: '' } };
  const pods = randomPodSelector(random, 0.3);
  return random.chance(isCluster ? 0.3 : 0.4)
    ? joinSelectors(pods, randomNamespaceCondition(random))
    : pods;
}

/** Conditions that only something in a namespace can meet. */
function randomNamespaceCondition(random: Random): LabelSelector {
  const key = 'k8s:io.kubernetes.pod.namespace';
  switch (random.int(0, 3)) {
    case 0:
      return { matchLabels: { [key]: random.pick(namespaces) } };
    case 1:
      return {
        matchExpressions: [{ key, operator: 'In', values: random.some(namespaces, 1, 2) }],
      };
    case 2:
      return {
        matchExpressions: [
          { key, operator: 'Exists' },
          { key, operator: 'NotIn', values: random.some(namespaces, 1, 2) },
        ],
      };
    default: {
      const name = random.pick(['env', 'team'] as const);
      const label = `k8s:io.cilium.k8s.namespace.labels.${name}`;
      return random.chance(0.5)
        ? { matchLabels: { [label]: random.pick(namespaceLabels[name]) } }
        : { matchExpressions: [{ key: label, operator: 'Exists' }] };
    }
  }
}

function randomCidrRule(random: Random): CidrRule {
  const choice = random.int(0, 5);
  const cut = random.chance(0.2) ? { except: random.some(cidrs, 1, 2) } : {};
  if (choice === 0) return { cidrGroupRef: random.pick([...groupNames, 'group-absent']), ...cut };
  if (choice === 1) return { cidrGroupSelector: randomSelector(random, groupLabels, 0), ...cut };
  const cidr = random.pick(cidrs);
  const except = random.chance(0.4) ? randomExcept(random, cidr) : [];
  return { cidr, ...(except.length > 0 ? { except } : {}) };
}

/** An entity that denies everything would hide the rest of the cluster too often. */
function randomEntity(random: Random, allow: boolean): string {
  const usual = ['world', 'cluster', 'host', 'remote-node'];
  if (random.chance(allow ? 0.2 : 0.03)) return 'all';
  return random.chance(0.85)
    ? random.pick(usual)
    : random.pick(['init', 'health', 'ingress', 'unmanaged', 'none']);
}

function randomService(random: Random): ServicePeer {
  if (random.chance(0.7)) {
    const serviceName = random.pick([...services, 'absent']);
    return { k8sService: { serviceName, namespace: random.pick(namespaces) } };
  }
  const selector = { matchLabels: { kind: random.pick(['inner', 'outer']) } };
  return { k8sServiceSelector: { selector, namespace: random.pick(namespaces) } };
}

function randomPorts(random: Random, likely: number): CiliumEntry {
  if (!random.chance(likely)) return {};
  if (random.chance(0.2))
    return { icmps: [{ fields: random.times(1, 3, () => randomIcmpField(random)) }] };
  const toPorts = random.times(1, 2, () => ({
    ports: random.times(1, 3, () => randomPort(random)),
  }));
  return { toPorts };
}

function randomIcmpField(random: Random): IcmpField {
  if (random.chance(0.5)) {
    const type = random.pick([8, 'EchoRequest', 0, 13, 'DestinationUnreachable']);
    return random.chance(0.5) ? { type } : { family: 'IPv4', type };
  }
  return { family: 'IPv6', type: random.pick([128, 'EchoRequest', 129, 1, 'EchoReply']) };
}

function randomPort(random: Random): CiliumPort {
  const protocol = random.chance(0.7)
    ? { protocol: random.pick(['TCP', 'TCP', 'UDP', 'SCTP', 'ANY'] as const) }
    : {};
  if (random.chance(0.12)) return { ...protocol, port: '0' };
  if (random.chance(0.3)) return { ...protocol, port: random.pick(portNames) };
  const port = random.pick(numericPorts);
  if (random.chance(0.7)) return { ...protocol, port: String(port) };
  const endPort = Math.min(65535, port + random.pick([0, 1, 500, 40000]));
  return { ...protocol, port: String(port), endPort };
}
