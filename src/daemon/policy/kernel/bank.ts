/**
 * @module
 * One of the two banks of the policy maps: what it holds, and what it has yet to be told. Filling it
 * writes the difference.
 */

import type {
  AddressSet,
  IdentityClass,
  IdentityClassKey,
  IpcacheKey,
  PolicyConfig,
} from '../../../bpf/gen/layouts.ts';
import {
  type Bank,
  policyConfigInvalid,
  policyConfigOf,
  policySlot,
} from '../../../bpf/map/policy.ts';
import {
  formatPrefix,
  mappedLength,
  prefixFromMapped,
  requirePrefix,
} from '../../../net/prefix.ts';
import type { IdentityId } from '../../identity/table.ts';
import { addressSetNone, type SetPair } from '../compile/address-sets.ts';
import {
  addressSetOf,
  classNone,
  identityOf,
  type PeerNumber,
  peerNumber,
} from '../compile/peer.ts';
import type { PeerClasses } from '../compile/selector-cache.ts';
import { type DesiredPolicyRow, policyIdHost } from '../table.ts';
import { valuesAround } from './around.ts';
import type { EntryMap, PolicyTarget } from './policy-target.ts';

/** What packets are to be judged by: from the tables, and for a while what is gone from them. */
export interface Desired {
  readonly policies: ReadonlyMap<number, DesiredPolicyRow>;
  readonly peers: ReadonlyMap<PeerNumber, PeerClasses>;
  readonly sets: ReadonlyMap<string, SetPair>;
}

/** IPv6 blocks that cover the mapped IPv4 space end here; it is never without an entry. */
const rootPrefix = '0.0.0.0/0';

export class PolicyBank {
  readonly bank: Bank;
  readonly #target: PolicyTarget;
  /** What the kernel has. Unknown where an earlier agent filled it. */
  readonly policies = new Map<number, DesiredPolicyRow>();
  readonly peers = new Map<PeerNumber, PeerClasses>();
  readonly sets = new Map<string, SetPair>();
  readonly #dirtyPolicies = new Set<number>();
  readonly #dirtyPeers = new Set<PeerNumber>();
  readonly #dirtySets = new Set<string>();
  /** Peers of identities that the kernel does not know, which it is to be told of last. */
  readonly #newcomers = new Map<PeerNumber, PeerClasses>();
  /** Peers of identities that only an earlier agent knew, which go last; see `expelStrangers`. */
  #strangers: readonly PeerNumber[] = [];
  /** All of it was written by this agent, and no write failed. */
  isComplete = false;

  constructor(bank: Bank, target: PolicyTarget) {
    this.bank = bank;
    this.#target = target;
  }

  markPolicy(policyId: number): void {
    this.#dirtyPolicies.add(policyId);
  }

  markPeer(peer: PeerNumber): void {
    this.#dirtyPeers.add(peer);
  }

  markSet(prefix: string): void {
    this.#dirtySets.add(prefix);
  }

  /** Everything is in it. */
  get isClean(): boolean {
    const dirty = this.#dirtyPolicies.size + this.#dirtyPeers.size + this.#dirtySets.size;
    return this.isComplete && dirty === 0;
  }

