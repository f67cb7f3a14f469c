/**
 * @module
 * Tables of the policy feature: `policy-files` and `policy-rules` (written by the reflector),
 * `policies`, `policy-peers`, `address-sets` and `policy-cookies` (written by the controller; the
 * reconciler writes the status back into the first three).
 */

import { formatStatus, type Status } from '../../kv/status.ts';
import { Table } from '../../kv/table.ts';
import type { IdentityId } from '../identity/table.ts';
import { addressSetOf, identityOf, type PeerNumber } from './compile/peer.ts';
import type { Direction, PolicyKind, Rule } from './rule.ts';

/** What a file of the policy directory holds, and whether it is in force as it is. */
export interface PolicyFileRow {
  /** The file's name in the directory; a folder, which is not read, has a slash at its end. */
  readonly name: string;
  /** Rules in force from this file; those of its last good content if there is an error. */
  readonly rules: number;
  /** Objects that are no policies, likewise. */
  readonly objects: number;
  /** The policy revision at which the rules in force were read; 0 if none ever were. */
  readonly revision: number;
  /** What is in force as it is written and is hardly meant so; none if absent. */
  readonly warnings?: readonly string[];
  readonly status: Status;
}

export interface PolicyRuleRow {
  /** Origin, kind, namespace, name and rule index. */
  readonly key: string;
  readonly kind: PolicyKind;
  /** Empty for cluster-scoped kinds. */
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string;
  /** 0 for `spec`, its place for one of `specs`. */
  readonly ruleIndex: number;
  readonly rule: Rule;
  /** The file's name. */
  readonly origin: string;
  /** `source:key=value`, as flows show them. */
  readonly labels: readonly string[];
  readonly revision: number;
}

/** A policy behind a verdict. Implicit ones have labels only. */
export interface CookiePolicy {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly ruleIndex: number;
  /** List entries such as `ingress[0]`; empty for a default deny. */
  readonly items: readonly string[];
  readonly labels: readonly string[];
  readonly revision: number;
}

/** What the number in an event stands for: the rules that allowed, or the cause of a denial. */
export interface CookieRow {
  readonly cookie: number;
  readonly direction: Direction;
  readonly policies: readonly CookiePolicy[];
}

/** One row of a policy map. The longest prefix of (proto, port) decides within a class. */
export interface PolicyEntry {
  /** A class, a group (asked when the class has no entry), or 0: any peer (asked last). */
  readonly classId: number;
  readonly direction: Direction;
  /** 0 = any protocol; then port and portPrefix are 0. */
  readonly proto: number;
  readonly port: number;
  /** Leading bits of the port that count, 0 to 16. */
  readonly portPrefix: number;
  readonly deny: boolean;
  /** Denied because nothing allows it, as a default deny; then `deny` is true. */
  readonly isDefault: boolean;
  readonly cookie: number;
  /** Number as in flows: 1 L3, 2 L3/L4, 3 L4, 4 all, 5 L3/protocol, 6 protocol. */
  readonly matchType: number;
}

/**
 * Endpoints with one policy: of one identity and with the same named ports. The host endpoint is
 * one, too.
 */
export type PolicySubject = string & { readonly __subject: unique symbol };

/** `ports` is the text of the endpoint's named ports; see `formatPorts`. */
export function policySubject(identity: IdentityId, ports: string): PolicySubject {
  return (ports === '' ? String(identity) : `${identity}#${ports}`) as PolicySubject;
}

/** A policy that there is no room for. */
export interface Overflow {
  /** Of what there is too much: entries of its map, or blocks of addresses of all policies. */
  readonly of: 'entries' | 'blocks';
  readonly needed: number;
  readonly max: number;
  /** The rules and selectors that need the most, the worst first, as text. */
  readonly blame: readonly string[];
}

/** The policy that endpoints of one subject must have. */
export interface DesiredPolicyRow {
  readonly subject: PolicySubject;
  /** Slot in the policy maps, 1 to 4095. */
  readonly policyId: number;
  readonly identity: IdentityId;
  readonly ingressEnforced: boolean;
  readonly egressEnforced: boolean;
  /**
   * Names what caused the default deny; without one, why what cannot be read is dropped. 0 where the
   * direction is not enforced, and only there.
   */
  readonly denyCookie: { readonly ingress: number; readonly egress: number };
  /** Sorted by direction, class, protocol, port, prefix. */
  readonly entries: readonly PolicyEntry[];
  /** There is no room for it: everything is denied. */
  readonly overflow: Overflow | undefined;
  /** The policy revision at which this content came about. */
  readonly revision: number;
  readonly status: Status;
}

/** The class and the group that policy maps know a peer by. */
export interface PeerRow {
  readonly peer: PeerNumber;
  readonly classId: number;
  readonly groupId: number;
  readonly status: Status;
}

/** A block of addresses in use, and the sets that addresses have whose longest block it is. */
export interface AddressSetRow {
  /** Canonical text. */
  readonly prefix: string;
  /** Of an address outside of the cluster, and of one of a pod or node. */
  readonly outside: number;
  readonly inside: number;
  /** What the first says of its addresses. */
  readonly labels: readonly string[];
  readonly status: Status;
}

