/**
 * @module
 * Rules and identities → peer classes, policies of the local identities, cookies. Pure: no clock,
 * no tables. It is told what changed and recomputes only the policies that can differ; the result
 * is the same by every path.
 */

import { type IdentityId, labelHost, labelInit } from '../identity/table.ts';
import { PeerClasses } from './classes.ts';
import { CookieRegistry, type RuleRef } from './cookies.ts';
import { entriesOf, type Grant, l4Codes } from './entries.ts';
import { type Direction, directions, type RuleItem } from './rule.ts';
import { labelSelector } from './selector.ts';
import { SelectorCache } from './selector-cache.ts';
import type { CookiePolicy, CookieRow, PolicyEntry, PolicyRuleRow } from './table.ts';

export interface PolicyConfig {
  readonly enablePolicy: 'default' | 'always' | 'never';
  /** This node reaches its pods whatever ingress policy says. */
  readonly allowLocalhost: boolean;
}

/** The policy of one identity, as content: without slot, revision and status. */
export interface CompiledPolicy {
  readonly identity: IdentityId;
  readonly ingressEnforced: boolean;
  readonly egressEnforced: boolean;
  readonly denyCookie: { readonly ingress: number; readonly egress: number };
  readonly entries: readonly PolicyEntry[];
}

export interface Compilation {
  /** Class by identity, where it changed; undefined if the identity is gone. */
  readonly classes: ReadonlyMap<IdentityId, number | undefined>;
  /** Policies whose content changed; undefined if the identity is not local any more. */
  readonly policies: ReadonlyMap<IdentityId, CompiledPolicy | undefined>;
  readonly cookies: ReadonlyMap<number, CookieRow | undefined>;
}

interface CompiledRule {
  readonly row: PolicyRuleRow;
  readonly grants: Readonly<Record<Direction, readonly Grant[]>>;
  /** The rule as the cause of a default deny. */
  readonly cause: Readonly<Record<Direction, RuleRef>>;
}

const implicitPrefix = 'reserved:io.cilium.policy.derived-from=';
const hostSelector = labelSelector(labelHost);

export class PolicyCompiler {
  readonly #config: PolicyConfig;
  readonly classes = new PeerClasses();
  readonly selectors = new SelectorCache(this.classes.mark);
  readonly cookies = new CookieRegistry();
  readonly #rules = new Map<string, CompiledRule>();
  readonly #rulesBySubject = new Map<string, Set<string>>();
  readonly #rulesByPeer = new Map<string, Set<string>>();
  readonly #local = new Set<IdentityId>();
  readonly #dirty = new Set<IdentityId>();
  readonly #policies = new Map<IdentityId, CompiledPolicy>();

  constructor(config: PolicyConfig) {
    this.#config = config;
    if (config.allowLocalhost) this.selectors.acquire(hostSelector, 'peer');
  }

