/**
 * @module Orders that overflow: far more rules than 2^16 in one tier, priorities at both ends, and what
 * stands after the 65,536th is still after it. No kernel: the compiler's own answer.
 */
import { expect, test } from 'bun:test';
import { clusterObjects } from '../../src/daemon/cluster/table.ts';
import { type IdentityId, reservedIdentities } from '../../src/daemon/identity/table.ts';
import { spanOf } from '../../src/daemon/policy/compile/address-sets.ts';
import { PolicyCompiler } from '../../src/daemon/policy/compile/compiler.ts';
import { peerNumber } from '../../src/daemon/policy/compile/peer.ts';
import { tableReferences } from '../../src/daemon/policy/compile/references.ts';
import { resolveRule } from '../../src/daemon/policy/compile/resolve.ts';
import { verdictOf } from '../../src/daemon/policy/compile/verdict.ts';
import { ruleRows } from '../../src/daemon/policy/documents/rule-row.ts';
import { type ParsedPolicy, parseDocuments } from '../../src/daemon/policy/parse/parse.ts';
import { policySubject } from '../../src/daemon/policy/table.ts';
import { requirePrefix } from '../../src/net/prefix.ts';
import { tiered } from './policy-documents.ts';

const rulesPerPolicy = 25;
const policiesCount = 2700;
const prioritiesMax = 1000;
const pod = 1000 as IdentityId;
const TCP = 6;

interface PlacedRule {
  readonly position: number;
  readonly action: 'Accept' | 'Deny' | 'Pass';
  readonly port: number;
}

/** Positions at which the number of a rule would begin anew, were it kept in so few bits. */
const wraps = [2 ** 8, 2 ** 15, 2 ** 16];
const last = rulesPerPolicy * policiesCount - 1;

/** Pairs of rules about one port of which the earlier must win; positions modulo some power are reversed. */
const placed: readonly PlacedRule[] = [
  ...wraps.flatMap((wrap, index): PlacedRule[] => [
    { position: wrap - 2, action: 'Accept', port: 9000 + index },
    { position: wrap + 1, action: 'Deny', port: 9000 + index },
    { position: wrap - 3, action: 'Deny', port: 9100 + index },
    { position: wrap + 2, action: 'Accept', port: 9100 + index },
  ]),
  { position: 0, action: 'Deny', port: 9200 },
  { position: last, action: 'Accept', port: 9200 },
  { position: 1, action: 'Accept', port: 9201 },
  { position: last - 1, action: 'Deny', port: 9201 },
  { position: 2 ** 16 + 100, action: 'Deny', port: 9202 },
  { position: 2, action: 'Pass', port: 9203 },
  { position: last - 2, action: 'Deny', port: 9203 },
];

function rule({ action, port }: Omit<PlacedRule, 'position'>): object {
  return {
    action,
    from: [{ namespaces: {} }],
    protocols: [{ tcp: { destinationPort: { number: port } } }],
  };
}

/**
 * All policies of a tier, in the order of their priorities; what is not placed is about few ports.
 * Those with the same rules are parsed once: the text would be some 14 MB.
 */
function policies(tier: 'Admin' | 'Baseline'): ParsedPolicy[] {
  const special = new Map(placed.map((one) => [one.position, one]));
  const templates = new Map<string, ParsedPolicy>();
  return Array.from({ length: policiesCount }, (_, index) => {
    const ingress = Array.from({ length: rulesPerPolicy }, (_, at) => {
      const position = index * rulesPerPolicy + at;
      return rule(special.get(position) ?? { action: 'Accept', port: 1 + (position % 7) });
    });
    const key = JSON.stringify(ingress);
    const template = templates.get(key) ?? parseOne(tiered('template', tier, 0, { ingress }));
    templates.set(key, template);
    const priority = Math.floor((index * (prioritiesMax + 1)) / policiesCount);
    // Names in the order of the numbers, for equal priorities are ordered by name.
    const name = `p-${String(index).padStart(5, '0')}`;
    return { ...template, name, rules: template.rules.map((one) => ({ ...one, priority })) };
  });
}

function parseOne(document: object): ParsedPolicy {
  const parsed = parseDocuments(JSON.stringify(document));
  const policy = parsed.kind === 'parsed' ? parsed.policies[0] : undefined;
  if (policy === undefined) throw new Error(JSON.stringify(parsed));
  return policy;
}

test.each(['Admin', 'Baseline'] as const)(
  'tier %s with more than 2^16 rules keeps their order',
  (tier) => {
    const list = policies(tier);
    expect(list.length * rulesPerPolicy).toBeGreaterThan(2 ** 16);
    expect([list[0], list.at(-1)].map((one) => one?.rules[0]?.priority)).toEqual([
      0,
      prioritiesMax,
    ]);
    const compiler = new PolicyCompiler({
      enablePolicy: 'default',
      allowLocalhost: false,
      cidrMatchesNodes: false,
      entriesMax: 65_536,
    });
    for (const { id, labels } of reservedIdentities) compiler.upsertIdentity(id, labels);
    compiler.upsertIdentity(pod, [
      'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=x',
      'k8s:io.kubernetes.pod.namespace=x',
    ]);
    const subject = policySubject(pod, '');
    compiler.setLocal({ subject, identity: pod, ports: '' });
    compiler.place('10.0.0.1/32', pod);
    const references = tableReferences(clusterObjects());
    // Backwards, so that the order does not come from the order of arrival.
    for (const policy of list.toReversed()) {
      for (const row of ruleRows(policy, 'file', 2)) {
        compiler.upsertRule(row, resolveRule(row.rule, references));
      }
    }
    compiler.compile();
    const compiled = compiler.policy(subject);
    if (compiled === undefined) throw new Error('no policy');
    const set = compiler.sets.setOf(spanOf(requirePrefix('10.0.0.1/32')), 'inside');
    const classes = compiler.selectors.classesOfPeer(peerNumber(pod, set));
    const found = new Map<number, boolean>();
    for (const { port } of placed) {
      found.set(port, verdictOf(compiled, 'ingress', classes, TCP, port).allowed);
    }
    const first = new Map<number, PlacedRule>();
    for (const one of placed) {
      const known = first.get(one.port);
      if (known === undefined || one.position < known.position) first.set(one.port, one);
    }
    // What is passed on, and what no rule is about, is open in the end.
    const expected = new Map([...first].map(([port, { action }]) => [port, action !== 'Deny']));
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
    expect(verdictOf(compiled, 'ingress', classes, TCP, 9999).allowed).toBe(true);
  },
  60_000,
);
