/**
 * @module
 * How long the compiler takes; run by hand: `bun src/daemon/policy/compiler.bench.ts`.
 */

import type { IdentityId } from '../identity/table.ts';
import { PolicyCompiler } from './compiler.ts';
import { parsePolicies } from './parse.ts';
import { ruleRow } from './rule-row.ts';
import type { PolicyRuleRow } from './table.ts';

const config = { enablePolicy: 'default', allowLocalhost: true } as const;

function rule(name: string, app: string, peer: string, port: number): PolicyRuleRow {
  const subject = app === '' ? {} : { matchLabels: { app } };
  const from = peer === '' ? {} : { matchLabels: { app: peer } };
  const spec = {
    endpointSelector: subject,
    ingress: [
      { fromEndpoints: [from], toPorts: [{ ports: [{ port: String(port), protocol: 'TCP' }] }] },
    ],
  };
  const metadata = { name, namespace: 'ns' };
  const document = { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata, spec };
  const result = parsePolicies(JSON.stringify(document));
  if (result.kind === 'refused' || result.rules[0] === undefined) throw new Error('refused');
  return ruleRow(result.rules[0], 'bench', 2);
}

function compiler(identities: number, local: number): PolicyCompiler {
  const made = new PolicyCompiler(config);
  for (let index = 0; index < identities; index++) {
    const id = (1000 + index) as IdentityId;
    made.upsertIdentity(id, [`k8s:app=a${index}`, 'k8s:io.kubernetes.pod.namespace=ns']);
    if (index < local) made.setLocal(id, true);
  }
  made.compile();
  return made;
}

function measure(name: string, step: (round: number) => void, rounds = 100): void {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    step(round);
    times.push(performance.now() - began);
  }
  const first = times[0] ?? 0;
  times.sort((a, b) => a - b);
  const at = (part: number) => (times[Math.floor(times.length * part)] ?? 0).toFixed(3);
  console.log(`${name}: first ${first.toFixed(3)} P50 ${at(0.5)} P99 ${at(0.99)} ms`);
}

const rules = Array.from({ length: 100 }, (_, port) => [
  rule('p', 'a0', 'a1', port + 1),
  rule('wide', '', '', port + 1),
]);
const changed = (round: number, wide: 0 | 1) => rules[round % 100]?.[wide] ?? rule('p', '', '', 1);

const two = compiler(2, 2);
measure('2 identities, one rule changes', (round) => {
  two.upsertRule(changed(round, 0));
  two.compile();
});
const thousand = compiler(1000, 1000);
measure('1000 local identities selected by one rule that changes', (round) => {
  thousand.upsertRule(changed(round, 1));
  thousand.compile();
});
measure('the same rule deleted and added', (round) => {
  thousand.deleteRule(changed(0, 1).key);
  thousand.compile();
  thousand.upsertRule(changed(round, 1));
  thousand.compile();
});
const many = compiler(5000, 500);
measure(
  '1000 rules at once, 500 local of 5000 identities',
  () => {
    for (let index = 0; index < 1000; index++) {
      many.upsertRule(rule(`r${index}`, `a${index % 500}`, `a${index}`, 80));
    }
    many.compile();
  },
  1,
);
measure('one of 1000 rules changes', (round) => {
  many.upsertRule(changed(round, 0));
  many.compile();
});
measure('a new identity among 1000 rules', (round) => {
  many.upsertIdentity((20000 + round) as IdentityId, [
    `k8s:app=a${round}`,
    'k8s:io.kubernetes.pod.namespace=ns',
  ]);
  many.compile();
});
measure('a rule for all 500 local identities from all 5000, 1000 rules', (round) => {
  many.upsertRule(changed(round, 1));
  many.compile();
});
