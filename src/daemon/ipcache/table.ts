/**
 * @module
 * Table `ipcache`: which identity an address or prefix has, as this node's programs see it.
 * Written by the endpoint and node controllers, carried to the kernel by the ipcache reconciler,
 * which writes the status back.
 */

import { formatStatus, type Status } from '../../kv/status.ts';
import { Table } from '../../kv/table.ts';
import type { IdentityId } from '../identity/table.ts';

/**
 * Who claims a prefix, best first: endpoints and addresses of this node, pods and addresses of
 * others, the pod ranges, blocks that policies name, the world.
 */
export const ipcacheSources = [
  'local',
  'host',
  'remote',
  'directory',
  'agent-local',
  'generated',
  'world',
] as const;

export type IpcacheSource = (typeof ipcacheSources)[number];

export interface IpcacheRow {
  /** Canonical text, `a.b.c.d/n` or IPv6 `/n`; the longest match wins. */
  readonly prefix: string;
  readonly identity: IdentityId;
  readonly source: IpcacheSource;
  /** Of the pod that has the address, else empty. */
  readonly namespace: string;
  readonly podName: string;
  /** An address of this node: deliver to its stack. */
  readonly host: boolean;
  /** Inside the pod range without an endpoint behind it: drop. */
  readonly unroutable: boolean;
  readonly status: Status;
}

export function ipcache(): Table<IpcacheRow> {
  return new Table<IpcacheRow>({
    name: 'ipcache',
    key: (row) => row.prefix,
    indexes: {
      identity: (row) => [row.identity],
      podName: (row) => (row.podName === '' ? [] : [`${row.namespace}/${row.podName}`]),
    },
    columns: [
      { name: 'prefix', value: (row) => row.prefix },
      { name: 'identity', value: (row) => String(row.identity) },
      { name: 'source', value: (row) => row.source },
      {
        name: 'pod',
        value: (row) => (row.podName === '' ? '' : `${row.namespace}/${row.podName}`),
      },
      { name: 'host', value: (row) => String(row.host) },
      { name: 'unroutable', value: (row) => String(row.unroutable) },
      { name: 'status', value: (row) => formatStatus(row.status) },
    ],
  });
}
