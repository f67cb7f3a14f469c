/**
 * @module
 * Which block is the next one around another: what is true of addresses in a block that is not
 * there itself.
 */

import { comparePrefixes, type Prefix, prefixCovers, requirePrefix } from '../../../net/prefix.ts';

interface Entry<T> {
  readonly prefix: Prefix;
  /** Of a block that is there. */
  readonly value: T | undefined;
  /** Of a block that is asked about. */
  readonly asked: string | undefined;
}

/**
 * For each block that is asked about, the value of the longest of the given blocks that covers it and
 * is not itself; without one it is absent. Sorts once and looks at every block once.
 */
export function valuesAround<T>(
  blocks: ReadonlyMap<string, T>,
  asked: Iterable<string>,
): Map<string, T> {
  const entries: Entry<T>[] = [];
  for (const each of asked) {
    entries.push({ prefix: requirePrefix(each), value: undefined, asked: each });
  }
  if (entries.length === 0) return new Map();
  for (const [each, value] of blocks) {
    entries.push({ prefix: requirePrefix(each), value, asked: undefined });
  }
  // A block that is asked about comes before itself.
  entries.sort((a, b) => comparePrefixes(a.prefix, b.prefix));
  const found = new Map<string, T>();
  /** The blocks around the place that the walk is at, the widest first. */
  const around: { readonly prefix: Prefix; readonly value: T }[] = [];
  for (const { prefix, value, asked } of entries) {
    let inner = around.at(-1);
    while (inner !== undefined && !prefixCovers(inner.prefix, prefix)) {
      around.pop();
      inner = around.at(-1);
    }
    if (asked !== undefined && inner !== undefined) found.set(asked, inner.value);
    if (value !== undefined) around.push({ prefix, value });
  }
  return found;
}
