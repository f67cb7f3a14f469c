/**
 * @module
 * Tables `policies`, `policy-peers` and `address-sets` → the policy maps. What only adds (a policy
 * nobody uses yet, a peer at no address yet) goes into the bank in force; any other change fills the
 * bank that is not in force and flips the epoch, so that a packet sees all of the old revision or
 * all of the new one. A moment later the other bank is told as well.
 */

import type { Bank } from '../../../bpf/map/policy.ts';
import { done, failed, type Status, sameStatus } from '../../../kv/status.ts';
import type { ChangeReader, Key, Table } from '../../../kv/table.ts';
import type { SetPair } from '../compile/address-sets.ts';
import type { PeerNumber } from '../compile/peer.ts';
import { peersMaxDefault } from '../compile/rule-uses.ts';
import { Linger } from '../linger.ts';
import type { AddressSetRow, DesiredPolicyRow, PeerRow, PolicySubject } from '../table.ts';
import { PolicyBank, sameContent } from './bank.ts';
import type { EntryMap, PolicyTarget } from './policy-target.ts';

export interface PolicyReconcilerOptions {
  readonly policies: Table<DesiredPolicyRow, PolicySubject>;
  readonly peers: Table<PeerRow, PeerNumber>;
  readonly addressSets: Table<AddressSetRow>;
  readonly target: PolicyTarget;
  /** Every source has delivered everything once: before that nothing is touched. */
  readonly initialized: Promise<unknown>;
  /** Everything is in the kernel. */
  readonly onWritten?: () => void;
  readonly onError?: (error: unknown) => void;
  /** How long what is gone from the tables stays; endpoints still have it for a moment. */
  readonly lingerMs?: number;
  /** Peers of one state for which there is room. Beyond it those that are gone do not stay. */
  readonly peersMax?: number;
  /** After a flip, the other bank is told when nothing has changed for this long. */
  readonly settleMs?: number;
}

const retryMinMs = 20;
const retryMaxMs = 10_000;
/** Far longer than an endpoint takes to be carried to the kernel. */
const lingerMsDefault = 3_000;
const lingerWakeMinMs = 100;
const settleMsDefault = 50;

