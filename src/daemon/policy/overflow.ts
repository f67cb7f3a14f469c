/**
 * @module
 * Why a policy does not fit into its map: the rules, and the selectors in them, that need the most
 * entries. For the status of the policy and for the log.
 */

import type { Grant } from './entries.ts';
import type { SelectorCache } from './selector-cache.ts';

const blamedMax = 3;

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
      const classes = Math.min(...keys.map((key) => classCount(key, selectors)));
      const selector = keys.join(' and ') || 'every identity';
      const text = `${named} for each of ${classes} peer classes of ${selector})`;
      costs.push({ text, cost: codes.length * classes });
    }
  }
  costs.sort((a, b) => b.cost - a.cost || (a.text < b.text ? -1 : 1));
  return costs.slice(0, blamedMax).map(({ text }) => text);
}

function classCount(key: string, selectors: SelectorCache): number {
  const isWide = selectors.get(key)?.isWide === true;
  return isWide ? selectors.groupsOf(key).size : selectors.classesOf(key).size;
}
