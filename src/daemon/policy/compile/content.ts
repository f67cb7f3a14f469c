/**
 * @module
 * The rules that select a subject → the content of its policy: what is enforced, the entries, the
 * causes of a default deny. What does not fit is closed as a whole.
 */

import { labelHost } from '../../identity/table.ts';
import type { CookieRegistry, RuleRef } from '../cookies.ts';
import { type Direction, directions } from '../rule.ts';
import { labelSelector } from '../selector.ts';
import type { Overflow, PolicyEntry } from '../table.ts';
import { type CompiledRule, grantsOf, touches } from './compiled-rule.ts';
import { entriesOf, type Grant, l4Codes } from './entries.ts';
import { blame, blameBlocks } from './overflow.ts';
import type { SelectorCache } from './selector-cache.ts';

export interface ContentConfig {
  readonly enablePolicy: 'default' | 'always' | 'never';
  /** This node reaches its pods whatever ingress policy of tier `network` says. */
  readonly allowLocalhost: boolean;
  /** Entries that fit into one policy map. */
  readonly entriesMax: number;
}

/** A policy without the one who has it. */
export interface Content {
  readonly ingressEnforced: boolean;
  readonly egressEnforced: boolean;
  /** See `DesiredPolicyRow`. */
  readonly denyCookie: Readonly<Record<Direction, number>>;
  /** Sorted by direction, class, protocol, port, prefix. */
  readonly entries: readonly PolicyEntry[];
  /** There is no room for it: everything is denied. */
  readonly overflow: Overflow | undefined;
}

/** A policy of all who have the same rules, and the selectors that its entries follow from. */
export interface SharedContent {
  readonly content: Content;
  readonly selectors: ReadonlySet<string>;
}

/** What of a subject counts besides its rules. */
export interface SubjectKind {
  readonly isHost: boolean;
  readonly isInit: boolean;
  /** Text of its named ports; empty if no rule asks. */
  readonly ports: string;
}

/** Rules for which there was no room, and how much there is. */
export interface RoomForBlocks {
  readonly max: number;
  readonly excluded: ReadonlySet<CompiledRule>;
}

const implicitPrefix = 'reserved:io.cilium.policy.derived-from=';
/** The node itself, to which `allowLocalhost` opens. */
export const hostSelector = labelSelector(labelHost);

export class ContentMaker {
  readonly #config: ContentConfig;
  readonly #selectors: SelectorCache;
  readonly #cookies: CookieRegistry;
  readonly #room: RoomForBlocks;

  constructor(
    config: ContentConfig,
    selectors: SelectorCache,
    cookies: CookieRegistry,
    room: RoomForBlocks,
  ) {
    this.#config = config;
    this.#selectors = selectors;
    this.#cookies = cookies;
    this.#room = room;
  }

  make(rules: readonly CompiledRule[], kind: SubjectKind): SharedContent {
    const homeless = rules.filter((rule) => this.#room.excluded.has(rule));
    if (homeless.length > 0 && this.#config.enablePolicy !== 'never') {
      return { content: this.#closed(blameBlocks(homeless, this.#room.max)), selectors: new Set() };
    }
    const { entriesMax } = this.#config;
    const ingress = this.#direction('ingress', rules, kind, entriesMax);
    const egress = this.#direction('egress', rules, kind, entriesMax - ingress.needed);
    const grants = [...ingress.grants, ...egress.grants];
    const selectors = new Set<string>();
    for (const { peers } of grants) {
      for (const term of peers === 'any' ? [] : peers)
        for (const { key } of term) selectors.add(key);
    }
    const needed = ingress.needed + egress.needed;
    if (needed > entriesMax) {
      const worst = blame(grants, this.#selectors);
      const overflow: Overflow = { of: 'entries', needed, max: entriesMax, blame: worst };
      return { content: this.#closed(overflow), selectors };
    }
    const content = {
      ingressEnforced: ingress.enforced,
      egressEnforced: egress.enforced,
      denyCookie: { ingress: ingress.denyCookie, egress: egress.denyCookie },
      entries: [...ingress.entries, ...egress.entries],
      overflow: undefined,
    };
    return { content, selectors };
  }

  /** Half a policy is none: it would allow what a missing entry denies, or deny what it should not. */
  #closed(overflow: Overflow): Content {
    const [ingress = 0, egress = 0] = directions.map((direction) =>
      this.#cookies.cookieOf(direction, [implicitRef(direction, 'policy-map-overflow')]),
    );
    const denyCookie = { ingress, egress };
    return { ingressEnforced: true, egressEnforced: true, denyCookie, entries: [], overflow };
  }

  #direction(
    direction: Direction,
    all: readonly CompiledRule[],
    kind: SubjectKind,
    entriesMax: number,
  ) {
    const { enablePolicy, allowLocalhost } = this.#config;
    const rules = all.filter((rule) => touches(rule, direction));
    const always = (enablePolicy === 'always' && !kind.isHost) || kind.isInit;
    if (enablePolicy === 'never' || (rules.length === 0 && !always)) {
      return { enforced: false, denyCookie: 0, needed: 0, entries: [], grants: [] };
    }
    const causes = causesOf(rules, direction);
    if (causes.length === 0 && always) {
      const reason = kind.isInit ? 'init-default-deny' : 'enable-policy-always';
      causes.push(implicitRef(direction, reason));
    }
    const grants = grantsOf(rules, direction, kind.ports);
    if (direction === 'ingress' && allowLocalhost && !kind.isHost) {
      grants.push(implicitGrant(direction, 'allow-localhost-ingress', [[hostSelector]]));
    }
    const defaultDeny = causes.length === 0 ? undefined : causes;
    if (defaultDeny === undefined) {
      const open = implicitGrant(direction, `allow-any-${direction}`, 'any');
      grants.push({ ...open, tier: 'default' });
    }
    const cookieOf = (side: Direction, refs: readonly RuleRef[]) =>
      this.#cookies.cookieOf(side, refs);
    const input = { direction, grants, defaultDeny, entriesMax };
    return {
      enforced: true,
      denyCookie: cookieOf(direction, defaultDeny ?? unreadCauses(rules, direction)),
      ...entriesOf(input, this.#selectors, cookieOf),
      grants,
    };
  }
}

function causesOf(rules: readonly CompiledRule[], direction: Direction): RuleRef[] {
  return rules
    .filter((rule) => rule.row.rule.defaultDeny[direction])
    .map((rule) => rule.cause[direction]);
}

/**
 * Why a direction without a default deny drops what cannot be read, such as a fragment whose first is
 * missing: nobody can say whether it is what these rules deny.
 */
function unreadCauses(rules: readonly CompiledRule[], direction: Direction): RuleRef[] {
  const denying = rules.filter((rule) =>
    rule.items[direction].some(({ grant }) => grant.action === 'deny'),
  );
  const causes = denying.map((rule) => rule.cause[direction]);
  return [implicitRef(direction, 'unreadable-packet'), ...causes];
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

/** True if packets are judged alike, and people are told the same. */
export function sameContent(a: Content, b: Content): boolean {
  return (
    a.ingressEnforced === b.ingressEnforced &&
    a.egressEnforced === b.egressEnforced &&
    a.denyCookie.ingress === b.denyCookie.ingress &&
    a.denyCookie.egress === b.denyCookie.egress &&
    sameOverflow(a.overflow, b.overflow) &&
    sameEntries(a.entries, b.entries)
  );
}

function sameOverflow(a: Overflow | undefined, b: Overflow | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.of === b.of && a.needed === b.needed && a.blame.join() === b.blame.join();
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
