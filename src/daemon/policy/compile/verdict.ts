/**
 * @module
 * A compiled policy asked as the programs ask it: the peer's class, its group, any peer, and within
 * each the longest prefix of protocol and port. For explaining and for tests; packets do not come
 * here.
 */

import type { Direction } from '../rule.ts';
import type { PolicyEntry } from '../table.ts';
import type { CompiledPolicy } from './compiler.ts';
import { l4Code } from './entries.ts';
import { classAny, classNone } from './peer.ts';
import type { PeerClasses } from './selector-cache.ts';

/** What one side's policy says. */
export interface Verdict {
  /** Whether any policy speaks about the direction. */
  readonly enforced: boolean;
  readonly allowed: boolean;
  /** Denied because nothing allows it. */
  readonly isDefault: boolean;
  /** Names the rules; 0 where nothing is enforced. */
  readonly cookie: number;
}

const anyPort = 16;
const egressOffset = 2 ** 30;

type Index = ReadonlyMap<number, ReadonlyMap<number, PolicyEntry>>;

const indexes = new WeakMap<readonly PolicyEntry[], Index>();

/** The verdict on a connection of the subject with a peer. `port` is the ICMP type for ICMP. */
export function verdictOf(
  policy: CompiledPolicy,
  direction: Direction,
  peer: PeerClasses,
  proto: number,
  port: number,
): Verdict {
  const enforced = direction === 'ingress' ? policy.ingressEnforced : policy.egressEnforced;
  if (!enforced) return { enforced, allowed: true, isDefault: false, cookie: 0 };
  const index = indexOf(policy.entries);
  for (const classId of [peer.classId, peer.groupId, classAny]) {
    if (classId === classNone) continue;
    const entry = longest(index.get(classId), direction, proto, port);
    if (entry === undefined) continue;
    const { deny, isDefault, cookie } = entry;
    return { enforced, allowed: !deny, isDefault, cookie };
  }
  const cookie = policy.denyCookie[direction];
  return { enforced, allowed: false, isDefault: true, cookie };
}

function longest(
  entries: ReadonlyMap<number, PolicyEntry> | undefined,
  direction: Direction,
  proto: number,
  port: number,
): PolicyEntry | undefined {
  if (entries === undefined) return undefined;
  const offset = direction === 'egress' ? egressOffset : 0;
  for (let bits = anyPort; bits >= 0; bits--) {
    const mask = bits === 0 ? 0 : (0xffff << (anyPort - bits)) & 0xffff;
    const entry = entries.get(offset + l4Code(proto, port & mask, bits));
    if (entry !== undefined) return entry;
  }
  return entries.get(offset);
}

function indexOf(entries: readonly PolicyEntry[]): Index {
  const known = indexes.get(entries);
  if (known !== undefined) return known;
  const index = new Map<number, Map<number, PolicyEntry>>();
  for (const entry of entries) {
    const { classId, direction, proto, port, portPrefix } = entry;
    let own = index.get(classId);
    if (own === undefined) {
      own = new Map();
      index.set(classId, own);
    }
    const offset = direction === 'egress' ? egressOffset : 0;
    own.set(offset + (proto === 0 ? 0 : l4Code(proto, port, portPrefix)), entry);
  }
  indexes.set(entries, index);
  return index;
}
