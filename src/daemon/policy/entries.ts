/**
 * @module
 * Grants of one direction → rows of the policy map. The program asks the peer's class first and
 * takes what it finds as final, so a class's rows must already contain what rows for any peer say:
 * every row accounts for all grants that cover it, and a class that has a wide row also gets the
 * narrower rows for any peer.
 */

import { classAny } from './classes.ts';
import type { RuleRef } from './cookies.ts';
import type { Direction, PortRange } from './rule.ts';
import type { PolicyEntry } from './table.ts';

/** One list entry of a rule, or an implicit one, as it applies to an identity. */
export interface Grant {
  readonly ref: RuleRef;
  readonly deny: boolean;
  /** Keys of peer selectors. */
  readonly peers: readonly string[] | 'any';
  /** Codes of what it covers; see `l4Codes`. */
  readonly codes: readonly number[];
}

/** Protocol, prefix length and port in one number; 0 is everything. */
type L4Code = number;

const portBits = 16;

export function l4Code(proto: number, port: number, bits: number): L4Code {
  return proto * 2 ** 21 + bits * 2 ** 16 + port;
}

/** A list of ranges as prefixes; no list is everything, ICMP included. */
export function l4Codes(ranges: readonly PortRange[] | undefined): readonly L4Code[] {
  if (ranges === undefined) return [0];
  const codes = new Set<L4Code>();
  for (const { proto, first, last } of ranges) {
    let port = first;
    while (port <= last) {
      let size = 1;
      let bits = portBits;
      while (bits > 0 && port % (size * 2) === 0 && port + size * 2 - 1 <= last) {
        size *= 2;
        bits--;
      }
      codes.add(l4Code(proto, port, bits));
      port += size;
    }
  }
  return [...codes];
}

/** The code and all that cover it, narrowest first. */
function coveringCodes(code: L4Code): L4Code[] {
  if (code === 0) return [0];
  const { proto, port, portPrefix } = decodeL4(code);
  const codes: L4Code[] = [];
  for (let bits = portPrefix; bits >= 0; bits--) {
    const mask = bits === 0 ? 0 : (0xffff << (portBits - bits)) & 0xffff;
    codes.push(l4Code(proto, port & mask, bits));
  }
  codes.push(0);
  return codes;
}

export function decodeL4(code: L4Code): { proto: number; port: number; portPrefix: number } {
  return {
    proto: Math.floor(code / 2 ** 21),
    port: code % 2 ** 16,
    portPrefix: Math.floor(code / 2 ** 16) % 2 ** 5,
  };
}

type GrantsByCode = Map<L4Code, Grant[]>;

/** Names the rules; the same for the same rules. */
export type CookieOf = (direction: Direction, refs: readonly RuleRef[]) => number;

/** The rows of one direction, sorted by class, protocol, port and prefix. */
export function entriesOf(
  direction: Direction,
  grants: readonly Grant[],
  classesOf: (selectorKey: string) => ReadonlySet<number>,
  cookieOf: CookieOf,
): PolicyEntry[] {
  const anyPeer = byCode(grants.filter((grant) => grant.peers === 'any'));
  const entries = rowsOf(direction, new Map(), anyPeer, anyPeer.keys(), cookieOf).map((row) => ({
    ...row,
    classId: classAny,
  }));
  // Classes with the same grants have the same rows.
  const rowsByGrants = new Map<string, Row[]>();
  for (const [classId, own] of grantsByClass(grants, classesOf)) {
    const key = own.join(',');
    let rows = rowsByGrants.get(key);
    if (rows === undefined) {
      const ownByCode = byCode(own.flatMap((index) => grants[index] ?? []));
      const codes = new Set(ownByCode.keys());
      for (const code of anyPeer.keys()) {
        if (coveringCodes(code).some((wider) => ownByCode.has(wider))) codes.add(code);
      }
      rows = rowsOf(direction, ownByCode, anyPeer, codes, cookieOf);
      rowsByGrants.set(key, rows);
    }
    for (const row of rows) entries.push({ ...row, classId });
  }
  return entries.sort(
    (a, b) =>
      a.classId - b.classId || a.proto - b.proto || a.port - b.port || a.portPrefix - b.portPrefix,
  );
}

type Row = Omit<PolicyEntry, 'classId'>;

/** Places in the list of grants, ascending, for every class that a grant names. */
function grantsByClass(
  grants: readonly Grant[],
  classesOf: (selectorKey: string) => ReadonlySet<number>,
): Map<number, number[]> {
  const result = new Map<number, number[]>();
  grants.forEach((grant, index) => {
    if (grant.peers === 'any') return;
    for (const key of grant.peers) {
      for (const classId of classesOf(key)) {
        const own = result.get(classId);
        if (own === undefined) result.set(classId, [index]);
        else if (own.at(-1) !== index) own.push(index);
      }
    }
  });
  return result;
}

function byCode(grants: readonly Grant[]): GrantsByCode {
  const result: GrantsByCode = new Map();
  for (const grant of grants) {
    for (const code of grant.codes) {
      const list = result.get(code);
      if (list === undefined) result.set(code, [grant]);
      else list.push(grant);
    }
  }
  return result;
}

function rowsOf(
  direction: Direction,
  own: GrantsByCode,
  anyPeer: GrantsByCode,
  codes: Iterable<L4Code>,
  cookieOf: CookieOf,
): Row[] {
  const rows: Row[] = [];
  for (const code of codes) {
    const covering: Grant[] = [];
    let named = false;
    for (const wider of coveringCodes(code)) {
      const mine = own.get(wider);
      if (mine !== undefined) {
        covering.push(...mine);
        named = true;
      }
      covering.push(...(anyPeer.get(wider) ?? []));
    }
    const deny = covering.some((grant) => grant.deny);
    const refs = covering.filter((grant) => grant.deny === deny).map((grant) => grant.ref);
    const l4 = decodeL4(code);
    const cookie = cookieOf(direction, refs);
    rows.push({ ...l4, direction, deny, cookie, matchType: matchType(named, l4) });
  }
  return rows;
}

/** Numbers of `enum policy_match` in src/bpf/lib/types.h. */
function matchType(named: boolean, l4: { proto: number; portPrefix: number }): number {
  if (l4.proto === 0) return named ? 1 : 4;
  if (l4.portPrefix === 0) return named ? 5 : 6;
  return named ? 2 : 3;
}
