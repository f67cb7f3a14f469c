/**
 * @module
 * cilium_runtime_config: the one row that programs read on every packet, written through its
 * mapping so that a change is one store. Input: epoch, switches, the slot of the node's policy. One
 * process writes; what an earlier agent left stays until it is set.
 */
import { runtimeFlags } from '../gen/constants.ts';
import type { BpfMap } from '../libbpf/map.ts';

/** Kinds of events that programs send. */
export interface EventSwitches {
  readonly drop: boolean;
  readonly trace: boolean;
  readonly verdict: boolean;
}

const words = { epoch: 0, flags: 1, hostPolicyId: 2 } as const;
const wordCount = 3;
const addressSetFlags = [
  runtimeFlags.RUNTIME_ADDRESS_SETS_0,
  runtimeFlags.RUNTIME_ADDRESS_SETS_1,
] as const;

/** Even, and unlike any that an earlier map may have had. */
function newEpoch(): number {
  return (Math.floor(Math.random() * 0x7fff_fff0) + 2) & ~1;
}

export class RuntimeConfig {
  readonly #words: Uint32Array;

  constructor(map: BpfMap) {
    // The mapping stays for the life of the process.
    this.#words = new Uint32Array(map.mapMemory().buffer, 0, wordCount);
    // Where a new map begins, conntrack may have entries of an older one: they must not look judged.
    if (this.epoch === 0) this.epoch = newEpoch();
  }

  /** Of the verdicts that packets get now. Its lowest bit is the bank in force. */
  get epoch(): number {
    return this.#words[words.epoch] ?? 0;
  }

  /** Every packet from now on obeys this epoch's bank, and judges older connections again. */
  set epoch(epoch: number) {
    Atomics.store(this.#words, words.epoch, epoch >>> 0);
  }

  set events(switches: EventSwitches) {
    this.#setFlag(runtimeFlags.RUNTIME_EVENTS_DROP, switches.drop);
    this.#setFlag(runtimeFlags.RUNTIME_EVENTS_TRACE, switches.trace);
    this.#setFlag(runtimeFlags.RUNTIME_EVENTS_VERDICT, switches.verdict);
  }

  /** By bank: whether it tells peers apart by address set. To be set while the bank is not in force. */
  get addressSets(): [boolean, boolean] {
    const [first, second] = addressSetFlags;
    return [this.#hasFlag(first), this.#hasFlag(second)];
  }

  set addressSets(used: readonly [boolean, boolean]) {
    for (const bank of [0, 1] as const) this.#setFlag(addressSetFlags[bank], used[bank]);
  }

  /** What policy denies is told of and goes on, for every endpoint; for new verdicts. */
  get policyAudit(): boolean {
    return this.#hasFlag(runtimeFlags.RUNTIME_POLICY_AUDIT);
  }

  set policyAudit(audit: boolean) {
    this.#setFlag(runtimeFlags.RUNTIME_POLICY_AUDIT, audit);
  }

  /** Slot of the node's own policy; 0 for none, which a host firewall takes for "not ready". */
  get hostPolicyId(): number {
    return this.#words[words.hostPolicyId] ?? 0;
  }

  set hostPolicyId(policyId: number) {
    Atomics.store(this.#words, words.hostPolicyId, policyId);
  }

  #hasFlag(flag: number): boolean {
    return ((this.#words[words.flags] ?? 0) & flag) !== 0;
  }

  #setFlag(flag: number, on: boolean): void {
    const flags = this.#words[words.flags] ?? 0;
    Atomics.store(this.#words, words.flags, on ? flags | flag : flags & ~flag);
  }
}
