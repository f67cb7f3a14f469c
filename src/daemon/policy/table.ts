/**
 * @module
 * Tables of the policy feature: `policy-files` and `policy-rules` (written by the reflector),
 * `policies` and `policy-cookies` (written by the controller; the reconciler writes the status
 * back into `policies`).
 */

import { formatStatus, type Status } from '../../kv/status.ts';
import { Table } from '../../kv/table.ts';
import type { IdentityId } from '../identity/table.ts';
import type { Direction, Rule } from './rule.ts';

/** What a file of the policy directory holds, and whether it is in force as it is. */
export interface PolicyFileRow {
  /** The file's name in the directory. */
  readonly name: string;
  /** Rules in force from this file; those of its last good content if there is an error. */
  readonly rules: number;
  /** The policy revision at which the rules in force were read; 0 if none ever were. */
  readonly revision: number;
  readonly status: Status;
}

export interface PolicyRuleRow {
  /** Origin, kind, namespace, name and rule index. */
  readonly key: string;
  readonly kind: 'CiliumNetworkPolicy';
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
  /** Places in the rule's ingress or egress list; empty for a default deny. */
  readonly items: readonly number[];
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
  /** 0 = any peer, asked only when the peer's own class has no entry. */
  readonly classId: number;
  readonly direction: Direction;
  /** 0 = any protocol; then port and portPrefix are 0. */
  readonly proto: number;
  readonly port: number;
  /** Leading bits of the port that count, 0 to 16. */
  readonly portPrefix: number;
  readonly deny: boolean;
  readonly cookie: number;
  /** Number as in flows: 1 L3, 2 L3/L4, 3 L4, 4 all, 5 L3/protocol, 6 protocol. */
  readonly matchType: number;
}

/** The policy that endpoints of one identity must have. */
export interface DesiredPolicyRow {
  /** Slot in the policy maps, 1 to 4095. */
  readonly policyId: number;
  readonly identity: IdentityId;
  readonly ingressEnforced: boolean;
  readonly egressEnforced: boolean;
  /** Names what caused the default deny; 0 where the direction is not enforced. */
  readonly denyCookie: { readonly ingress: number; readonly egress: number };
  /** Sorted by direction, class, protocol, port, prefix. */
  readonly entries: readonly PolicyEntry[];
  /** The policy revision at which this content came about. */
  readonly revision: number;
  readonly status: Status;
}

/** Slots in the policy maps; slot 0 is never given out. */
export const policyIdMax = 4095;

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
      { name: 'revision', value: (row) => String(row.revision) },
      { name: 'status', value: (row) => formatStatus(row.status) },
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
      { name: 'policy', value: (row) => `${row.namespace}/${row.name}` },
      { name: 'rule', value: (row) => String(row.ruleIndex) },
      { name: 'subject', value: (row) => row.rule.subject.key },
      { name: 'ingress', value: (row) => section(row, 'ingress') },
      { name: 'egress', value: (row) => section(row, 'egress') },
      { name: 'origin', value: (row) => row.origin },
      { name: 'revision', value: (row) => String(row.revision) },
    ],
  });
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
  return `${policy.namespace}/${policy.name}#${policy.ruleIndex}${items}`;
}

export function policies(): Table<DesiredPolicyRow, IdentityId> {
  return new Table<DesiredPolicyRow, IdentityId>({
    name: 'policies',
    key: (row) => row.identity,
    indexes: { policyId: (row) => [row.policyId] },
    columns: [
      { name: 'identity', value: (row) => String(row.identity) },
      { name: 'slot', value: (row) => String(row.policyId) },
      { name: 'ingress', value: (row) => (row.ingressEnforced ? 'enforced' : 'open') },
      { name: 'egress', value: (row) => (row.egressEnforced ? 'enforced' : 'open') },
      { name: 'entries', value: (row) => String(row.entries.length) },
      { name: 'revision', value: (row) => String(row.revision) },
      { name: 'status', value: (row) => formatStatus(row.status) },
    ],
  });
}
