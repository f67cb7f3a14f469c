/**
 * @module
 * Table `devices` → cilium_devices and the programs on each native device: one brings translated
 * answers back to pods, and with a host firewall the two judge the node's own traffic. A device is
 * mapped before its programs are attached.
 */

import type { Device } from '../../bpf/gen/layouts.ts';
import type { TypedMap } from '../../bpf/libbpf/typed-map.ts';
import type { Attachments, Hook } from '../../bpf/loader/attachment.ts';
import { Reconciler } from '../../kv/reconciler.ts';
import type { Table } from '../../kv/table.ts';
import { requireAddress } from '../../net/address.ts';
import type { DeviceRow } from './table.ts';

export interface DeviceTargets {
  readonly devices: TypedMap<number, Device>;
  readonly attachments: Attachments;
  readonly hooks: readonly Hook[];
  /** Resolves when the programs have what they judge by. Undefined if they judge nobody. */
  readonly ready: Promise<void> | undefined;
}

const noAddress = new Uint8Array(16);

function addressBytes(text: string | undefined): Uint8Array {
  return text === undefined ? noAddress : requireAddress(text).bytes;
}

export function reconcileDevices(
  table: Table<DeviceRow>,
  targets: DeviceTargets,
  options: { readonly signal: AbortSignal },
): Reconciler<DeviceRow> {
  return new Reconciler<DeviceRow>({
    table,
    signal: options.signal,
    setStatus: (row, status) => ({ ...row, status }),
    unchanged: (a, b) => a.ifindex === b.ifindex && a.ipv4 === b.ipv4 && a.ipv6 === b.ipv6,
    target: {
      async update(row) {
        if (targets.ready !== undefined) await targets.ready;
        targets.devices.update(row.ifindex, {
          ipv4: addressBytes(row.ipv4),
          ipv6: addressBytes(row.ipv6),
          flags: 0,
        });
        targets.attachments.attach({ kind: 'device', name: row.name }, row.ifindex, targets.hooks);
      },
      delete(name, row) {
        targets.attachments.detach({ kind: 'device', name }, row.ifindex, ['ingress', 'egress']);
        targets.devices.delete(row.ifindex);
      },
      prune(names) {
        const known = new Set([...table.all()].map((row) => Number(row.ifindex)));
        for (const [ifindex] of [...targets.devices.entries()]) {
          if (!known.has(ifindex)) targets.devices.delete(ifindex);
        }
        for (const owner of targets.attachments.owners('device')) {
          if (owner.kind === 'device' && !hasName(names, owner.name)) {
            targets.attachments.detach(owner, 0, []);
          }
        }
      },
    },
  });
}

/** Folder names have no dots. */
function hasName(names: ReadonlySet<string>, folder: string): boolean {
  for (const name of names) if (name.replaceAll('.', '_') === folder) return true;
  return false;
}
