/**
 * @module
 * Rules and identities → peer classes, policies of the local endpoints, cookies. Pure: no clock, no
 * tables. It is told what changed and recomputes only the policies that can differ. By every path
 * the result says the same; numbers of classes and sets may differ.
 */

import {
  type IdentityId,
  identityMin,
  isLocalScope,
  labelHost,
  labelInit,
  reservedIdentities,
} from '../../identity/table.ts';
import { parsePorts } from '../../ports.ts';
import { CookieRegistry } from '../cookies.ts';
import { addressLabel, labelSet, selects } from '../selector.ts';
import type { CookieRow, PolicyRuleRow, PolicySubject } from '../table.ts';
import { AddressSets, addressSetNone, type SetPair } from './address-sets.ts';
import { type CompiledRule, compileRule } from './compiled-rule.ts';
import {
  type Content,
  type ContentConfig,
  ContentMaker,
  hostSelector,
  type SharedContent,
  sameContent,
} from './content.ts';
import type { PeerNumber } from './peer.ts';
import { Places } from './places.ts';
import type { ResolvedRule } from './resolve.ts';
import { type RoomConfig, RuleUses } from './rule-uses.ts';
import { type PeerClasses, SelectorCache } from './selector-cache.ts';
import { Subjects } from './subjects.ts';

export interface PolicyConfig extends ContentConfig, RoomConfig {
  /** CIDR rules of the Cilium kinds mean nodes as well (`policy-cidr-match-mode=nodes`). */
  readonly cidrMatchesNodes: boolean;
}

/** The policy of one subject, as content: without slot, revision and status. */
export interface CompiledPolicy extends Content {
  readonly subject: PolicySubject;
  readonly identity: IdentityId;
}

export interface Compilation {
  /** Class and group by peer, where they changed; undefined if the peer is gone. */
  readonly peers: ReadonlyMap<PeerNumber, PeerClasses | undefined>;
  /** Address sets by block, where they changed; undefined if the block is not in use any more. */
  readonly sets: ReadonlyMap<string, SetPair | undefined>;
  /** Policies whose content changed; undefined if the subject is not local any more. */
  readonly policies: ReadonlyMap<PolicySubject, CompiledPolicy | undefined>;
  readonly cookies: ReadonlyMap<number, CookieRow | undefined>;
}

/** Who gets a policy: endpoints of this node, or the node itself. */
export interface LocalSubject {
  readonly subject: PolicySubject;
  readonly identity: IdentityId;
  /** The text of its named ports. */
  readonly ports: string;
  /** Labels of the node, for the host endpoint. */
  readonly nodeLabels?: readonly string[];
}

/** How much of what nobody uses goes at once. */
export interface SweepLimits {
  /** Members of selectors; one selector goes in any case. */
  readonly membersMax?: number;
  readonly blocksMax?: number;
}

export class PolicyCompiler {
  readonly config: PolicyConfig;
  /** Of peers, and of subjects. */
  readonly selectors = new SelectorCache();
  readonly subjects = new Subjects();
  readonly sets = new AddressSets();
  readonly cookies = new CookieRegistry();
  readonly #places = new Places(this.sets);
  readonly #labels = new Map<IdentityId, readonly string[]>();
  readonly #rules = new Map<string, CompiledRule>();
  readonly #rulesBySubject = new Map<string, Set<string>>();
  readonly #nodeRules = new Set<string>();
  readonly #local = new Map<PolicySubject, LocalSubject>();
  readonly #subjectsOf = new Map<IdentityId, Set<PolicySubject>>();
  readonly #dirty = new Set<PolicySubject>();
  readonly #policies = new Map<PolicySubject, CompiledPolicy>();
  /** By the key of a selector of peers: whose policy follows from it. */
  readonly #dependents = new Map<string, Set<PolicySubject>>();
  readonly #selectorsOf = new Map<PolicySubject, ReadonlySet<string>>();
  /** Named ports of pods by address. */
  readonly #podPorts = new Map<string, string>();
  readonly #uses: RuleUses;
  readonly #contents: ContentMaker;

