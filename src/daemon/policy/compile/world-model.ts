/**
 * @module
 * The tables around the policy controller, filled from a list of who is where: for property tests
 * of this folder. Every pod is an endpoint of this node.
 */

import { done, pending } from '../../../kv/status.ts';
import type { Table } from '../../../kv/table.ts';
import { clusterObjects, remotePods } from '../../cluster/table.ts';
import { endpoints } from '../../endpoint/table.ts';
import { endpointRow } from '../../endpoint-fixture.ts';
import { type IdentityId, identities, identityHost, isLocalScope } from '../../identity/table.ts';
import { ipcache } from '../../ipcache/table.ts';
import { type KernelPolicy, PolicyController } from '../controller.ts';
import type { KernelModel } from '../kernel/kernel-model.ts';
import {
  addressSets,
  PolicyRevision,
  type PolicyRuleRow,
  policies,
  policyCookies,
  policyPeers,
  policyRules,
} from '../table.ts';
import type { Someone } from './arbitrary.ts';
import type { SweepLimits } from './compiler.ts';

export class World implements Disposable {
  readonly tables = {
    rules: policyRules(),
    objects: clusterObjects(),
    identities: identities(),
    endpoints: endpoints(),
    ipcache: ipcache(),
    remotePods: remotePods(),
    policies: policies(),
    peers: policyPeers(),
    addressSets: addressSets(),
    cookies: policyCookies(),
  };
  readonly people: readonly Someone[];
  readonly #controller: PolicyController;
  readonly #labels: ReadonlyMap<IdentityId, readonly string[]>;
  readonly #kernel: KernelModel;
  #lastId = 0;

  constructor(
    labels: ReadonlyMap<IdentityId, readonly string[]>,
    people: readonly Someone[],
    kernel: KernelModel,
    graceMs = 0,
  ) {
    this.people = people;
    this.#labels = labels;
    this.#kernel = kernel;
    this.#controller = new PolicyController(
      this.tables,
      {
        enablePolicy: 'default',
        allowLocalhost: true,
        cidrMatchesNodes: false,
        entriesMax: 16384,
      },
      new PolicyRevision(),
      undefined,
      graceMs,
    );
    for (const [id, texts] of labels) {
      if (id < 1000) this.#addIdentity(id, texts);
    }
    for (const [prefix, identity] of [
      ['0.0.0.0/0', 9],
      ['::/0', 10],
    ] as const) {
      this.tables.ipcache.upsert(prefixRow(prefix, identity as IdentityId));
    }
    this.tables.ipcache.upsert(prefixRow('10.0.200.1/32', identityHost));
    this.addPeers(people);
  }

  get compiler() {
    return this.#controller.compiler;
  }

  addPeers(people: readonly Someone[]): void {
    for (const { identity, address, ports } of people) {
      if (identity < 1000 || isLocalScope(identity)) continue;
      this.#addIdentity(identity, this.#labels.get(identity) ?? []);
      const family = address.includes(':') ? 'ipv6' : 'ipv4';
      this.tables.endpoints.upsert(
        endpointRow({ id: ++this.#lastId, identity, ports, [family]: address }),
      );
    }
  }

  removePeers(identity: IdentityId): void {
    for (const row of this.tables.endpoints.by('identity', identity)) {
      this.tables.endpoints.delete(row.id);
    }
    this.tables.identities.delete(identity);
  }

  setRules(rows: readonly PolicyRuleRow[]): void {
    const keys = new Set(rows.map((row) => row.key));
    for (const key of [...this.tables.rules.keys()]) {
      if (!keys.has(key)) this.tables.rules.delete(key);
    }
    for (const row of rows) this.tables.rules.upsert(row);
  }

  follow(kernel: KernelPolicy): void {
    this.#controller.follow(kernel);
  }

  keeps(id: IdentityId): boolean {
    return this.#controller.keeps(id);
  }

  /** True if there is more to forget than the limits let go. */
  sweep(limits?: SweepLimits): boolean {
    return this.#controller.sweep(limits);
  }

  run(): void {
    this.#controller.run();
  }

  /** Endpoints whose policy is in the kernel, by slot. */
  local(): { readonly subject: string; readonly slot: number }[] {
    return [...this.tables.policies.all()]
      .filter((row) => row.status.kind === 'done')
      .map((row) => ({ subject: row.subject, slot: row.policyId }))
      .sort((a, b) => (a.subject < b.subject ? -1 : 1));
  }

  /** Everything in the tables is in the kernel. */
  isTold(): boolean {
    const all: Table<{ readonly status: { readonly kind: string } }, never>[] = [
      this.tables.policies as never,
      this.tables.peers as never,
      this.tables.addressSets as never,
    ];
    return all.every((table) => [...table.all()].every((row) => row.status.kind === 'done'));
  }

  /** Waits until nothing is written any more. */
  async settled(): Promise<void> {
    let quiet = 0;
    let writes = -1;
    while (quiet < 4) {
      await Bun.sleep(0);
      quiet = this.isTold() && writes === this.#kernel.writes ? quiet + 1 : 0;
      writes = this.#kernel.writes;
    }
  }

  [Symbol.dispose](): void {
    this.#controller[Symbol.dispose]();
  }

  #addIdentity(id: IdentityId, labels: readonly string[]): void {
    if (this.tables.identities.get(id) !== undefined) return;
    this.tables.identities.upsert({ id, labels, reserved: id < 1000, refCount: 1 });
  }
}

function prefixRow(prefix: string, identity: IdentityId) {
  return {
    prefix,
    identity,
    source: 'world' as const,
    namespace: '',
    podName: '',
    host: false,
    unroutable: false,
    status: identity === 0 ? pending : done,
  };
}
