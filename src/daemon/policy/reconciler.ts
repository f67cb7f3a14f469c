/**
 * @module
 * Tables `policies` and `identities` → the policy maps. What only adds (a policy nobody uses yet, a
 * new identity) goes into the bank in force; any other change fills the bank that is not in force
 * and flips the epoch, so that a packet sees all of the old revision or all of the new one.
 */

import type { IdentityClass, IdentityClassKey, PolicyConfig } from '../../bpf/gen/layouts.ts';
import type { BpfMap } from '../../bpf/libbpf/map.ts';
import type { TypedMap } from '../../bpf/libbpf/typed-map.ts';
import {
  type Bank,
  type FilledPolicyMap,
  fillPolicyMap,
  installPolicyMaps,
  policyConfigInvalid,
  policyConfigOf,
  policySlot,
} from '../../bpf/map/policy.ts';
import type { RuntimeConfig } from '../../bpf/map/runtime-config.ts';
import { done, failed, type Status, sameStatus } from '../../kv/status.ts';
import type { Table } from '../../kv/table.ts';
import type { IdentityId, IdentityRow } from '../identity/table.ts';
import { Linger } from './linger.ts';
import { type DesiredPolicyRow, policyIdMax } from './table.ts';

export interface PolicyMaps {
  readonly policy: BpfMap;
  readonly policyConfig: TypedMap<number, PolicyConfig>;
  readonly identityClass: TypedMap<IdentityClassKey, IdentityClass>;
}

export interface PolicyReconcilerOptions {
  readonly policies: Table<DesiredPolicyRow, IdentityId>;
  readonly identities: Table<IdentityRow, IdentityId>;
  readonly maps: PolicyMaps;
  readonly runtime: RuntimeConfig;
  /** `bpf-policy-map-max`. */
  readonly entriesMax: number;
  /** Every source has delivered everything once: before that nothing is touched. */
  readonly initialized: Promise<unknown>;
  readonly onFlip?: (epoch: number) => void;
  /** Everything that fits is in the kernel; `left` entries did not. */
  readonly onWritten?: (left: number) => void;
  readonly onError?: (error: unknown) => void;
}

/** What one bank holds. Undefined where an earlier agent filled it. */
interface BankContent {
  readonly policies: Map<number, DesiredPolicyRow>;
  readonly classes: Map<IdentityId, number>;
}

const retryMinMs = 20;
const retryMaxMs = 10_000;
/** Far longer than an endpoint takes to be carried to the kernel. */
const lingerMs = 3_000;
const lingerWakeMinMs = 100;

/** Starts by itself. Never throws; what failed is in the rows and tried again. */
export class PolicyReconciler implements Disposable {
  readonly #options: PolicyReconcilerOptions;
  readonly #banks: [BankContent | undefined, BankContent | undefined] = [undefined, undefined];
  readonly #inner = new Map<DesiredPolicyRow['entries'], { map: BpfMap; left: number }>();
  readonly #subscriptions: Disposable[];
  #empty: FilledPolicyMap | undefined;
  #ready = false;
  #running = false;
  #again = false;
  #stopped = false;
  #failures = 0;
  /** No packet is left that began under the bank before the latest flip. */
  #grace: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #lingeringPolicies = new Linger<number, DesiredPolicyRow>(lingerMs);
  readonly #lingeringClasses = new Linger<IdentityId, number>(lingerMs);
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;
  /** Sum of entries that did not fit, for status and metrics. */
  overflow = 0;

  constructor(options: PolicyReconcilerOptions) {
    this.#options = options;
    const wake = () => this.#wake();
    this.#subscriptions = [options.policies.subscribe(wake), options.identities.subscribe(wake)];
    void options.initialized.then(() => {
      this.#ready = true;
      this.#wake();
    });
  }

  /** Judge established connections again: something that verdicts rest on changed hands. */
  advanceEpoch(): void {
    // By two: the bank in force stays.
    this.#options.runtime.epoch += 2;
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#lingerTimer);
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
  }

