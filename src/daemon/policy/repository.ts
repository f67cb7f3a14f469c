/**
 * @module
 * The policy as REST shows it: pure views over the compiler's state, in upstream's models
 * (Policy, SelectorCache, EndpointPolicy). The REST server turns them into JSON.
 */

import type { CompiledPolicy, PolicyCompiler } from './compile/compiler.ts';
import { classAny, groupBase, identityOf, type PeerNumber } from './compile/peer.ts';
import { formatLabelModel, formatRules, goEscape, type LabelModel } from './format.ts';
import {
  type Direction,
  directions,
  type PortMatch,
  type RuleItem,
  type Selector,
} from './rule.ts';
import { printSelector, selectorOf } from './selector.ts';
import type { PolicyRuleRow, PolicySubject } from './table.ts';

export interface PolicyModel {
  readonly revision: number;
  /** JSON text. */
  readonly policy: string;
}

export interface SelectorModel {
  readonly identities: readonly number[];
  readonly labels: readonly LabelModel[];
  readonly selector: string;
  readonly users: number;
}

export interface PolicyRuleModel {
  readonly rule: string;
  readonly 'derived-from-rules': readonly (readonly string[])[];
  readonly 'rules-by-selector': Readonly<Record<string, readonly (readonly string[])[]>>;
}

export interface EndpointPolicyModel {
  readonly 'policy-revision': number;
  readonly id: number;
  readonly build: number;
  readonly 'policy-enabled': 'none' | 'ingress' | 'egress' | 'both';
  readonly 'allowed-ingress-identities': readonly number[] | null;
  readonly 'denied-ingress-identities': readonly number[] | null;
  readonly 'allowed-egress-identities': readonly number[] | null;
  readonly 'denied-egress-identities': readonly number[] | null;
  readonly l4: Readonly<Record<Direction, readonly PolicyRuleModel[]>>;
}

/** `GET /policy`. With labels only the rules that carry all of them; undefined if none does. */
export function policyModel(
  rules: Iterable<PolicyRuleRow>,
  revision: number,
  labels: readonly string[] = [],
): PolicyModel | undefined {
  const rows = [...rules].filter((row) => labels.every((label) => row.labels.includes(label)));
  if (rows.length === 0 && labels.length > 0) return undefined;
  return { revision, policy: formatRules(rows) };
}

/** `GET /policy/selectors`: every selector in use, by its text. */
export function selectorsModel(compiler: PolicyCompiler): SelectorModel[] {
  const labelsByKey = new Map<string, readonly string[]>();
  for (const { rule, labels } of compiler.rules()) {
    for (const key of selectorKeys(rule)) if (!labelsByKey.has(key)) labelsByKey.set(key, labels);
  }
  const byKey = new Map<string, { selector: Selector; ids: Set<number>; users: number }>();
  const count = (selector: Selector, ids: Iterable<number>, users: number) => {
    const known = byKey.get(selector.key) ?? { selector, ids: new Set(), users: 0 };
    for (const id of ids) known.ids.add(id);
    byKey.set(selector.key, { ...known, users: known.users + users });
  };
  for (const { selector, uses } of compiler.selectors.selectors()) {
    count(selector, compiler.selectors.identities(selector.key), uses);
  }
  for (const { selector, members, uses } of compiler.subjects.selectors()) {
    count(selector, members, uses);
  }
  const models = [...byKey.values()].map(({ selector, ids, users }) => ({
    identities: [...ids].sort((a, b) => a - b),
    labels: (labelsByKey.get(selector.key) ?? []).map(formatLabelModel),
    selector: printSelector(selector),
    users,
  }));
  return models.sort((a, b) => (a.selector < b.selector ? -1 : 1));
}

function* selectorKeys(rule: PolicyRuleRow['rule']): IterableIterator<string> {
  yield rule.subject.key;
  for (const direction of directions) {
    for (const { peers } of rule[direction] ?? []) {
      for (const peer of peers === 'any' ? [] : peers) {
        if (peer.kind === 'labels') yield peer.selector.key;
      }
    }
  }
}

/** The policy part of an endpoint; undefined while its subject has no policy. */
export function endpointPolicyModel(
  compiler: PolicyCompiler,
  subject: PolicySubject,
  revision: number,
): EndpointPolicyModel | undefined {
  const policy = compiler.policy(subject);
  if (policy === undefined) return undefined;
  const { ingressEnforced: ingress, egressEnforced: egress } = policy;
  const side = egress ? 'egress' : 'none';
  return {
    'policy-revision': revision,
    id: policy.identity,
    build: revision,
    'policy-enabled': ingress ? (egress ? 'both' : 'ingress') : side,
    'allowed-ingress-identities': peersOf(compiler, policy, 'ingress', false),
    'denied-ingress-identities': peersOf(compiler, policy, 'ingress', true),
    'allowed-egress-identities': peersOf(compiler, policy, 'egress', false),
    'denied-egress-identities': peersOf(compiler, policy, 'egress', true),
    l4: {
      ingress: l4Model(compiler, subject, 'ingress'),
      egress: l4Model(compiler, subject, 'egress'),
    },
  };
}

