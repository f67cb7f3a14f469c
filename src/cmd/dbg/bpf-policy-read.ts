/**
 * @module Reads what the datapath enforces for each endpoint out of the pinned maps: the bank that the
 * runtime configuration selects, the endpoint's slot in it, and the identities behind each peer class.
 */
import {
  CLASS_ANY,
  CLASS_NONE,
  endpointFlags,
  POLICY_IDS_MAX,
  POLICY_STATIC_BITS,
  policyConfigFlags,
  policyDirection,
  policyEntryFlags,
  runtimeFlags,
} from '../../bpf/gen/constants.ts';
import {
  type Endpoint,
  endpointLayout,
  identityClassKeyLayout,
  identityClassLayout,
  type PolicyConfig,
  policyConfigLayout,
  policyEntryLayout,
  policyKeyLayout,
  runtimeConfigLayout,
} from '../../bpf/gen/layouts.ts';
import { isGroup } from '../../bpf/map/peer-class.ts';
import { type AddressBlocks, addressBlocks, type BlocksOf } from './address-blocks.ts';
import { decodeRows, type RawRow, readInner, readPinned, viewOf } from './pinned.ts';

/** One line of a policy: what a packet of this peer, protocol and port is told. */
export interface PolicyRow {
  readonly deny: boolean;
  /** Denied because nothing allows it. */
  readonly isDefault: boolean;
  readonly direction: 'ingress' | 'egress';
  /** 0: whoever it is, or a group. */
  readonly identity: number;
  /** Of the identity's addresses only those in this set; 0 for those that are in none. */
  readonly addressSet: number;
  /** The blocks of the set; undefined where it has none. */
  readonly blocks?: AddressBlocks;
  /** The identities of a group, which is asked when the peer's class has no entry. */
  readonly group?: readonly number[];
  readonly classId: number;
  readonly proto: number;
  readonly port: number;
  /** Bits of protocol (8) and port (16) that must match. */
  readonly prefix: number;
  /** Rules behind it, 0 when nothing is enforced in this direction. */
  readonly cookie: number;
}

export interface EndpointPolicy {
  readonly endpointId: number;
  readonly path: string;
  /** Why the rows are not the whole truth. */
  readonly problem: string | undefined;
  readonly rows: readonly PolicyRow[];
}

/** Policies of all endpoints of the node, by endpoint id; 0 is the node itself. Throws when the maps are not there. */
export function readPolicies(bpfRoot: string): EndpointPolicy[] {
  const runtime = decodeRows(readPinned(bpfRoot, 'cilium_runtime_config'), runtimeConfigLayout);
  const bank = (runtime[0]?.value.epoch ?? 0) & 1;
  const auditsAll = ((runtime[0]?.value.flags ?? 0) & runtimeFlags.RUNTIME_POLICY_AUDIT) !== 0;
  const peers = peersByClass(readPinned(bpfRoot, 'cilium_identity_class'), bank);
  const blocksOf = addressBlocks(readPinned(bpfRoot, 'cilium_address_sets'), bank);
  const configs = decodeRows(readPinned(bpfRoot, 'cilium_policy_config'), policyConfigLayout);
  const endpoints = decodeRows(readPinned(bpfRoot, 'cilium_endpoints'), endpointLayout);
  const hostPolicyId = runtime[0]?.value.hostPolicyId ?? 0;
  const judges: Pick<Endpoint, 'id' | 'policyId' | 'flags'>[] = endpoints.map(({ value }) => value);
  if (hostPolicyId !== 0) judges.push({ id: hostEndpoint, policyId: hostPolicyId, flags: 0 });
  const found = judges.map(({ id, policyId, flags }): EndpointPolicy => {
    const slot = bank * POLICY_IDS_MAX + policyId;
    const config = configs[slot]?.value;
    const entries = readInner(bpfRoot, 'cilium_policy_v2', slot);
    return {
      endpointId: id,
      path: `${bpfRoot}/tc/globals/cilium_policy_v2[${slot}]`,
      problem: problemOf(config, auditsAll || (flags & endpointFlags.ENDPOINT_AUDIT) !== 0),
      rows: [...policyRows(entries, peers, blocksOf), ...unenforced(config)],
    };
  });
  return found.sort((a, b) => a.endpointId - b.endpointId);
}

