/**
 * @module
 * Table `endpoints` → programs on the pod's interface, cilium_endpoints and cilium_lxc. Attaches
 * before it maps: until an address is in cilium_lxc, what its pod sends is dropped as spoofed and
 * nothing is delivered to it. Writes state and status back.
 */

import type { Endpoint } from '../../bpf/gen/layouts.ts';
import type { TypedMap } from '../../bpf/libbpf/typed-map.ts';
import type { Attachments, Hook } from '../../bpf/loader/attachment.ts';
import { Reconciler } from '../../kv/reconciler.ts';
import type { Status } from '../../kv/status.ts';
import type { Table } from '../../kv/table.ts';
import { requireAddress } from '../../net/address.ts';
import { requireMac } from '../../net/mac.ts';
import { appendLog } from './reflector.ts';
import { type EndpointId, type EndpointRow, endpointId } from './table.ts';

export interface EndpointTargets {
  readonly endpoints: TypedMap<number, Endpoint>;
  readonly lxc: TypedMap<Uint8Array, Endpoint>;
  readonly attachments: Attachments;
  readonly hooks: readonly Hook[];
  /** The host side of an endpoint that is gone. Its programs stay on until `held` is disposed. */
  readonly removeLink: (row: EndpointRow, held: readonly Disposable[]) => void;
  /** Maps and interface of the endpoint are gone. */
  readonly onDetached: (id: EndpointId) => void;
  /** An address changed hands: connections to it must be judged again. */
  readonly onAddressFreed: () => void;
}

const noAddress = new Uint8Array(16);

function encode(row: EndpointRow): Endpoint {
  return {
    ifindex: row.ifindex,
    id: row.id,
    flags: 0,
    identity: row.identity,
    policyId: row.policyId,
    mac: requireMac(row.mac),
    nodeMac: requireMac(row.hostMac),
    ipv4: row.ipv4 === undefined ? noAddress : requireAddress(row.ipv4).bytes,
    ipv6: row.ipv6 === undefined ? noAddress : requireAddress(row.ipv6).bytes,
  };
}

function addressesOf(row: EndpointRow): Uint8Array[] {
  return [row.ipv4, row.ipv6]
    .filter((text) => text !== undefined)
    .map((text) => requireAddress(text).bytes);
}

/** What of a row the kernel knows about. */
function sameInKernel(a: EndpointRow, b: EndpointRow): boolean {
  return (
    a.identity === b.identity &&
    a.policyId === b.policyId &&
    a.ifindex === b.ifindex &&
    a.mac === b.mac &&
    a.hostMac === b.hostMac &&
    a.ipv4 === b.ipv4 &&
    a.ipv6 === b.ipv6
  );
}

function withStatus(row: EndpointRow, status: Status): EndpointRow {
  if (status.kind === 'error') {
    return {
      ...row,
      status,
      state: 'not-ready',
      log: appendLog(row.log, status.message, 'not-ready', 'Failed'),
    };
  }
  // Without a slot nothing has been written yet: the controller comes back with one.
  if (status.kind !== 'done' || row.policyId === 0) return { ...row, status };
  if (row.state === 'ready') return { ...row, status };
  return {
    ...row,
    status,
    state: 'ready',
    log: appendLog(row.log, 'Endpoint is in the datapath', 'ready'),
  };
}

export function reconcileEndpoints(
  table: Table<EndpointRow, EndpointId>,
  targets: EndpointTargets,
  options: { readonly initialized: Promise<unknown>; readonly signal: AbortSignal },
): Reconciler<EndpointRow, EndpointId> {
  const { attachments, endpoints, lxc } = targets;

  const update = (row: EndpointRow) => {
    if (row.policyId === 0) return;
    const before = endpoints.lookup(row.ifindex);
    const value = encode(row);
    endpoints.update(row.ifindex, value);
    attachments.attach({ kind: 'endpoint', id: row.id }, row.ifindex, targets.hooks);
    for (const address of addressesOf(row)) lxc.update(address, value);
    if (before !== undefined && before.identity !== value.identity) targets.onAddressFreed();
  };

  const remove = (id: EndpointId, row: EndpointRow) => {
    for (const address of addressesOf(row)) {
      // A successor may have the address already.
      if (lxc.lookup(address)?.id === id) lxc.delete(address);
    }
    if (endpoints.lookup(row.ifindex)?.id === id) endpoints.delete(row.ifindex);
    targets.onAddressFreed();
    targets.removeLink(row, attachments.release({ kind: 'endpoint', id }));
    targets.onDetached(id);
  };

  return new Reconciler<EndpointRow, EndpointId>({
    table,
    initialized: options.initialized,
    signal: options.signal,
    setStatus: withStatus,
    unchanged: sameInKernel,
    target: { update, delete: remove, prune: (keys) => prune(keys, targets) },
  });
}

/** What an earlier agent left for endpoints that are no more. */
function prune(keys: ReadonlySet<EndpointId>, targets: EndpointTargets): void {
  const known = (id: number) => keys.has(id as EndpointId);
  for (const [ifindex, { id }] of [...targets.endpoints.entries()]) {
    if (!known(id)) targets.endpoints.delete(ifindex);
  }
  for (const [address, { id }] of [...targets.lxc.entries()]) {
    if (!known(id)) targets.lxc.delete(address);
  }
  for (const owner of targets.attachments.owners('endpoint')) {
    if (owner.kind !== 'endpoint' || known(owner.id)) continue;
    targets.attachments.detach(owner, 0, []);
    if (owner.id > 0 && owner.id <= 0xffff) targets.onDetached(endpointId(owner.id));
  }
}
