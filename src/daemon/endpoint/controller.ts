/**
 * @module
 * Table `endpoints` with `policies` → `endpoints`: gives every endpoint the identity of its labels,
 * and, once the policy of that identity is in the kernel, its slot. The endpoint reconciler takes
 * over from there. Recomputes from keys and current rows, never from the event.
 */

import { pending } from '../../kv/status.ts';
import type { Table } from '../../kv/table.ts';
import { type IdentityId, labelsKey } from '../identity/table.ts';
import { type DesiredPolicyRow, type PolicySubject, policySubject } from '../policy/table.ts';
import type { EndpointId, EndpointRow } from './table.ts';

/** Holds identities for label sets. */
export interface IdentitySource {
  allocate(
    labels: readonly string[],
  ): { kind: 'allocated'; id: IdentityId } | { kind: 'exhausted'; message: string };
  restore(id: IdentityId, labels: readonly string[]): { kind: 'restored' | 'conflict' };
  release(id: IdentityId): void;
}

export interface EndpointControllerOptions {
  readonly endpoints: Table<EndpointRow, EndpointId>;
  readonly policies: Table<DesiredPolicyRow, PolicySubject>;
  readonly identities: IdentitySource;
  /** Tells of changes in what `isKnownPeer` says. */
  readonly peers: { subscribe(listener: () => void): Disposable };
  /** Whether packets are judged rightly that an endpoint of the identity sends to others. */
  readonly isKnownPeer: (row: EndpointRow, identity: IdentityId) => boolean;
}

/** An identity that an endpoint changes from is kept this long: upstream's identity-change-grace-period. */
const changeGraceMs = 5_000;

interface Held {
  readonly identity: IdentityId;
  readonly labels: string;
}

export class EndpointController implements Disposable {
  readonly #options: EndpointControllerOptions;
  readonly #held = new Map<EndpointId, Held>();
  /** As peers they are not known to the programs yet. */
  readonly #waiting = new Set<EndpointId>();
  readonly #leaving = new Set<ReturnType<typeof setTimeout>>();
  readonly #endpoints;
  readonly #policies;
  readonly #subscriptions: Disposable[];

  constructor(options: EndpointControllerOptions) {
    this.#options = options;
    this.#endpoints = options.endpoints.reader('endpoint controller');
    this.#policies = options.policies.reader('endpoint controller');
    const compute = () => this.compute();
    this.#subscriptions = [
      options.endpoints.subscribe(compute),
      options.policies.subscribe(compute),
      options.peers.subscribe(() => this.#waiting.size > 0 && compute()),
    ];
  }

  [Symbol.dispose](): void {
    for (const timer of this.#leaving) clearTimeout(timer);
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    this.#endpoints.close();
    this.#policies.close();
  }

  /** Brings the rows up to date with everything that changed. */
  compute(): void {
    const { endpoints } = this.#options;
    const touched = new Set<EndpointId>();
    for (const { key } of this.#endpoints.next()) touched.add(key as EndpointId);
    for (const { key, row } of this.#policies.next()) {
      // What is not in the kernel yet makes no difference to an endpoint.
      if (row?.status.kind !== 'done') continue;
      // The number that a subject begins with.
      const identity = Number.parseInt(String(key), 10);
      for (const row of endpoints.by('identity', identity)) touched.add(row.id);
    }
    for (const id of this.#waiting) touched.add(id);
    for (const id of touched) {
      const row = endpoints.get(id);
      if (row === undefined) this.#release(id);
      else this.#settle(row);
    }
  }

  #release(id: EndpointId): void {
    this.#waiting.delete(id);
    const held = this.#held.get(id);
    if (held === undefined) return;
    this.#held.delete(id);
    this.#options.identities.release(held.identity);
  }

  /** Packets carry the old identity until the reconciler comes round. */
  #releaseLater(identity: IdentityId): void {
    const timer = setTimeout(() => {
      this.#leaving.delete(timer);
      this.#options.identities.release(identity);
    }, changeGraceMs);
    timer.unref();
    this.#leaving.add(timer);
  }

  #settle(row: EndpointRow): void {
    const identity = this.#identityOf(row);
    if (identity === undefined) return;
    const policy = this.#options.policies.get(policySubject(identity, row.ports));
    const isKnown = this.#options.isKnownPeer(row, identity);
    const inKernel = policy?.status.kind === 'done' && isKnown;
    if (isKnown) this.#waiting.delete(row.id);
    else this.#waiting.add(row.id);
    const next: EndpointRow = {
      ...row,
      identity,
      policyId: inKernel ? policy.policyId : row.identity === identity ? row.policyId : 0,
      policyRevision: inKernel ? policy.revision : row.policyRevision,
      ingressEnforced: inKernel ? policy.ingressEnforced : row.ingressEnforced,
      egressEnforced: inKernel ? policy.egressEnforced : row.egressEnforced,
      state: row.state === 'waiting-for-identity' ? 'waiting-to-regenerate' : row.state,
    };
    if (sameComputed(row, next)) return;
    const rebuild = row.identity !== next.identity || row.policyId !== next.policyId;
    this.#options.endpoints.upsert(rebuild ? { ...next, status: pending } : next);
  }

  #identityOf(row: EndpointRow): IdentityId | undefined {
    const labels = labelsKey(row.labels);
    const held = this.#held.get(row.id);
    if (held?.labels === labels) return held.identity;
    const identity = this.#hold(row);
    if (typeof identity !== 'number') {
      const status = { kind: 'error', message: identity.message, attempts: 1 } as const;
      if (row.status.kind !== 'error') this.#options.endpoints.upsert({ ...row, status });
      return undefined;
    }
    if (held !== undefined) this.#releaseLater(held.identity);
    this.#held.set(row.id, { identity, labels });
    return identity;
  }

  /** An endpoint that was there before keeps its number if it can. */
  #hold(row: EndpointRow): IdentityId | { readonly message: string } {
    const { identities } = this.#options;
    if (row.identity !== 0 && row.state === 'restoring') {
      if (identities.restore(row.identity, row.labels).kind === 'restored') return row.identity;
    }
    const allocation = identities.allocate(row.labels);
    return allocation.kind === 'allocated' ? allocation.id : { message: allocation.message };
  }
}

function sameComputed(a: EndpointRow, b: EndpointRow): boolean {
  return (
    a.identity === b.identity &&
    a.policyId === b.policyId &&
    a.policyRevision === b.policyRevision &&
    a.ingressEnforced === b.ingressEnforced &&
    a.egressEnforced === b.egressEnforced &&
    a.state === b.state
  );
}
