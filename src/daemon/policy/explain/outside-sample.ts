/**
 * @module
 * Addresses that stand for the rest of the world in a comparison: one in each block that a rule names,
 * as far as no other named block lies around it more closely.
 */

import { type Address, addressToBigInt, type Family, formatAddress } from '../../../net/address.ts';
import {
  addressAt,
  formatPrefix,
  type Prefix,
  prefixContains,
  prefixCovers,
  prefixSize,
  requirePrefix,
} from '../../../net/prefix.ts';
import { resolveRule } from '../compile/resolve.ts';
import { directions } from '../rule.ts';
import { addressTerms } from '../selector.ts';
import type { OfflineCluster } from './offline.ts';

/** The blocks that rules of a cluster name, exceptions and referred objects included; not 0.0.0.0/0 and ::/0. */
export function namedBlocks({ model, references }: OfflineCluster): Set<string> {
  const found = new Set<string>();
  for (const { rule } of model.rules) {
    const resolved = resolveRule(rule, references);
    for (const { peers } of directions.flatMap((direction) => resolved[direction])) {
      for (const selector of peers === 'any' ? [] : peers.flat()) {
        for (const cidr of addressTerms(selector).cidrs) {
          if (requirePrefix(cidr).length > 0) found.add(cidr);
        }
      }
    }
  }
  return found;
}

/**
 * An address of each block that is in no narrower one and that no pod of any cluster has. A block
 * without such an address has none.
 */
export function sampleBlocks(
  blocks: ReadonlySet<string>,
  families: readonly Family[],
  clusters: readonly OfflineCluster[],
): string[] {
  const prefixes = [...blocks].map(requirePrefix);
  const isPod = (address: string) =>
    clusters.some((cluster) => cluster.end(address)?.pod !== undefined);
  return prefixes
    .filter(({ family }) => families.includes(family))
    .flatMap((block) => {
      const text = formatPrefix(block);
      const inner = prefixes.filter(
        (each) => formatPrefix(each) !== text && prefixCovers(block, each),
      );
      const found = candidates(block, inner)
        .filter((address) => !inner.some((each) => prefixContains(each, address)))
        .map(formatAddress)
        .find((address) => !isPod(address));
      return found === undefined ? [] : [found];
    })
    .sort();
}

/** The first address that is left of a block is its own first, or the one behind a block inside. */
function candidates(block: Prefix, inner: readonly Prefix[]): Address[] {
  const size = prefixSize(block);
  const start = addressToBigInt(block.address);
  const behind = inner.map((each) => addressToBigInt(each.address) + prefixSize(each) - start);
  // A host's address comes before that of the network.
  return [1n, 0n, size - 2n, size / 2n, ...behind]
    .filter((index) => index >= 0n && index < size)
    .map((index) => addressAt(block, index));
}
