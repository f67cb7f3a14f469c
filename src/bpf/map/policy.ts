/**
 * @module
 * The policy maps: cilium_policy_config and cilium_policy_v2 (slot = bank * 4096 + policy id, the
 * latter → an LPM trie of entries) and cilium_identity_class. Input: what the policy reconciler has
 * decided; output: those maps. Nothing here decides what is in force: the epoch does.
 */
import {
  CLASS_ANY,
  POLICY_IDS_MAX,
  POLICY_STATIC_BITS,
  policyConfigFlags,
  policyDirection,
  policyEntryFlags,
} from '../gen/constants.ts';
import { type PolicyConfig, policyEntryLayout, policyKeyLayout } from '../gen/layouts.ts';
import { ciliumPolicyV2 } from '../gen/maps.ts';
import { BpfMap } from '../libbpf/map.ts';
import type { TypedMap } from '../libbpf/typed-map.ts';
import { isGroup } from './peer-class.ts';

export type Bank = 0 | 1;

/** One entry as the kernel has it. */
export interface PolicyMapEntry {
  /** A class of peers, a group of them (see `isGroup`), or 0 for whoever it is. */
  readonly classId: number;
  readonly direction: 'ingress' | 'egress';
  readonly proto: number;
  readonly port: number;
  readonly portPrefix: number;
  readonly deny: boolean;
  /** Denied because nothing allows it: packets and flows tell as of the default deny. */
  readonly isDefault: boolean;
  readonly cookie: number;
  readonly matchType: number;
}

/** What holds for a policy as a whole. */
export interface PolicySummary {
  readonly ingressEnforced: boolean;
  readonly egressEnforced: boolean;
  readonly denyCookie: { readonly ingress: number; readonly egress: number };
  readonly entries: readonly PolicyMapEntry[];
}

export interface PolicyMapHandles {
  readonly policy: BpfMap;
  readonly policyConfig: TypedMap<number, PolicyConfig>;
}

/** A filled inner map, that belongs to the caller. */
export interface FilledPolicyMap {
  readonly map: BpfMap;
}

const protoBits = 8;

/** Bits of the key that count: class and direction always, then protocol, then the port's prefix. */
function prefixLength(entry: PolicyMapEntry): number {
  if (entry.proto === 0) return POLICY_STATIC_BITS;
  return POLICY_STATIC_BITS + protoBits + entry.portPrefix;
}

/** Creates an inner map and fills it. Throws if there are more than `max` entries: half a policy is none. */
export function fillPolicyMap(entries: readonly PolicyMapEntry[], max: number): FilledPolicyMap {
  if (entries.length > max)
    throw new RangeError(`${entries.length} policy entries, room for ${max}`);
  const shape = ciliumPolicyV2.inner;
  if (shape === undefined) throw new TypeError('cilium_policy_v2 has no inner map');
  const map = BpfMap.create({ ...shape, maxEntries: max }, 'cilium_policy');
  const keys = new Uint8Array(entries.length * policyKeyLayout.size);
  const values = new Uint8Array(entries.length * policyEntryLayout.size);
  const keyView = new DataView(keys.buffer);
  const valueView = new DataView(values.buffer);
  for (const [at, entry] of entries.entries()) {
    const { classId, proto, port, cookie, matchType } = entry;
    const prefixlen = prefixLength(entry);
    const direction = directionNumber(entry.direction);
    policyKeyLayout.encode(
      { prefixlen, classId, direction, proto, port },
      keyView,
      at * policyKeyLayout.size,
    );
    const flags =
      (entry.deny ? policyEntryFlags.POLICY_ENTRY_DENY : 0) |
      (entry.isDefault ? policyEntryFlags.POLICY_ENTRY_DEFAULT : 0);
    policyEntryLayout.encode({ cookie, flags, matchType }, valueView, at * policyEntryLayout.size);
  }
  try {
    map.updateBatch(keys, values, entries.length);
  } catch (error) {
    map[Symbol.dispose]();
    throw error;
  }
  return { map };
}

