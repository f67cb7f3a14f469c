/**
 * @module Random clusters: a few namespaces, nodes, pods, services and groups that overlap in every
 * way that policies can tell apart, and random policies of all five kinds over them. Every object
 * is a valid document.
 */
import type { Cluster, ContainerPort, LabelMap } from './documents.ts';
import { randomCiliumPolicy } from './generate-cilium.ts';
import { randomClusterPolicy } from './generate-cluster-policy.ts';
import { randomNetworkPolicy } from './generate-network-policy.ts';
import { Random } from './random.ts';
import {
  cidrs,
  groupLabels,
  groupNames,
  namespaces,
  nodes,
  outsideAddresses,
  podLabels,
  services,
} from './vocabulary.ts';

/** The same cluster for the same seed. */
export function generateCluster(seed: number): Cluster {
  const random = new Random(seed);
  return {
    objects: [
      ...namespaces.map((name) => namespace(random, name)),
      ...nodes.map((node) => nodeObject(random, node)),
      ...random.times(9, 14, (index) => pod(random, index)),
      ...services.flatMap((name) => service(random, name)),
      ...random.some(groupNames, 1, 3).map((name) => cidrGroup(random, name)),
      ...policies(random),
    ],
    config: {
      enablePolicy: random.chance(0.9) ? 'default' : random.pick(['always', 'always', 'never']),
      allowLocalhost: random.chance(0.7),
      cluster: random.pick(['default', 'east']),
      localNode: 'node-a',
      cidrMatchesNodes: random.chance(0.3),
    },
  };
}

/** Some clusters have few policies, so that the default and the lower tiers are seen too. */
function policies(random: Random): object[] {
  const [least, most] = random.pick([
    [0, 3],
    [2, 7],
    [4, 12],
    [6, 12],
  ] as const);
  return random.times(least, most, (index) => {
    const kind = random.int(0, 9);
    if (kind < 3) return randomNetworkPolicy(random, index);
    if (kind < 6) return randomCiliumPolicy(random, 'CiliumNetworkPolicy', index);
    if (kind < 8) return randomCiliumPolicy(random, 'CiliumClusterwideNetworkPolicy', index);
    return randomClusterPolicy(random, index);
  });
}

function namespace(random: Random, name: string): object {
  const labels: Record<string, string> = { 'kubernetes.io/metadata.name': name };
  if (random.chance(0.7)) labels['env'] = random.pick(['prod', 'dev']);
  if (random.chance(0.5)) labels['team'] = random.pick(['red', 'blue']);
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function nodeObject(random: Random, node: (typeof nodes)[number]): object {
  const labels: Record<string, string> = { 'kubernetes.io/hostname': node.name };
  if (random.chance(0.8)) labels['zone'] = random.pick(['one', 'two']);
  if (random.chance(0.4)) labels['role'] = 'edge';
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: node.name, labels },
    status: {
      addresses: [
        { type: 'Hostname', address: node.name },
        { type: 'InternalIP', address: node.v4 },
        { type: 'InternalIP', address: node.v6 },
        ...(node.external === undefined ? [] : [{ type: 'ExternalIP', address: node.external }]),
      ],
    },
  };
}

function pod(random: Random, index: number): object {
  const place = random.int(0, nodes.length - 1);
  const node = nodes[place] ?? nodes[0];
  const hostNetwork = random.chance(0.07);
  const addresses = hostNetwork
    ? [node.v4, node.v6]
    : [
        `10.0.${place}.${10 + index}`,
        `${place === 0 ? 'fd00:10' : `fd00:10:0:${place}`}::${(16 + index).toString(16)}`,
      ];
  const state = random.chance(0.06) ? random.pick(['Succeeded', 'Failed']) : 'Running';
  const pending = !hostNetwork && random.chance(0.04);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `pod-${index}`,
      namespace: random.pick(namespaces),
      labels: somePodLabels(random),
    },
    spec: {
      nodeName: node.name,
      ...(hostNetwork ? { hostNetwork: true } : {}),
      serviceAccountName: random.pick(['default', 'robot']),
      containers: [{ name: 'main', image: 'main', ports: containerPorts(random) }],
    },
    status: pending
      ? { phase: 'Pending' }
      : { phase: state, podIPs: addresses.map((ip) => ({ ip })) },
  };
}

function somePodLabels(random: Random): LabelMap {
  const labels: Record<string, string> = {};
  for (const [key, values] of Object.entries(podLabels))
    if (random.chance(0.75)) labels[key] = random.pick(values);
  return labels;
}

/** One name is different numbers on different pods, and different protocols. */
function containerPorts(random: Random): ContainerPort[] {
  const choices: ContainerPort[] = [
    { name: 'http', containerPort: random.pick([80, 8080]) },
    { name: 'metrics', containerPort: random.pick([9090, 8080]), protocol: 'TCP' },
    { name: 'dns', containerPort: 53, protocol: random.chance(0.7) ? 'UDP' : 'TCP' },
    { name: 'signal', containerPort: 5060, protocol: random.pick(['SCTP', 'UDP']) },
    { containerPort: 443 },
  ];
  return random.some(choices, 1, 4);
}

/** A service with a selector, or one without and with endpoints of its own. */
function service(random: Random, name: string): object[] {
  const metadata = {
    name,
    namespace: random.pick(namespaces),
    labels: { kind: random.pick(['inner', 'outer']) },
  };
  const port = { name: 'main', port: 80, protocol: 'TCP' };
  const head = { apiVersion: 'v1', kind: 'Service', metadata };
  if (name.startsWith('inner')) {
    const app = random.pick(podLabels.app);
    return [{ ...head, spec: { selector: { app }, ports: [port] } }];
  }
  const candidates = [...outsideAddresses, nodes[1].v4, '10.0.0.10', '10.0.1.11'];
  const addresses = random.some(candidates, 1, 4).map((ip) => ({ ip }));
  const endpoints = {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { name, namespace: metadata.namespace },
    subsets: [{ addresses, ports: [port] }],
  };
  return [{ ...head, spec: { ports: [port] } }, ...(random.chance(0.85) ? [endpoints] : [])];
}

function cidrGroup(random: Random, name: string): object {
  const labels: Record<string, string> = {};
  for (const [key, values] of Object.entries(groupLabels))
    if (random.chance(0.7)) labels[key] = random.pick(values);
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumCIDRGroup',
    metadata: { name, labels },
    spec: { externalCIDRs: random.some(cidrs, 0, 3) },
  };
}