/** Identities allowed (or denied) whatever the port is; 0 is everybody. As upstream, null is none. */
function peersOf(
  compiler: PolicyCompiler,
  policy: CompiledPolicy,
  direction: Direction,
  deny: boolean,
): number[] | null {
  const enforced = direction === 'ingress' ? policy.ingressEnforced : policy.egressEnforced;
  if (!enforced) return deny ? null : [0];
  const ids = new Set<number>();
  for (const entry of policy.entries) {
    if (entry.direction !== direction || entry.proto !== 0 || entry.deny !== deny) continue;
    if (entry.isDefault) continue;
    if (entry.classId === classAny) ids.add(0);
    else for (const peer of membersOf(compiler, entry.classId)) ids.add(identityOf(peer));
  }
  return ids.size === 0 ? null : [...ids].sort((a, b) => a - b);
}

function membersOf(compiler: PolicyCompiler, classId: number): ReadonlySet<PeerNumber> {
  const { classes, groups } = compiler.selectors;
  return (classId > groupBase ? groups : classes).members(classId);
}

const protocolNames: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
};
const wildcardText = printSelector(selectorOf({}));

interface Filter {
  readonly range: PortMatch | undefined;
  readonly bySelector: Map<string, { deny: boolean; labels: (readonly string[])[] }>;
  readonly labels: (readonly string[])[];
}

/** One filter a port range, with the selectors it is open to and the rules behind each. */
function l4Model(
  compiler: PolicyCompiler,
  subject: PolicySubject,
  direction: Direction,
): PolicyRuleModel[] {
  const filters = new Map<string, Filter>();
  const rows = compiler.rulesOf(subject);
  for (const row of rows.sort((a, b) => (a.key < b.key ? -1 : 1))) {
    for (const item of row.rule[direction] ?? []) {
      const texts = peerTexts(item);
      if (texts.length === 0) continue;
      for (const range of item.ports ?? [undefined]) {
        const key = JSON.stringify(range ?? null);
        const filter: Filter = filters.get(key) ?? { range, bySelector: new Map(), labels: [] };
        filters.set(key, filter);
        if (!filter.labels.includes(row.labels)) filter.labels.push(row.labels);
        for (const text of texts) addSelector(filter, text, item.action === 'deny', row.labels);
      }
    }
  }
  return [...filters.values()].map((filter) => ({
    rule: filterText(filter),
    'derived-from-rules': filter.labels,
    'rules-by-selector': Object.fromEntries(
      [...filter.bySelector].map(([text, { labels }]) => [text, labels]),
    ),
  }));
}

function peerTexts({ peers }: RuleItem): string[] {
  if (peers === 'any') return [wildcardText];
  return peers.map((peer) => {
    switch (peer.kind) {
      case 'labels':
        return printSelector(peer.selector);
      case 'cidr':
        return `cidr:${peer.cidr}${peer.except.map((each) => ` !cidr:${each}`).join('')}`;
      case 'nodes':
        return `nodes ${printSelector(peer.selector)}`;
      default:
        return `${peer.kind} ${peer.name ?? (peer.selector && printSelector(peer.selector)) ?? ''}`;
    }
  });
}

function addSelector(filter: Filter, text: string, deny: boolean, labels: readonly string[]): void {
  const found = filter.bySelector.get(text) ?? { deny, labels: [] };
  filter.bySelector.set(text, { deny: found.deny || deny, labels: found.labels });
  if (!found.labels.includes(labels)) found.labels.push(labels);
}

function filterText({ range, bySelector }: Filter): string {
  const text = {
    ...portText(range),
    protocol: range === undefined ? 'ANY' : (protocolNames[range.proto] ?? String(range.proto)),
    'l7-rules': [...bySelector].map(([name, { deny }]) => ({
      [name]: deny ? { IsDeny: true } : null,
    })),
  };
  return goEscape(JSON.stringify(text));
}

function portText(range: PortMatch | undefined): Record<string, unknown> {
  if (range === undefined) return { port: 0 };
  if ('name' in range) return { port: 0, 'port-name': range.name };
  const isSingle = range.first === range.last || range.first === 0;
  return { port: range.first, ...(isSingle ? {} : { endPort: range.last }) };
}
