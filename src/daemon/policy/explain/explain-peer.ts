/**
 * @module
 * Why the peers of a rule's entry are not the peer of a connection, in words, with the number of
 * conditions that fail.
 */

import { formatAddress, parseAddress } from '../../../net/address.ts';
import { prefixContains, requirePrefix } from '../../../net/prefix.ts';
import { parseLabel } from '../../identity/table.ts';
import { type PeerTerm, resolveRule } from '../compile/resolve.ts';
import type { Direction, Peer, Requirement, Rule, RuleItem, Selector } from '../rule.ts';
import { labelSet, namespaceLabelKey, namespaceLabelsPrefix, selects } from '../selector.ts';
import type { End, OfflineCluster } from './offline.ts';

/** Conditions that do not hold; none if all do. */
export interface Failure {
  readonly failed: number;
  readonly reason: string;
}

/** The nearest of an entry's peers; undefined if one of them is the end. */
export function peerFailure(
  cluster: OfflineCluster,
  rule: Rule,
  item: RuleItem,
  direction: Direction,
  end: End,
): Failure | undefined {
  if (item.peers === 'any') return undefined;
  if (item.peers.length === 0) return { failed: 2, reason: 'names nobody as a peer' };
  const labels = labelSet(cluster.peerLabels(end));
  let nearest: Failure | undefined;
  for (const peer of item.peers) {
    const one: RuleItem = { ...item, peers: [peer], ports: undefined };
    const [found] = resolveRule({ ...rule, [direction]: [one] }, cluster.references)[direction];
    const terms = found === undefined || found.peers === 'any' ? [] : found.peers;
    if (terms.some((term) => term.every((each) => selects(each, labels)))) return undefined;
    const failure = failureOf(peer, terms, end, cluster);
    if (nearest === undefined || failure.failed < nearest.failed) nearest = failure;
  }
  return nearest;
}

function failureOf(
  peer: Peer,
  terms: readonly PeerTerm[],
  end: End,
  cluster: OfflineCluster,
): Failure {
  switch (peer.kind) {
    case 'labels':
      return selectorFailure(peer.selector, end, cluster);
    case 'cidr':
      return cidrFailure(peer, end);
    case 'cidr-group': {
      const name = peer.name === undefined ? 'by labels' : JSON.stringify(peer.name);
      if (terms.length === 0) {
        return { failed: 1, reason: `CiliumCIDRGroup ${name} does not exist or has no block` };
      }
      if (end.pod !== undefined) return { failed: 2, reason: notOutside(end, `the group ${name}`) };
      return { failed: 1, reason: `${shown(end)} is in no block of CiliumCIDRGroup ${name}` };
    }
    case 'service': {
      const name = serviceText(peer);
      return terms.length === 0
        ? { failed: 1, reason: `Service ${name} does not exist or has no backends` }
        : { failed: 1, reason: `${shown(end)} is no backend of Service ${name}` };
    }
    case 'nodes':
      return { failed: 1, reason: `allows nodes by label; ${shown(end)} is none of them` };
  }
}

function serviceText({ namespace, name }: Extract<Peer, { kind: 'service' }>): string {
  if (name === undefined) return 'by labels';
  return namespace === undefined ? `${name} of any namespace` : `${namespace}/${name}`;
}

function cidrFailure(peer: Extract<Peer, { kind: 'cidr' }>, end: End): Failure {
  const address = parseAddress(end.address);
  const prefix = requirePrefix(peer.cidr);
  const isOutside = peer.scope === 'outside' && isInside(end);
  if (address === undefined || !prefixContains(prefix, address)) {
    const reason = `allows ${peer.cidr}; ${shown(end)} is not in it`;
    return { failed: isOutside ? 2 : 1, reason };
  }
  const except = peer.except.find((each) => prefixContains(requirePrefix(each), address));
  if (except !== undefined) {
    return { failed: 1, reason: `allows ${peer.cidr} except ${except}; ${shown(end)} is in that` };
  }
  return { failed: 1, reason: notOutside(end, peer.cidr) };
}

function notOutside(end: End, what: string): string {
  const who = end.pod === undefined ? 'a node' : 'a pod';
  return `${what} means addresses outside of the cluster; ${shown(end)} is ${who}`;
}

/** World identities are outside, in whichever family. */
function isInside({ identity }: End): boolean {
  return identity !== 2 && identity !== 9 && identity !== 10;
}

function shown({ name, address }: End): string {
  const parsed = parseAddress(address);
  const text = parsed === undefined ? address : formatAddress(parsed);
  return name === text || text === '' ? name : `${name} (${text})`;
}

function selectorFailure(selector: Selector, end: End, cluster: OfflineCluster): Failure {
  const labels = cluster.peerLabels(end);
  const set = labelSet(labels);
  const failing = selector.requirements.filter(
    (each) => !selects({ ...selector, requirements: [each] }, set),
  );
  const wants = failing.map(requirementText).join(', ');
  const has = failing.map((each) => ownValue(each, labels)).join(', ');
  return { failed: failing.length, reason: `allows peers with ${wants}; ${end.name} has ${has}` };
}

/** `app=frontend`, `app in (a, b)`, `not app`. */
export function requirementText({ source, key, operator, values }: Requirement): string {
  const name = labelName(source, key);
  switch (operator) {
    case 'In':
      return values.length === 1
        ? pair(name, values[0] ?? '')
        : `${name} in (${values.join(', ')})`;
    case 'NotIn':
      return `${name} not in (${values.join(', ')})`;
    case 'Exists':
      return `a label ${name}`;
    case 'DoesNotExist':
      return `no label ${name}`;
  }
}

function ownValue({ source, key }: Requirement, labels: readonly string[]): string {
  const own = labels
    .map(parseLabel)
    .find((label) => label.key === key && (source === 'any' || label.source === source));
  if (own !== undefined) return pair(labelName(own.source, own.key), own.value);
  if (source === 'reserved' || key === namespaceLabelKey) {
    const reserved = labels.map(parseLabel).find((label) => label.source === 'reserved');
    if (reserved !== undefined) return `${reserved.source}:${reserved.key}`;
  }
  return `no ${labelName(source, key)}`;
}

/** The words that people use for labels that the system gives. */
function labelName(source: string, key: string): string {
  if (key === namespaceLabelKey) return 'namespace';
  if (key.startsWith(namespaceLabelsPrefix)) {
    return `namespace label ${key.slice(namespaceLabelsPrefix.length)}`;
  }
  return source === 'any' || source === 'k8s' ? key : `${source}:${key}`;
}

function pair(name: string, value: string): string {
  return value === '' ? name : `${name}=${value}`;
}
