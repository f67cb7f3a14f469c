/**
 * @module
 * Tables `policy-rules`, `identities`, `endpoints` → tables `policies` and `policy-cookies`, and
 * the class column of `identities`. A thin shell of rows around the compiler; call `run` after
 * changes, as often as you like.
 */

import { pending } from '../../kv/status.ts';
import type { ChangeReader, Table } from '../../kv/table.ts';
import type { EndpointId, EndpointRow } from '../endpoint/table.ts';
import type { IdentityId, IdentityRow } from '../identity/table.ts';
import { type CompiledPolicy, PolicyCompiler, type PolicyConfig } from './compiler.ts';
import {
  type CookieRow,
  type DesiredPolicyRow,
  type PolicyRevision,
  type PolicyRuleRow,
  policyIdMax,
} from './table.ts';

export interface PolicyControllerTables {
  readonly rules: Table<PolicyRuleRow>;
  readonly identities: Table<IdentityRow, IdentityId>;
  readonly endpoints: Table<EndpointRow, EndpointId>;
  readonly policies: Table<DesiredPolicyRow, IdentityId>;
  readonly cookies: Table<CookieRow, number>;
}

/** What a run wrote: nothing, if all of it is empty. */
export interface PolicyRun {
  /** Class by identity, where it changed; undefined if the identity is gone. */
  readonly classes: ReadonlyMap<IdentityId, number | undefined>;
  readonly policies: readonly IdentityId[];
  /** Identities that got no slot in the policy maps and so deny everything. */
  readonly withoutSlot: readonly IdentityId[];
}

export class PolicyController implements Disposable {
  readonly compiler: PolicyCompiler;
  readonly #tables: PolicyControllerTables;
  readonly #revision: PolicyRevision;
  readonly #rules: ChangeReader<PolicyRuleRow>;
  readonly #identities: ChangeReader<IdentityRow>;
  readonly #endpoints: ChangeReader<EndpointRow>;
  /** Identity by endpoint, and endpoints by identity: an identity is local while it has any. */
  readonly #identityOf = new Map<number | string, IdentityId>();
  readonly #holders = new Map<IdentityId, number>();
  readonly #slots = new Map<number, IdentityId>();
  readonly #withoutSlot = new Map<IdentityId, CompiledPolicy>();

  constructor(tables: PolicyControllerTables, config: PolicyConfig, revision: PolicyRevision) {
    this.#tables = tables;
    this.#revision = revision;
    this.compiler = new PolicyCompiler(config);
    this.#rules = tables.rules.reader('policy controller');
    this.#identities = tables.identities.reader('policy controller');
    this.#endpoints = tables.endpoints.reader('policy controller');
  }

  /** Takes in what changed and writes what follows from it. Synchronous: one transaction. */
  run(): PolicyRun {
    for (const { key, row } of this.#identities.next()) {
      // The number comes from the table's own key.
      if (row === undefined) this.compiler.deleteIdentity(key as IdentityId);
      else this.compiler.upsertIdentity(row.id, row.labels);
    }
    for (const { key, row } of this.#endpoints.next()) this.#place(key, row?.identity || undefined);
    for (const { key, row } of this.#rules.next()) {
      if (row === undefined) this.compiler.deleteRule(String(key));
      else this.compiler.upsertRule(row);
    }
    const { classes, policies, cookies } = this.compiler.compile();
    for (const [cookie, row] of cookies) {
      if (row === undefined) this.#tables.cookies.delete(cookie);
      else this.#tables.cookies.upsert(row);
    }
    for (const [id, classId] of classes) this.#writeClass(id, classId);
    for (const [id, policy] of policies) this.#writePolicy(id, policy);
    this.#retrySlots();
    return { classes, policies: [...policies.keys()], withoutSlot: [...this.#withoutSlot.keys()] };
  }

  [Symbol.dispose](): void {
    this.#rules.close();
    this.#identities.close();
    this.#endpoints.close();
  }

  #place(endpoint: number | string, identity: IdentityId | undefined): void {
    const before = this.#identityOf.get(endpoint);
    if (before === identity) return;
    if (identity === undefined) this.#identityOf.delete(endpoint);
    else {
      this.#identityOf.set(endpoint, identity);
      this.#count(identity, 1);
    }
    if (before !== undefined) this.#count(before, -1);
  }

  #count(identity: IdentityId, step: 1 | -1): void {
    const count = (this.#holders.get(identity) ?? 0) + step;
    if (count === 0) this.#holders.delete(identity);
    else this.#holders.set(identity, count);
    this.compiler.setLocal(identity, count > 0);
  }

  #writeClass(id: IdentityId, classId: number | undefined): void {
    const row = this.#tables.identities.get(id);
    if (row === undefined || classId === undefined || row.classId === classId) return;
    this.#tables.identities.upsert({ ...row, classId });
  }

  #writePolicy(id: IdentityId, policy: CompiledPolicy | undefined): void {
    this.#withoutSlot.delete(id);
    const before = this.#tables.policies.get(id);
    if (policy === undefined) {
      if (before !== undefined) this.#slots.delete(before.policyId);
      this.#tables.policies.delete(id);
      return;
    }
    const policyId = before?.policyId ?? this.#takeSlot(id);
    if (policyId === undefined) {
      this.#withoutSlot.set(id, policy);
      return;
    }
    const revision = this.#revision.current;
    this.#tables.policies.upsert({ ...policy, policyId, revision, status: pending });
  }

  /** The slot that an endpoint of an earlier run has, else one that follows from the identity. */
  #takeSlot(id: IdentityId): number | undefined {
    const restored = this.#tables.endpoints
      .by('identity', id)
      .map((row) => row.policyId)
      .find((slot) => slot > 0 && slot <= policyIdMax && !this.#slots.has(slot));
    const start = restored ?? (id % policyIdMax) + 1;
    for (let step = 0; step < policyIdMax; step++) {
      const slot = ((start - 1 + step) % policyIdMax) + 1;
      if (this.#slots.has(slot)) continue;
      this.#slots.set(slot, id);
      return slot;
    }
    return undefined;
  }

  #retrySlots(): void {
    if (this.#withoutSlot.size === 0 || this.#slots.size >= policyIdMax) return;
    for (const [id, policy] of [...this.#withoutSlot]) this.#writePolicy(id, policy);
  }
}
