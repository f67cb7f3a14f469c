/**
 * @module
 * Why there is no room for a policy: the rules, and what in them, that need the most. For the status
 * of the policy and for the log.
 */

import type { RuleRef } from '../cookies.ts';
import type { Overflow } from '../table.ts';
import { blocksOf, type CompiledRule } from './compiled-rule.ts';
import type { Grant } from './entries.ts';
import type { PeerTerm } from './resolve.ts';
import type { SelectorCache } from './selector-cache.ts';

const blamedMax = 3;
/** Longer lists of what a selector asks for are cut. */
const selectorTextMax = 120;

/** What a person is told of an endpoint that is closed for it. */
export function describeOverflow({ of, needed, max, blame: worst }: Overflow): string {
  const what =
    of === 'entries'
      ? `needs ${needed} map entries of at most ${max} (bpf-policy-map-max)`
      : `names ${needed} blocks of addresses, and all policies together may name ${max}`;
  return `policy ${what}: all is denied; ${worst.join('; ')}`;
}

interface Cost {
  readonly ref: RuleRef;
  /** Prefixes of ports. */
  readonly codes: number;
  classes: number;
  /** Of its selectors, the one with the most classes. */
  worst: { readonly text: string; readonly classes: number } | undefined;
}

/** List entries of rules, and the selectors in them, by the map entries that they need. */
export function blame(grants: readonly Grant[], selectors: SelectorCache): string[] {
  const costs = new Map<string, Cost>();
  for (const { ref, peers, codes } of grants) {
    const cost = costs.get(ref.id) ?? { ref, codes: codes.length, classes: 0, worst: undefined };
    costs.set(ref.id, cost);
    if (peers === 'any') cost.classes++;
    for (const term of peers === 'any' ? [] : peers) {
      const classes = classCount(term, selectors);
      cost.classes += classes;
      if (classes > (cost.worst?.classes ?? 0)) cost.worst = { text: textOf(term), classes };
    }
  }
  const sorted = [...costs.values()].sort(
    (a, b) => b.codes * b.classes - a.codes * a.classes || (a.ref.id < b.ref.id ? -1 : 1),
  );
  return sorted.slice(0, blamedMax).map(describeCost);
}

function describeCost({ ref, codes, classes, worst }: Cost): string {
  const { kind, namespace, name, labels } = ref.policy;
  const policy = namespace === '' ? name : `${namespace}/${name}`;
  const rule = name === '' ? labels.join(',') : `${kind} ${policy} ${ref.path ?? ''}`.trim();
  const isOne = worst === undefined || worst.classes === 1;
  const most = isOne ? '' : `, ${worst.classes} of them of ${worst.text}`;
  return `${rule} (${codes} port prefixes for each of ${classes} classes of peers${most})`;
}

/** Rules for whose blocks there is no room. */
export function blameBlocks(rules: readonly CompiledRule[], max: number): Overflow {
  const costs = rules.map((rule) => ({ row: rule.row, blocks: blocksOf(rule).size }));
  costs.sort((a, b) => b.blocks - a.blocks || (a.row.key < b.row.key ? -1 : 1));
  const texts = costs.map(({ row: { kind, namespace, name }, blocks }) => {
    const policy = namespace === '' ? name : `${namespace}/${name}`;
    return `${kind} ${policy} (${blocks} blocks)`;
  });
  const needed = costs.reduce((sum, { blocks }) => sum + blocks, 0);
  return { of: 'blocks', needed, max, blame: texts.slice(0, blamedMax) };
}

/** Selectors by their keys, as people write them, as far as that is short. */
function textOf(term: PeerTerm): string {
  const text =
    term
      .map(({ key }) => key)
      .join(' and ')
      .replaceAll('"', '') || 'every identity';
  return text.length <= selectorTextMax ? text : `${text.slice(0, selectorTextMax)}…`;
}

function classCount(term: PeerTerm, selectors: SelectorCache): number {
  const entries = term.flatMap(({ key }) => selectors.get(key) ?? []);
  const isWide = entries.every((entry) => entry.isWide);
  return (isWide ? selectors.groupsOf(entries) : selectors.classesOf(entries)).length;
}
