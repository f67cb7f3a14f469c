/**
 * @module
 * What rules refer to, read from table `cluster-objects`.
 */

import type { ClusterObject, ClusterObjectKind, EndpointsObject } from '../../../k8s/object.ts';
import type { Table } from '../../../kv/table.ts';
import { type ClusterObjectRow, serviceKey } from '../../cluster/table.ts';
import type { ReferenceKind, References } from './resolve.ts';

type ObjectOf<K extends ClusterObjectKind> = Extract<ClusterObject, { kind: K }>;

export function tableReferences(table: Table<ClusterObjectRow>): References {
  const all = <K extends ClusterObjectKind>(kind: K): ObjectOf<K>[] =>
    table
      .by('kind', kind)
      .map((row) => row.object)
      .filter((object): object is ObjectOf<K> => object.kind === kind);
  return {
    cidrGroups: () => all('CiliumCIDRGroup'),
    services: () => all('Service'),
    nodes: () => all('Node'),
    pods: () => all('Pod'),
    endpoints: (namespace, service) =>
      table
        .by('service', serviceKey(namespace, service))
        .map((row) => row.object)
        .filter(
          (object): object is EndpointsObject => 'addresses' in object && 'service' in object,
        ),
  };
}

/** Which references may mean something else when an object of this kind changes. */
export const referenceOf: Readonly<Partial<Record<ClusterObjectKind, ReferenceKind>>> = {
  CiliumCIDRGroup: 'cidr-group',
  Service: 'service',
  Endpoints: 'service',
  EndpointSlice: 'service',
  Node: 'nodes',
  Pod: 'named-port',
};
