/**
 * @module Makes a cluster that shows a difference small enough to read: takes out objects, and then
 * whatever can be taken out of an object so that it stays a valid document.
 */
import type { Cluster } from './documents.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Path = readonly (string | number)[];

/** Without these a document would be invalid, or another question. */
const neededKeys = new Set([
  ...[
    'apiVersion',
    'kind',
    'metadata',
    'name',
    'namespace',
    'spec',
    'status',
    'podIPs',
    'addresses',
  ],
  ...['ip', 'address', 'phase', 'nodeName', 'hostNetwork', 'containers', 'containerPort', 'image'],
  ...['podSelector', 'endpointSelector', 'nodeSelector', 'namespaceSelector', 'subject', 'tier'],
  ...['priority', 'action', 'pods', 'namespaces', 'nodes', 'networks', 'from', 'to', 'ipBlock'],
  ...['cidr', 'cidrGroupRef', 'cidrGroupSelector', 'externalCIDRs', 'key', 'operator', 'values'],
  ...['port', 'number', 'range', 'start', 'end', 'tcp', 'udp', 'sctp', 'destinationPort', 'fields'],
  ...['destinationNamedPort', 'type', 'family', 'k8sService', 'k8sServiceSelector', 'selector'],
  ...['serviceName', 'ingress', 'egress', 'ingressDeny', 'egressDeny', 'ports', 'subsets', 'spec'],
]);
/** Lists that the API demands to have a member, and lists whose emptiness means something else. */
const filledLists = new Set([
  ...['from', 'to', 'networks', 'protocols', 'values', 'fields', 'icmps', 'toPorts', 'ports'],
  ...['podIPs', 'addresses', 'containers', 'policyTypes', 'specs', 'subsets'],
  ...['ingress', 'egress', 'ingressDeny', 'egressDeny', 'matchExpressions'],
]);
/** Keys that are needed, but may go where the object has another of the same group. */
const sections = ['ingress', 'egress', 'ingressDeny', 'egressDeny'];

/**
 * The smallest cluster found for which fails is still true. It is asked about copies; what it throws
 * counts as another failure than the one looked for.
 */
export function shrinkCluster(cluster: Cluster, fails: (cluster: Cluster) => boolean): Cluster {
  const stillFails = (candidate: Cluster) => {
    try {
      return fails(candidate);
    } catch {
      return false;
    }
  };
  let smallest = shrinkObjects(cluster, stillFails);
  for (let before = ''; before !== JSON.stringify(smallest); ) {
    before = JSON.stringify(smallest);
    smallest = shrinkInside(smallest, stillFails);
    smallest = shrinkObjects(smallest, stillFails);
  }
  return smallest;
}

/** Halves first, then smaller pieces, down to single objects. */
function shrinkObjects(cluster: Cluster, fails: (cluster: Cluster) => boolean): Cluster {
  let objects = [...cluster.objects];
  for (let size = Math.ceil(objects.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let start = 0; start < objects.length; ) {
      const rest = [...objects.slice(0, start), ...objects.slice(start + size)];
      if (fails({ ...cluster, objects: rest })) objects = rest;
      else start += size;
    }
  }
  return { ...cluster, objects };
}

function shrinkInside(cluster: Cluster, fails: (cluster: Cluster) => boolean): Cluster {
  let current = cluster;
  for (let index = 0; index < current.objects.length; index++) {
    // Every removal moves what lies behind it, so the paths are collected again after each.
    for (let tried = 0; ; ) {
      const object = current.objects[index] as Json;
      const path = removablePaths(object, [])[tried];
      if (path === undefined) break;
      const objects = current.objects.with(index, without(object, path) as object);
      if (fails({ ...current, objects })) current = { ...current, objects };
      else tried++;
    }
  }
  return current;
}

function removablePaths(value: Json, path: Path): Path[] {
  if (typeof value !== 'object' || value === null) return [];
  const paths: Path[] = [];
  const own = String(path.findLast((step) => typeof step === 'string') ?? '');
  const keepsLast = Array.isArray(value) && filledLists.has(own) && value.length === 1;
  for (const [key, inner] of Object.entries(value)) {
    const step = Array.isArray(value) ? Number(key) : key;
    const isLabel = own === 'matchLabels' || own === 'labels';
    const free = Array.isArray(value)
      ? !keepsLast
      : isLabel || !neededKeys.has(key) || isSpareKey(value, key, path);
    if (free) paths.push([...path, step]);
    paths.push(...removablePaths(inner, [...path, step]));
  }
  return paths;
}

function isSpareKey(value: { [key: string]: Json }, key: string, path: Path): boolean {
  if (sections.includes(key)) return sections.some((one) => one !== key && one in value);
  // Of a peer of NetworkPolicy one selector is enough; a ClusterNetworkPolicy needs both.
  if (key === 'podSelector') return 'namespaceSelector' in value && !path.includes('pods');
  if (key === 'namespaceSelector') return 'podSelector' in value && !path.includes('pods');
  return (
    key === 'ports' && path[0] === 'spec' && !('protocol' in value) && !path.includes('toPorts')
  );
}

function without(value: Json, path: Path): Json {
  const [step, ...rest] = path;
  if (Array.isArray(value) && typeof step === 'number') {
    if (rest.length === 0) return value.toSpliced(step, 1);
    return value.with(step, without(value[step] ?? null, rest));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(
    rest.length === 0
      ? entries.filter(([key]) => key !== step)
      : entries.map(([key, inner]) => [key, key === step ? without(inner, rest) : inner]),
  );
}
