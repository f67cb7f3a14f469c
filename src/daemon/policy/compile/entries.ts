/**
 * @module
 * Grants of one direction → rows of the policy map. The program asks the peer's class first, then
 * its group, then any peer, and takes the first row that it finds as final. So rows of a class
 * already contain what rows of its group and of any peer say: every row accounts for all grants
 * that cover it, and a class that has a wide row also gets the narrower rows of those behind it.
 */

import type { RuleRef } from '../cookies.ts';
import type { Action, Direction, PortRange, Tier } from '../rule.ts';
import type { PolicyEntry } from '../table.ts';
import { classAny } from './peer.ts';
import type { PeerTerm } from './resolve.ts';
import type { CachedSelector, PeerClass } from './selector-cache.ts';

/** One list entry of a rule, or an implicit one, as it applies to an endpoint. */
export interface Grant {
  readonly ref: RuleRef;
  readonly tier: Tier | 'default';
  /** In the tiers where the first rule that matches decides: text that sorts as the rules do. */
  readonly order: string;
  readonly action: Action;
  /** Alternatives. */
  readonly peers: readonly PeerTerm[] | 'any';
  /** Codes of what it covers; see `l4Codes`. */
  readonly codes: readonly L4Code[];
}

/** Protocol, prefix length and port in one number; 0 is everything. */
type L4Code = number;

const portBits = 16;

export function l4Code(proto: number, port: number, bits: number): L4Code {
  return proto * 2 ** 21 + bits * 2 ** 16 + port;
}

const everything: readonly L4Code[] = [0];

/** A list of ranges as prefixes; no list is everything, ICMP included. */
export function l4Codes(ranges: readonly PortRange[] | undefined): readonly L4Code[] {
  if (ranges === undefined) return everything;
  const [range] = ranges;
  if (ranges.length === 1 && range !== undefined) return codesOfRange(range);
  return [...new Set(ranges.flatMap(codesOfRange))];
}

/** Many rules have the same ports. */
const codesByRange = new Map<number, readonly L4Code[]>();
const codesKeptMax = 65_536;

function codesOfRange({ proto, first, last }: PortRange): readonly L4Code[] {
  const key = (proto * 2 ** 16 + first) * 2 ** 16 + last;
  const known = codesByRange.get(key);
  if (known !== undefined) return known;
  const codes: L4Code[] = [];
  let port = first;
  while (port <= last) {
    let size = 1;
    let bits = portBits;
    while (bits > 0 && port % (size * 2) === 0 && port + size * 2 - 1 <= last) {
      size *= 2;
      bits--;
    }
    codes.push(l4Code(proto, port, bits));
    port += size;
  }
  if (codesByRange.size >= codesKeptMax) codesByRange.clear();
  codesByRange.set(key, codes);
  return codes;
}

const coveringByCode = new Map<L4Code, readonly L4Code[]>();
const coveringMax = 65_536;

/** The code and all that cover it, narrowest first. */
function coveringCodes(code: L4Code): readonly L4Code[] {
  const known = coveringByCode.get(code);
  if (known !== undefined) return known;
  const codes: L4Code[] = [];
  if (code !== 0) {
    const { proto, port, portPrefix } = decodeL4(code);
    for (let bits = portPrefix; bits >= 0; bits--) {
      const mask = bits === 0 ? 0 : (0xffff << (portBits - bits)) & 0xffff;
      codes.push(l4Code(proto, port & mask, bits));
    }
  }
  codes.push(0);
  if (coveringByCode.size >= coveringMax) coveringByCode.clear();
  coveringByCode.set(code, codes);
  return codes;
}

function decodeL4(code: L4Code): { proto: number; port: number; portPrefix: number } {
  return {
    proto: Math.floor(code / 2 ** 21),
    port: code % 2 ** 16,
    portPrefix: Math.floor(code / 2 ** 16) % 2 ** 5,
  };
}

/** Names the rules; the same for the same rules. */
export type CookieOf = (direction: Direction, refs: readonly RuleRef[]) => number;

/** Where classes and groups of selectors are found. */
export interface ClassSource {
  get(key: string): CachedSelector | undefined;
  classesOf(entries: readonly CachedSelector[]): readonly PeerClass[];
  groupsOf(entries: readonly CachedSelector[]): readonly PeerClass[];
}

