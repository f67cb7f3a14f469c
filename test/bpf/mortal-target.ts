/**
 * @module
 * The policy maps of a fixture as one agent's reconciler writes to them, until that agent is killed:
 * from then on every write of its throws, whatever it was in the middle of, as nothing is written
 * by a process that is gone.
 */
import {
  type EntryMap,
  kernelPolicyTarget,
  type PolicyTarget,
  type WritableMap,
} from '../../src/daemon/policy/kernel/policy-target.ts';
import type { Fixture } from './fixture.ts';

/** Room in a map of entries, as in an agent. */
export const entriesMax = 16_384;

export class MortalTarget implements PolicyTarget {
  readonly identityClass: PolicyTarget['identityClass'];
  readonly addressSets: PolicyTarget['addressSets'];
  readonly policyConfig: PolicyTarget['policyConfig'];
  readonly #target: PolicyTarget;
  readonly #entryMaps = new Set<EntryMap>();
  /** Calls that the kernel goes on with even if their process dies. */
  readonly #calls: Promise<unknown>[] = [];
  #isDead = false;

  constructor({ maps, config }: Fixture) {
    this.#target = kernelPolicyTarget(maps, config, entriesMax);
    const { identityClass, addressSets, policyConfig } = this.#target;
    this.identityClass = this.#mortal(identityClass);
    this.addressSets = this.#mortal(addressSets);
    this.policyConfig = { updateAll: (pairs) => this.#alive(() => policyConfig.updateAll(pairs)) };
  }

  get epoch(): number {
    return this.#target.epoch;
  }

  set epoch(epoch: number) {
    this.#alive(() => {
      this.#target.epoch = epoch;
    });
  }

  setAddressSets(bank: 0 | 1, used: boolean): void {
    this.#alive(() => this.#target.setAddressSets(bank, used));
  }

  fill(...[entries]: Parameters<PolicyTarget['fill']>): EntryMap {
    const map = this.#alive(() => this.#target.fill(entries));
    const close = map[Symbol.dispose].bind(map);
    this.#entryMaps.add(map);
    map[Symbol.dispose] = () => {
      if (this.#entryMaps.delete(map)) close();
    };
    return map;
  }

  install(...[slots]: Parameters<PolicyTarget['install']>): ReturnType<PolicyTarget['install']> {
    const result = this.#alive(() => this.#target.install(slots));
    this.#calls.push(result.then(({ settled }) => settled));
    return result;
  }

  grace(): Promise<void> {
    const call = this.#alive(() => this.#target.grace());
    this.#calls.push(call);
    return call;
  }

  /** Ends all writes. What the kernel holds stays, as after an agent's end. */
  async kill(): Promise<void> {
    this.#isDead = true;
    await Promise.all(this.#calls);
    for (const map of [...this.#entryMaps]) map[Symbol.dispose]();
  }

  #alive<T>(write: () => T): T {
    if (this.#isDead) throw new Error('a write of an agent that is gone');
    return write();
  }

  #mortal<K, V>(map: WritableMap<K, V>): WritableMap<K, V> {
    return {
      lookup: (key) => map.lookup(key),
      entries: () => map.entries(),
      updateAll: (pairs) => this.#alive(() => map.updateAll(pairs)),
      deleteAll: (keys) => this.#alive(() => map.deleteAll(keys)),
    };
  }
}
