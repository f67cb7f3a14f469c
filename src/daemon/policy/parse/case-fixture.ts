/**
 * @module
 * Cases for the tests of this folder: documents of every kind, what they become, in a line for each
 * entry, and what is wrong with them.
 */

import { expect, test } from 'bun:test';
import { formatProblem, type Problem } from '../../../k8s/problem.ts';
import type { Peer, PortMatch, Rule, RuleItem } from '../rule.ts';
import { type ParsedPolicy, parseDocuments } from './parse.ts';

/** A document and the rule that it must become. */
export type AcceptedCase = readonly [name: string, document: object, lines: readonly string[]];
/** A document, or text, and the problem that it must have, path and message, and no other. */
export type RefusedCase = readonly [document: unknown, problem: string];

export function testAccepted(cases: readonly AcceptedCase[]): void {
  test.each(cases.map((each) => [...each] as const))('%s', (_name, document, expected) => {
    expect(linesOf(ruleOf(document))).toEqual([...expected]);
  });
}

/** `unsupported` is right, and more than this version can do. */
export function testRefused(cases: readonly RefusedCase[], unsupported = false): void {
  const named = cases.map(([document, expected]) => [expected, document] as const);
  test.each(named)('%s', (expected, document) => {
    expect(textsOf(document)).toEqual([expected]);
    expect(problemsOf(document)[0]?.unsupported).toBe(unsupported);
  });
}

export function policyOf(document: unknown): ParsedPolicy {
  const result = parseDocuments(JSON.stringify(document), { cluster: 'home' });
  if (result.kind === 'refused') throw new Error(result.problems.map(formatProblem).join('\n'));
  const [policy] = result.policies;
  if (policy === undefined) throw new Error('no policy');
  return policy;
}

export function ruleOf(document: unknown): Rule {
  const [rule] = policyOf(document).rules;
  if (rule === undefined) throw new Error('no rule');
  return rule;
}

export function problemsOf(document: unknown): readonly Problem[] {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  const result = parseDocuments(text);
  return result.kind === 'refused' ? result.problems : [];
}

export const textsOf = (document: unknown) =>
  problemsOf(document).map(({ path, message }) => `${path}: ${message}`);

/** A selector's requirements with short names, in the order of those. */
export function short(key: string): string {
  const text = key
    .replaceAll('io.kubernetes.pod.namespace', 'NS')
    .replaceAll('io.cilium.k8s.namespace.labels.', 'NSL.')
    .replaceAll('io.cilium.k8s.policy.cluster', 'CLUSTER')
    .replaceAll('"', '');
  return `{${text.split('&').sort().join('&')}}`;
}

const without = (except: readonly string[]) => except.map((each) => ` but ${each}`).join('');

function peerText(peer: Peer): string {
  switch (peer.kind) {
    case 'labels':
      return short(peer.selector.key);
    case 'cidr':
      return `${peer.scope} ${peer.cidr}${without(peer.except)}`;
    case 'cidr-group':
      return `group ${peer.name ?? short(peer.selector?.key ?? '?')}${without(peer.except)}`;
    case 'service':
      return `service ${peer.namespace ?? '*'}/${peer.name ?? short(peer.selector?.key ?? '?')}`;
    case 'nodes':
      return `nodes ${short(peer.selector.key)}`;
  }
}

function portText(port: PortMatch): string {
  if ('name' in port) return `${port.proto}:${port.name}`;
  return `${port.proto}:${port.first}${port.last === port.first ? '' : `-${port.last}`}`;
}

function itemText(item: RuleItem): string {
  const peers = item.peers === 'any' ? 'any' : item.peers.map(peerText).join(' | ') || 'nobody';
  const ports = item.ports === undefined ? 'all' : item.ports.map(portText).join(' ') || 'nothing';
  const requires = item.requires.map((each) => ` requires ${short(each.key)}`).join('');
  const name = item.name === undefined ? '' : ` (${item.name})`;
  return `${item.path}${name} ${item.action} ${peers} on ${ports}${requires}`;
}

/** A line for each entry. */
export const linesOf = (rule: Rule) =>
  [...(rule.ingress ?? []), ...(rule.egress ?? [])].map(itemText);

/** Documents: a policy of namespace `ns`, or of the whole cluster. */
export const cilium = (kind: string, spec: object, metadata: object) => ({
  apiVersion: 'cilium.io/v2',
  kind,
  metadata: { name: 'foo', ...metadata },
  spec,
});
export const cnp = (spec: object) =>
  cilium('CiliumNetworkPolicy', { endpointSelector: {}, ...spec }, { namespace: 'ns' });
export const ccnp = (spec: object) => cilium('CiliumClusterwideNetworkPolicy', spec, {});
export const ingress = (...items: unknown[]) => cnp({ ingress: items });
export const egress = (...items: unknown[]) => cnp({ egress: items });
export const denied = (...items: unknown[]) => cnp({ ingressDeny: items });
export const networkPolicy = (spec: object, metadata: object = { namespace: 'ns' }) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'foo', ...metadata },
  spec: { podSelector: {}, ...spec },
});
export const clusterPolicy = (spec: object) => ({
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name: 'foo' },
  spec: { tier: 'Admin', priority: 10, subject: { namespaces: {} }, ...spec },
});

/** Parts of them. */
export const labels = (matchLabels: object) => ({ matchLabels });
export const expression = (key: string, operator: string, ...values: string[]) => ({
  matchExpressions: [{ key, operator, ...(values.length === 0 ? {} : { values }) }],
});
export const ports = (...list: object[]) => ({ toPorts: [{ ports: list }] });
export const tcp80 = ports({ port: '80', protocol: 'TCP' });
/** An entry of `toPorts` for port 80 with more in it. */
export const toPorts = (fields: object) => ({
  toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], ...fields }],
});
export const repeat = (count: number, each: unknown) => Array(count).fill(each);

/** Places in them. */
export const at = 'ns/foo: spec.ingress[0]';
export const to = 'ns/foo: spec.egress[0]';
export const later = 'are not carried out yet: the whole policy is refused';