export interface EntriesInput {
  readonly direction: Direction;
  readonly grants: readonly Grant[];
  /** The causes of a default deny in tier `network`; undefined where there is none. */
  readonly defaultDeny: readonly RuleRef[] | undefined;
  /** Room; of what needs more only the number is told. */
  readonly entriesMax: number;
}

export interface Entries {
  readonly needed: number;
  /** Sorted by class, protocol, port and prefix; empty if more are needed than there is room for. */
  readonly entries: PolicyEntry[];
}

/** The rows of one direction. */
export function entriesOf(input: EntriesInput, classes: ClassSource, cookieOf: CookieOf): Entries {
  const levels = levelsOf(input.grants, classes);
  const writer = new RowWriter(input, cookieOf);
  const any = new CodeIndex(levels.any);
  let needed = 0;
  const entries: PolicyEntry[] = [];
  const push = (classId: number, own: readonly Grant[], upper: CodeIndex) => {
    const rows = writer.rows(own, upper, input.entriesMax - needed);
    needed += typeof rows === 'number' ? rows : rows.length;
    if (needed > input.entriesMax) entries.length = 0;
    else if (typeof rows !== 'number') for (const row of rows) entries.push({ ...row, classId });
  };
  push(classAny, [], any);
  for (const [group, own] of levels.groups) push(group.id, own, any);
  const uppers = new Map<string, CodeIndex>([['', any]]);
  for (const [each, own] of levels.classes) {
    let key = '';
    const behind: Grant[] = [];
    levels.wide.forEach(({ grant, alternatives }, index) => {
      if (!isSelectedBy(each, alternatives)) return;
      key += `${index},`;
      behind.push(grant);
    });
    const upper = uppers.get(key) ?? new CodeIndex([...behind, ...levels.any]);
    uppers.set(key, upper);
    push(each.id, own, upper);
  }
  entries.sort(
    (a, b) =>
      a.classId - b.classId || a.proto - b.proto || a.port - b.port || a.portPrefix - b.portPrefix,
  );
  return { needed, entries };
}

type Row = Omit<PolicyEntry, 'classId'>;

interface WideGrant {
  readonly grant: Grant;
  readonly alternatives: readonly (readonly CachedSelector[])[];
}

interface Levels {
  readonly any: readonly Grant[];
  readonly wide: readonly WideGrant[];
  readonly groups: ReadonlyMap<PeerClass, readonly Grant[]>;
  readonly classes: ReadonlyMap<PeerClass, readonly Grant[]>;
}

/** By whom a grant names: anybody, groups (only wide selectors), or classes. */
function levelsOf(grants: readonly Grant[], source: ClassSource): Levels {
  const any: Grant[] = [];
  const wide: WideGrant[] = [];
  const groups = new Map<PeerClass, Grant[]>();
  const classes = new Map<PeerClass, Grant[]>();
  const put = (map: Map<PeerClass, Grant[]>, each: PeerClass, grant: Grant) => {
    const own = map.get(each);
    if (own === undefined) map.set(each, [grant]);
    else if (own.at(-1) !== grant) own.push(grant);
  };
  for (const grant of grants) {
    if (grant.peers === 'any') {
      any.push(grant);
      continue;
    }
    const alternatives: (readonly CachedSelector[])[] = [];
    for (const term of grant.peers) {
      const entries = term.flatMap(({ key }) => source.get(key) ?? []);
      // A selector that is not known must not make an allowance wider.
      if (entries.length < term.length && grant.action !== 'deny') continue;
      const isWide = entries.length > 0 && entries.every((entry) => entry.isWide);
      if (isWide) alternatives.push(entries);
      const selected = isWide ? source.groupsOf(entries) : source.classesOf(entries);
      for (const each of selected) put(isWide ? groups : classes, each, grant);
    }
    if (alternatives.length > 0) wide.push({ grant, alternatives });
  }
  return { any, wide, groups, classes };
}

function isSelectedBy(
  each: PeerClass,
  alternatives: readonly (readonly CachedSelector[])[],
): boolean {
  return alternatives.some((all) => all.every((entry) => each.has(entry)));
}

/** Grants by code. */
class CodeIndex {
  readonly byCode = new Map<L4Code, Grant[]>();

  constructor(grants: readonly Grant[]) {
    for (const grant of grants) {
      for (const code of grant.codes) {
        const list = this.byCode.get(code);
        if (list === undefined) this.byCode.set(code, [grant]);
        else list.push(grant);
      }
    }
  }
}

