/**
 * @module
 * Tables `cluster-objects` (Kubernetes objects that are not policies, as they are known on this node;
 * written by whoever reads them: the directory of policy files, until there is a Kubernetes API) and
 * `remote-pods` (what follows from them about pods of other nodes; written by the controller).
 */

import { type ClusterObject, objectKey } from '../../k8s/object.ts';
import { Table } from '../../kv/table.ts';
import { formatLabel, type IdentityId } from '../identity/table.ts';

export interface ClusterObjectRow {
  readonly object: ClusterObject;
  /** The file's name. */
  readonly origin: string;
}

/** A pod of another node, as a peer of the pods here. */
export interface RemotePodRow {
  readonly namespace: string;
  readonly name: string;
  readonly identity: IdentityId;
  /** Its addresses, as prefixes of a single address each. */
  readonly prefixes: readonly string[];
  /** Named ports as text. */
  readonly ports: string;
}

/** The key of a namespace, pod or other object in the table. */
export function clusterObjectKey(
  kind: ClusterObject['kind'],
  namespace: string,
  name: string,
): string {
  return `${kind}/${namespace}/${name}`;
}

/** A node's labels, as the selectors of policies for nodes see them; none where it is not known. */
export function nodeLabelTexts(node: ClusterObject | undefined): string[] {
  const labels = node?.kind === 'Node' ? node.labels : {};
  return Object.entries(labels).map(([key, value]) => formatLabel({ source: 'k8s', key, value }));
}

/** The value of the `service` index: a service's endpoints. */
export function serviceKey(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

export function clusterObjects(): Table<ClusterObjectRow> {
  return new Table<ClusterObjectRow>({
    name: 'cluster-objects',
    key: (row) => objectKey(row.object),
    indexes: {
      kind: (row) => [row.object.kind],
      origin: (row) => [row.origin],
      namespace: (row) => ('namespace' in row.object ? [row.object.namespace] : []),
      service: ({ object }) =>
        (object.kind === 'Endpoints' || object.kind === 'EndpointSlice') &&
        object.service !== undefined
          ? [serviceKey(object.namespace, object.service)]
          : [],
    },
    columns: [
      { name: 'kind', value: (row) => row.object.kind },
      { name: 'namespace', value: ({ object }) => ('namespace' in object ? object.namespace : '') },
      { name: 'name', value: (row) => row.object.name },
      { name: 'labels', value: ({ object }) => labelText(object) },
      { name: 'origin', value: (row) => row.origin },
    ],
  });
}

export function remotePods(): Table<RemotePodRow> {
  return new Table<RemotePodRow>({
    name: 'remote-pods',
    key: (row) => `${row.namespace}/${row.name}`,
    columns: [
      { name: 'pod', value: (row) => `${row.namespace}/${row.name}` },
      { name: 'identity', value: (row) => String(row.identity) },
      { name: 'addresses', value: (row) => row.prefixes.join(' ') },
      { name: 'ports', value: (row) => row.ports },
    ],
  });
}

function labelText(object: ClusterObject): string {
  if (!('labels' in object)) return '';
  return Object.entries(object.labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}
