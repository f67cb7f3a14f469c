/**
 * @module
 * Tables `policy-rules`, `cluster-objects`, `identities`, `endpoints`, `ipcache` → tables `policies`,
 * `policy-peers`, `address-sets` and `policy-cookies`. A thin shell of rows around the compiler; call
 * `run` after changes, as often as you like.
 */

import { pending } from '../../kv/status.ts';
import type { ChangeReader, Key, Table } from '../../kv/table.ts';
import { requirePrefix } from '../../net/prefix.ts';
import {
  type ClusterObjectRow,
  clusterObjectKey,
  nodeLabelTexts,
  type RemotePodRow,
} from '../cluster/table.ts';
import type { EndpointId, EndpointRow } from '../endpoint/table.ts';
import { type IdentityId, type IdentityRow, identityHost } from '../identity/table.ts';
import type { IpcacheRow } from '../ipcache/table.ts';
import { type SetPair, spanOf } from './compile/address-sets.ts';
import {
  type CompiledPolicy,
  PolicyCompiler,
  type PolicyConfig,
  type SweepLimits,
} from './compile/compiler.ts';
import { NamedPorts } from './compile/named-ports.ts';
import { type PeerNumber, peerNumber } from './compile/peer.ts';
import { referenceOf, tableReferences } from './compile/references.ts';
import {
  type ReferenceKind,
  type References,
  referencesOf,
  resolveRule,
} from './compile/resolve.ts';
import type { PeerClasses } from './compile/selector-cache.ts';
import {
  type AddressSetRow,
  type CookieRow,
  type DesiredPolicyRow,
  type PeerRow,
  type PolicyRevision,
  type PolicyRuleRow,
  type PolicySubject,
  policyIdHost,
  policyIdMax,
  policySubject,
} from './table.ts';

export interface PolicyControllerTables {
  readonly rules: Table<PolicyRuleRow>;
  readonly objects: Table<ClusterObjectRow>;
  readonly identities: Table<IdentityRow, IdentityId>;
  readonly endpoints: Table<EndpointRow, EndpointId>;
  readonly ipcache: Table<IpcacheRow>;
  readonly remotePods: Table<RemotePodRow>;
  readonly policies: Table<DesiredPolicyRow, PolicySubject>;
  readonly peers: Table<PeerRow, PeerNumber>;
  readonly addressSets: Table<AddressSetRow>;
  readonly cookies: Table<CookieRow, number>;
}

/** Who carries the rows to the kernel. */
export interface KernelPolicy {
  /** True if everything that the tables said at the time is in force. */
  hasAllOf(timeMs: number): boolean;
}

/** The node's own endpoint, where policy is enforced on it (`enable-host-firewall`). */
export interface HostEndpoint {
  readonly nodeName: string;
}

/** What a run wrote: nothing, if all of it is empty. */
export interface PolicyRun {
  readonly peers: ReadonlyMap<PeerNumber, PeerClasses | undefined>;
  readonly policies: readonly PolicySubject[];
  /** Subjects that got no slot in the policy maps and so deny everything. */
  readonly withoutSlot: readonly PolicySubject[];
}

/** Far longer than an address takes to be carried to the kernel. */
const graceMsDefault = 3_000;
/** By then the kernel has what was compiled. */
const tidyDelayMs = 50;
/** Where the kernel is behind, it is asked again this much later. */
const behindMs = 100;

/** The host endpoint's subject. */
export const hostSubject = policySubject(identityHost, '');

