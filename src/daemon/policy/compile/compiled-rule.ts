/**
 * @module
 * A rule as the compiler keeps it: its list entries as grants, and the selectors that they use.
 */

import { parsePorts } from '../../ports.ts';
import type { RuleRef } from '../cookies.ts';
import {
  type CidrScope,
  type Direction,
  directions,
  type PortRange,
  type Selector,
} from '../rule.ts';
import { addressTerms, outsideSelector } from '../selector.ts';
import type { CookiePolicy, PolicyRuleRow } from '../table.ts';
import { type Grant, l4Codes } from './entries.ts';
import type { ResolvedItem, ResolvedRule } from './resolve.ts';

interface CompiledItem {
  readonly grant: Grant;
  readonly resolved: ResolvedItem;
}

export interface CompiledRule {
  readonly row: PolicyRuleRow;
  readonly items: Readonly<Record<Direction, readonly CompiledItem[]>>;
  /** The rule as the cause of a default deny. */
  readonly cause: Readonly<Record<Direction, RuleRef>>;
  /** Its entries for ports by name differ from endpoint to endpoint. */
  readonly hasNamedPorts: boolean;
}

/** A selector in a rule, and whom its blocks mean. */
export interface SelectorUse {
  readonly selector: Selector;
  readonly scope: CidrScope;
}

export function compileRule(row: PolicyRuleRow, resolved: ResolvedRule): CompiledRule {
  const { kind, namespace, name, ruleIndex, labels, revision, rule } = row;
  const policy: Omit<CookiePolicy, 'items'> = {
    kind,
    namespace,
    name,
    ruleIndex,
    labels,
    revision,
  };
  const isOrdered = rule.tier !== 'network';
  const id = `${kind}/${namespace}/${name}#${ruleIndex}`;
  const compile = (direction: Direction): CompiledItem[] =>
    resolved[direction].map((each) => {
      const at = (rule[direction] ?? []).indexOf(each.item);
      const place = String(at).padStart(5, '0');
      const grant: Grant = {
        ref: { id: `${id}:${direction}:${place}:${each.item.path}`, policy, path: each.item.path },
        tier: rule.tier,
        order: isOrdered ? `${String(rule.priority).padStart(5, '0')}\n${name}\n${place}` : '',
        action: each.item.action,
        peers: each.peers,
        codes: l4Codes(each.ports),
      };
      return { grant, resolved: each };
    });
  const cause = (direction: Direction) => ({ id: `${id}:${direction}`, policy, path: undefined });
  return {
    row,
    items: { ingress: compile('ingress'), egress: compile('egress') },
    cause: { ingress: cause('ingress'), egress: cause('egress') },
    hasNamedPorts: resolved.ingress.some((each) => each.named.length > 0),
  };
}

/** An empty list of a ClusterNetworkPolicy says nothing; an empty section of the others denies. */
export function touches({ row: { rule } }: CompiledRule, direction: Direction): boolean {
  const section = rule[direction];
  return section !== undefined && (rule.tier === 'network' || section.length > 0);
}

/** With named ports as numbers, and what the rules require of every peer that they allow. */
export function grantsOf(
  rules: readonly CompiledRule[],
  direction: Direction,
  ports: string,
): Grant[] {
  const required = new Map<string, Selector>();
  for (const { row, items } of rules) {
    if (!mayRequire(row)) continue;
    for (const { resolved } of items[direction]) {
      // In a deny entry they would only make the denial narrower: those stay as wide as they are.
      if (resolved.item.action !== 'allow') continue;
      for (const selector of resolved.item.requires) required.set(selector.key, selector);
    }
  }
  const grants: Grant[] = [];
  for (const { row, items } of rules) {
    for (const { grant, resolved } of items[direction]) {
      const codes = resolved.named.length === 0 ? grant.codes : withNamed(resolved, ports);
      if (codes.length === 0) continue;
      const narrowed = required.size > 0 && mayRequire(row) && grant.action === 'allow';
      const peers = narrowed ? narrow(grant.peers, [...required.values()]) : grant.peers;
      grants.push(
        codes === grant.codes && peers === grant.peers ? grant : { ...grant, codes, peers },
      );
    }
  }
  return grants;
}

function mayRequire({ kind }: PolicyRuleRow): boolean {
  return kind === 'CiliumNetworkPolicy' || kind === 'CiliumClusterwideNetworkPolicy';
}

function narrow(peers: Grant['peers'], required: readonly Selector[]): Grant['peers'] {
  if (peers === 'any') return [required];
  return peers.map((term) => [...term, ...required]);
}

/** Codes with the numbers that the endpoint itself has for the names. */
function withNamed({ ports, named }: ResolvedItem, own: string): readonly number[] {
  const ranges: PortRange[] = [...(ports ?? [])];
  for (const { name, proto, port } of parsePorts(own)) {
    const isMeant = named.some((each) => each.name === name && each.proto === proto);
    if (isMeant) ranges.push({ proto, first: port, last: port });
  }
  return l4Codes(ranges);
}

/** Every use of a selector for peers, repeated as often as it is used. */
export function* usesOf({ items }: CompiledRule): IterableIterator<SelectorUse> {
  for (const direction of directions) {
    for (const { resolved } of items[direction]) {
      const { peers, item } = resolved;
      for (const term of peers === 'any' ? [] : peers) {
        const scope = term.includes(outsideSelector) ? 'outside' : 'address';
        for (const selector of term) yield { selector, scope };
      }
      for (const selector of item.requires) yield { selector, scope: 'address' };
    }
  }
}

/** Different blocks that a rule names. */
export function blocksOf(rule: CompiledRule): ReadonlySet<string> {
  const cidrs = new Set<string>();
  for (const { selector } of usesOf(rule)) {
    for (const cidr of addressTerms(selector).cidrs) cidrs.add(cidr);
  }
  return cidrs;
}
