/**
 * @module
 * Tables of the node itself: `devices` (native devices that pods reach the world by) and
 * `node-addresses` (every address of this node). Written by the node reflector from netlink; the
 * node reconciler writes the status of devices back.
 */
import { formatStatus, type Status } from '../../kv/status.ts';
import { Table } from '../../kv/table.ts';
import type { IfIndex } from '../../net/if-index.ts';

export interface DeviceRow {
  readonly name: string;
  readonly ifindex: IfIndex;
  readonly mtu: number;
  /** What pods' packets are translated to; undefined where the device has no such address. */
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  readonly status: Status;
}

export interface NodeAddressRow {
  readonly address: string;
  readonly device: string;
}

export function devices(): Table<DeviceRow> {
  return new Table<DeviceRow>({
    name: 'devices',
    key: (row) => row.name,
    columns: [
      { name: 'name', value: (row) => row.name },
      { name: 'index', value: (row) => String(row.ifindex) },
      { name: 'mtu', value: (row) => String(row.mtu) },
      { name: 'ipv4', value: (row) => row.ipv4 ?? '' },
      { name: 'ipv6', value: (row) => row.ipv6 ?? '' },
      { name: 'status', value: (row) => formatStatus(row.status) },
    ],
  });
}

export function nodeAddresses(): Table<NodeAddressRow> {
  return new Table<NodeAddressRow>({
    name: 'node-addresses',
    key: (row) => row.address,
    columns: [
      { name: 'address', value: (row) => row.address },
      { name: 'device', value: (row) => row.device },
    ],
  });
}
