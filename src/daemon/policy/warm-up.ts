/**
 * @module
 * Runs parser and compiler over a made-up policy until the engine has compiled them. The first
 * policy of a node would otherwise take some ten milliseconds longer than those after it.
 */

import { type IdentityId, reservedIdentities } from '../identity/table.ts';
import { PolicyCompiler } from './compile/compiler.ts';
import { resolveRule } from './compile/resolve.ts';
import { ruleRows } from './documents/rule-row.ts';
import { parseDocuments } from './parse/parse.ts';
import { policySubject } from './table.ts';

const text = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: warm-up, namespace: default}
spec:
  endpointSelector:
    matchLabels: {a: b}
    matchExpressions:
    - {key: c, operator: NotIn, values: [d]}
  ingress:
  - fromEndpoints:
    - matchLabels:
        "k8s:a": b
    toPorts:
    - ports:
      - port: "1"
        protocol: TCP
  egress:
  - toEntities: [world]
`;

const nothing = {
  cidrGroups: () => [],
  services: () => [],
  endpoints: () => [],
  nodes: () => [],
  pods: () => [],
};

/** Touches no table. Some 250 ms for 40 runs, blocking: call it when nothing is urgent. */
export function warmUpPolicy(runs = 40): void {
  const compiler = new PolicyCompiler({
    enablePolicy: 'default',
    allowLocalhost: true,
    cidrMatchesNodes: false,
    entriesMax: 16_384,
  });
  for (const { id, labels } of reservedIdentities) compiler.upsertIdentity(id, labels);
  const pod = 1000 as IdentityId;
  compiler.upsertIdentity(pod, ['k8s:a=b', 'k8s:io.kubernetes.pod.namespace=default']);
  compiler.setLocal({ subject: policySubject(pod, ''), identity: pod, ports: '' });
  for (let run = 0; run < runs; run++) {
    const result = parseDocuments(text);
    if (result.kind === 'refused') throw new Error('the policy of the warm-up is refused');
    const rows = result.policies.flatMap((policy) => ruleRows(policy, 'warm-up', run));
    for (const row of rows) {
      compiler.upsertRule(row, resolveRule(row.rule, nothing));
      compiler.compile();
      if (run % 2 === 1) compiler.deleteRule(row.key);
    }
    compiler.compile();
  }
}
