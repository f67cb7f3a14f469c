/**
 * @module
 * Many pods of other nodes, no two with the same labels: with them in a cluster its selectors select
 * so many peers that policy maps have them by groups.
 */
import type { Cluster, PodObject } from '../oracle/documents.ts';
import { Random } from '../oracle/random.ts';
import { namespaces, nodes, podLabels } from '../oracle/vocabulary.ts';

const crowdSize = 320;
/** So many of them are asked about as well. */
const askedMax = 3;
const firstName = 'crowd-';

/** The cluster with a crowd. */
export function withCrowd(cluster: Cluster, seed: number): Cluster {
  const random = new Random(seed);
  const elsewhere = nodes.filter(({ name }) => name !== cluster.config.localNode);
  // In few namespaces, so that each of them has many.
  const inhabited = random.some(namespaces, 2, 2);
  const crowd = Array.from({ length: crowdSize }, (_, at): PodObject => {
    const labels = { app: random.pick(podLabels.app), tier: random.pick(podLabels.tier) };
    const [v4, v6] = [`10.0.${100 + (at >> 6)}.${1 + (at & 63)}`, `fd00:10:0:99::${at + 1}`];
    return {
      ...{ apiVersion: 'v1', kind: 'Pod' },
      metadata: {
        name: `${firstName}${at}`,
        namespace: random.pick(inhabited),
        labels: { ...labels, member: String(at) },
      },
      spec: { nodeName: random.pick(elsewhere).name, containers: [] },
      status: { phase: 'Running', podIPs: [{ ip: v4 }, { ip: v6 }] },
    };
  });
  return { ...cluster, objects: [...cluster.objects, ...crowd] };
}

/** The cluster as it is asked about: with no more than a few of its crowd. */
export function askedOf(cluster: Cluster): Cluster {
  let met = 0;
  const objects = (cluster.objects as readonly PodObject[]).filter(
    ({ kind, metadata }) =>
      kind !== 'Pod' || !metadata.name.startsWith(firstName) || met++ < askedMax,
  );
  return { ...cluster, objects };
}