interface Decision {
  readonly deny: boolean;
  readonly isDefault: boolean;
  readonly refs: readonly RuleRef[];
}

/** Writes the rows of one direction; peers with the same grants share them. */
class RowWriter {
  readonly #input: EntriesInput;
  readonly #cookieOf: CookieOf;
  readonly #ids = new Map<Grant, number>();
  readonly #known = new Map<string, readonly Row[] | number>();
  readonly #indexes = new Map<CodeIndex, number>();

  constructor(input: EntriesInput, cookieOf: CookieOf) {
    this.#input = input;
    this.#cookieOf = cookieOf;
    input.grants.forEach((grant, index) => {
      this.#ids.set(grant, index);
    });
  }

  /**
   * `own` are the grants of this level; without any, the rows are those of `upper` itself. Where they
   * are more than there is room for, only how many.
   */
  rows(own: readonly Grant[], upper: CodeIndex, room: number): readonly Row[] | number {
    const key = this.#key(own, upper);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const mine = new CodeIndex(own);
    const codes = new Set(own.length === 0 ? upper.byCode.keys() : mine.byCode.keys());
    if (own.length > 0) {
      for (const code of upper.byCode.keys()) {
        if (coveringCodes(code).some((wider) => mine.byCode.has(wider))) codes.add(code);
      }
    }
    const rows =
      codes.size > room ? codes.size : [...codes].map((code) => this.#row(code, mine, upper));
    this.#known.set(key, rows);
    return rows;
  }

  #key(own: readonly Grant[], upper: CodeIndex): string {
    let index = this.#indexes.get(upper);
    if (index === undefined) {
      index = this.#indexes.size;
      this.#indexes.set(upper, index);
    }
    let key = String(index);
    for (const grant of own) key += `,${this.#ids.get(grant)}`;
    return key;
  }

  #row(code: L4Code, own: CodeIndex, upper: CodeIndex): Row {
    const covering: Grant[] = [];
    let named = false;
    for (const wider of coveringCodes(code)) {
      const mine = own.byCode.get(wider);
      if (mine !== undefined) {
        covering.push(...mine);
        named = true;
      }
      const others = upper.byCode.get(wider);
      if (others !== undefined) covering.push(...others);
    }
    const { deny, isDefault, refs } = decide(covering, this.#input.defaultDeny);
    const { direction } = this.#input;
    const l4 = decodeL4(code);
    const cookie = this.#cookieOf(direction, refs);
    const match = isDefault ? 0 : matchType(named, l4);
    return { ...l4, direction, deny, isDefault, cookie, matchType: match };
  }
}

/** What all grants that match a connection say together. */
export function decide(
  matching: readonly Grant[],
  defaultDeny: readonly RuleRef[] | undefined,
): Decision {
  const admin = firstOf(matching, 'admin');
  if (admin !== undefined && admin.action !== 'pass') return decided(admin.action, [admin]);
  const network = matching.filter((grant) => grant.tier === 'network');
  for (const action of ['deny', 'allow'] as const) {
    const those = network.filter((grant) => grant.action === action);
    if (those.length > 0) return decided(action, those);
  }
  if (defaultDeny !== undefined) return { deny: true, isDefault: true, refs: defaultDeny };
  const baseline = firstOf(matching, 'baseline');
  if (baseline !== undefined && baseline.action !== 'pass') {
    return decided(baseline.action, [baseline]);
  }
  return decided(
    'allow',
    matching.filter((grant) => grant.tier === 'default'),
  );
}

function firstOf(matching: readonly Grant[], tier: Tier): Grant | undefined {
  let first: Grant | undefined;
  for (const grant of matching) {
    if (grant.tier === tier && (first === undefined || grant.order < first.order)) first = grant;
  }
  return first;
}

function decided(action: Action, grants: readonly Grant[]): Decision {
  return { deny: action === 'deny', isDefault: false, refs: grants.map((grant) => grant.ref) };
}

/** Numbers of `enum policy_match` in src/bpf/lib/types.h. */
function matchType(named: boolean, l4: { proto: number; portPrefix: number }): number {
  if (l4.proto === 0) return named ? 1 : 4;
  if (l4.portPrefix === 0) return named ? 5 : 6;
  return named ? 2 : 3;
}
