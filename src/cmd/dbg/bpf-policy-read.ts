/**
 * @module Reads what the datapath enforces for each endpoint out of the pinned maps: the bank that the
 * runtime configuration selects, the endpoint's slot in it, and the identities behind each peer class.
 */
import {
  CLASS_ANY,
  POLICY_IDS_MAX,
  POLICY_STATIC_BITS,
  policyConfigFlags,
  policyDirection,
  policyEntryFlags,
} from '../../bpf/gen/constants.ts';
import {
  endpointLayout,
  identityClassKeyLayout,
  identityClassLayout,
  type PolicyConfig,
  policyConfigLayout,
  policyEntryLayout,
  policyKeyLayout,
  runtimeConfigLayout,
} from '../../bpf/gen/layouts.ts';
import { decodeRows, type RawRow, readInner, readPinned, viewOf } from './pinned.ts';

/** One line of a policy: what a packet of this peer, protocol and port is told. */
export interface PolicyRow {
  readonly deny: boolean;
  readonly direction: 'ingress' | 'egress';
  /** 0: whoever it is. */
  readonly identity: number;
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

/** Policies of all endpoints of the node, by endpoint id. Throws when the maps are not there. */
export function readPolicies(bpfRoot: string): EndpointPolicy[] {
  const runtime = decodeRows(readPinned(bpfRoot, 'cilium_runtime_config'), runtimeConfigLayout);
  const bank = (runtime[0]?.value.epoch ?? 0) & 1;
  const classes = identitiesByClass(readPinned(bpfRoot, 'cilium_identity_class'), bank);
  const configs = decodeRows(readPinned(bpfRoot, 'cilium_policy_config'), policyConfigLayout);
  const endpoints = decodeRows(readPinned(bpfRoot, 'cilium_endpoints'), endpointLayout);
  const found: EndpointPolicy[] = [];
  for (const { value } of endpoints) {
    const slot = bank * POLICY_IDS_MAX + value.policyId;
    const config = configs[slot]?.value;
    const entries = readInner(bpfRoot, 'cilium_policy_v2', slot);
    found.push({
      endpointId: value.id,
      path: `${bpfRoot}/tc/globals/cilium_policy_v2[${slot}]`,
      problem: problemOf(config),
      rows: [...policyRows(entries, classes), ...unenforced(config)],
    });
  }
  return found.sort((a, b) => a.endpointId - b.endpointId);
}

function identitiesByClass(rows: readonly RawRow[], bank: number): Map<number, number[]> {
  const classes = new Map<number, number[]>();
  for (const { key, value } of rows) {
    const { identity } = identityClassKeyLayout.decode(viewOf(key));
    const classId = identityClassLayout.decode(viewOf(value)).classId[bank === 0 ? 0 : 1];
    const list = classes.get(classId);
    if (list === undefined) classes.set(classId, [identity]);
    else if (!list.includes(identity)) list.push(identity);
  }
  return classes;
}

/** One row for each identity of an entry's class. */
export function policyRows(
  entries: readonly RawRow[],
  classes: ReadonlyMap<number, readonly number[]>,
): PolicyRow[] {
  return entries.flatMap((entry) => {
    const key = policyKeyLayout.decode(viewOf(entry.key));
    const value = policyEntryLayout.decode(viewOf(entry.value));
    const row = {
      deny: (value.flags & policyEntryFlags.POLICY_ENTRY_DENY) !== 0,
      direction: directionOf(key.direction),
      classId: key.classId,
      proto: key.proto,
      port: key.port,
      prefix: key.prefixlen - POLICY_STATIC_BITS,
      cookie: value.cookie,
    } as const;
    if (key.classId === CLASS_ANY) return [{ ...row, identity: 0 }];
    return (classes.get(key.classId) ?? []).map((identity) => ({ ...row, identity }));
  });
}

function directionOf(direction: number): 'ingress' | 'egress' {
  return direction === policyDirection.POLICY_INGRESS ? 'ingress' : 'egress';
}

/** A direction that no policy selects allows everything, without an entry in the map. */
function unenforced(config: PolicyConfig | undefined): PolicyRow[] {
  if (config === undefined || (config.flags & policyConfigFlags.POLICY_VALID) === 0) return [];
  const open: PolicyRow[] = [];
  const row = { deny: false, identity: 0, classId: 0, proto: 0, port: 0, prefix: 0, cookie: 0 };
  if ((config.flags & policyConfigFlags.POLICY_ENFORCE_INGRESS) === 0) {
    open.push({ ...row, direction: 'ingress' });
  }
  if ((config.flags & policyConfigFlags.POLICY_ENFORCE_EGRESS) === 0) {
    open.push({ ...row, direction: 'egress' });
  }
  return open;
}

function problemOf(config: PolicyConfig | undefined): string | undefined {
  const flags = config?.flags ?? 0;
  if ((flags & policyConfigFlags.POLICY_VALID) === 0)
    return 'not computed yet, everything is dropped';
  if ((flags & policyConfigFlags.POLICY_OVERFLOW) !== 0)
    return 'entries did not fit, what is missing is denied';
  if ((flags & policyConfigFlags.POLICY_AUDIT) !== 0) return 'audit: denials are only reported';
  return undefined;
}
