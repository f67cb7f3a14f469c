/**
 * @module
 * The policy maps and the question that programs ask them, in memory: what a property test looks at
 * after every single write. Follows `policy_check()` in src/bpf/lib/policy.h.
 */

import { policyConfigFlags } from '../../../bpf/gen/constants.ts';
import type {
  AddressSet,
  IdentityClass,
  IdentityClassKey,
  IpcacheKey,
  PolicyConfig,
} from '../../../bpf/gen/layouts.ts';
import { type Bank, type PolicyMapEntry, policySlot } from '../../../bpf/map/policy.ts';
import { requireAddress } from '../../../net/address.ts';
import { type IdentityId, identityWorldIpv4, identityWorldIpv6 } from '../../identity/table.ts';
import { classNone } from '../compile/peer.ts';
import type { Direction } from '../rule.ts';
import type { EntryMap, PolicyTarget, WritableMap } from './policy-target.ts';

class ModelEntries implements EntryMap {
  readonly entries: readonly PolicyMapEntry[];
  isClosed = false;

  constructor(entries: readonly PolicyMapEntry[]) {
    this.entries = entries;
  }

  get size(): number {
    return this.entries.length;
  }

  [Symbol.dispose](): void {
    this.isClosed = true;
  }
}

/** A letter for each verdict: what the programs return. */
export type Letter = 'A' | 'D' | 'd' | 'N' | 'o';

/** How many rows the maps hold. */
export interface Room {
  readonly classes: number;
  readonly sets: number;
}

export class KernelModel implements PolicyTarget {
  readonly #classes = new Map<string, [IdentityClassKey, IdentityClass]>();
  readonly #sets = new Map<string, [IpcacheKey, AddressSet]>();
  readonly #configs = new Map<number, PolicyConfig>();
  readonly #slots = new Map<number, ModelEntries>();
  readonly #usesSets: [boolean, boolean] = [false, false];
  #epoch = 2;
  writes = 0;
  /** Called after each write, however small. */
  onWrite: (() => void) | undefined;

