/**
 * @module
 * Table `endpoints` → programs on the pod's interface, cilium_endpoints and cilium_lxc. Attaches
 * before it maps: until an address is in cilium_lxc, what its pod sends is dropped as spoofed and
 * nothing is delivered to it. Writes state and status back.
 */

import { endpointFlags } from '../../bpf/gen/constants.ts';
import type { Endpoint } from '../../bpf/gen/layouts.ts';
import type { TypedMap } from '../../bpf/libbpf/typed-map.ts';
import type { Attachments, Hook } from '../../bpf/loader/attachment.ts';
import { Reconciler } from '../../kv/reconciler.ts';
import type { Status } from '../../kv/status.ts';
import type { Table } from '../../kv/table.ts';
import { requireAddress } from '../../net/address.ts';
import { type IfIndex, ifIndex } from '../../net/if-index.ts';
import { requireMac } from '../../net/mac.ts';
import { appendLog } from './reflector.ts';
import { type EndpointId, type EndpointRow, endpointId } from './table.ts';

export interface EndpointTargets {
  readonly endpoints: TypedMap<number, Endpoint>;
  readonly lxc: TypedMap<Uint8Array, Endpoint>;
  readonly attachments: Attachments;
  readonly hooks: readonly Hook[];
  /**
   * The host side of an endpoint that is gone: passes nothing from now on, and is deleted a moment
   * later. `gone` is called then; until then its programs stay pinned.
   */
  readonly removeLink: (row: EndpointRow, gone: () => void) => void;
  /** As `removeLink`, for one of an earlier agent. False if it must stay as it is. */
  readonly discardLink: (ifindex: IfIndex, gone: () => void) => boolean;
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
    flags: row.audit ? endpointFlags.ENDPOINT_AUDIT : 0,
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
    a.audit === b.audit &&
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
    const value = encode(row);
    endpoints.update(row.ifindex, value);
    attachments.attach({ kind: 'endpoint', id: row.id }, row.ifindex, targets.hooks);
    let changedHands = false;
    try {
      for (const address of addressesOf(row)) {
        // Written last, so that a second try after a failure still sees what was in force before.
        const before = lxc.lookup(address);
        lxc.update(address, value);
        changedHands ||= before !== undefined && !sameParty(before, value);
      }
    } finally {
      if (changedHands) targets.onAddressFreed();
    }
  };

  const remove = (id: EndpointId, row: EndpointRow) => {
    targets.removeLink(row, () => {
      attachments.detach({ kind: 'endpoint', id }, 0, []);
      targets.onDetached(id);
    });
    for (const address of addressesOf(row)) {
      // A successor may have the address already.
      if (lxc.lookup(address)?.id === id) lxc.delete(address);
    }
    if (endpoints.lookup(row.ifindex)?.id === id) endpoints.delete(row.ifindex);
    targets.onAddressFreed();
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

/** True if connections that were judged for the one need not be judged again for the other. */
function sameParty(a: Endpoint, b: Endpoint): boolean {
  return (
    a.id === b.id &&
    a.identity === b.identity &&
    a.ifindex === b.ifindex &&
    a.policyId === b.policyId &&
    a.flags === b.flags
  );
}

/** What an earlier agent left for endpoints that are no more. */
function prune(keys: ReadonlySet<EndpointId>, targets: EndpointTargets): void {
  const known = (id: number) => keys.has(id as EndpointId);
  for (const owner of targets.attachments.owners('endpoint')) {
    if (owner.kind === 'endpoint' && !known(owner.id)) pruneOwner(owner, targets);
  }
  let removed = 0;
  for (const [ifindex, { id }] of [...targets.endpoints.entries()]) {
    if (!known(id) && targets.endpoints.delete(ifindex)) removed++;
  }
  for (const [address, { id }] of [...targets.lxc.entries()]) {
    if (!known(id) && targets.lxc.delete(address)) removed++;
  }
  if (removed > 0) targets.onAddressFreed();
}

/** Programs go after their interface. On one that has to stay they stay, and let nothing pass. */
function pruneOwner(
  owner: { readonly kind: 'endpoint'; readonly id: number },
  { attachments, discardLink, onDetached }: EndpointTargets,
): void {
  const gone = () => {
    attachments.detach(owner, 0, []);
    if (owner.id > 0 && owner.id <= 0xffff) onDetached(endpointId(owner.id));
  };
  const device = attachments.list(owner).find(({ ifindex }) => ifindex !== 0);
  if (device === undefined) gone();
  else discardLink(ifIndex(device.ifindex), gone);
}