  rules(): PolicyRuleRow[] {
    return [...this.#rules.values()].map((rule) => rule.row);
  }

  policy(id: IdentityId): CompiledPolicy | undefined {
    return this.#policies.get(id);
  }

  upsertRule(row: PolicyRuleRow): void {
    const before = this.#rules.get(row.key);
    if (before?.row === row) return;
    const rule = compileRule(row);
    // First the new uses, then the old ones, so that selectors in both stay.
    this.selectors.acquire(row.rule.subject, 'subject');
    for (const peer of peersOf(row)) this.selectors.acquire(peer, 'peer');
    if (before !== undefined) this.#withdraw(before.row);
    this.#rules.set(row.key, rule);
    link(this.#rulesBySubject, row.rule.subject.key, row.key);
    for (const peer of peersOf(row)) link(this.#rulesByPeer, peer.key, row.key);
    this.#markSubject(row);
  }

  deleteRule(key: string): void {
    const before = this.#rules.get(key);
    if (before === undefined) return;
    this.#rules.delete(key);
    this.#withdraw(before.row);
  }

  upsertIdentity(id: IdentityId, labels: readonly string[]): void {
    if (this.selectors.upsertIdentity(id, labels) && this.#local.has(id)) this.#dirty.add(id);
  }

  deleteIdentity(id: IdentityId): void {
    this.selectors.deleteIdentity(id);
    if (this.#local.has(id)) this.#dirty.add(id);
  }

  /** Local: an endpoint of this node has the identity, so it needs a policy. */
  setLocal(id: IdentityId, local: boolean): void {
    if (local === this.#local.has(id)) return;
    if (local) this.#local.add(id);
    else this.#local.delete(id);
    this.#dirty.add(id);
  }

  /** What differs since the last call. */
  compile(): Compilation {
    const { identities: classes, selectorKeys } = this.classes.flush(this.selectors);
    for (const key of selectorKeys) this.#markPeer(key);
    const policies = new Map<IdentityId, CompiledPolicy | undefined>();
    const shared = new Map<string, Omit<CompiledPolicy, 'identity'>>();
    for (const id of [...this.#dirty].sort((a, b) => a - b)) {
      const before = this.#policies.get(id);
      const after = this.#policyOf(id, shared);
      if (after === undefined) this.#policies.delete(id);
      else this.#policies.set(id, after);
      if (!samePolicy(before, after)) policies.set(id, after);
    }
    this.#dirty.clear();
    this.cookies.retire(() => this.#cookiesInUse());
    return { classes, policies, cookies: this.cookies.takeChanges() };
  }

  #withdraw(row: PolicyRuleRow): void {
    this.#markSubject(row);
    unlink(this.#rulesBySubject, row.rule.subject.key, row.key);
    this.selectors.release(row.rule.subject.key, 'subject');
    for (const peer of peersOf(row)) {
      unlink(this.#rulesByPeer, peer.key, row.key);
      this.selectors.release(peer.key, 'peer');
    }
  }

  #markSubject(row: PolicyRuleRow): void {
    const members = this.selectors.members(row.rule.subject.key);
    const [few, many] =
      members.size < this.#local.size ? [members, this.#local] : [this.#local, members];
    for (const id of few) if (many.has(id)) this.#dirty.add(id);
  }

  #markPeer(selectorKey: string): void {
    if (this.#config.allowLocalhost && selectorKey === hostSelector.key) {
      for (const id of this.#local) this.#dirty.add(id);
    }
    const subjects = new Set<string>();
    for (const key of this.#rulesByPeer.get(selectorKey) ?? []) {
      const row = this.#rules.get(key)?.row;
      if (row === undefined || subjects.has(row.rule.subject.key)) continue;
      subjects.add(row.rule.subject.key);
      this.#markSubject(row);
    }
  }

  #policyOf(
    id: IdentityId,
    shared: Map<string, Omit<CompiledPolicy, 'identity'>>,
  ): CompiledPolicy | undefined {
    const labels = this.selectors.labels(id);
    if (!this.#local.has(id) || labels === undefined) return undefined;
    const keys: string[] = [];
    for (const subject of this.selectors.matched(id)) {
      for (const key of this.#rulesBySubject.get(subject) ?? []) keys.push(key);
    }
    const init = labels.includes(labelInit);
    const sharedKey = `${init ? labelInit : ''}\n${keys.sort().join('\n')}`;
    let content = shared.get(sharedKey);
    if (content === undefined) {
      content = this.#content(
        keys.flatMap((key) => this.#rules.get(key) ?? []),
        init,
      );
      shared.set(sharedKey, content);
    }
    return { identity: id, ...content };
  }

  #content(rules: readonly CompiledRule[], init: boolean): Omit<CompiledPolicy, 'identity'> {
    const ingress = this.#direction('ingress', rules, init);
    const egress = this.#direction('egress', rules, init);
    return {
      ingressEnforced: ingress.enforced,
      egressEnforced: egress.enforced,
      denyCookie: { ingress: ingress.denyCookie, egress: egress.denyCookie },
      entries: [...ingress.entries, ...egress.entries],
    };
  }

  #direction(direction: Direction, all: readonly CompiledRule[], init: boolean) {
    const { enablePolicy, allowLocalhost } = this.#config;
    const rules = all.filter((rule) => rule.row.rule[direction] !== undefined);
    const always = enablePolicy === 'always' || init;
    if (enablePolicy === 'never' || (rules.length === 0 && !always)) {
      return { enforced: false, denyCookie: 0, entries: [] };
    }
    const causes = rules
      .filter((rule) => rule.row.rule.defaultDeny[direction])
      .map((rule) => rule.cause[direction]);
    const grants = rules.flatMap((rule) => rule.grants[direction]);
    if (direction === 'ingress' && allowLocalhost) {
      grants.push(implicitGrant(direction, 'allow-localhost-ingress', [hostSelector.key]));
    }
    if (causes.length === 0 && !always) {
      grants.push(implicitGrant(direction, `allow-any-${direction}`, 'any'));
    }
    if (causes.length === 0 && always) {
      causes.push(implicitRef(direction, init ? 'init-default-deny' : 'enable-policy-always'));
    }
    const cookieOf = (side: Direction, refs: readonly RuleRef[]) =>
      this.cookies.cookieOf(side, refs);
    return {
      enforced: true,
      // Nothing is denied where everything is allowed, but a policy map can be full.
      denyCookie: this.cookies.cookieOf(
        direction,
        causes.length > 0 ? causes : [implicitRef(direction, `allow-any-${direction}`)],
      ),
      entries: entriesOf(direction, grants, (key) => this.classes.classesOf(key), cookieOf),
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

/** Everything from nothing: what any sequence of changes that ends here must also arrive at. */
export function compileAll(
  rules: Iterable<PolicyRuleRow>,
  identities: ReadonlyMap<IdentityId, readonly string[]>,
  local: Iterable<IdentityId>,
  config: PolicyConfig,
): Compilation {
  const compiler = new PolicyCompiler(config);
  for (const [id, labels] of identities) compiler.upsertIdentity(id, labels);
  for (const id of local) compiler.setLocal(id, true);
  for (const row of rules) compiler.upsertRule(row);
  return compiler.compile();
}

function compileRule(row: PolicyRuleRow): CompiledRule {
  const { kind, namespace, name, ruleIndex, labels, revision } = row;
  const policy: Omit<CookiePolicy, 'items'> = {
    kind,
    namespace,
    name,
    ruleIndex,
    labels,
    revision,
  };
  const id = `${kind}/${namespace}/${name}#${ruleIndex}`;
  const grant = (direction: Direction, item: RuleItem): Grant => ({
    ref: {
      id: `${id}:${direction}:${String(item.item).padStart(4, '0')}`,
      policy,
      item: item.item,
    },
    deny: item.deny,
    peers: item.peers === 'any' ? 'any' : item.peers.map((peer) => peer.key),
    codes: l4Codes(item.ports),
  });
  const cause = (direction: Direction) => ({ id: `${id}:${direction}`, policy, item: undefined });
  return {
    row,
    grants: {
      ingress: (row.rule.ingress ?? []).map((item) => grant('ingress', item)),
      egress: (row.rule.egress ?? []).map((item) => grant('egress', item)),
    },
    cause: { ingress: cause('ingress'), egress: cause('egress') },
  };
}

/** A reason that no person wrote: it has a label and no name. */
function implicitRef(direction: Direction, reason: string): RuleRef {
  const labels = [`${implicitPrefix}${reason}`];
  const policy = { kind: '', namespace: '', name: '', ruleIndex: 0, labels, revision: 0 };
  return { id: `implicit/${reason}:${direction}`, policy, item: undefined };
}

function implicitGrant(direction: Direction, reason: string, peers: Grant['peers']): Grant {
  return { ref: implicitRef(direction, reason), deny: false, peers, codes: l4Codes(undefined) };
}

function* peersOf(row: PolicyRuleRow) {
  for (const direction of directions) {
    for (const { peers } of row.rule[direction] ?? []) if (peers !== 'any') yield* peers;
  }
}

function samePolicy(a: CompiledPolicy | undefined, b: CompiledPolicy | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.ingressEnforced === b.ingressEnforced &&
    a.egressEnforced === b.egressEnforced &&
    a.denyCookie.ingress === b.denyCookie.ingress &&
    a.denyCookie.egress === b.denyCookie.egress &&
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
      entry.proto === other.proto &&
      entry.port === other.port &&
      entry.portPrefix === other.portPrefix &&
      entry.deny === other.deny &&
      entry.matchType === other.matchType
    );
  });
}

function link(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([value]));
  else set.add(value);
}

function unlink(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key);
  if (set?.delete(value) === true && set.size === 0) map.delete(key);
}
