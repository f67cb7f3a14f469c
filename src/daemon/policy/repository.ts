/**
 * @module
 * The policy as REST shows it: pure views over the compiler's state, in upstream's models
 * (Policy, SelectorCache, EndpointPolicy). The REST server turns them into JSON.
 */

import type { IdentityId } from '../identity/table.ts';
import { classAny } from './classes.ts';
import type { CompiledPolicy, PolicyCompiler } from './compiler.ts';
import { formatLabelModel, formatRules, goEscape, type LabelModel } from './format.ts';
import { type Direction, directions, type PortRange } from './rule.ts';
import { printSelector, selectorOf } from './selector.ts';
import type { PolicyRuleRow } from './table.ts';

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
  const models = [...compiler.selectors.selectors()].map((entry) => ({
    identities: [...entry.members].sort((a, b) => a - b),
    labels: (labelsByKey.get(entry.selector.key) ?? []).map(formatLabelModel),
    selector: printSelector(entry.selector),
    users: entry.peerUses + entry.subjectUses,
  }));
  return models.sort((a, b) => (a.selector < b.selector ? -1 : 1));
}

function* selectorKeys(rule: PolicyRuleRow['rule']): IterableIterator<string> {
  yield rule.subject.key;
  for (const direction of directions) {
    for (const { peers } of rule[direction] ?? []) {
      if (peers !== 'any') for (const peer of peers) yield peer.key;
    }
  }
}

/** The policy part of an endpoint; undefined while its identity has no policy. */
export function endpointPolicyModel(
  compiler: PolicyCompiler,
  identity: IdentityId,
  revision: number,
): EndpointPolicyModel | undefined {
  const policy = compiler.policy(identity);
  if (policy === undefined) return undefined;
  const { ingressEnforced: ingress, egressEnforced: egress } = policy;
  const side = egress ? 'egress' : 'none';
  return {
    'policy-revision': revision,
    id: identity,
    build: revision,
    'policy-enabled': ingress ? (egress ? 'both' : 'ingress') : side,
    'allowed-ingress-identities': peersOf(compiler, policy, 'ingress', false),
    'denied-ingress-identities': peersOf(compiler, policy, 'ingress', true),
    'allowed-egress-identities': peersOf(compiler, policy, 'egress', false),
    'denied-egress-identities': peersOf(compiler, policy, 'egress', true),
    l4: {
      ingress: l4Model(compiler, identity, 'ingress'),
      egress: l4Model(compiler, identity, 'egress'),
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
    if (entry.classId === classAny) ids.add(0);
    else for (const id of compiler.classes.members(entry.classId)) ids.add(id);
  }
  return ids.size === 0 ? null : [...ids].sort((a, b) => a - b);
}

const protocolNames: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP' };
const wildcardText = printSelector(selectorOf({}));

interface Filter {
  readonly range: PortRange | undefined;
  readonly bySelector: Map<string, { deny: boolean; labels: (readonly string[])[] }>;
  readonly labels: (readonly string[])[];
}

/** One filter a port range, with the selectors it is open to and the rules behind each. */
function l4Model(
  compiler: PolicyCompiler,
  identity: IdentityId,
  direction: Direction,
): PolicyRuleModel[] {
  const filters = new Map<string, Filter>();
  const matched = compiler.selectors.matched(identity);
  const rows = compiler.rules().filter((row) => matched.has(row.rule.subject.key));
  for (const row of rows.sort((a, b) => (a.key < b.key ? -1 : 1))) {
    for (const { peers, ports, deny } of row.rule[direction] ?? []) {
      const texts = peers === 'any' ? [wildcardText] : peers.map(printSelector);
      if (texts.length === 0) continue;
      for (const range of ports ?? [undefined]) {
        const key = range === undefined ? '' : `${range.proto}/${range.first}-${range.last}`;
        const filter: Filter = filters.get(key) ?? { range, bySelector: new Map(), labels: [] };
        filters.set(key, filter);
        if (!filter.labels.includes(row.labels)) filter.labels.push(row.labels);
        for (const text of texts) addSelector(filter, text, deny, row.labels);
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

function addSelector(filter: Filter, text: string, deny: boolean, labels: readonly string[]): void {
  const found = filter.bySelector.get(text) ?? { deny, labels: [] };
  filter.bySelector.set(text, { deny: found.deny || deny, labels: found.labels });
  if (!found.labels.includes(labels)) found.labels.push(labels);
}

function filterText({ range, bySelector }: Filter): string {
  const single = range === undefined || range.first === range.last || range.first === 0;
  const text = {
    port: range?.first ?? 0,
    ...(single ? {} : { endPort: range.last }),
    protocol: range === undefined ? 'ANY' : (protocolNames[range.proto] ?? String(range.proto)),
    'l7-rules': [...bySelector].map(([name, { deny }]) => ({
      [name]: deny ? { IsDeny: true } : null,
    })),
  };
  return goEscape(JSON.stringify(text));
}