  #wake(): void {
    if (this.#stopped || !this.#ready) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    try {
      do {
        this.#again = false;
        await this.#flush();
        this.#failures = 0;
      } while (this.#again && !this.#stopped);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#running = false;
      if (this.#again) this.#wake();
    }
  }

  #fail(error: unknown): void {
    this.#failures++;
    const status = failed(error instanceof Error ? error.message : String(error), this.#failures);
    for (const row of [...this.#options.policies.all()]) {
      if (row.status.kind !== 'done') this.#setStatus(row, status);
    }
    this.#options.onError?.(error);
    clearTimeout(this.#timer);
    const delayMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(this.#failures, 10));
    this.#timer = setTimeout(() => this.#wake(), delayMs);
  }

  async #flush(): Promise<void> {
    const active = (this.#options.runtime.epoch & 1) as Bank;
    const content = this.#banks[active];
    const { rows, classes } = this.#wanted(content);
    if (content !== undefined && onlyAdds(content, rows, classes)) {
      await this.#fill(active, content, rows, classes);
    } else {
      const target = (1 - active) as Bank;
      await this.#grace;
      await this.#fill(target, this.#banks[target], rows, classes);
      this.#options.runtime.epoch += 1;
      this.#grace = this.#gracePeriod();
      this.#options.onFlip?.(this.#options.runtime.epoch);
    }
    this.#forgetUnused();
    this.#report(rows);
    this.#options.onWritten?.(this.overflow);
  }

  /** What the tables say, and for a while what they said before. */
  #wanted(content: BankContent | undefined) {
    const policies = new Map<number, DesiredPolicyRow>();
    for (const row of this.#options.policies.all()) policies.set(row.policyId, row);
    const classes = new Map<IdentityId, number>();
    for (const row of this.#options.identities.all()) classes.set(row.id, row.classId);
    if (content === undefined) return { rows: [...policies.values()], classes };
    const extended = {
      rows: [...this.#lingeringPolicies.extend(policies, content.policies).values()],
      classes: this.#lingeringClasses.extend(classes, content.classes),
    };
    this.#wakeLater();
    return extended;
  }

  #wakeLater(): void {
    const waits = [this.#lingeringPolicies.nextMs, this.#lingeringClasses.nextMs];
    const nextMs = Math.min(...waits.map((wait) => wait ?? Number.POSITIVE_INFINITY));
    clearTimeout(this.#lingerTimer);
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#lingerTimer = setTimeout(() => this.#wake(), Math.max(nextMs, lingerWakeMinMs));
    this.#lingerTimer.unref();
  }

  /**
   * A packet that began just before a flip may still be asking the bank that was in force. An update
   * of the outer map returns after every such packet has ended; the slot is one nobody has.
   */
  async #gracePeriod(): Promise<void> {
    const { policy } = this.#options.maps;
    this.#empty ??= fillPolicyMap([], 1);
    const { map } = this.#empty;
    const slot = new Uint8Array(new Uint32Array([0]).buffer);
    const value = new Uint8Array(new Uint32Array([map.fd]).buffer);
    await policy.updateBatchAsync(slot, value, 1).catch((error: unknown) => this.#fail(error));
  }

  /** Makes a bank say what the rows say. Packets must not be using what this changes. */
  async #fill(
    bank: Bank,
    before: BankContent | undefined,
    rows: readonly DesiredPolicyRow[],
    classes: ReadonlyMap<IdentityId, number>,
  ): Promise<void> {
    // Whatever happens on the way, only a complete bank is known again.
    this.#banks[bank] = undefined;
    this.#writeClasses(bank, before?.classes, classes);
    const slots: { slot: number; map: BpfMap }[] = [];
    const configs: [number, PolicyConfig][] = [];
    for (const row of rows) {
      if (before !== undefined && sameContent(before.policies.get(row.policyId), row)) continue;
      const filled = this.#innerOf(row);
      slots.push({ slot: policySlot(bank, row.policyId), map: filled.map });
      configs.push([policySlot(bank, row.policyId), policyConfigOf(row, filled.left > 0)]);
    }
    const kept = new Map(rows.map((row) => [row.policyId, row]));
    const known = before?.policies.keys() ?? everyPolicyId();
    for (const id of known) {
      if (!kept.has(id)) configs.push([policySlot(bank, id), policyConfigInvalid]);
    }
    const { settled } = await installPolicyMaps(this.#options.maps.policy, slots);
    settled.catch((error: unknown) => this.#fail(error));
    this.#options.maps.policyConfig.updateAll(configs);
    this.#banks[bank] = { policies: kept, classes: new Map(classes) };
  }

  #writeClasses(
    bank: Bank,
    before: ReadonlyMap<IdentityId, number> | undefined,
    classes: ReadonlyMap<IdentityId, number>,
  ): void {
    const { identityClass } = this.#options.maps;
    const other = this.#banks[1 - bank]?.classes;
    const updates: [IdentityClassKey, IdentityClass][] = [];
    for (const [identity, classId] of classes) {
      if (before?.get(identity) === classId) continue;
      const key = { identity, addressSet: 0 };
      // The other bank may be in force: what it says must stay.
      const kept = other?.get(identity) ?? identityClass.lookup(key)?.classId[1 - bank] ?? classId;
      updates.push([key, { classId: bank === 0 ? [classId, kept] : [kept, classId] }]);
    }
    identityClass.updateAll(updates);
    const known = before?.keys() ?? identitiesIn(identityClass);
    const gone = [...known].filter((id) => !classes.has(id));
    identityClass.deleteAll(gone.map((identity) => ({ identity, addressSet: 0 })));
  }

  #innerOf(row: DesiredPolicyRow): { map: BpfMap; left: number } {
    const known = this.#inner.get(row.entries);
    if (known !== undefined) return known;
    const filled = fillPolicyMap(row.entries, this.#options.entriesMax);
    this.#inner.set(row.entries, filled);
    return filled;
  }

  /** The kernel keeps what is in a slot; descriptors of what neither bank has are closed. */
  #forgetUnused(): void {
    const used = new Set<DesiredPolicyRow['entries']>();
    for (const bank of this.#banks) {
      for (const row of bank?.policies.values() ?? []) used.add(row.entries);
    }
    for (const [entries, { map }] of this.#inner) {
      if (used.has(entries)) continue;
      map[Symbol.dispose]();
      this.#inner.delete(entries);
    }
  }

  #report(rows: readonly DesiredPolicyRow[]): void {
    this.overflow = 0;
    for (const row of rows) {
      const left = this.#inner.get(row.entries)?.left ?? 0;
      this.overflow += left;
      // Not an error of the endpoint: what fits is in force, and what does not is denied.
      this.#setStatus(row, done);
    }
  }

  #setStatus(row: DesiredPolicyRow, status: Status): void {
    const { policies } = this.#options;
    const current = policies.get(row.identity);
    // A row that changed meanwhile is pending again, and stays so.
    if (current === undefined || !sameContent(current, row)) return;
    if (!sameStatus(current.status, status)) policies.upsert({ ...current, status });
  }
}

/** Also of an earlier agent. */
function* identitiesIn(map: PolicyMaps['identityClass']): IterableIterator<IdentityId> {
  for (const [{ identity }] of [...map.entries()]) yield identity as IdentityId;
}

function* everyPolicyId(): IterableIterator<number> {
  for (let id = 1; id <= policyIdMax; id++) yield id;
}

function sameContent(a: DesiredPolicyRow | undefined, b: DesiredPolicyRow): boolean {
  return (
    a !== undefined &&
    a.identity === b.identity &&
    a.entries === b.entries &&
    a.ingressEnforced === b.ingressEnforced &&
    a.egressEnforced === b.egressEnforced &&
    a.denyCookie.ingress === b.denyCookie.ingress &&
    a.denyCookie.egress === b.denyCookie.egress
  );
}

/** Nothing that a packet can be judged by now differs. */
function onlyAdds(
  content: BankContent,
  rows: readonly DesiredPolicyRow[],
  classes: ReadonlyMap<IdentityId, number>,
): boolean {
  for (const row of rows) {
    const before = content.policies.get(row.policyId);
    if (before !== undefined && !sameContent(before, row)) return false;
  }
  for (const [identity, classId] of classes) {
    const before = content.classes.get(identity);
    if (before !== undefined && before !== classId) return false;
  }
  return true;
}