/** Starts by itself. Never throws; what failed is in the rows and tried again. */
export class PolicyReconciler implements Disposable {
  readonly #options: PolicyReconcilerOptions;
  readonly #banks: readonly [PolicyBank, PolicyBank];
  readonly #policies = new Map<number, DesiredPolicyRow>();
  readonly #peers = new Map<PeerNumber, PeerRow>();
  readonly #sets = new Map<string, SetPair>();
  readonly #slotOf = new Map<Key, number>();
  readonly #readers: {
    readonly policies: ChangeReader<DesiredPolicyRow>;
    readonly peers: ChangeReader<PeerRow>;
    readonly sets: ChangeReader<AddressSetRow>;
  };
  readonly #maps = new Map<DesiredPolicyRow['entries'], EntryMap>();
  #empty: EntryMap | undefined;
  readonly #subscriptions: Disposable[];
  /** By subject, which is text, and by peer, which is a number. */
  readonly #lingering: Linger<Key>;
  readonly #pending = {
    policies: new Map<PolicySubject, DesiredPolicyRow>(),
    peers: new Map<PeerNumber, PeerRow>(),
    sets: new Map<string, AddressSetRow>(),
  };
  readonly #inForce = Promise.withResolvers<void>();
  #ready = false;
  #running = false;
  #again = false;
  #stopped = false;
  #failures = 0;
  /** Counts what the kernel has to hear of. */
  #news = 0;
  /** Of these, what it has heard of; and when that was read. */
  #told = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  /**
   * Until no packet is left that began under the bank before the latest flip. Undefined when it is
   * over: to wait would let others go first.
   */
  #grace: Promise<void> | undefined;
  #settling = false;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #settleTimer: ReturnType<typeof setTimeout> | undefined;
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PolicyReconcilerOptions) {
    this.#options = options;
    this.#lingering = new Linger(options.lingerMs ?? lingerMsDefault);
    this.#banks = [new PolicyBank(0, options.target), new PolicyBank(1, options.target)];
    this.#readers = {
      policies: options.policies.reader('policy reconciler'),
      peers: options.peers.reader('policy reconciler'),
      sets: options.addressSets.reader('policy reconciler'),
    };
    const wake = () => {
      if (this.#running || this.#hasReason()) this.#wake();
    };
    this.#subscriptions = [
      options.policies.subscribe(wake),
      options.peers.subscribe(wake),
      options.addressSets.subscribe(wake),
    ];
    void options.initialized.then(() => {
      this.#ready = true;
      this.#wake();
    });
  }

  /** Judge established connections again: something that verdicts rest on changed hands. */
  advanceEpoch(): void {
    // By two: the bank in force stays.
    this.#options.target.epoch += 2;
  }

  /** Resolves when everything was in the kernel for the first time. */
  get inForce(): Promise<void> {
    return this.#inForce.promise;
  }

  /** True if everything that the tables said at the time is in force. */
  hasAllOf(timeMs: number): boolean {
    if (this.#toldMs > timeMs) return true;
    const { policies, peers, addressSets } = this.#options;
    return (
      this.#told === this.#news &&
      this.#readers.policies.revision === policies.revision &&
      this.#readers.peers.revision === peers.revision &&
      this.#readers.sets.revision === addressSets.revision
    );
  }

  /** Maps of entries that the kernel holds for policies. */
  get entryMaps(): number {
    return this.#maps.size;
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    for (const timer of [this.#retryTimer, this.#settleTimer, this.#lingerTimer]) {
      clearTimeout(timer);
    }
    for (const one of [...this.#subscriptions, ...Object.values(this.#readers)]) {
      one[Symbol.dispose]();
    }
  }

  /**
   * After a failure only what is new is a reason not to wait for the retry; the status of rows that
   * could not be written, which was just told, is none.
   */
  #hasReason(): boolean {
    return this.#failures === 0 || this.#read();
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
      if (this.#again && this.#hasReason()) this.#wake();
    }
  }

  #fail(error: unknown): void {
    this.#failures++;
    const status = failed(error instanceof Error ? error.message : String(error), this.#failures);
    for (const row of [...this.#pending.policies.values()]) this.#setPolicyStatus(row, status);
    this.#options.onError?.(error);
    clearTimeout(this.#retryTimer);
    const delayMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(this.#failures, 10));
    this.#retryTimer = setTimeout(() => this.#wake(), delayMs);
  }

  async #flush(): Promise<void> {
    this.#read();
    const readMs = performance.now();
    const { target } = this.#options;
    const active = this.#bank(target.epoch);
    const other = this.#bank(target.epoch + 1);
    const settling = this.#settling;
    this.#settling = false;
    if (active.isClean) {
      if (settling && !other.isClean) await this.#settle(other, active);
    } else if (active.onlyAdds(this.#desired())) {
      await this.#fill(active, other);
    } else {
      if (this.#grace !== undefined) await this.#grace;
      await this.#fill(other, active);
      other.expelStrangers();
      target.epoch += 1;
      // Before anything that can fail: the next attempt fills the bank that just went out of force.
      this.#grace = this.#gracePeriod();
      other.tellNewcomers();
    }
    this.#toldMs = readMs;
    this.#report();
    this.#forgetUnused();
    if (!this.#banks.every((bank) => bank.isClean)) this.#settleLater();
    this.#inForce.resolve();
    this.#options.onWritten?.();
  }

  #bank(epoch: number): PolicyBank {
    return this.#banks[(epoch & 1) as Bank];
  }

  #desired() {
    return { policies: this.#policies, peers: this.#peers, sets: this.#sets };
  }

  async #fill(bank: PolicyBank, other: PolicyBank): Promise<void> {
    const { settled } = await bank.fill(this.#desired(), other, (row) => this.#mapOf(row));
    settled.catch((error: unknown) => this.#fail(error));
  }

  async #settle(bank: PolicyBank, inForce: PolicyBank): Promise<void> {
    if (this.#grace !== undefined) await this.#grace;
    await this.#fill(bank, inForce);
  }

  #settleLater(): void {
    clearTimeout(this.#settleTimer);
    this.#settleTimer = setTimeout(() => {
      this.#settling = true;
      this.#wake();
    }, this.#options.settleMs ?? settleMsDefault);
    this.#settleTimer.unref();
  }

  async #gracePeriod(): Promise<void> {
    await this.#options.target.grace().catch((error: unknown) => this.#fail(error));
    this.#grace = undefined;
  }

  /** Takes in what changed; what is gone stays a while. False if the kernel need not hear of it. */
  #read(): boolean {
    const before = this.#news;
    for (const { key, row } of this.#readers.policies.next()) {
      if (row === undefined) this.#lingering.hold(key, () => this.#dropPolicy(key));
      else this.#takePolicy(row);
    }
    for (const { key, row } of this.#readers.peers.next()) {
      const peer = key as PeerNumber;
      if (row === undefined) this.#lingering.hold(peer, () => this.#dropPeer(peer));
      else this.#takePeer(row);
    }
    for (const { key, row } of this.#readers.sets.next()) {
      const prefix = String(key);
      if (row !== undefined && row.status.kind === 'pending') this.#pending.sets.set(prefix, row);
      const before = this.#sets.get(prefix);
      if (before?.outside === row?.outside && before?.inside === row?.inside) continue;
      if (row === undefined) this.#sets.delete(prefix);
      else this.#sets.set(prefix, { outside: row.outside, inside: row.inside });
      this.#news++;
      for (const bank of this.#banks) bank.markSet(prefix);
    }
    this.#lingering.expire();
    this.#makeRoom();
    this.#wakeLater();
    return this.#news !== before;
  }

  #takePolicy(row: DesiredPolicyRow): void {
    this.#lingering.release(row.subject);
    if (row.status.kind !== 'done') this.#pending.policies.set(row.subject, row);
    // While it was away somebody else may have got its slot, and gone.
    if (this.#slotOf.get(row.subject) !== row.policyId) this.#dropPolicy(row.subject);
    const before = this.#policies.get(row.policyId);
    this.#slotOf.set(row.subject, row.policyId);
    this.#policies.set(row.policyId, row);
    if (before !== undefined && sameContent(before, row)) return;
    this.#news++;
    for (const bank of this.#banks) bank.markPolicy(row.policyId);
  }

  #dropPolicy(subject: Key): void {
    const policyId = this.#slotOf.get(subject);
    this.#slotOf.delete(subject);
    // A successor may have the slot.
    if (policyId === undefined || this.#policies.get(policyId)?.subject !== subject) return;
    this.#policies.delete(policyId);
    this.#news++;
    for (const bank of this.#banks) bank.markPolicy(policyId);
  }

  #takePeer(row: PeerRow): void {
    this.#lingering.release(row.peer);
    if (row.status.kind !== 'done') this.#pending.peers.set(row.peer, row);
    const before = this.#peers.get(row.peer);
    this.#peers.set(row.peer, row);
    if (before?.classId === row.classId && before.groupId === row.groupId) return;
    this.#news++;
    for (const bank of this.#banks) bank.markPeer(row.peer);
  }

  #dropPeer(peer: PeerNumber): void {
    this.#peers.delete(peer);
    this.#news++;
    for (const bank of this.#banks) bank.markPeer(peer);
  }

  /** The kernel holds two states. Those of both banks fit if neither is larger than half of it. */
  #makeRoom(): void {
    const { peers, peersMax = peersMaxDefault } = this.#options;
    if (this.#peers.size <= peersMax) return;
    for (const peer of this.#peers.keys()) {
      if (peers.get(peer) !== undefined) continue;
      this.#lingering.release(peer);
      this.#dropPeer(peer);
    }
  }

  #wakeLater(): void {
    const nextMs = this.#lingering.nextMs;
    clearTimeout(this.#lingerTimer);
    if (nextMs === undefined) return;
    this.#lingerTimer = setTimeout(
      () => this.#wake(),
      Math.max(nextMs, Math.min(lingerWakeMinMs, this.#options.lingerMs ?? lingerWakeMinMs)),
    );
    this.#lingerTimer.unref();
  }

  /** One without entries for a slot that nobody has. */
  #mapOf(row: DesiredPolicyRow | undefined): EntryMap {
    if (row === undefined) {
      this.#empty ??= this.#options.target.fill([]);
      return this.#empty;
    }
    const known = this.#maps.get(row.entries);
    if (known !== undefined) return known;
    const filled = this.#options.target.fill(row.entries);
    this.#maps.set(row.entries, filled);
    return filled;
  }

  /** The kernel keeps what is in a slot; descriptors of what neither bank has are closed. */
  #forgetUnused(): void {
    if (this.#maps.size <= this.#policies.size && !this.#banks.every((bank) => bank.isClean))
      return;
    const used = new Set<DesiredPolicyRow['entries']>();
    for (const bank of this.#banks) for (const row of bank.policies.values()) used.add(row.entries);
    for (const [entries, map] of this.#maps) {
      if (used.has(entries)) continue;
      map[Symbol.dispose]();
      this.#maps.delete(entries);
    }
  }

  /** What was read before the fill is in force now. A row that changed meanwhile is pending again. */
  #report(): void {
    const { peers, addressSets } = this.#options;
    this.#told = this.#news;
    for (const row of this.#pending.policies.values()) this.#setPolicyStatus(row, done);
    for (const row of this.#pending.peers.values()) {
      if (peers.get(row.peer) === row) peers.upsert({ ...row, status: done });
    }
    for (const row of this.#pending.sets.values()) {
      if (addressSets.get(row.prefix) === row) addressSets.upsert({ ...row, status: done });
    }
    this.#pending.policies.clear();
    this.#pending.peers.clear();
    this.#pending.sets.clear();
  }

  #setPolicyStatus(row: DesiredPolicyRow, status: Status): void {
    const { policies } = this.#options;
    const current = policies.get(row.subject);
    if (current === undefined || !sameContent(current, row)) return;
    if (!sameStatus(current.status, status)) policies.upsert({ ...current, status });
  }
}
