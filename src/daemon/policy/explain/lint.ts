/**
 * @module
 * What is right as it is written and hardly meant so: policies looked at together with the objects
 * that they come with. Warnings only; nothing here refuses a policy.
 */

import type { ClusterObject } from '../../../k8s/object.ts';
import { quote } from '../../../k8s/problem.ts';
import type { Label } from '../../identity/table.ts';
import { isNamed } from '../compile/resolve.ts';
import type { ParsedPolicy } from '../parse/parse.ts';
import {
  directions,
  type Peer,
  type PortMatch,
  type Requirement,
  type Rule,
  type RuleItem,
  type Selector,
} from '../rule.ts';
import {
  type LabelSet,
  labelSet,
  matcherOf,
  namespaceLabelKey,
  namespaceLabelsPrefix,
  selects,
} from '../selector.ts';
import { canOverlap, equalPriorities, unseenWords } from './equal-priorities.ts';
import { type ManifestConfig, manifestModel } from './offline-model.ts';

export interface Warning {
  /** `Kind namespace/name` of the policy. */
  readonly policy: string;
  /** Where in it; empty for all of it. */
  readonly path: string;
  readonly message: string;
}

export interface LintOptions extends ManifestConfig {
  /** Whether the label filter leaves a label in identities. */
  readonly keepsLabel: (label: Label) => boolean;
}

export function lintPolicies(
  policies: readonly ParsedPolicy[],
  objects: readonly ClusterObject[],
  options: LintOptions,
): Warning[] {
  const warnings: Warning[] = [];
  for (const policy of policies) {
    const title = `${policy.kind} ${policyTitle(policy)}`;
    for (const [index, rule] of policy.rules.entries()) {
      const spec = policy.rules.length === 1 ? 'spec' : `rule ${index}`;
      const add = (path: string, message: string) =>
        warnings.push({ policy: title, path: path === '' ? spec : `${spec}.${path}`, message });
      lintLabels(rule, options, add);
      lintReferences(rule, objects, add);
      lintReach(rule, add);
    }
  }
  warnings.push(...idleRules(policies, objects, options));
  warnings.push(...sameOrder(policies, objects, options));
  return warnings;
}

type Add = (path: string, message: string) => void;

function policyTitle({ namespace, name }: ParsedPolicy): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

function lintLabels(rule: Rule, { keepsLabel }: LintOptions, add: Add): void {
  const check = (path: string, { requirements }: Selector) => {
    for (const { source, key, operator } of requirements) {
      if (source !== 'any' && source !== 'k8s') continue;
      if (key === namespaceLabelKey || keepsLabel({ source: 'k8s', key, value: '' })) continue;
      const effect = operator === 'In' || operator === 'Exists' ? 'no pod' : 'every pod';
      const shown = key.startsWith(namespaceLabelsPrefix)
        ? `namespace label ${quote(key.slice(namespaceLabelsPrefix.length))}`
        : `label ${quote(key)}`;
      add(path, `${shown} is in no identity (the label filter drops it): matches ${effect}`);
    }
  };
  if (rule.subjectKind === 'endpoint') check('endpointSelector', rule.subject);
  for (const direction of directions) {
    for (const { path, peers, requires } of rule[direction] ?? []) {
      for (const peer of peers === 'any' ? [] : peers) {
        if (peer.kind === 'labels') check(path, peer.selector);
      }
      for (const each of requires) check(path, each);
    }
  }
}

function lintReferences(rule: Rule, objects: readonly ClusterObject[], add: Add): void {
  for (const direction of directions) {
    for (const { path, peers } of rule[direction] ?? []) {
      for (const peer of peers === 'any' ? [] : peers) {
        const missing = missingReference(peer, objects);
        if (missing !== undefined) {
          add(path, `${missing} is not among the documents: matches nobody until it is there`);
        }
      }
    }
  }
}

function missingReference(peer: Peer, objects: readonly ClusterObject[]): string | undefined {
  if (peer.kind === 'cidr-group' && peer.name !== undefined) {
    const found = objects.some((one) => one.kind === 'CiliumCIDRGroup' && one.name === peer.name);
    return found ? undefined : `CiliumCIDRGroup ${quote(peer.name)}`;
  }
  if (peer.kind === 'service' && peer.name !== undefined) {
    const found = objects.some(
      (one) =>
        one.kind === 'Service' &&
        one.name === peer.name &&
        (peer.namespace === undefined || one.namespace === peer.namespace),
    );
    return found ? undefined : `Service ${quote(`${peer.namespace ?? ''}/${peer.name}`)}`;
  }
  return undefined;
}

/** Entries that never decide: in ordered tiers after one that covers them, else under a deny. */
function lintReach(rule: Rule, add: Add): void {
  for (const direction of directions) {
    const items = rule[direction] ?? [];
    for (const [index, item] of items.entries()) {
      const before =
        rule.tier === 'network'
          ? items.filter((each) => each.action === 'deny' && item.action === 'allow')
          : items.slice(0, index);
      const cover = before.find((each) => covers(each, item));
      if (cover !== undefined) add(item.path, `is never reached: ${cover.path} covers it`);
    }
  }
}