  readonly identityClass: WritableMap<IdentityClassKey, IdentityClass>;
  readonly addressSets: WritableMap<IpcacheKey, AddressSet>;
  readonly policyConfig = {
    updateAll: (pairs: Iterable<readonly [number, PolicyConfig]>) => {
      for (const [slot, config] of pairs) {
        const isEmpty = config.flags === 0 && (this.#configs.get(slot)?.flags ?? 0) === 0;
        this.#configs.set(slot, config);
        // A bank that is filled for the first time has thousands of slots that nobody has.
        if (!isEmpty) this.#wrote();
      }
    },
  };

  constructor(room: Room = { classes: Infinity, sets: Infinity }) {
    this.identityClass = this.#map(
      this.#classes,
      room.classes,
      ({ identity, addressSet }) => `${identity}/${addressSet}`,
      (key) => this.#classes.get(`${key.identity}/${key.addressSet}`)?.[1],
    );
    this.addressSets = this.#map(this.#sets, room.sets, blockText, (key) =>
      this.#longestBlock(key),
    );
  }

  get epoch(): number {
    return this.#epoch;
  }

  set epoch(epoch: number) {
    this.#epoch = epoch;
    this.#wrote();
  }

  setAddressSets(bank: Bank, used: boolean): void {
    this.#usesSets[bank] = used;
    this.#wrote();
  }

  fill(entries: readonly PolicyMapEntry[]): EntryMap {
    return new ModelEntries(entries);
  }

  async install(slots: readonly { readonly slot: number; readonly map: EntryMap }[]) {
    for (const { slot, map } of slots) {
      if (!(map instanceof ModelEntries) || map.isClosed) throw new Error('a map that is closed');
      this.#slots.set(slot, map);
      this.#wrote();
      await Promise.resolve();
    }
    return { settled: Promise.resolve() };
  }

  async grace(): Promise<void> {
    await Promise.resolve();
  }

  /** A packet of the endpoint in the slot, to or from somebody. */
  judge(
    policyId: number,
    direction: Direction,
    peer: { readonly identity: IdentityId; readonly address: string },
    proto: number,
    port: number,
  ): Letter {
    const bank = (this.#epoch & 1) as Bank;
    const slot = policySlot(bank, policyId);
    const flags = this.#configs.get(slot)?.flags ?? 0;
    if ((flags & policyConfigFlags.POLICY_VALID) === 0) return 'N';
    const egress = direction === 'egress';
    const enforce = egress
      ? policyConfigFlags.POLICY_ENFORCE_EGRESS
      : policyConfigFlags.POLICY_ENFORCE_INGRESS;
    if ((flags & enforce) === 0) return 'o';
    const { addr } = keyOfAddress(peer.address);
    const block = this.#usesSets[bank] ? this.#longestBlock({ prefixlen: 128, addr }) : undefined;
    const isOutside = peer.identity === identityWorldIpv4 || peer.identity === identityWorldIpv6;
    const set = (isOutside ? block?.outside[bank] : block?.inside[bank]) ?? 0;
    const row = this.#classes.get(`${peer.identity}/${set}`)?.[1];
    if (row === undefined) return 'N';
    for (const classId of [row.classId[bank], row.groupId[bank], 0]) {
      if (classId === classNone) continue;
      const entry = this.#longestEntry(slot, direction, classId, proto, port);
      if (entry !== undefined) return entry.isDefault ? 'd' : entry.deny ? 'D' : 'A';
    }
    return 'd';
  }

  /** What both banks have in use and the kernel holds, to see what is left behind. */
  sizes(): Room {
    return { classes: this.#classes.size, sets: this.#sets.size };
  }

  /** Entries of all maps in slots, whether an endpoint may use them or not. */
  get entriesHeld(): number {
    return [...this.#slots.values()].reduce((sum, { size }) => sum + size, 0);
  }

  #longestEntry(
    slot: number,
    direction: Direction,
    classId: number,
    proto: number,
    port: number,
  ): PolicyMapEntry | undefined {
    let best: PolicyMapEntry | undefined;
    for (const entry of this.#slots.get(slot)?.entries ?? []) {
      if (entry.classId !== classId || entry.direction !== direction) continue;
      const shift = 16 - entry.portPrefix;
      const covers =
        entry.proto === 0 || (entry.proto === proto && entry.port >> shift === port >> shift);
      if (covers && (best === undefined || width(entry) > width(best))) best = entry;
    }
    return best;
  }

  #longestBlock({ prefixlen, addr }: IpcacheKey): AddressSet | undefined {
    let best: [IpcacheKey, AddressSet] | undefined;
    for (const each of this.#sets.values()) {
      const [key] = each;
      if (key.prefixlen > prefixlen || !sameBits(key.addr, addr, key.prefixlen)) continue;
      if (best === undefined || key.prefixlen > best[0].prefixlen) best = each;
    }
    return best?.[1];
  }

  #map<K, V>(
    rows: Map<string, [K, V]>,
    rowsMax: number,
    textOf: (key: K) => string,
    lookup: (key: K) => V | undefined,
  ): WritableMap<K, V> {
    const wrote = () => this.#wrote();
    return {
      lookup,
      updateAll(pairs) {
        for (const [key, value] of pairs) {
          const text = textOf(key);
          if (rows.size >= rowsMax && !rows.has(text)) throw new Error('the map is full');
          rows.set(text, [key, value]);
          wrote();
        }
      },
      deleteAll(keys) {
        for (const key of keys) {
          rows.delete(textOf(key));
          wrote();
        }
      },
      *entries() {
        yield* rows.values();
      },
    };
  }

  #wrote(): void {
    this.writes++;
    this.onWrite?.();
  }
}

function width({ proto, portPrefix }: PolicyMapEntry): number {
  return proto === 0 ? -1 : portPrefix;
}

function keyOfAddress(address: string): IpcacheKey {
  return { prefixlen: 128, addr: requireAddress(address).bytes };
}

function blockText({ prefixlen, addr }: IpcacheKey): string {
  return `${addr.toHex()}/${prefixlen}`;
}

function sameBits(a: Uint8Array, b: Uint8Array, length: number): boolean {
  for (let bit = 0; bit < length; bit++) {
    const mask = 0x80 >> (bit & 7);
    if (((a[bit >> 3] ?? 0) & mask) !== ((b[bit >> 3] ?? 0) & mask)) return false;
  }
  return true;
}