  constructor(config: PolicyConfig) {
    this.config = config;
    this.#uses = new RuleUses(this.selectors, this.sets, config);
    this.#contents = new ContentMaker(config, this.selectors, this.cookies, this.#uses);
    if (config.allowLocalhost) this.selectors.acquire(hostSelector);
  }

  rules(): PolicyRuleRow[] {
    return [...this.#rules.values()].map((rule) => rule.row);
  }

  policy(subject: PolicySubject): CompiledPolicy | undefined {
    return this.#policies.get(subject);
  }

  /** The rules that select an endpoint, by key. */
  rulesOf(subject: PolicySubject): PolicyRuleRow[] {
    const local = this.#local.get(subject);
    return local === undefined ? [] : this.#selecting(local).map((rule) => rule.row);
  }

  /** What is known of an identity; undefined if nothing. */
  labels(id: IdentityId): readonly string[] | undefined {
    return this.#labels.get(id);
  }

  upsertRule(row: PolicyRuleRow, resolved: ResolvedRule): void {
    const before = this.#rules.get(row.key);
    const rule = compileRule(row, resolved);
    // First the new uses, then the old ones, so that selectors in both stay.
    if (row.rule.subjectKind === 'endpoint') this.subjects.acquire(row.rule.subject);
    this.#uses.acquire(rule);
    if (before !== undefined) this.#withdraw(before);
    this.#rules.set(row.key, rule);
    if (row.rule.subjectKind === 'node') this.#nodeRules.add(row.key);
    else link(this.#rulesBySubject, row.rule.subject.key, row.key);
    this.#markSubject(row);
  }

  deleteRule(key: string): void {
    const before = this.#rules.get(key);
    if (before === undefined) return;
    this.#rules.delete(key);
    this.#withdraw(before);
  }

  upsertIdentity(id: IdentityId, labels: readonly string[]): void {
    if (isLocalScope(id)) return;
    this.#labels.set(id, labels);
    const isOut = this.#sideOf(labels) === 'outside';
    if (this.#subjectsOf.has(id)) this.subjects.upsert(id, labels);
    this.selectors.upsertIdentity(id, isOut ? [...labels, addressLabel.outside] : labels);
    // What is reserved may be met anywhere, others where they are placed.
    if (id < identityMin) this.#addPeer(id, addressSetNone);
    for (const set of this.#places.setsOf(id)) this.#addPeer(id, set);
    this.#markIdentity(id);
  }

  deleteIdentity(id: IdentityId): void {
    if (!this.#labels.delete(id)) return;
    this.selectors.deleteIdentity(id);
    this.#markIdentity(id);
  }

  /**
   * Where an identity is: canonical text of an address's prefix, or of a range. A prefix that changes
   * hands has both for a moment, since packets may still see the old one.
   */
  place(prefix: string, identity: IdentityId): void {
    if (!isLocalScope(identity)) this.#places.put(prefix, identity, this.sideOf(identity));
  }

  /** The identity is there no more. */
  displace(prefix: string, identity: IdentityId): void {
    this.#places.take(prefix, identity);
  }

  /** Which of an address's two sets counts for an identity. */
  sideOf(id: IdentityId): keyof SetPair {
    return this.#sideOf(this.#labels.get(id) ?? reservedLabels(id));
  }

  #sideOf(labels: readonly string[]): keyof SetPair {
    return isOutside(labels, this.config.cidrMatchesNodes) ? 'outside' : 'inside';
  }

  /**
   * Forgets selectors and blocks that no rule uses any more; with a limit, only some of them. False
   * if there are none.
   */
  sweep(limits: SweepLimits = {}): boolean {
    const isRetried = this.#uses.retry();
    if (!this.hasUnused) return isRetried;
    this.selectors.sweep(limits.membersMax);
    this.sets.sweep(limits.blocksMax);
    return true;
  }

  get hasUnused(): boolean {
    return this.sets.hasUnused || this.selectors.unused > 0;
  }

  /** The named ports of the pod that has the address; empty text for none. */
  setPodPorts(address: string, ports: string): void {
    if ((this.#podPorts.get(address) ?? '') === ports) return;
    if (ports === '') this.#podPorts.delete(address);
    else this.#podPorts.set(address, ports);
    this.sets.setPorts(address, this.#portLabels(ports));
  }

  /** Local: it needs a policy. */
  setLocal(local: LocalSubject): void {
    this.#local.set(local.subject, local);
    const labels = this.#labels.get(local.identity);
    if (labels !== undefined) this.subjects.upsert(local.identity, labels);
    const subjects = this.#subjectsOf.get(local.identity) ?? new Set();
    this.#subjectsOf.set(local.identity, subjects.add(local.subject));
    this.#dirty.add(local.subject);
  }

  deleteLocal(subject: PolicySubject): void {
    const local = this.#local.get(subject);
    if (local === undefined) return;
    this.#local.delete(subject);
    const left = this.#subjectsOf.get(local.identity);
    left?.delete(subject);
    if (left?.size === 0) {
      this.#subjectsOf.delete(local.identity);
      this.subjects.delete(local.identity);
    }
    this.#dirty.add(subject);
  }

  /** What differs since the last call. */
  compile(): Compilation {
    const sets = this.#placePeers();
    for (const { row } of this.#uses.takeTurned()) this.#markSubject(row);
    const { peers, selectors } = this.selectors.flush();
    for (const { selector } of selectors) {
      for (const subject of this.#dependents.get(selector.key) ?? []) this.#dirty.add(subject);
    }
    const policies = new Map<PolicySubject, CompiledPolicy | undefined>();
    const shared = new Map<string, SharedContent>();
    for (const subject of [...this.#dirty].sort()) {
      const before = this.#policies.get(subject);
      const after = this.#policyOf(subject, shared, before);
      if (after === undefined) this.#policies.delete(subject);
      else this.#policies.set(subject, after);
      if (before !== after) policies.set(subject, after);
    }
    this.#dirty.clear();
    this.cookies.retire(() => this.#cookiesInUse());
    return { peers, sets, policies, cookies: this.cookies.takeChanges() };
  }

  /** Which peers there are, as far as there is room for them. Returns the sets that changed. */
  #placePeers(): Map<string, SetPair | undefined> {
    this.#uses.fit();
    const changed = new Map<string, SetPair | undefined>();
    do {
      if (this.#uses.takePortsChanged()) this.#renewPorts();
      const { blocks, spans } = this.sets.flush();
      for (const [cidr, sets] of blocks) changed.set(cidr, sets);
      for (const [id, sets] of this.#places.flush(spans)) this.#renewPeers(id, sets);
    } while (this.#uses.reducePeers());
    return changed;
  }

  #addPeer(id: IdentityId, set: number): void {
    this.selectors.meet(id, set, this.sets.labels(set));
  }

  #renewPeers(id: IdentityId, sets: Iterable<number>): void {
    const placed = new Set(this.#places.setsOf(id));
    for (const set of sets) {
      if (placed.has(set)) this.#addPeer(id, set);
      else if (id < identityMin && set === addressSetNone) continue;
      else this.selectors.leave(id, set);
    }
  }

  /** Of an endpoint's named ports, those that egress rules name. */
  #portLabels(ports: string): string[] {
    return parsePorts(ports)
      .filter(({ name, proto }) => this.#uses.hasPort(`${name}/${proto}`))
      .map(({ name, proto, port }) => addressLabel.port(name, proto, port));
  }

  #renewPorts(): void {
    for (const [address, ports] of this.#podPorts) {
      this.sets.setPorts(address, this.#portLabels(ports));
    }
  }

  #withdraw(rule: CompiledRule): void {
    const { row } = rule;
    this.#markSubject(row);
    if (row.rule.subjectKind === 'node') this.#nodeRules.delete(row.key);
    else {
      unlink(this.#rulesBySubject, row.rule.subject.key, row.key);
      this.subjects.release(row.rule.subject.key);
    }
    this.#uses.release(rule);
  }

  #markIdentity(id: IdentityId): void {
    for (const subject of this.#subjectsOf.get(id) ?? []) this.#dirty.add(subject);
  }

  #markSubject({ rule }: PolicyRuleRow): void {
    if (rule.subjectKind === 'node') {
      for (const local of this.#local.values()) {
        if (local.nodeLabels !== undefined) this.#dirty.add(local.subject);
      }
      return;
    }
    for (const id of this.subjects.members(rule.subject.key)) this.#markIdentity(id);
  }

  #selecting(local: LocalSubject): CompiledRule[] {
    const keys: string[] = [];
    if (local.nodeLabels !== undefined) {
      const labels = labelSet(local.nodeLabels);
      for (const key of this.#nodeRules) {
        const rule = this.#rules.get(key);
        if (rule !== undefined && selects(rule.row.rule.subject, labels)) keys.push(key);
      }
    } else {
      for (const subject of this.subjects.matched(local.identity)) {
        for (const key of this.#rulesBySubject.get(subject) ?? []) keys.push(key);
      }
    }
    return keys.sort().flatMap((key) => this.#rules.get(key) ?? []);
  }

  /** The row that was there if nothing differs. */
  #policyOf(
    subject: PolicySubject,
    shared: Map<string, SharedContent>,
    before: CompiledPolicy | undefined,
  ): CompiledPolicy | undefined {
    const local = this.#local.get(subject);
    const labels = local && this.#labels.get(local.identity);
    if (local === undefined || labels === undefined) {
      this.#depend(subject, new Set());
      return undefined;
    }
    const rules = this.#selecting(local);
    const isHost = local.nodeLabels !== undefined;
    const ports = rules.some((rule) => rule.hasNamedPorts) ? local.ports : '';
    const keys = rules.map((rule) => rule.row.key).join('\n');
    const kind = { isHost, isInit: labels.includes(labelInit), ports };
    const sharedKey = `${isHost} ${kind.isInit}\n${ports}\n${keys}`;
    const made = shared.get(sharedKey) ?? this.#contents.make(rules, kind);
    shared.set(sharedKey, made);
    this.#depend(subject, made.selectors);
    const { content } = made;
    if (before !== undefined && sameContent(before, content)) return before;
    return { subject, identity: local.identity, ...content };
  }

  #depend(subject: PolicySubject, selectors: ReadonlySet<string>): void {
    const before = this.#selectorsOf.get(subject) ?? new Set();
    for (const key of before) if (!selectors.has(key)) unlink(this.#dependents, key, subject);
    for (const key of selectors) if (!before.has(key)) link(this.#dependents, key, subject);
    if (selectors.size === 0) this.#selectorsOf.delete(subject);
    else this.#selectorsOf.set(subject, selectors);
  }

  #cookiesInUse(): Set<number> {
    const used = new Set<number>();
    for (const { denyCookie, entries } of this.#policies.values()) {
      used.add(denyCookie.ingress).add(denyCookie.egress);
      for (const { cookie } of entries) used.add(cookie);
    }
    return used;
  }
}

function reservedLabels(id: IdentityId): readonly string[] {
  return reservedIdentities.find((each) => each.id === id)?.labels ?? [];
}

/** CIDR rules of the Cilium kinds mean these. */
function isOutside(labels: readonly string[], nodesToo: boolean): boolean {
  return labels.some(
    (label) =>
      label.startsWith('reserved:world') ||
      (nodesToo && (label === labelHost || label === 'reserved:remote-node')),
  );
}

function link<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([value]));
  else set.add(value);
}

function unlink<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set?.delete(value) === true && set.size === 0) map.delete(key);
}
