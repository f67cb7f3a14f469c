/**
 * @module Ends of recorded flows in a cluster: by the names of pods, else by the labels and the address
 * that the flow itself has.
 */

import { identityHost, identityRemoteNode } from '../../daemon/identity/table.ts';
import type { End, OfflineCluster } from '../../daemon/policy/explain/offline.ts';
import {
  hostPrefixText,
  type OfflineModel,
  withPods,
} from '../../daemon/policy/explain/offline-model.ts';
import { workloadOf } from '../../daemon/policy/explain/workload.ts';
import type { FlowEnd, SeenConnection } from './flows.ts';

/** The model with every end that only the flows know. */
export function withFlowEnds(
  model: OfflineModel,
  connections: readonly SeenConnection[],
): OfflineModel {
  const names = new Set([...model.pods, ...model.hostPods].map((pod) => pod.name));
  const placed = new Set(model.places.map((place) => place.prefix));
  const found = new Map<string, FlowEnd>();
  const places = [...model.places];
  for (const end of connections.flatMap(({ from, to }) => [from, to])) {
    if (names.has(end.pod)) continue;
    if (workloadOf(end.labels) !== undefined) found.set(end.address, end);
    const identity = end.labels.includes('reserved:host')
      ? identityHost
      : end.labels.includes('reserved:remote-node')
        ? identityRemoteNode
        : undefined;
    const prefix = hostPrefixText(end.address);
    if (identity === undefined || placed.has(prefix)) continue;
    placed.add(prefix);
    places.push({ prefix, identity });
  }
  return withPods({ ...model, places }, [...found.values()]);
}

/** Undefined where the pod has no address of the family now. */
export function seatOf(
  cluster: OfflineCluster,
  { pod, address }: FlowEnd,
  family: 4 | 6,
): End | undefined {
  if (pod !== '' && cluster.has(pod)) return cluster.end(pod, family);
  return cluster.end(address, family);
}

/** As people know it. */
export function shownEnd({ pod, address }: FlowEnd): string {
  return pod === '' ? address : pod;
}
