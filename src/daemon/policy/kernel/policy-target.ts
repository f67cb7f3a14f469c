/**
 * @module
 * What the policy reconciler writes to: the policy maps of the kernel, behind an interface that a
 * model can stand in for, so that a test can look at the state after every single write.
 */

import type {
  AddressSet,
  IdentityClass,
  IdentityClassKey,
  IpcacheKey,
  PolicyConfig,
} from '../../../bpf/gen/layouts.ts';
import type { BpfMap } from '../../../bpf/libbpf/map.ts';
import type { TypedMap } from '../../../bpf/libbpf/typed-map.ts';
import {
  type Bank,
  fillPolicyMap,
  installPolicyMaps,
  type PolicyMapEntry,
} from '../../../bpf/map/policy.ts';
import type { RuntimeConfig } from '../../../bpf/map/runtime-config.ts';

/** The part of a map that is needed. */
export type WritableMap<K, V> = Pick<
  TypedMap<K, V>,
  'lookup' | 'updateAll' | 'deleteAll' | 'entries'
>;

/** A filled map of entries, ready to be put into a slot. */
export interface EntryMap extends Disposable {
  readonly size: number;
}

export interface PolicyTarget {
  readonly identityClass: WritableMap<IdentityClassKey, IdentityClass>;
  readonly addressSets: WritableMap<IpcacheKey, AddressSet>;
  readonly policyConfig: Pick<TypedMap<number, PolicyConfig>, 'updateAll'>;
  /** Its lowest bit is the bank in force. */
  epoch: number;
  /** Whether packets ask for address sets in a bank. */
  setAddressSets(bank: Bank, used: boolean): void;
  fill(entries: readonly PolicyMapEntry[]): EntryMap;
  /** Resolves when packets see the maps in their slots; `settled` when the kernel's call is over. */
  install(
    slots: readonly { readonly slot: number; readonly map: EntryMap }[],
  ): Promise<{ readonly settled: Promise<void> }>;
  /** Resolves when every packet that was on its way at the call has been judged. */
  grace(): Promise<void>;
}

export interface PolicyMaps {
  readonly policy: BpfMap;
  readonly policyConfig: TypedMap<number, PolicyConfig>;
  readonly identityClass: TypedMap<IdentityClassKey, IdentityClass>;
  readonly addressSets: TypedMap<IpcacheKey, AddressSet>;
}

class KernelEntryMap implements EntryMap {
  readonly map: BpfMap;
  readonly size: number;

  constructor(map: BpfMap, size: number) {
    this.map = map;
    this.size = size;
  }

  [Symbol.dispose](): void {
    this.map[Symbol.dispose]();
  }
}

/** The kernel. `entriesMax` is the room in a map of entries. */
export function kernelPolicyTarget(
  maps: PolicyMaps,
  runtime: RuntimeConfig,
  entriesMax: number,
): PolicyTarget {
  let empty: BpfMap | undefined;
  return {
    identityClass: maps.identityClass,
    addressSets: maps.addressSets,
    policyConfig: maps.policyConfig,
    get epoch() {
      return runtime.epoch;
    },
    set epoch(epoch: number) {
      runtime.epoch = epoch;
    },
    setAddressSets(bank, used) {
      const [first, second] = runtime.addressSets;
      runtime.addressSets = bank === 0 ? [used, second] : [first, used];
    },
    fill: (entries) => new KernelEntryMap(fillPolicyMap(entries, entriesMax).map, entries.length),
    install: (slots) =>
      installPolicyMaps(
        maps.policy,
        slots.flatMap(({ slot, map }) =>
          map instanceof KernelEntryMap ? [{ slot, map: map.map }] : [],
        ),
      ),
    /**
     * An update of the outer map returns after every packet that may use what was there has ended;
     * slot 0 is one that nobody has.
     */
    async grace() {
      empty ??= fillPolicyMap([], 1).map;
      const slot = new Uint8Array(new Uint32Array([0]).buffer);
      const value = new Uint8Array(new Uint32Array([empty.fd]).buffer);
      await maps.policy.updateBatchAsync(slot, value, 1);
    },
  };
}
