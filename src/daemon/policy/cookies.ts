/**
 * @module
 * Rule cookies: the number in a policy entry that says which rules are behind it. It is a hash of
 * the list of rules, so it means the same after a restart. Numbers no longer in use are kept for a
 * while, since events that carry them are still on their way.
 */

import type { Direction } from './rule.ts';
import type { CookiePolicy, CookieRow } from './table.ts';

/** A rule, or one entry of its list, as the reason of a verdict. */
export interface RuleRef {
  /** Sorts and names it: the same for the same place in the same policy. */
  readonly id: string;
  readonly policy: Omit<CookiePolicy, 'items'>;
  /** The list and the place in it; undefined for the rule as the cause of a default deny. */
  readonly path: string | undefined;
}

/** Cookies kept that no policy uses any more. */
const retiredMax = 4096;

interface Cookie {
  readonly cookie: number;
  readonly key: string;
  readonly direction: Direction;
  row: CookieRow;
}

export class CookieRegistry {
  readonly #byKey = new Map<string, Cookie>();
  readonly #byCookie = new Map<number, Cookie>();
  readonly #changed = new Map<number, CookieRow | undefined>();
  /** With more cookies than this it is looked which are in use. */
  #lookAt = retiredMax * 2;

  /** The cookie of the rules, in any order, each once or more. Never 0. */
  cookieOf(direction: Direction, refs: readonly RuleRef[]): number {
    const sorted = [...new Map(refs.map((ref) => [ref.id, ref])).values()].sort((a, b) =>
      a.id < b.id ? -1 : 1,
    );
    const key = `${direction}\n${sorted.map((ref) => ref.id).join('\n')}`;
    const known = this.#byKey.get(key);
    const cookie = known?.cookie ?? this.#number(key);
    const row: CookieRow = { cookie, direction, policies: groupByRule(sorted) };
    if (known === undefined) {
      const entry: Cookie = { cookie, key, direction, row };
      this.#byKey.set(key, entry);
      this.#byCookie.set(cookie, entry);
      this.#changed.set(cookie, row);
    } else if (!samePolicies(known.row.policies, row.policies)) {
      known.row = row;
      this.#changed.set(cookie, row);
    }
    return cookie;
  }

  row(cookie: number): CookieRow | undefined {
    return this.#byCookie.get(cookie)?.row;
  }

  get size(): number {
    return this.#byCookie.size;
  }

  /** Forgets the oldest cookies that are not in use, once there are too many. */
  retire(inUse: () => ReadonlySet<number>): void {
    if (this.#byCookie.size <= this.#lookAt) return;
    const used = inUse();
    let excess = this.#byCookie.size - used.size - retiredMax;
    for (const [cookie, entry] of this.#byCookie) {
      if (excess <= 0) break;
      if (used.has(cookie)) continue;
      this.#byCookie.delete(cookie);
      this.#byKey.delete(entry.key);
      this.#changed.set(cookie, undefined);
      excess--;
    }
    this.#lookAt = Math.max(retiredMax * 2, this.#byCookie.size + retiredMax);
  }

  /** Rows that are new or changed since the last call; undefined for forgotten ones. */
  takeChanges(): ReadonlyMap<number, CookieRow | undefined> {
    const changes = new Map(this.#changed);
    this.#changed.clear();
    return changes;
  }

  #number(key: string): number {
    let cookie = Bun.hash.xxHash32(key);
    while (cookie === 0 || this.#byCookie.has(cookie)) cookie = (cookie + 1) >>> 0;
    return cookie;
  }
}

/** One policy a rule, with the list entries that took part. */
function groupByRule(sorted: readonly RuleRef[]): CookiePolicy[] {
  const groups = new Map<string, { policy: RuleRef['policy']; items: string[] }>();
  for (const { policy, path } of sorted) {
    const labels = policy.name === '' ? policy.labels.join(',') : '';
    const key = `${policy.kind}/${policy.namespace}/${policy.name}#${policy.ruleIndex}${labels}`;
    const group = groups.get(key) ?? { policy, items: [] };
    groups.set(key, group);
    if (path !== undefined && !group.items.includes(path)) group.items.push(path);
  }
  return [...groups.values()].map(({ policy, items }) => ({ ...policy, items }));
}

function samePolicies(a: readonly CookiePolicy[], b: readonly CookiePolicy[]): boolean {
  return (
    a.length === b.length &&
    a.every((policy, index) => {
      const other = b[index];
      return (
        other !== undefined &&
        policy.revision === other.revision &&
        policy.labels.join(',') === other.labels.join(',')
      );
    })
  );
}
