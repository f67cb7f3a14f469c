/**
 * @module
 * cilium_runtime_config: the one row that programs read on every packet, written through its
 * mapping so that a change is one store. Input: epoch and event flags; nothing is read back but
 * what an earlier agent left.
 */
import { runtimeFlags } from '../gen/constants.ts';
import type { BpfMap } from '../libbpf/map.ts';

/** Kinds of events that programs send. */
export interface EventSwitches {
  readonly drop: boolean;
  readonly trace: boolean;
  readonly verdict: boolean;
}

const words = { epoch: 0, flags: 1 } as const;

/** Even, and unlike any that an earlier map may have had. */
function newEpoch(): number {
  return (Math.floor(Math.random() * 0x7fff_fff0) + 2) & ~1;
}

export class RuntimeConfig {
  readonly #words: Uint32Array;

  constructor(map: BpfMap) {
    // The mapping stays for the life of the process.
    this.#words = new Uint32Array(map.mapMemory().buffer, 0, 2);
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
    const flags =
      (switches.drop ? runtimeFlags.RUNTIME_EVENTS_DROP : 0) |
      (switches.trace ? runtimeFlags.RUNTIME_EVENTS_TRACE : 0) |
      (switches.verdict ? runtimeFlags.RUNTIME_EVENTS_VERDICT : 0);
    Atomics.store(this.#words, words.flags, flags);
  }
}
