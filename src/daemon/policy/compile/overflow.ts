/**
 * @module
 * Why a policy does not fit into its map: the rules, and the selectors in them, that need the most
 * entries. For the status of the policy and for the log.
 */

import type { Overflow } from '../table.ts';
import type { Grant } from './entries.ts';
import type { SelectorCache } from './selector-cache.ts';

const blamedMax = 3;

/** What a person is told of an endpoint that is closed for it. */
export function describeOverflow({ needed, max, blame: worst }: Overflow): string {
  return `policy needs ${needed} map entries of at most ${max} (bpf-policy-map-max): all is denied; ${worst.join('; ')}`;
}

/** Rules and selectors by the entries that they need before any merging. */
export function blame(grants: readonly Grant[], selectors: SelectorCache): string[] {
  const costs: { text: string; cost: number }[] = [];
  for (const { ref, peers, codes } of grants) {
    const { kind, namespace, name } = ref.policy;
    const policy = namespace === '' ? name : `${namespace}/${name}`;
    const rule = name === '' ? ref.policy.labels.join(',') : `${kind} ${policy} ${ref.path ?? ''}`;
    const named = `${rule.trim()} (${codes.length} port prefixes`;
    if (peers === 'any') {
      costs.push({ text: `${named})`, cost: codes.length });
      continue;
    }
    for (const keys of peers) {
      const classes = classCount(keys, selectors);
      const selector = keys.join(' and ') || 'every identity';
      const text = `${named} for each of ${classes} peer classes of ${selector})`;
      costs.push({ text, cost: codes.length * classes });
    }
  }
  costs.sort((a, b) => b.cost - a.cost || (a.text < b.text ? -1 : 1));
  return costs.slice(0, blamedMax).map(({ text }) => text);
}

function classCount(keys: readonly string[], selectors: SelectorCache): number {
  const entries = keys.flatMap((key) => selectors.get(key) ?? []);
  const isWide = entries.every((entry) => entry.isWide);
  return (isWide ? selectors.groupsOf(entries) : selectors.classesOf(entries)).length;
}