  /** Nothing that packets can be judged by now would differ. */
  onlyAdds(desired: Desired): boolean {
    if (!this.isComplete || this.#dirtySets.size > 0) return false;
    for (const id of this.#dirtyPolicies) {
      const [before, after] = [this.policies.get(id), desired.policies.get(id)];
      if (before !== undefined && after !== undefined && !sameContent(before, after)) return false;
    }
    for (const peer of this.#dirtyPeers) {
      const [before, after] = [this.peers.get(peer), desired.peers.get(peer)];
      if (before !== undefined && after !== undefined && !sameClasses(before, after)) return false;
    }
    return true;
  }

  /**
   * Makes the bank say what is desired, but for newcomers; see `tellNewcomers`. `other` says what
   * must stay as it is in the other bank.
   */
  async fill(
    desired: Desired,
    other: PolicyBank,
    mapOf: (row: DesiredPolicyRow | undefined) => EntryMap,
  ): Promise<{ readonly settled: Promise<void> }> {
    const wasComplete = this.isComplete;
    if (!wasComplete) {
      other.#adoptSets();
      this.#markAll(desired);
    }
    // Whatever happens on the way, only a bank that was filled to the end is known again.
    this.isComplete = false;
    // A bank that was filled is in force; in which state the other one is does not matter then.
    this.#fillPeers(desired, other, !wasComplete && !other.isComplete);
    this.#fillSets(desired, other);
    const result = await this.#fillPolicies(desired, mapOf, wasComplete);
    this.isComplete = true;
    return result;
  }

  /** Also what an earlier agent or a fill that failed has left. */
  #markAll({ policies, peers, sets }: Desired): void {
    for (const id of policies.keys()) this.#dirtyPolicies.add(id);
    for (const peer of peers.keys()) this.#dirtyPeers.add(peer);
    for (const peer of this.#peersInKernel()) this.#dirtyPeers.add(peer);
    for (const prefix of [...sets.keys(), rootPrefix]) this.#dirtySets.add(prefix);
    for (const [key] of this.#target.addressSets.entries()) this.#dirtySets.add(prefixOfKey(key));
    this.policies.clear();
    this.peers.clear();
    this.sets.clear();
  }

  /**
   * What an earlier agent has written of blocks is in force until this bank is filled; but a block
   * that says what the one around it says may go.
   */
  #adoptSets(): void {
    if (this.isComplete) return;
    const { addressSets } = this.#target;
    for (const [key, row] of [...addressSets.entries()]) {
      const { addr, prefixlen } = key;
      const around =
        prefixlen === 0 ? undefined : addressSets.lookup({ addr, prefixlen: prefixlen - 1 });
      const own = this.#pairIn(row);
      if (!sameSets(own, this.#pairIn(around))) this.sets.set(prefixOfKey(key), own);
    }
  }

  #pairIn(row: AddressSet | undefined): SetPair {
    return {
      outside: row?.outside[this.bank] ?? addressSetNone,
      inside: row?.inside[this.bank] ?? addressSetNone,
    };
  }

  /** Peers that packets may be judged as while this bank is in force. */
  #metPeers(): (peer: PeerNumber) => boolean {
    if (this.isComplete) return (peer) => this.peers.has(peer);
    // Of an earlier agent's bank no more is known than the address sets that it tells apart.
    const met = new Set([addressSetNone]);
    for (const { outside, inside } of this.sets.values()) met.add(outside).add(inside);
    return (peer) => this.peers.has(peer) || met.has(addressSetOf(peer));
  }

  /**
   * Tells of the peers that were left out of the fill: while a bank of an earlier agent is in force,
   * no number says of somebody new what that agent would have said. They are not known yet, which is
   * denied. To be called when this bank is in force.
   */
  tellNewcomers(): void {
    if (this.#newcomers.size === 0) return;
    this.isComplete = false;
    const updates = [...this.#newcomers].map(
      ([peer, wanted]): [IdentityClassKey, IdentityClass] => [
        peerKey(peer),
        pairOf(this.bank, wanted, noClasses),
      ],
    );
    this.#target.identityClass.updateAll(updates);
    for (const [peer, wanted] of this.#newcomers) this.peers.set(peer, wanted);
    this.#newcomers.clear();
    this.isComplete = true;
  }

  /**
   * Forgets whom only an earlier agent knew: this bank's number for them may be anybody's. They are
   * not known any more, which is denied. To be called right before this bank gets in force.
   */
  expelStrangers(): void {
    if (this.#strangers.length === 0) return;
    // Without it the next attempt starts anew: it knows of strangers and newcomers again.
    this.isComplete = false;
    this.#target.identityClass.deleteAll(this.#strangers.map(peerKey));
    this.isComplete = true;
    this.#strangers = [];
  }

  /** `isOthers`: an earlier agent's other bank is in force. */
  #fillPeers({ peers }: Desired, other: PolicyBank, isOthers: boolean): void {
    this.#deletePeers(peers, other, isOthers);
    const known = isOthers ? new Set([...this.#peersInKernel()].map(identityOf)) : undefined;
    this.#newcomers.clear();
    const updates: [IdentityClassKey, IdentityClass][] = [];
    for (const peer of this.#dirtyPeers) {
      const wanted = peers.get(peer);
      if (wanted === undefined) continue;
      const before = this.peers.get(peer);
      const key = peerKey(peer);
      if (before !== undefined && sameClasses(before, wanted)) continue;
      if (known?.has(identityOf(peer)) === false) {
        this.#newcomers.set(peer, wanted);
        continue;
      }
      // Where an earlier agent's numbers are in force, none of ours may be.
      const unknown = isOthers ? noClasses : wanted;
      const kept = other.peers.get(peer) ?? other.#inKernel(key) ?? unknown;
      updates.push([key, pairOf(this.bank, wanted, kept)]);
      this.peers.set(peer, wanted);
    }
    if (updates.length > 0) this.#target.identityClass.updateAll(updates);
    this.#dirtyPeers.clear();
  }

  /** Before anything is added: the map holds two states, not three. */
  #deletePeers(wanted: Desired['peers'], other: PolicyBank, isOthers: boolean): void {
    const isMet = other.#metPeers();
    const left = isOthers ? new Set([...wanted.keys()].map(identityOf)) : undefined;
    const gone: PeerNumber[] = [];
    const strangers: PeerNumber[] = [];
    for (const peer of this.#dirtyPeers) {
      if (wanted.has(peer)) continue;
      this.peers.delete(peer);
      if (!isMet(peer)) gone.push(peer);
      else if (left?.has(identityOf(peer)) === false) strangers.push(peer);
    }
    this.#strangers = strangers;
    if (gone.length > 0) this.#target.identityClass.deleteAll(gone.map(peerKey));
  }

  *#peersInKernel(): IterableIterator<PeerNumber> {
    for (const [{ identity, addressSet }] of this.#target.identityClass.entries()) {
      yield peerNumber(identity as IdentityId, addressSet);
    }
  }

  /** What an earlier agent has written of a peer into this bank. */
  #inKernel(key: IdentityClassKey): PeerClasses | undefined {
    if (this.isComplete) return undefined;
    const row = this.#target.identityClass.lookup(key);
    const [classId, groupId] = [row?.classId[this.bank], row?.groupId[this.bank]];
    return classId === undefined || groupId === undefined ? undefined : { classId, groupId };
  }

  /** A block that only the other bank has must say here what the block around it says. */
  #fillSets({ sets }: Desired, other: PolicyBank): void {
    const { addressSets } = this.#target;
    for (const prefix of this.#dirtySets) {
      const wanted = sets.get(prefix) ?? (prefix === rootPrefix ? noSets : undefined);
      if (wanted === undefined) this.sets.delete(prefix);
      else this.sets.set(prefix, wanted);
    }
    const changed = [...this.#dirtySets].filter((each) => this.sets.has(each));
    const gone = [...this.#dirtySets].filter(
      (each) => !this.sets.has(each) && !other.sets.has(each),
    );
    // First, since the map holds two states, not three. In the bank in force such a block says what
    // the one around it says.
    if (gone.length > 0) addressSets.deleteAll(gone.map(keyOf));
    const ghosts = this.#dirtySets.size > 0 ? [...ghostsOf(this, other)] : [];
    const around = valuesAround(this.sets, ghosts);
    const inKernel = new Set([...changed, ...ghosts]);
    const updates: [IpcacheKey, AddressSet][] = [];
    // The wider first, so that a block in it finds what is around it.
    for (const prefix of [...inKernel].sort((a, b) => lengthOf(a) - lengthOf(b))) {
      const key = keyOf(prefix);
      const row = addressSets.lookup(key);
      const other = 1 - this.bank;
      const kept = { outside: row?.outside[other] ?? 0, inside: row?.inside[other] ?? 0 };
      const wanted = this.sets.get(prefix) ?? around.get(prefix) ?? noSets;
      updates.push([key, this.bank === 0 ? setsOf(wanted, kept) : setsOf(kept, wanted)]);
    }
    if (updates.length > 0) addressSets.updateAll(updates);
    this.#dirtySets.clear();
    this.#target.setAddressSets(this.bank, sets.size > 0);
  }

  async #fillPolicies(
    { policies }: Desired,
    mapOf: (row: DesiredPolicyRow | undefined) => EntryMap,
    wasComplete: boolean,
  ): Promise<{ readonly settled: Promise<void> }> {
    const slots: { slot: number; map: EntryMap }[] = [];
    const configs: [number, PolicyConfig][] = [];
    const content: [number, DesiredPolicyRow | undefined][] = [];
    for (const id of wasComplete ? this.#dirtyPolicies : everyPolicyId()) {
      const row = policies.get(id);
      const before = this.policies.get(id);
      if (row !== undefined && before !== undefined && sameContent(before, row)) continue;
      const slot = policySlot(this.bank, id);
      if (row === undefined) {
        configs.push([slot, policyConfigInvalid]);
        // The kernel would keep the entries of what is gone for as long as nobody has the slot.
        if (before !== undefined) slots.push({ slot, map: mapOf(undefined) });
      } else {
        if (before?.entries !== row.entries) slots.push({ slot, map: mapOf(row) });
        configs.push([slot, policyConfigOf(row, row.overflow !== undefined)]);
      }
      content.push([id, row]);
    }
    const result = await this.#target.install(slots);
    this.#target.policyConfig.updateAll(configs);
    for (const [id, row] of content) {
      if (row === undefined) this.policies.delete(id);
      else this.policies.set(id, row);
    }
    this.#dirtyPolicies.clear();
    return result;
  }
}

/** Blocks in the kernel for the sake of the other bank. */
function* ghostsOf(own: PolicyBank, other: PolicyBank): IterableIterator<string> {
  for (const prefix of other.sets.keys()) if (!own.sets.has(prefix)) yield prefix;
}

/** Key of a block in the kernel. */
export function keyOf(prefix: string): IpcacheKey {
  const parsed = requirePrefix(prefix);
  return { prefixlen: mappedLength(parsed), addr: parsed.address.bytes };
}

function prefixOfKey({ addr, prefixlen }: IpcacheKey): string {
  return formatPrefix(prefixFromMapped(addr, prefixlen));
}

function lengthOf(prefix: string): number {
  return mappedLength(requirePrefix(prefix));
}

const noSets: SetPair = { outside: addressSetNone, inside: addressSetNone };

function sameSets(a: SetPair, b: SetPair): boolean {
  return a.outside === b.outside && a.inside === b.inside;
}

function setsOf(first: SetPair, second: SetPair): AddressSet {
  return {
    outside: [first.outside, second.outside],
    inside: [first.inside, second.inside],
  };
}

const noClasses: PeerClasses = { classId: classNone, groupId: classNone };

function peerKey(peer: PeerNumber): IdentityClassKey {
  return { identity: identityOf(peer), addressSet: addressSetOf(peer) };
}

function pairOf(bank: Bank, own: PeerClasses, other: PeerClasses): IdentityClass {
  const [first, second] = bank === 0 ? [own, other] : [other, own];
  return {
    classId: [first.classId, second.classId],
    groupId: [first.groupId, second.groupId],
  };
}

function* everyPolicyId(): IterableIterator<number> {
  for (let id = 1; id <= policyIdHost; id++) yield id;
}

function sameClasses(a: PeerClasses, b: PeerClasses): boolean {
  return a.classId === b.classId && a.groupId === b.groupId;
}

/** True if packets are judged alike by both. */
export function sameContent(a: DesiredPolicyRow, b: DesiredPolicyRow): boolean {
  return (
    a.subject === b.subject &&
    a.policyId === b.policyId &&
    a.entries === b.entries &&
    a.ingressEnforced === b.ingressEnforced &&
    a.egressEnforced === b.egressEnforced &&
    a.denyCookie.ingress === b.denyCookie.ingress &&
    a.denyCookie.egress === b.denyCookie.egress &&
    a.overflow === b.overflow
  );
}
