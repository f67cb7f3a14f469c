/**
 * @module
 * Table `endpoints`: the attachments of pods on this node, what was asked for and what has been
 * done. Written by the endpoint controller (CNI and REST requests, restored state), carried to the
 * kernel by the endpoint reconciler, which writes state and status back.
 */

import { formatStatus, type Status } from '../../kv/status.ts';
import { Table } from '../../kv/table.ts';
import type { IfIndex } from '../../net/if-index.ts';
import type { IdentityId } from '../identity/table.ts';

export type EndpointId = number & { readonly __endpoint: unique symbol };

export type EndpointState =
  | 'waiting-for-identity'
  | 'not-ready'
  | 'waiting-to-regenerate'
  | 'regenerating'
  | 'restoring'
  | 'ready'
  | 'disconnecting'
  | 'disconnected'
  | 'invalid';

export interface EndpointLogEntry {
  readonly timestamp: string;
  readonly code: 'OK' | 'Failed';
  readonly message: string;
  readonly state: EndpointState;
}

export interface EndpointRow {
  readonly id: EndpointId;
  readonly containerId: string;
  readonly containerInterfaceName: string;
  readonly netnsPath: string;
  readonly podName: string;
  readonly namespace: string;
  readonly podUid: string;
  /** Sorted `source:key=value`: all identity labels. */
  readonly labels: readonly string[];
  /** What the pod's owner gave it, before anything was added or left out; see `labels`. */
  readonly ownLabels: Readonly<Record<string, string>>;
  /** The pod's named ports as text, `http/6=8080`; empty where none is known. */
  readonly ports: string;
  /** Policy is only audited here: what it denies goes on, and is told. */
  readonly audit: boolean;
  /** 0 until the labels have an identity. */
  readonly identity: IdentityId | 0;
  /** The slot in the policy maps; 0 until the identity has a policy. */
  readonly policyId: number;
  readonly ifindex: IfIndex;
  readonly interfaceName: string;
  readonly mac: string;
  readonly hostMac: string;
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  readonly state: EndpointState;
  /** The policy revision that packets of this endpoint obey. */
  readonly policyRevision: number;
  readonly ingressEnforced: boolean;
  readonly egressEnforced: boolean;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly status: Status;
  /** Latest last; bounded by its writer. */
  readonly log: readonly EndpointLogEntry[];
}

/** Takes a number from outside; ids fit the 16 bits that programs have for them. */
export function endpointId(value: number): EndpointId {
  if (!Number.isInteger(value) || value < 1 || value > 0xffff) {
    throw new RangeError(`endpoint id out of range: ${value}`);
  }
  return value as EndpointId;
}

/** The key of the `attachment` index: one interface of one container. */
export function attachmentKey(containerId: string, containerInterfaceName: string): string {
  return `${containerId}:${containerInterfaceName}`;
}

export function endpoints(): Table<EndpointRow, EndpointId> {
  return new Table<EndpointRow, EndpointId>({
    name: 'endpoints',
    key: (row) => row.id,
    indexes: {
      identity: (row) => [row.identity],
      podName: (row) => (row.podName === '' ? [] : [`${row.namespace}/${row.podName}`]),
      ip: (row) => [row.ipv4, row.ipv6].filter((ip) => ip !== undefined),
      containerId: (row) => (row.containerId === '' ? [] : [row.containerId]),
      attachment: (row) =>
        row.containerId === '' ? [] : [attachmentKey(row.containerId, row.containerInterfaceName)],
      ifindex: (row) => [row.ifindex],
    },
    columns: [
      { name: 'id', value: (row) => String(row.id) },
      { name: 'state', value: (row) => row.state },
      {
        name: 'pod',
        value: (row) => (row.podName === '' ? '' : `${row.namespace}/${row.podName}`),
      },
      { name: 'identity', value: (row) => String(row.identity) },
      { name: 'ipv4', value: (row) => row.ipv4 ?? '' },
      { name: 'ipv6', value: (row) => row.ipv6 ?? '' },
      { name: 'interface', value: (row) => row.interfaceName },
      { name: 'ingress', value: (row) => (row.ingressEnforced ? 'enforced' : '') },
      { name: 'egress', value: (row) => (row.egressEnforced ? 'enforced' : '') },
      { name: 'policy', value: (row) => String(row.policyRevision) },
      { name: 'status', value: (row) => formatStatus(row.status) },
    ],
  });
}
