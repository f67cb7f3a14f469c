/**
 * @module A small fixed cluster for cases that are written by hand, and short words to put policies
 * into it and to ask about it.
 */
import type { Cluster, ContainerPort, Family, OracleConfig, Protocol } from './documents.ts';
import { judge, type Verdict } from './oracle.ts';

const defaults: OracleConfig = {
  enablePolicy: 'default',
  allowLocalhost: false,
  cluster: 'default',
  localNode: 'node-a',
  cidrMatchesNodes: false,
};

function namespace(name: string, labels: object): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function node(name: string, addresses: readonly string[], labels: object): object {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels },
    status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
  };
}

/** A running pod with both addresses, or with none. */
export function pod(
  path: string,
  labels: object,
  last: number,
  ports: readonly ContainerPort[] = [],
  spec: object = {},
  phase = 'Running',
): object {
  const [namespace, name] = path.split('/');
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: { nodeName: 'node-a', containers: [{ ports }], ...spec },
    status: { phase, podIPs: [{ ip: `10.0.0.${last}` }, { ip: `fd00::${last}` }] },
  };
}

const http = (containerPort: number): ContainerPort => ({ name: 'http', containerPort });
const dns: ContainerPort = { name: 'dns', containerPort: 53, protocol: 'UDP' };

/**
 * Namespaces a (env=prod), b (env=dev) and c (without labels); a/web, a/db, b/web, b/db and c/web,
 * whose http is 80, 8080, 3000, 80 and 80; a/web and a/db have a dns on UDP 53. The local node is
 * 192.168.0.1, the other 192.168.0.2, where a/agent is in the host's network.
 */
const objects = [
  namespace('a', { env: 'prod', 'kubernetes.io/metadata.name': 'a' }),
  namespace('b', { env: 'dev' }),
  namespace('c', {}),
  node('node-a', ['node-a', '192.168.0.1', 'fd00:192::1'], { zone: 'one' }),
  node('node-b', ['192.168.0.2', 'fd00:192::2'], { zone: 'two', role: 'edge' }),
  pod('a/web', { app: 'web', tier: 'front', 'pod-template-hash': 'x1' }, 1, [http(80), dns]),
  pod('a/db', { app: 'db' }, 2, [http(8080), dns]),
  pod('b/web', { app: 'web' }, 3, [http(3000)], { serviceAccountName: 'robot' }),
  pod('b/db', { app: 'db', tier: 'back' }, 4, [http(80)]),
  pod('c/web', { app: 'web' }, 5, [http(80)]),
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'agent', namespace: 'a', labels: { app: 'web' } },
    spec: { nodeName: 'node-b', hostNetwork: true, containers: [{ ports: [http(80)] }] },
    status: { phase: 'Running', podIPs: [{ ip: '192.168.0.2' }, { ip: 'fd00:192::2' }] },
  },
  pod('a/job', { app: 'web' }, 9, [], {}, 'Succeeded'),
];

export function clusterWith(
  policies: readonly object[],
  config: Partial<OracleConfig> = {},
): Cluster {
  return { objects: [...objects, ...policies], config: { ...defaults, ...config } };
}

/** "TCP/80", "ICMP/8". */
export function ask(
  cluster: Cluster,
  from: string,
  to: string,
  port = 'TCP/80',
  family: Family = from.includes(':') || to.includes(':') ? 6 : 4,
): Verdict {
  const [protocol, number] = port.split('/');
  return judge(cluster, { from, to, family, protocol: protocol as Protocol, port: Number(number) });
}

export function networkPolicy(path: string, spec: object): object {
  const [namespace, name] = path.split('/');
  const apiVersion = 'networking.k8s.io/v1';
  return { apiVersion, kind: 'NetworkPolicy', metadata: { name, namespace }, spec };
}

/** "namespace/name" for a CiliumNetworkPolicy, a name alone for the cluster-wide kind. */
export function ciliumPolicy(path: string, spec: object | readonly object[]): object {
  const [first, second] = path.split('/');
  const rules = Array.isArray(spec) ? { specs: spec } : { spec };
  const apiVersion = 'cilium.io/v2';
  return second === undefined
    ? { apiVersion, kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: first }, ...rules }
    : {
        apiVersion,
        kind: 'CiliumNetworkPolicy',
        metadata: { name: second, namespace: first },
        ...rules,
      };
}

/** A ClusterNetworkPolicy whose subject is all pods unless the spec says otherwise. */
export function tierPolicy(
  name: string,
  tier: 'Admin' | 'Baseline',
  priority: number,
  spec: object,
): object {
  return {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name },
    spec: { tier, priority, subject: { namespaces: {} }, ...spec },
  };
}

/** One row of a table of cases: from, to, port, and whether it is allowed. */
export type Case = readonly [from: string, to: string, port: string, allowed: boolean];

/** The rows with the answers of the oracle, to be compared with the rows as written. */
export function answers(cluster: Cluster, cases: readonly Case[]): Case[] {
  return cases.map(([from, to, port]) => [from, to, port, ask(cluster, from, to, port).allowed]);
}