/** Slots in the policy maps; slot 0 is never given out. */
export const policyIdMax = 4094;
/** The slot of the host endpoint. Always the same, so that it is never that of somebody else. */
export const policyIdHost = 4095;

/** Counts policy changes: 1 before the first. Shared by the reflector and whoever asks. */
export class PolicyRevision {
  #current = 1;

  get current(): number {
    return this.#current;
  }

  next(): number {
    return ++this.#current;
  }
}

export function policyFiles(): Table<PolicyFileRow> {
  return new Table<PolicyFileRow>({
    name: 'policy-files',
    key: (row) => row.name,
    columns: [
      { name: 'file', value: (row) => row.name },
      { name: 'rules', value: (row) => String(row.rules) },
      { name: 'objects', value: (row) => String(row.objects) },
      { name: 'revision', value: (row) => String(row.revision) },
      { name: 'status', value: (row) => formatStatus(row.status) },
      { name: 'warnings', value: (row) => row.warnings?.join('; ') ?? '' },
    ],
  });
}

export function policyRules(): Table<PolicyRuleRow> {
  return new Table<PolicyRuleRow>({
    name: 'policy-rules',
    key: (row) => row.key,
    indexes: {
      origin: (row) => [row.origin],
      policy: (row) => [`${row.namespace}/${row.name}`],
    },
    columns: [
      { name: 'kind', value: (row) => row.kind },
      { name: 'policy', value: (row) => policyName(row) },
      { name: 'rule', value: (row) => String(row.ruleIndex) },
      { name: 'subject', value: (row) => row.rule.subject.key },
      { name: 'ingress', value: (row) => section(row, 'ingress') },
      { name: 'egress', value: (row) => section(row, 'egress') },
      { name: 'origin', value: (row) => row.origin },
      { name: 'revision', value: (row) => String(row.revision) },
    ],
  });
}

/** `namespace/name`, or the bare name of a cluster-scoped kind. */
export function policyName(row: { readonly namespace: string; readonly name: string }): string {
  return row.namespace === '' ? row.name : `${row.namespace}/${row.name}`;
}

function section(row: PolicyRuleRow, direction: Direction): string {
  const items = row.rule[direction];
  if (items === undefined) return '';
  return `${items.length}${row.rule.defaultDeny[direction] ? '' : ' (no default deny)'}`;
}

export function policyCookies(): Table<CookieRow, number> {
  return new Table<CookieRow, number>({
    name: 'policy-cookies',
    key: (row) => row.cookie,
    columns: [
      { name: 'cookie', value: (row) => `0x${row.cookie.toString(16).padStart(8, '0')}` },
      { name: 'direction', value: (row) => row.direction },
      { name: 'policies', value: (row) => row.policies.map(formatCookiePolicy).join(' ') },
    ],
  });
}

function formatCookiePolicy(policy: CookiePolicy): string {
  if (policy.name === '') return policy.labels.join(',');
  const items = policy.items.length === 0 ? '' : `[${policy.items.join(',')}]`;
  return `${policyName(policy)}#${policy.ruleIndex}${items}`;
}

export function policyPeers(): Table<PeerRow, PeerNumber> {
  return new Table<PeerRow, PeerNumber>({
    name: 'policy-peers',
    key: (row) => row.peer,
    columns: [
      { name: 'identity', value: (row) => String(identityOf(row.peer)) },
      { name: 'set', value: (row) => String(addressSetOf(row.peer)) },
      { name: 'class', value: (row) => String(row.classId) },
      { name: 'group', value: (row) => String(row.groupId) },
      { name: 'status', value: (row) => formatStatus(row.status) },
    ],
  });
}

export function addressSets(): Table<AddressSetRow> {
  return new Table<AddressSetRow>({
    name: 'address-sets',
    key: (row) => row.prefix,
    columns: [
      { name: 'prefix', value: (row) => row.prefix },
      { name: 'outside', value: (row) => String(row.outside) },
      { name: 'inside', value: (row) => String(row.inside) },
      { name: 'labels', value: (row) => row.labels.join(' ') },
      { name: 'status', value: (row) => formatStatus(row.status) },
    ],
  });
}

export function policies(): Table<DesiredPolicyRow, PolicySubject> {
  return new Table<DesiredPolicyRow, PolicySubject>({
    name: 'policies',
    key: (row) => row.subject,
    indexes: { policyId: (row) => [row.policyId], identity: (row) => [row.identity] },
    columns: [
      { name: 'identity', value: (row) => String(row.identity) },
      { name: 'ports', value: (row) => row.subject.slice(String(row.identity).length + 1) },
      { name: 'slot', value: (row) => String(row.policyId) },
      { name: 'ingress', value: (row) => (row.ingressEnforced ? 'enforced' : 'open') },
      { name: 'egress', value: (row) => (row.egressEnforced ? 'enforced' : 'open') },
      {
        name: 'entries',
        value: ({ entries, overflow }) =>
          overflow === undefined
            ? String(entries.length)
            : `${overflow.needed} ${overflow.of} of at most ${overflow.max}: all is denied`,
      },
      { name: 'revision', value: (row) => String(row.revision) },
      { name: 'status', value: (row) => formatStatus(row.status) },
    ],
  });
}
