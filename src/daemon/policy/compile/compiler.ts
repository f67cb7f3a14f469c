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
import { CookieRegistry, type RuleRef } from '../cookies.ts';
import {
  type CidrScope,
  type Direction,
  directions,
  type PortRange,
  type Selector,
} from '../rule.ts';
import {
  addressLabel,
  addressTerms,
  labelSelector,
  labelSet,
  outsideSelector,
  selects,
} from '../selector.ts';
import type {
  CookiePolicy,
  CookieRow,
  Overflow,
  PolicyEntry,
  PolicyRuleRow,
  PolicySubject,
} from '../table.ts';
import { AddressSets, addressSetNone, type SetPair } from './address-sets.ts';
import { entriesOf, type Grant, l4Codes } from './entries.ts';
import { blame } from './overflow.ts';
import type { PeerNumber } from './peer.ts';
import { Places } from './places.ts';
import type { ResolvedItem, ResolvedRule } from './resolve.ts';
import { type PeerClasses, SelectorCache } from './selector-cache.ts';
import { Subjects } from './subjects.ts';

export interface PolicyConfig {
  readonly enablePolicy: 'default' | 'always' | 'never';
  /** This node reaches its pods whatever ingress policy of tier `network` says. */
  readonly allowLocalhost: boolean;
  /** CIDR rules of the Cilium kinds mean nodes as well (`policy-cidr-match-mode=nodes`). */
  readonly cidrMatchesNodes: boolean;
  /** Entries that fit into one policy map. */
  readonly entriesMax: number;
}

/** The policy of one subject, as content: without slot, revision and status. */
export interface CompiledPolicy {
  readonly subject: PolicySubject;
  readonly identity: IdentityId;
  readonly ingressEnforced: boolean;
  readonly egressEnforced: boolean;
  readonly denyCookie: { readonly ingress: number; readonly egress: number };
  readonly entries: readonly PolicyEntry[];
  /** Needs more entries than there is room for: everything is denied. */
  readonly overflow: Overflow | undefined;
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

interface CompiledItem {
  readonly grant: Grant;
  readonly resolved: ResolvedItem;
}

interface CompiledRule {
  readonly row: PolicyRuleRow;
  readonly items: Readonly<Record<Direction, readonly CompiledItem[]>>;
  /** The rule as the cause of a default deny. */
  readonly cause: Readonly<Record<Direction, RuleRef>>;
  /** Its entries for ports by name differ from endpoint to endpoint. */
  readonly hasNamedPorts: boolean;
  /** Every use of a selector for peers. */
  readonly uses: readonly SelectorUse[];
}

/** A selector in a rule, and whom its blocks mean. */
interface SelectorUse {
  readonly selector: Selector;
  readonly scope: CidrScope;
}

type Content = Omit<CompiledPolicy, 'subject' | 'identity'>;

/** A policy of all who have the same rules, and the selectors that its entries follow from. */
interface SharedContent {
  readonly content: Content;
  readonly selectors: ReadonlySet<string>;
}

const implicitPrefix = 'reserved:io.cilium.policy.derived-from=';
const hostSelector = labelSelector(labelHost);

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
  /** Named ports of pods by address, and how many uses a name has in egress rules. */
  readonly #podPorts = new Map<string, string>();
  readonly #portUses = new Map<string, number>();
  #portsChanged = false;