function covers(outer: RuleItem, inner: RuleItem): boolean {
  return coversPeers(outer.peers, inner.peers) && coversPorts(outer.ports, inner.ports);
}

function coversPeers(outer: RuleItem['peers'], inner: RuleItem['peers']): boolean {
  if (outer === 'any') return true;
  if (inner === 'any' || inner.length === 0) return false;
  const texts = new Set(outer.map((each) => JSON.stringify(each)));
  const selectors = outer.flatMap((each) => (each.kind === 'labels' ? [each.selector] : []));
  return inner.every((peer) => {
    if (texts.has(JSON.stringify(peer))) return true;
    if (peer.kind !== 'labels') return false;
    const own = new Set(peer.selector.requirements.map(requirementKey));
    return selectors.some((each) => each.requirements.every((one) => own.has(requirementKey(one))));
  });
}

function requirementKey({ source, key, operator, values }: Requirement): string {
  return JSON.stringify([source, key, operator, values]);
}

function coversPorts(outer: RuleItem['ports'], inner: RuleItem['ports']): boolean {
  if (outer === undefined) return true;
  if (inner === undefined || inner.length === 0) return false;
  return inner.every((port) => outer.some((each) => coversPort(each, port)));
}

function coversPort(outer: PortMatch, inner: PortMatch): boolean {
  if (outer.proto !== inner.proto) return false;
  if (isNamed(outer)) return isNamed(inner) && inner.name === outer.name;
  if (isNamed(inner)) return outer.first === 0 && outer.last === 65535;
  return outer.first <= inner.first && inner.last <= outer.last;
}

/** Rules that select none of the pods. Of a namespace without pods in the documents nothing is known. */
function idleRules(
  policies: readonly ParsedPolicy[],
  objects: readonly ClusterObject[],
  options: LintOptions,
): Warning[] {
  const sets = podLabels(objects, options);
  return policies.flatMap((policy) =>
    policy.rules.flatMap((rule, index): Warning[] => {
      if (rule.subjectKind === 'node') return [];
      const where = namespacesOf(rule.subject);
      const known = sets.filter((labels) => selects(where, labels));
      if (known.length === 0 || known.some((labels) => selects(rule.subject, labels))) return [];
      const path = policy.rules.length === 1 ? 'spec' : `rule ${index}`;
      const message = 'selects none of the pods';
      return [{ policy: `${policy.kind} ${policyTitle(policy)}`, path, message }];
    }),
  );
}

/** What of a selector is about namespaces. */
function namespacesOf(selector: Selector): Selector {
  const requirements = selector.requirements.filter(
    ({ key }) => key === namespaceLabelKey || key.startsWith(namespaceLabelsPrefix),
  );
  return { ...selector, requirements };
}

/** Each set of labels that pods have, once. */
function podLabels(objects: readonly ClusterObject[], options: LintOptions): LabelSet[] {
  const { identities, pods } = manifestModel([], objects, options);
  const inUse = new Set(pods.map((pod) => pod.identity));
  return identities.filter(({ id }) => inUse.has(id)).map(({ labels }) => labelSet(labels));
}

/** Pairs of equal priority that are told one by one. */
const equalPairsMax = 100;

/** Where there are pods, only subjects that select the same of them count. */
function sameOrder(
  policies: readonly ParsedPolicy[],
  objects: readonly ClusterObject[],
  options: LintOptions,
): Warning[] {
  const sets = podLabels(objects, options);
  const rules = policies.flatMap((policy) =>
    policy.rules.map((rule) => ({ name: policy.name, kind: policy.kind, rule })),
  );
  const overlap = sets.length === 0 ? canOverlap : overlapWithin(sets);
  const { pairs, unseen } = equalPriorities(rules, overlap, equalPairsMax);
  const path = 'spec.priority';
  const warnings = pairs.map(({ one, other }) => ({
    policy: `${one.kind} ${one.name}`,
    path,
    message: `has the tier and priority ${one.rule.priority} of ${other.name}, and selects the same pods: the name decides which comes first`,
  }));
  if (unseen !== undefined) {
    const message = `of equal tier and priority: ${unseenWords[unseen]}`;
    warnings.push({ policy: 'ClusterNetworkPolicy', path, message });
  }
  return warnings;
}

/** Each selector is held against the labels once: pairs of selectors are many. */
function overlapWithin(sets: readonly LabelSet[]): (a: Selector, b: Selector) => boolean {
  const known = new Map<string, ReadonlySet<LabelSet>>();
  const selected = (selector: Selector) => {
    const found = known.get(selector.key) ?? new Set(sets.filter(matcherOf(selector)));
    known.set(selector.key, found);
    return found;
  };
  return (a, b) => !selected(a).isDisjointFrom(selected(b));
}