export class PolicyController implements Disposable {
  readonly compiler: PolicyCompiler;
  readonly #tables: PolicyControllerTables;
  readonly #revision: PolicyRevision;
  readonly #host: HostEndpoint | undefined;
  readonly #namedPorts = new NamedPorts();
  readonly #references: References;
  readonly #readers: {
    readonly rules: ChangeReader<PolicyRuleRow>;
    readonly objects: ChangeReader<ClusterObjectRow>;
    readonly identities: ChangeReader<IdentityRow>;
    readonly endpoints: ChangeReader<EndpointRow>;
    readonly ipcache: ChangeReader<IpcacheRow>;
    readonly remotePods: ChangeReader<RemotePodRow>;
  };
  /** Endpoints as placed, and how many each subject has: it is local while it has any. */
  readonly #placed = new Map<EndpointId, Placed>();
  readonly #holders = new Map<PolicySubject, number>();
  readonly #remote = new Map<Key, PlacedPod>();
  /** Identities at prefixes that are no pods'. */
  readonly #others = new Map<string, IdentityId>();
  /** How many have an identity at a prefix; those that are leaving included. */
  readonly #holdersAt = new Counter();
  /** Pods that have an address, the latest last; likewise. */
  readonly #portsAt = new Map<string, PortsAt>();
  /** Identities that are to be forgotten, and which of their goings counts. */
  readonly #goneIdentities = new Map<IdentityId, object>();
  /** In the order of their time. */
  readonly #leaving: { readonly untilMs: number; readonly leave: () => void }[] = [];
  #leavingTimer: ReturnType<typeof setTimeout> | undefined;
  #tidyTimer: ReturnType<typeof setTimeout> | undefined;
  #kernel: KernelPolicy | undefined;
  #wasBehind = false;
  readonly #graceMs: number;
  /** What the rules with references were resolved to, as text, and what they refer to. */
  readonly #resolved = new Map<string, { kinds: ReadonlySet<ReferenceKind>; text: string }>();
  readonly #slots = new Map<number, PolicySubject>();
  readonly #withoutSlot = new Map<PolicySubject, CompiledPolicy>();

  constructor(
    tables: PolicyControllerTables,
    config: PolicyConfig,
    revision: PolicyRevision,
    host?: HostEndpoint,
    /** How long packets may see what is gone; 0 if they do not, in tests. */
    graceMs = graceMsDefault,
  ) {
    this.#graceMs = graceMs;
    this.#tables = tables;
    this.#revision = revision;
    this.#host = host;
    this.#references = tableReferences(tables.objects, this.#namedPorts);
    this.compiler = new PolicyCompiler(config);
    const name = 'policy controller';
    this.#readers = {
      rules: tables.rules.reader(name),
      objects: tables.objects.reader(name),
      identities: tables.identities.reader(name),
      endpoints: tables.endpoints.reader(name),
      ipcache: tables.ipcache.reader(name),
      remotePods: tables.remotePods.reader(name),
    };
    if (host !== undefined) this.#placeHost(host);
  }

  /** Takes in what changed and writes what follows from it. Synchronous: one transaction. */
  run(): PolicyRun {
    for (const { key, row } of this.#readers.identities.next()) {
      // The number comes from the table's own key.
      if (row === undefined) this.#deleteIdentity(key as IdentityId);
      else this.#upsertIdentity(row);
    }
    for (const { key, row } of this.#readers.endpoints.next()) this.#place(key as EndpointId, row);
    for (const { key, row } of this.#readers.remotePods.next()) this.#placeRemote(key, row);
    for (const { key, row } of this.#readers.ipcache.next()) this.#placePrefix(String(key), row);
    const changed = this.#readObjects();
    for (const { key, row } of this.#readers.rules.next()) {
      if (row === undefined) this.#deleteRule(String(key));
      else this.#upsertRule(row);
    }
    this.#resolveAgain(changed);
    return this.#compile();
  }

  /** What is gone is kept as long as this one has not everything in the kernel. */
  follow(kernel: KernelPolicy): void {
    this.#kernel = kernel;
  }

  /** Whether an identity that is gone may still be met under its number. */
  keeps(id: IdentityId): boolean {
    return this.#goneIdentities.has(id);
  }

  /** Forgets what is kept in case that it is used again. Writes what follows. True if there is more. */
  sweep(limits?: SweepLimits): boolean {
    if (this.compiler.sweep(limits)) this.#compile();
    return this.compiler.hasUnused;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#leavingTimer);
    clearTimeout(this.#tidyTimer);
    for (const reader of Object.values(this.#readers)) reader.close();
  }

  /** The peer that an address is, as of the last run. */
  peerAt(identity: IdentityId, prefix: string): PeerNumber {
    const side = this.compiler.sideOf(identity);
    return peerNumber(identity, this.compiler.sets.setOf(spanOf(requirePrefix(prefix)), side));
  }

  #readObjects(): Set<ReferenceKind> {
    const changed = new Set<ReferenceKind>();
    for (const { key, row } of this.#readers.objects.next()) {
      const kind = String(key).slice(0, String(key).indexOf('/'));
      const reference = referenceOf[kind as keyof typeof referenceOf];
      if (reference !== undefined) changed.add(reference);
      if (kind === 'Pod') {
        const ports = row?.object.kind === 'Pod' ? row.object.ports : [];
        if (this.#namedPorts.set(String(key), ports)) changed.add('named-port');
      }
      if (kind === 'Node' && this.#host !== undefined) this.#placeHost(this.#host);
    }
    return changed;
  }

  #upsertRule(row: PolicyRuleRow): void {
    const kinds = referencesOf(row.rule);
    const resolved = resolveRule(row.rule, this.#references);
    if (kinds.size === 0) this.#resolved.delete(row.key);
    else this.#resolved.set(row.key, { kinds, text: JSON.stringify(resolved) });
    this.compiler.upsertRule(row, resolved);
  }

  #deleteRule(key: string): void {
    this.#resolved.delete(key);
    this.compiler.deleteRule(key);
  }

  #resolveAgain(changed: ReadonlySet<ReferenceKind>): void {
    if (changed.size === 0) return;
    for (const [key, { kinds, text }] of this.#resolved) {
      if (kinds.isDisjointFrom(changed)) continue;
      const row = this.#tables.rules.get(key);
      if (row === undefined) continue;
      const resolved = resolveRule(row.rule, this.#references);
      const now = JSON.stringify(resolved);
      if (now === text) continue;
      this.#resolved.set(key, { kinds, text: now });
      this.compiler.upsertRule(row, resolved);
    }
  }

  #placeHost({ nodeName }: HostEndpoint): void {
    const node = this.#tables.objects.get(clusterObjectKey('Node', '', nodeName))?.object;
    this.compiler.setLocal({
      subject: hostSubject,
      identity: identityHost,
      ports: '',
      nodeLabels: nodeLabelTexts(node),
    });
  }

  #placePrefix(prefix: string, row: IpcacheRow | undefined): void {
    // Addresses of pods are placed by their own rows, before they are announced.
    const isPods = row?.source === 'local' || row?.source === 'remote';
    this.#move(prefix, row === undefined || isPods ? undefined : row.identity || undefined);
  }

  /** What is at a prefix that is not a pod's. */
  #move(prefix: string, identity: IdentityId | undefined): void {
    const before = this.#others.get(prefix);
    if (before === identity) return;
    if (identity === undefined) this.#others.delete(prefix);
    else {
      this.#others.set(prefix, identity);
      this.#hold(prefix, identity);
    }
    if (before !== undefined) this.#later(() => this.#drop(prefix, before));
  }

  #place(id: EndpointId, row: EndpointRow | undefined): void {
    const before = this.#placed.get(id);
    const after = row === undefined || row.identity === 0 ? undefined : placedOf(row, row.identity);
    if (before?.text === after?.text) return;
    if (after === undefined) this.#placed.delete(id);
    else {
      this.#placed.set(id, after);
      this.#count(after, 1);
      this.#enter('local', id, after, before);
    }
    if (before === undefined) return;
    this.#later(() => {
      this.#count(before, -1);
      this.#leave('local', id, before);
    });
  }

  #placeRemote(key: Key, row: RemotePodRow | undefined): void {
    const before = this.#remote.get(key);
    if (before !== undefined && row !== undefined && samePod(before, row)) return;
    if (row === undefined) this.#remote.delete(key);
    else {
      this.#remote.set(key, row);
      this.#enter('remote', key, row, before);
    }
    if (before !== undefined) this.#later(() => this.#leave('remote', key, before));
  }

  #enter(side: keyof PortsAt, key: Key, pod: PlacedPod, before: PlacedPod | undefined): void {
    for (const prefix of pod.prefixes) {
      this.#hold(prefix, pod.identity);
      const all = this.#portsAt.get(prefix) ?? { local: new Map(), remote: new Map() };
      // Who had the address keeps its turn.
      if (before?.prefixes.includes(prefix) !== true) all[side].delete(key);
      all[side].set(key, pod);
      this.#portsAt.set(prefix, all);
      this.#tellPorts(prefix, all);
    }
  }

  #leave(side: keyof PortsAt, key: Key, pod: PlacedPod): void {
    for (const prefix of pod.prefixes) {
      this.#drop(prefix, pod.identity);
      const all = this.#portsAt.get(prefix);
      // It may have come back, or be another by now.
      if (all?.[side].get(key) !== pod) continue;
      all[side].delete(key);
      if (all.local.size + all.remote.size === 0) this.#portsAt.delete(prefix);
      this.#tellPorts(prefix, all);
    }
  }

  /** Of several pods at an address it is this node's, as in the ipcache. */
  #tellPorts(prefix: string, { local, remote }: PortsAt): void {
    const pod = [...local.values()].at(-1) ?? [...remote.values()].at(-1);
    this.compiler.setPodPorts(addressOf(prefix), pod?.ports ?? '');
  }

  #hold(prefix: string, identity: IdentityId): void {
    if (this.#holdersAt.add(`${identity} ${prefix}`)) this.compiler.place(prefix, identity);
  }

  #drop(prefix: string, identity: IdentityId): void {
    if (this.#holdersAt.remove(`${identity} ${prefix}`)) this.compiler.displace(prefix, identity);
  }

  #upsertIdentity({ id, labels }: IdentityRow): void {
    this.#goneIdentities.delete(id);
    this.compiler.upsertIdentity(id, labels);
  }

  /** Those who leave are still what they are where they are met. */
  #deleteIdentity(id: IdentityId): void {
    const time = {};
    this.#goneIdentities.set(id, time);
    this.#later(() => {
      // It may have come back, and gone again a moment ago.
      if (this.#goneIdentities.get(id) !== time) return;
      this.#goneIdentities.delete(id);
      this.compiler.deleteIdentity(id);
    });
  }

  /** Packets see what was until it is out of the kernel. */
  #later(leave: () => void): void {
    if (this.#graceMs === 0) {
      leave();
      return;
    }
    this.#leaving.push({ untilMs: performance.now() + this.#graceMs, leave });
    if (this.#leaving.length === 1) this.#expectLeaving();
  }

  #expectLeaving(): void {
    const [first] = this.#leaving;
    if (first === undefined) return;
    this.#letGoIn(first.untilMs - performance.now() + 1);
  }

  #letGoIn(ms: number): void {
    this.#leavingTimer = setTimeout(() => this.#letGo(), ms);
    this.#leavingTimer.unref();
  }

  #letGo(): void {
    const isBehind = this.#kernel?.hasAllOf(performance.now() - this.#graceMs) === false;
    if (isBehind || this.#wasBehind) {
      // And a moment longer, in which addresses follow.
      this.#wasBehind = isBehind;
      this.#letGoIn(behindMs);
      return;
    }
    const now = performance.now();
    const waiting = this.#leaving.findIndex(({ untilMs }) => untilMs > now);
    const due = this.#leaving.splice(0, waiting === -1 ? this.#leaving.length : waiting);
    for (const { leave } of due) leave();
    this.#expectLeaving();
    this.run();
  }

  #count({ subject, identity, ports }: Placed, step: 1 | -1): void {
    const count = (this.#holders.get(subject) ?? 0) + step;
    if (count === 0) {
      this.#holders.delete(subject);
      this.compiler.deleteLocal(subject);
      return;
    }
    this.#holders.set(subject, count);
    if (count === 1 && step === 1) this.compiler.setLocal({ subject, identity, ports });
  }

  #tidyLater(): void {
    if (!this.compiler.selectors.isUntidy) return;
    this.#tidyTimer ??= setTimeout(() => {
      this.#tidyTimer = undefined;
      this.compiler.selectors.tidy();
    }, tidyDelayMs);
    this.#tidyTimer.unref();
  }

  #compile(): PolicyRun {
    const { peers, sets, policies, cookies } = this.compiler.compile();
    for (const [cookie, row] of cookies) {
      if (row === undefined) this.#tables.cookies.delete(cookie);
      else this.#tables.cookies.upsert(row);
    }
    for (const [prefix, set] of sets) this.#writeSet(prefix, set);
    for (const [peer, classes] of peers) {
      if (classes === undefined) this.#tables.peers.delete(peer);
      else this.#tables.peers.upsert({ peer, ...classes, status: pending });
    }
    for (const [subject, policy] of policies) this.#writePolicy(subject, policy);
    this.#retrySlots();
    this.#tidyLater();
    return { peers, policies: [...policies.keys()], withoutSlot: [...this.#withoutSlot.keys()] };
  }

  #writeSet(prefix: string, sets: SetPair | undefined): void {
    const { addressSets } = this.#tables;
    if (sets === undefined) addressSets.delete(prefix);
    else {
      const labels = this.compiler.sets.labels(sets.outside);
      addressSets.upsert({ prefix, ...sets, labels, status: pending });
    }
  }

  #writePolicy(subject: PolicySubject, policy: CompiledPolicy | undefined): void {
    this.#withoutSlot.delete(subject);
    const before = this.#tables.policies.get(subject);
    if (policy === undefined) {
      if (before !== undefined) this.#slots.delete(before.policyId);
      this.#tables.policies.delete(subject);
      return;
    }
    const policyId = before?.policyId ?? this.#takeSlot(policy);
    if (policyId === undefined) {
      this.#withoutSlot.set(subject, policy);
      return;
    }
    const revision = this.#revision.current;
    this.#tables.policies.upsert({ ...policy, policyId, revision, status: pending });
  }

  /** The slot that an endpoint of an earlier run has, else one that follows from the identity. */
  #takeSlot({ subject, identity }: CompiledPolicy): number | undefined {
    if (subject === hostSubject) return policyIdHost;
    const restored = this.#tables.endpoints
      .by('identity', identity)
      .filter((row) => policySubject(identity, row.ports) === subject)
      .map((row) => row.policyId)
      .find((slot) => slot > 0 && slot <= policyIdMax && !this.#slots.has(slot));
    const start = restored ?? (identity % policyIdMax) + 1;
    for (let step = 0; step < policyIdMax; step++) {
      const slot = ((start - 1 + step) % policyIdMax) + 1;
      if (this.#slots.has(slot)) continue;
      this.#slots.set(slot, subject);
      return slot;
    }
    return undefined;
  }

  #retrySlots(): void {
    if (this.#withoutSlot.size === 0 || this.#slots.size >= policyIdMax) return;
    for (const [subject, policy] of [...this.#withoutSlot]) this.#writePolicy(subject, policy);
  }
}

class Counter {
  readonly #counts = new Map<string, number>();

  /** True for the first. */
  add(key: string): boolean {
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    return count === 1;
  }

  /** True for the last. */
  remove(key: string): boolean {
    const count = (this.#counts.get(key) ?? 1) - 1;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
    return count === 0;
  }
}

/** A pod at its addresses. */
interface PlacedPod {
  readonly identity: IdentityId;
  readonly ports: string;
  readonly prefixes: readonly string[];
}

/** Pods at an address. */
interface PortsAt {
  readonly local: Map<Key, PlacedPod>;
  readonly remote: Map<Key, PlacedPod>;
}

function samePod(a: PlacedPod, b: PlacedPod): boolean {
  return (
    a.identity === b.identity && a.ports === b.ports && a.prefixes.join() === b.prefixes.join()
  );
}

/** An endpoint as policy sees it. */
interface Placed extends PlacedPod {
  readonly subject: PolicySubject;
  /** All of the above. */
  readonly text: string;
}

function placedOf(row: EndpointRow, identity: IdentityId): Placed {
  const prefixes = endpointPrefixes(row);
  const subject = policySubject(identity, row.ports);
  const text = `${subject} ${prefixes.join(' ')}`;
  return { subject, identity, ports: row.ports, prefixes, text };
}

/** The endpoint's addresses as prefixes. */
export function endpointPrefixes({ ipv4, ipv6 }: EndpointRow): string[] {
  return [
    ...(ipv4 === undefined ? [] : [`${ipv4}/32`]),
    ...(ipv6 === undefined ? [] : [`${ipv6}/128`]),
  ];
}

function addressOf(prefix: string): string {
  return prefix.slice(0, prefix.lastIndexOf('/'));
}
