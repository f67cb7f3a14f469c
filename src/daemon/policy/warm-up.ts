/**
 * @module
 * Runs parser and compiler over made-up policies until the engine has compiled them. The first
 * changes of a node would otherwise take some ten milliseconds longer than those after them.
 */

import { type IdentityId, reservedIdentities } from '../identity/table.ts';
import { PolicyCompiler } from './compile/compiler.ts';
import { resolveRule } from './compile/resolve.ts';
import { ruleRows } from './documents/rule-row.ts';
import { parseDocuments } from './parse/parse.ts';
import { policySubject } from './table.ts';

const pods = 128;
const podsPerBlock = 32;

const plain = `apiVersion: cilium.io/v2
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

/** Some of the pods by label, and all but a block of them by address. */
function large(step: number): string {
  const apps = Array.from({ length: pods / 2 }, (_, at) => `app-${at * 2 + (step % 2)}`);
  const block = `10.0.0.${((step * podsPerBlock) % pods).toString()}/27`;
  return `apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: warm-up-half}
spec:
  endpointSelector: {}
  ingress:
  - fromEndpoints:
    - matchExpressions:
      - {key: app, operator: In, values: [${apps.join(', ')}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: warm-up-block, namespace: default}
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock: {cidr: 0.0.0.0/0, except: [${block}]}
`;
}

const nothing = {
  cidrGroups: () => [],
  services: () => [],
  endpoints: () => [],
  nodes: () => [],
  portNumbers: () => [],
};

/** A cluster of its own; touches no table. */
export class PolicyWarmUp {
  readonly #compiler = new PolicyCompiler({
    enablePolicy: 'default',
    allowLocalhost: true,
    cidrMatchesNodes: false,
    entriesMax: 16_384,
  });
  #steps = 0;

  constructor() {
    const compiler = this.#compiler;
    for (const { id, labels } of reservedIdentities) compiler.upsertIdentity(id, labels);
    for (let at = 0; at < pods; at++) {
      const id = (1000 + at) as IdentityId;
      const labels = ['k8s:a=b', `k8s:app=app-${at}`, 'k8s:io.kubernetes.pod.namespace=default'];
      compiler.upsertIdentity(id, labels);
      compiler.place(`10.0.0.${at}/32`, id);
      if (at < 2) compiler.setLocal({ subject: policySubject(id, ''), identity: id, ports: '' });
    }
  }

  /** A few milliseconds, later less; blocking. */
  step(): void {
    const step = this.#steps++;
    const result = parseDocuments(step % 2 === 0 ? plain : large(step >> 1));
    if (result.kind === 'refused') throw new Error('a policy of the warm-up is refused');
    const rows = result.policies.flatMap((policy) => ruleRows(policy, 'warm-up', step));
    for (const row of rows) this.#compiler.upsertRule(row, resolveRule(row.rule, nothing));
    this.#compiler.compile();
    if (step % 8 < 6) return;
    for (const row of rows) this.#compiler.deleteRule(row.key);
    this.#compiler.sweep();
    this.#compiler.compile();
  }
}
