/**
 * @module Questions worth asking of a cluster: every pod with everybody else, in both families,
 * about the ports that some policy or pod names and about those beside them.
 */
import { parseAddress } from './addresses.ts';
import type { Cluster, Family, NodeObject, PodObject, Protocol, Query } from './documents.ts';
import { objectsOf } from './parties.ts';
import type { Random } from './random.ts';
import { outsideAddresses } from './vocabulary.ts';

/** An end with the families in which it can be asked about. */
interface End {
  readonly name: string;
  readonly families: readonly Family[];
  readonly isPod: boolean;
}

const icmpTypes = { 4: [0, 3, 8, 13, 8], 6: [1, 128, 129, 128] } as const;

/** At least one end of each query is a pod; perPair is how many there are for each pair and family. */
export function* queriesOf(cluster: Cluster, random: Random, perPair = 6): Iterable<Query> {
  const ends = endsOf(cluster);
  const ports = interestingPorts(cluster);
  for (const from of ends) {
    for (const to of ends) {
      if (!from.isPod && !to.isPod) continue;
      for (const family of from.families) {
        if (!to.families.includes(family)) continue;
        for (let count = 0; count < perPair; count++)
          yield randomQuery(random, from.name, to.name, family, ports);
      }
    }
  }
}

function randomQuery(
  random: Random,
  from: string,
  to: string,
  family: Family,
  ports: readonly number[],
): Query {
  const icmp = family === 4 ? 'ICMP' : 'ICMPv6';
  const protocol = random.pick<Protocol>(['TCP', 'TCP', 'TCP', 'UDP', 'UDP', 'SCTP', icmp]);
  const port = random.pick(protocol === icmp ? icmpTypes[family] : ports);
  return { from, to, family, protocol, port };
}

function endsOf(cluster: Cluster): End[] {
  const ends: End[] = [];
  const addAddress = (name: string) => {
    const family = parseAddress(name)?.family;
    if (family !== undefined && ends.every((end) => end.name !== name))
      ends.push({ name, families: [family], isPod: false });
  };
  for (const pod of objectsOf<PodObject>(cluster, 'Pod')) {
    const { namespace, name } = pod.metadata;
    const addresses = (pod.status?.podIPs ?? []).map(({ ip }) => ip);
    const ended = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
    if (ended) for (const address of addresses) addAddress(address);
    const families = addresses.flatMap((one) => parseAddress(one)?.family ?? []);
    if (!ended && families.length > 0)
      ends.push({ name: `${namespace}/${name}`, families, isPod: pod.spec?.hostNetwork !== true });
  }
  for (const node of objectsOf<NodeObject>(cluster, 'Node'))
    for (const { address } of node.status?.addresses ?? []) addAddress(address);
  for (const address of outsideAddresses) addAddress(address);
  return ends;
}

/** Every number that stands at a port field of some object, its neighbours, and a few others. */
function interestingPorts(cluster: Cluster): number[] {
  const found = new Set([1, 80, 443, 8080, 65535]);
  const add = (port: number) => {
    for (const one of [port - 1, port, port + 1]) if (one > 0 && one < 65536) found.add(one);
  };
  const walk = (value: unknown, key: string) => {
    if (typeof value === 'number' && portKeys.has(key)) add(value);
    else if (typeof value === 'string' && key === 'port' && /^\d+$/.test(value)) add(Number(value));
    else if (Array.isArray(value)) for (const one of value) walk(one, key);
    else if (typeof value === 'object' && value !== null)
      for (const [name, one] of Object.entries(value)) walk(one, name);
  };
  walk(cluster.objects, '');
  return [...found].sort((a, b) => a - b);
}

const portKeys = new Set(['port', 'endPort', 'containerPort', 'number', 'start', 'end']);
