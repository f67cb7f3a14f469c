/**
 * @module
 * What is right as it is written and hardly meant so: policies looked at together with the objects
 * that they come with. Warnings only; nothing here refuses a policy.
 */

import type { ClusterObject } from '../../../k8s/object.ts';
import type { Place } from '../../../k8s/place.ts';
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
} from '../selector.ts';
import { canOverlap, equalPriorities, unseenWords } from './equal-priorities.ts';
import { type ManifestConfig, manifestModel } from './offline-model.ts';

export interface Warning {
  readonly policy: ParsedPolicy;
  readonly place: Place;
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
  const sets = podLabels(objects, options);
  for (const policy of policies) {
    for (const [index, rule] of policy.rules.entries()) {
      const spec = policy.places[index];
      if (spec === undefined) continue;
      const add = (path: string, message: string) =>
        warnings.push({ policy, place: spec.down(path), message });
      lintLabels(rule, subjectFields[policy.kind], options, add);
      lintReferences(rule, objects, add);
      lintReach(rule, add);
      lintPeers(rule, sets, options, add);
      if (isIdle(rule, sets)) add('', 'selects none of the pods');
    }
  }
  warnings.push(...sameOrder(policies, sets));
  return warnings;
}

/** The path is one within the rule; empty for all of it. */
type Add = (path: string, message: string) => void;

const subjectFields: Readonly<Record<ParsedPolicy['kind'], string>> = {
  CiliumNetworkPolicy: 'endpointSelector',
  CiliumClusterwideNetworkPolicy: 'endpointSelector',
  NetworkPolicy: 'podSelector',
  ClusterNetworkPolicy: 'subject',
};

function lintLabels(rule: Rule, subjectField: string, options: LintOptions, add: Add): void {
  const check = (path: string, selector: Selector) => {
    for (const { key, operator } of droppedLabels(selector, options)) {
      const effect = operator === 'In' || operator === 'Exists' ? 'no pod' : 'every pod';
      const shown = key.startsWith(namespaceLabelsPrefix)
        ? `namespace label ${quote(key.slice(namespaceLabelsPrefix.length))}`
        : `label ${quote(key)}`;
      add(path, `${shown} is in no identity (the label filter drops it): matches ${effect}`);
    }
  };
  if (rule.subjectKind === 'endpoint') check(subjectField, rule.subject);
  for (const direction of directions) {
    for (const { path, peers, requires } of rule[direction] ?? []) {
      for (const peer of peers === 'any' ? [] : peers) {
        if (peer.kind === 'labels') check(path, peer.selector);
      }
      for (const each of requires) check(path, each);
    }
  }
}

/** Requirements of labels that no identity has. */
function droppedLabels({ requirements }: Selector, { keepsLabel }: LintOptions): Requirement[] {
  return requirements.filter(
    ({ source, key }) =>
      (source === 'any' || source === 'k8s') &&
      key !== namespaceLabelKey &&
      !keepsLabel({ source: 'k8s', key, value: '' }),
  );
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
    if (found) return undefined;
    const { namespace, name } = peer;
    return namespace === undefined
      ? `Service ${quote(name)} of any namespace`
      : `Service ${quote(`${namespace}/${name}`)}`;
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

/** Whether a rule selects none of the pods. */
function isIdle({ subjectKind, subject }: Rule, sets: readonly LabelSet[]): boolean {
  return subjectKind === 'endpoint' && selectsNone(subject, sets);
}

/** Of a namespace without pods in the documents nothing is known. */
function selectsNone(selector: Selector, sets: readonly LabelSet[]): boolean {
  if (sets.some(matcherOf(selector.requirements))) return false;
  return sets.some(matcherOf(namespacesOf(selector).requirements));
}

/** Peers that are nobody, for ever or now. */
function lintPeers(rule: Rule, sets: readonly LabelSet[], options: LintOptions, add: Add): void {
  for (const direction of directions) {
    for (const { path, peers, written } of rule[direction] ?? []) {
      const empty = emptyPeerFields(written);
      if (peers.length === 0 && empty.length > 0) {
        add(path, `${empty.join(', ')} is empty: matches nobody`);
      }
      for (const peer of peers === 'any' ? [] : peers) {
        if (peer.kind !== 'labels' || !isAboutPods(peer.selector)) continue;
        if (droppedLabels(peer.selector, options).length > 0) continue;
        if (selectsNone(peer.selector, sets)) {
          add(path, `none of the pods is ${peer.selector.key}: matches nobody yet`);
        }
      }
    }
  }
}

function emptyPeerFields(written: string): string[] {
  const fields: Readonly<Record<string, unknown>> = JSON.parse(written);
  return Object.keys(fields).filter((name) => {
    const value = fields[name];
    return (
      /^(from|to)/.test(name) && name !== 'toPorts' && Array.isArray(value) && value.length === 0
    );
  });
}

/** Other sources of labels are of what no Pod object tells. */
function isAboutPods({ requirements }: Selector): boolean {
  return requirements.every(({ source }) => source === 'any' || source === 'k8s');
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
function sameOrder(policies: readonly ParsedPolicy[], sets: readonly LabelSet[]): Warning[] {
  const rules = policies.flatMap((policy) =>
    policy.rules.map((rule) => ({ name: policy.name, policy, rule })),
  );
  const overlap = sets.length === 0 ? canOverlap : overlapWithin(sets);
  const { pairs, unseen } = equalPriorities(rules, overlap, equalPairsMax);
  const warnings: Warning[] = [];
  const add = ({ policy }: (typeof rules)[number], message: string) => {
    const [spec] = policy.places;
    if (spec !== undefined) warnings.push({ policy, place: spec.field('priority'), message });
  };
  for (const { one, other } of pairs) {
    add(
      one,
      `has the tier and priority ${one.rule.priority} of ${other.name}, and selects the same pods: the name decides which comes first`,
    );
  }
  const last = pairs.at(-1)?.one ?? rules.find(({ rule }) => rule.tier !== 'network');
  if (unseen !== undefined && last !== undefined) {
    add(last, `of equal tier and priority: ${unseenWords[unseen]}`);
  }
  return warnings;
}

/** Each selector is held against the labels once: pairs of selectors are many. */
function overlapWithin(sets: readonly LabelSet[]): (a: Selector, b: Selector) => boolean {
  const known = new Map<string, ReadonlySet<LabelSet>>();
  const selected = (selector: Selector) => {
    const found = known.get(selector.key) ?? new Set(sets.filter(matcherOf(selector.requirements)));
    known.set(selector.key, found);
    return found;
  };
  return (a, b) => !selected(a).isDisjointFrom(selected(b));
}