/** Stands for the node, whose policy is in force where there is a host firewall. */
const hostEndpoint = 0;

/** A peer as the datapath tells them apart. */
export interface PeerKey {
  readonly identity: number;
  readonly addressSet: number;
}

/** Peers by class and by group; the two never have the same number. */
function peersByClass(rows: readonly RawRow[], bank: number): Map<number, PeerKey[]> {
  const peers = new Map<number, PeerKey[]>();
  for (const { key, value } of rows) {
    const peer = identityClassKeyLayout.decode(viewOf(key));
    const { classId, groupId } = identityClassLayout.decode(viewOf(value));
    for (const number of [classId[bank], groupId[bank]]) {
      if (number === undefined || number === CLASS_NONE) continue;
      const list = peers.get(number);
      if (list === undefined) peers.set(number, [peer]);
      else list.push(peer);
    }
  }
  return peers;
}

/** One row for each peer of an entry's class; one for a group or a wildcard as a whole. */
export function policyRows(
  entries: readonly RawRow[],
  peers: ReadonlyMap<number, readonly PeerKey[]>,
  blocksOf: BlocksOf,
): PolicyRow[] {
  return entries.flatMap((entry): PolicyRow[] => {
    const key = policyKeyLayout.decode(viewOf(entry.key));
    const value = policyEntryLayout.decode(viewOf(entry.value));
    const isDefault = (value.flags & policyEntryFlags.POLICY_ENTRY_DEFAULT) !== 0;
    const row = {
      deny: isDefault || (value.flags & policyEntryFlags.POLICY_ENTRY_DENY) !== 0,
      isDefault,
      direction: directionOf(key.direction),
      identity: 0,
      addressSet: 0,
      classId: key.classId,
      proto: key.proto,
      port: key.port,
      prefix: key.prefixlen - POLICY_STATIC_BITS,
      cookie: value.cookie,
    } as const;
    if (key.classId === CLASS_ANY) return [row];
    const members = peers.get(key.classId) ?? [];
    if (isGroup(key.classId)) {
      return [{ ...row, group: [...new Set(members.map(({ identity }) => identity))] }];
    }
    return members.map(({ identity, addressSet }) => {
      const blocks = addressSet === 0 ? undefined : blocksOf(identity, addressSet);
      return { ...row, identity, addressSet, ...(blocks === undefined ? {} : { blocks }) };
    });
  });
}

function directionOf(direction: number): 'ingress' | 'egress' {
  return direction === policyDirection.POLICY_INGRESS ? 'ingress' : 'egress';
}

/** A direction that no policy selects allows everything, without an entry in the map. */
function unenforced(config: PolicyConfig | undefined): PolicyRow[] {
  if (config === undefined || (config.flags & policyConfigFlags.POLICY_VALID) === 0) return [];
  const open: PolicyRow[] = [];
  const row = {
    ...{ deny: false, isDefault: false, identity: 0, addressSet: 0, classId: CLASS_ANY },
    ...{ proto: 0, port: 0, prefix: 0, cookie: 0 },
  };
  if ((config.flags & policyConfigFlags.POLICY_ENFORCE_INGRESS) === 0) {
    open.push({ ...row, direction: 'ingress' });
  }
  if ((config.flags & policyConfigFlags.POLICY_ENFORCE_EGRESS) === 0) {
    open.push({ ...row, direction: 'egress' });
  }
  return open;
}

function problemOf(config: PolicyConfig | undefined, isAudited: boolean): string | undefined {
  const flags = config?.flags ?? 0;
  if ((flags & policyConfigFlags.POLICY_VALID) === 0)
    return 'not computed yet, everything is dropped';
  if ((flags & policyConfigFlags.POLICY_OVERFLOW) !== 0)
    return 'entries did not fit, what is missing is denied';
  if (isAudited) return 'audit: denials are only reported';
  return undefined;
}