function directionNumber(direction: 'ingress' | 'egress'): number {
  return direction === 'egress' ? policyDirection.POLICY_EGRESS : policyDirection.POLICY_INGRESS;
}

export function policySlot(bank: Bank, policyId: number): number {
  return bank * POLICY_IDS_MAX + policyId;
}

/** Programs look only for the kinds of entries that there are. */
const entryKinds = {
  ingress: {
    wildcard: policyConfigFlags.POLICY_WILDCARD_INGRESS,
    groups: policyConfigFlags.POLICY_GROUPS_INGRESS,
    classes: policyConfigFlags.POLICY_CLASSES_INGRESS,
  },
  egress: {
    wildcard: policyConfigFlags.POLICY_WILDCARD_EGRESS,
    groups: policyConfigFlags.POLICY_GROUPS_EGRESS,
    classes: policyConfigFlags.POLICY_CLASSES_EGRESS,
  },
} as const;

/** The row of cilium_policy_config for a policy that is in force as a whole. */
export function policyConfigOf(policy: PolicySummary, overflow: boolean): PolicyConfig {
  let flags: number = policyConfigFlags.POLICY_VALID;
  if (policy.ingressEnforced) flags |= policyConfigFlags.POLICY_ENFORCE_INGRESS;
  if (policy.egressEnforced) flags |= policyConfigFlags.POLICY_ENFORCE_EGRESS;
  if (overflow) flags |= policyConfigFlags.POLICY_OVERFLOW;
  for (const { direction, classId } of policy.entries) {
    const bits = entryKinds[direction];
    if (classId === CLASS_ANY) flags |= bits.wildcard;
    else flags |= isGroup(classId) ? bits.groups : bits.classes;
  }
  return { flags, denyCookie: [policy.denyCookie.ingress, policy.denyCookie.egress] };
}

/** A slot that no endpoint may use: whoever does is dropped as not ready. */
export const policyConfigInvalid: PolicyConfig = { flags: 0, denyCookie: [0, 0] };

/** How long to look for an update before yielding; it is usually there after some 20 µs. */
const spinUs = 400;

/**
 * Puts inner maps into slots and resolves as soon as packets would see them. The kernel's call goes
 * on for milliseconds in a thread of its own (RCU); `settled` is its outcome.
 */
export async function installPolicyMaps(
  outer: BpfMap,
  slots: readonly { readonly slot: number; readonly map: BpfMap }[],
): Promise<{ readonly settled: Promise<void> }> {
  // A batch is carried out in order, so the last slot that differs tells of all.
  const last = slots.findLast((each) => !holds(outer, each));
  if (last === undefined) return { settled: Promise.resolve() };
  const keys = new Uint32Array(slots.map(({ slot }) => slot));
  const values = new Uint32Array(slots.map(({ map }) => map.fd));
  const settled = outer.updateBatchAsync(
    new Uint8Array(keys.buffer),
    new Uint8Array(values.buffer),
    slots.length,
  );
  let over = false;
  const ended = settled.finally(() => {
    over = true;
  });
  ended.catch(() => {});
  let spinUntil = performance.now() + spinUs / 1000;
  while (!over) {
    if (holds(outer, last)) return { settled };
    if (performance.now() > spinUntil) {
      await new Promise((resolve) => setImmediate(resolve));
      spinUntil = performance.now() + spinUs / 4000;
    }
  }
  await settled;
  return { settled };
}

/** Whether packets see the map in the slot. */
function holds(
  outer: BpfMap,
  { slot, map }: { readonly slot: number; readonly map: BpfMap },
): boolean {
  const seen = new Uint32Array(1);
  const key = new Uint8Array(new Uint32Array([slot]).buffer);
  return outer.lookupInto(key, new Uint8Array(seen.buffer)) && seen[0] === map.id;
}