  constructor(config: PolicyConfig) {
    this.config = config;
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
    this.#acquire(rule, resolved);
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

  /** Forgets selectors and blocks that no rule uses any more. False if there are none. */
  sweep(): boolean {
    if (!this.sets.hasUnused && this.selectors.unused === 0) return false;
    this.selectors.sweep();
    this.sets.sweep();
    return true;
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
    if (this.#portsChanged) this.#renewPorts();
    const { blocks, spans } = this.sets.flush();
    for (const [id, sets] of this.#places.flush(spans)) this.#renewPeers(id, sets);
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
    return { peers, sets: blocks, policies, cookies: this.cookies.takeChanges() };
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
      .filter(({ name, proto }) => this.#portUses.has(`${name}/${proto}`))
      .map(({ name, proto, port }) => addressLabel.port(name, proto, port));
  }

  #renewPorts(): void {
    this.#portsChanged = false;
    for (const [address, ports] of this.#podPorts) {
      this.sets.setPorts(address, this.#portLabels(ports));
    }
  }

  #acquire(rule: CompiledRule, resolved: ResolvedRule): void {
    const { subject, subjectKind } = rule.row.rule;
    if (subjectKind === 'endpoint') this.subjects.acquire(subject);
    for (const { selector, scope } of usesOf(resolved)) {
      const { cidrs, ports } = addressTerms(selector);
      for (const cidr of cidrs) this.sets.acquire(cidr, scope);
      for (const name of ports) this.#usePort(name, 1);
      this.selectors.acquire(selector);
    }
  }

  #usePort(name: string, step: 1 | -1): void {
    const uses = (this.#portUses.get(name) ?? 0) + step;
    if (uses === 0) this.#portUses.delete(name);
    else this.#portUses.set(name, uses);
    this.#portsChanged ||= uses === 0 || (uses === 1 && step === 1);
  }

  #withdraw(rule: CompiledRule): void {
    const { row, uses } = rule;
    this.#markSubject(row);
    if (row.rule.subjectKind === 'node') this.#nodeRules.delete(row.key);
    else {
      unlink(this.#rulesBySubject, row.rule.subject.key, row.key);
      this.subjects.release(row.rule.subject.key);
    }
    for (const { selector, scope } of uses) {
      const { cidrs, ports } = addressTerms(selector);
      for (const cidr of cidrs) this.sets.release(cidr, scope);
      for (const name of ports) this.#usePort(name, -1);
      this.selectors.release(selector.key);
    }
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
    const isInit = labels.includes(labelInit);
    const ports = rules.some((rule) => rule.hasNamedPorts) ? local.ports : '';
    const keys = rules.map((rule) => rule.row.key).join('\n');
    const sharedKey = `${isHost ? labelHost : ''}${isInit ? labelInit : ''}\n${ports}\n${keys}`;
    const made = shared.get(sharedKey) ?? this.#content(rules, { isHost, isInit, ports });
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

  #content(rules: readonly CompiledRule[], kind: SubjectKind): SharedContent {
    const ingress = this.#direction('ingress', rules, kind);
    const egress = this.#direction('egress', rules, kind);
    const entries = [...ingress.entries, ...egress.entries];
    const grants = [...ingress.grants, ...egress.grants];
    const selectors = new Set(grants.flatMap(({ peers }) => (peers === 'any' ? [] : peers.flat())));
    if (entries.length > this.config.entriesMax) {
      return { content: this.#overflown(entries.length, grants), selectors };
    }
    const content = {
      ingressEnforced: ingress.enforced,
      egressEnforced: egress.enforced,
      denyCookie: { ingress: ingress.denyCookie, egress: egress.denyCookie },
      entries,
      overflow: undefined,
    };
    return { content, selectors };
  }

  /** Half a policy is none: it would allow what a missing entry denies, or deny what it should not. */
  #overflown(needed: number, grants: readonly Grant[]): Content {
    const cookie = (direction: Direction) =>
      this.cookies.cookieOf(direction, [implicitRef(direction, 'policy-map-overflow')]);
    return {
      ingressEnforced: true,
      egressEnforced: true,
      denyCookie: { ingress: cookie('ingress'), egress: cookie('egress') },
      entries: [],
      overflow: { needed, max: this.config.entriesMax, blame: blame(grants, this.selectors) },
    };
  }

  #direction(direction: Direction, all: readonly CompiledRule[], kind: SubjectKind) {
    const { enablePolicy, allowLocalhost } = this.config;
    const rules = all.filter((rule) => touches(rule, direction));
    const always = (enablePolicy === 'always' && !kind.isHost) || kind.isInit;
    if (enablePolicy === 'never' || (rules.length === 0 && !always)) {
      return { enforced: false, denyCookie: 0, entries: [], grants: [] };
    }
    const causes = rules
      .filter((rule) => rule.row.rule.defaultDeny[direction])
      .map((rule) => rule.cause[direction]);
    if (causes.length === 0 && always) {
      const reason = kind.isInit ? 'init-default-deny' : 'enable-policy-always';
      causes.push(implicitRef(direction, reason));
    }
    const grants = grantsOf(rules, direction, kind.ports);
    if (direction === 'ingress' && allowLocalhost && !kind.isHost) {
      grants.push(implicitGrant(direction, 'allow-localhost-ingress', [[hostSelector.key]]));
    }
    const defaultDeny = causes.length === 0 ? undefined : causes;
    if (defaultDeny === undefined) {
      const open = implicitGrant(direction, `allow-any-${direction}`, 'any');
      grants.push({ ...open, tier: 'default' });
    }
    const cookieOf = (side: Direction, refs: readonly RuleRef[]) =>
      this.cookies.cookieOf(side, refs);
    return {
      enforced: true,
      denyCookie: defaultDeny === undefined ? 0 : cookieOf(direction, defaultDeny),
      entries: entriesOf({ direction, grants, defaultDeny }, this.selectors, cookieOf),
      grants,
    };
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

interface SubjectKind {
  readonly isHost: boolean;
  readonly isInit: boolean;
  readonly ports: string;
}

function compileRule(row: PolicyRuleRow, resolved: ResolvedRule): CompiledRule {
  const { kind, namespace, name, ruleIndex, labels, revision, rule } = row;
  const policy: Omit<CookiePolicy, 'items'> = {
    kind,
    namespace,
    name,
    ruleIndex,
    labels,
    revision,
  };
  const id = `${kind}/${namespace}/${name}#${ruleIndex}`;
  const compile = (direction: Direction): CompiledItem[] =>
    resolved[direction].map((each) => {
      const at = (rule[direction] ?? []).indexOf(each.item);
      const place = String(at).padStart(5, '0');
      const grant: Grant = {
        ref: { id: `${id}:${direction}:${place}:${each.item.path}`, policy, path: each.item.path },
        tier: rule.tier,
        order: `${String(rule.priority).padStart(5, '0')}\n${name}\n${place}`,
        action: each.item.action,
        peers:
          each.peers === 'any'
            ? 'any'
            : each.peers.map((term) => term.map((selector) => selector.key)),
        codes: l4Codes(each.ports),
      };
      return { grant, resolved: each };
    });
  const cause = (direction: Direction) => ({ id: `${id}:${direction}`, policy, path: undefined });
  return {
    row,
    items: { ingress: compile('ingress'), egress: compile('egress') },
    cause: { ingress: cause('ingress'), egress: cause('egress') },
    hasNamedPorts: resolved.ingress.some((each) => each.named.length > 0),
    uses: [...usesOf(resolved)],
  };
}

/** An empty list of a ClusterNetworkPolicy says nothing; an empty section of the others denies. */
function touches({ row: { rule } }: CompiledRule, direction: Direction): boolean {
  const section = rule[direction];
  return section !== undefined && (rule.tier === 'network' || section.length > 0);
}

/** With named ports as numbers, and what the rules require of every peer that they allow. */
function grantsOf(rules: readonly CompiledRule[], direction: Direction, ports: string): Grant[] {
  const required = new Set<string>();
  for (const { row, items } of rules) {
    if (!mayRequire(row)) continue;
    for (const { resolved } of items[direction]) {
      // In a deny entry they would only make the denial narrower: those stay as wide as they are.
      if (resolved.item.action !== 'allow') continue;
      for (const { key } of resolved.item.requires) required.add(key);
    }
  }
  const grants: Grant[] = [];
  for (const { row, items } of rules) {
    for (const { grant, resolved } of items[direction]) {
      const codes = resolved.named.length === 0 ? grant.codes : withNamed(resolved, ports);
      if (codes.length === 0) continue;
      const narrowed = required.size > 0 && mayRequire(row) && grant.action === 'allow';
      const peers = narrowed ? narrow(grant.peers, [...required]) : grant.peers;
      grants.push(
        codes === grant.codes && peers === grant.peers ? grant : { ...grant, codes, peers },
      );
    }
  }
  return grants;
}

function mayRequire({ kind }: PolicyRuleRow): boolean {
  return kind === 'CiliumNetworkPolicy' || kind === 'CiliumClusterwideNetworkPolicy';
}

function narrow(peers: Grant['peers'], required: readonly string[]): Grant['peers'] {
  if (peers === 'any') return [required];
  return peers.map((keys) => [...new Set([...keys, ...required])]);
}

/** Codes with the numbers that the endpoint itself has for the names. */
function withNamed({ ports, named }: ResolvedItem, own: string): readonly number[] {
  const ranges: PortRange[] = [...(ports ?? [])];
  for (const { name, proto, port } of parsePorts(own)) {
    const isMeant = named.some((each) => each.name === name && each.proto === proto);
    if (isMeant) ranges.push({ proto, first: port, last: port });
  }
  return l4Codes(ranges);
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

/** A reason that no person wrote: it has a label and no name. */
function implicitRef(direction: Direction, reason: string): RuleRef {
  const labels = [`${implicitPrefix}${reason}`];
  const policy = { kind: '', namespace: '', name: '', ruleIndex: 0, labels, revision: 0 };
  return { id: `implicit/${reason}:${direction}`, policy, path: undefined };
}

function implicitGrant(direction: Direction, reason: string, peers: Grant['peers']): Grant {
  return {
    ref: implicitRef(direction, reason),
    tier: 'network',
    order: '',
    action: 'allow',
    peers,
    codes: l4Codes(undefined),
  };
}

/** Every use of a selector for peers, repeated as often as it is used. */
function* usesOf(resolved: ResolvedRule): IterableIterator<SelectorUse> {
  for (const direction of directions) {
    for (const { peers, item } of resolved[direction]) {
      for (const term of peers === 'any' ? [] : peers) {
        const scope = term.includes(outsideSelector) ? 'outside' : 'address';
        for (const selector of term) yield { selector, scope };
      }
      for (const selector of item.requires) yield { selector, scope: 'address' };
    }
  }
}

function sameContent(a: Content, b: Content): boolean {
  return (
    a.ingressEnforced === b.ingressEnforced &&
    a.egressEnforced === b.egressEnforced &&
    a.denyCookie.ingress === b.denyCookie.ingress &&
    a.denyCookie.egress === b.denyCookie.egress &&
    a.overflow?.needed === b.overflow?.needed &&
    sameEntries(a.entries, b.entries)
  );
}

function sameEntries(a: readonly PolicyEntry[], b: readonly PolicyEntry[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((entry, index) => {
    const other = b[index];
    return (
      other !== undefined &&
      entry.classId === other.classId &&
      entry.cookie === other.cookie &&
      entry.direction === other.direction &&
      entry.proto === other.proto &&
      entry.port === other.port &&
      entry.portPrefix === other.portPrefix &&
      entry.deny === other.deny &&
      entry.isDefault === other.isDefault &&
      entry.matchType === other.matchType
    );
  });
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
