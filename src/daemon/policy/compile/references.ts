/**
 * @module
 * What rules refer to, read from table `cluster-objects`.
 */

import type { ClusterObject, ClusterObjectKind, EndpointsObject } from '../../../k8s/object.ts';
import type { Table } from '../../../kv/table.ts';
import { type ClusterObjectRow, serviceKey } from '../../cluster/table.ts';
import { NamedPorts } from './named-ports.ts';
import type { ReferenceKind, References } from './resolve.ts';

type ObjectOf<K extends ClusterObjectKind> = Extract<ClusterObject, { kind: K }>;

/** `known` are the ports of the pods in the table, if somebody keeps them. */
export function tableReferences(table: Table<ClusterObjectRow>, known?: NamedPorts): References {
  const all = <K extends ClusterObjectKind>(kind: K): ObjectOf<K>[] =>
    table
      .by('kind', kind)
      .map((row) => row.object)
      .filter((object): object is ObjectOf<K> => object.kind === kind);
  let ports = known;
  let revision = -1;
  const portsNow = () => {
    if (known !== undefined) return known;
    if (ports === undefined || revision !== table.revision) {
      ports = new NamedPorts();
      for (const pod of all('Pod')) ports.set(`${pod.namespace}/${pod.name}`, pod.ports);
      revision = table.revision;
    }
    return ports;
  };
  return {
    cidrGroups: () => all('CiliumCIDRGroup'),
    services: () => all('Service'),
    nodes: () => all('Node'),
    portNumbers: (name, proto) => portsNow().numbers(name, proto),
    endpoints: (namespace, service) =>
      table
        .by('service', serviceKey(namespace, service))
        .map((row) => row.object)
        .filter(
          (object): object is EndpointsObject => 'addresses' in object && 'service' in object,
        ),
  };
}

/** Which references may mean something else when an object of this kind changes; pods are counted. */
export const referenceOf: Readonly<Partial<Record<ClusterObjectKind, ReferenceKind>>> = {
  CiliumCIDRGroup: 'cidr-group',
  Service: 'service',
  Endpoints: 'service',
  EndpointSlice: 'service',
  Node: 'nodes',
};
