/**
 * @module
 * How long the compiler takes at scale, and how much memory; run by hand:
 * `bun src/daemon/policy/compile/compiler.bench.ts`. 10,000 policies over 10,000 identities in 100
 * namespaces, 20 of them local.
 */

import { type IdentityId, reservedIdentities } from '../../identity/table.ts';
import { ruleRows } from '../documents/rule-row.ts';
import { parseDocuments } from '../parse/parse.ts';
import { type PolicyRuleRow, policySubject } from '../table.ts';
import { PolicyCompiler } from './compiler.ts';
import { resolveRule } from './resolve.ts';

const half = Array.from({ length: 50 }, (_, at) => at * 2);
const namespaces = 100;
const appsPerNamespace = 100;
const local = 20;
const policies = 10_000;
const nothing = {
  cidrGroups: () => [],
  services: () => [],
  endpoints: () => [],
  nodes: () => [],
  portNumbers: () => [],
};

const config = {
  enablePolicy: 'default',
  allowLocalhost: true,
  cidrMatchesNodes: false,
  entriesMax: 16_384,
} as const;

function rowsOf(name: string, namespace: string, spec: object, kind = 'CiliumNetworkPolicy') {
  const metadata = kind === 'CiliumClusterwideNetworkPolicy' ? { name } : { name, namespace };
  const apiVersion = kind === 'NetworkPolicy' ? 'networking.k8s.io/v1' : 'cilium.io/v2';
  const document = { apiVersion, kind, metadata, spec };
  const result = parseDocuments(JSON.stringify(document));
  if (result.kind === 'refused') throw new Error(JSON.stringify(result.problems));
  return result.policies.flatMap((policy) => ruleRows(policy, 'bench', 2));
}

const app = (index: number) => ({ matchLabels: { app: `app-${index % appsPerNamespace}` } });
const port = (number: number) => ({ ports: [{ port: String(number), protocol: 'TCP' }] });

/** Most name two apps, some a namespace, a block, or everybody. */
function policyOf(index: number): PolicyRuleRow[] {
  const namespace = `ns-${index % namespaces}`;
  const subject = Math.floor(index / namespaces);
  const peers = (() => {
    if (index % 50 === 7) return { fromEndpoints: [{}] };
    if (index % 50 === 13) return { fromCIDR: [`10.${index % 256}.0.0/16`] };
    if (index % 50 === 21) return { fromEntities: ['cluster'] };
    return { fromEndpoints: [app(subject + 1), app(subject + 2)] };
  })();
  return rowsOf(`policy-${index}`, namespace, {
    endpointSelector: app(subject),
    ingress: [{ ...peers, toPorts: [port(8000 + (index % 100))] }],
    egress: [{ toEndpoints: [app(subject + 3)] }, { toEntities: ['world'] }],
  });
}

function fill(compiler: PolicyCompiler, rows: readonly PolicyRuleRow[]): void {
  for (const { id, labels } of reservedIdentities) compiler.upsertIdentity(id, labels);
  compiler.place('0.0.0.0/0', 9 as IdentityId);
  compiler.place('::/0', 10 as IdentityId);
  for (let index = 0; index < namespaces * appsPerNamespace; index++) {
    const id = (1000 + index) as IdentityId;
    const namespace = `ns-${index % namespaces}`;
    compiler.upsertIdentity(id, [
      `k8s:app=app-${Math.floor(index / namespaces)}`,
      'k8s:io.cilium.k8s.policy.cluster=default',
      `k8s:io.kubernetes.pod.namespace=${namespace}`,
    ]);
    compiler.place(`10.128.${index >> 8}.${index & 255}/32`, id);
    if (index < local) {
      compiler.setLocal({ subject: policySubject(id, ''), identity: id, ports: '' });
    }
  }
  for (const row of rows) compiler.upsertRule(row, resolveRule(row.rule, nothing));
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

const rows = Array.from({ length: policies }, (_, index) => policyOf(index)).flat();
Bun.gc(true);
const before = process.memoryUsage().rss;
const compiler = new PolicyCompiler(config);
measure(
  '10,000 policies over 10,000 identities from nothing',
  () => {
    fill(compiler, rows);
    compiler.compile();
  },
  1,
);
Bun.gc(true);
const grown = (process.memoryUsage().rss - before) / 2 ** 20;
const sizes = `${compiler.selectors.classes.size} classes, ${compiler.selectors.groups.size} groups`;
console.log(`${grown.toFixed(0)} MB more resident, ${sizes}`);
for (const each of [1000, 1010].map((id) => policySubject(id as IdentityId, ''))) {
  console.log(`policy of ${each}: ${compiler.policy(each)?.entries.length} entries`);
}

function change(name: string, make: (round: number) => PolicyRuleRow[], rounds = 100): void {
  const made = Array.from({ length: rounds }, (_, round) => make(round));
  measure(
    name,
    (round) => {
      for (const row of made[round] ?? []) compiler.upsertRule(row, resolveRule(row.rule, nothing));
      compiler.compile();
    },
    rounds,
  );
  measure(`${name}, taken back`, () => {
    for (const row of made[0] ?? []) compiler.deleteRule(row.key);
    compiler.compile();
  });
}

change('a rule for one local app', (round) =>
  rowsOf('changed', 'ns-0', {
    endpointSelector: app(0),
    ingress: [{ fromEndpoints: [app(5)], toPorts: [port(round + 1)] }],
  }),
);
change('a rule for a whole namespace from a whole namespace', (round) =>
  rowsOf('changed', 'ns-0', {
    endpointSelector: {},
    ingress: [{ fromEndpoints: [{}], toPorts: [port(round + 1)] }],
  }),
);
change('a clusterwide rule for everybody from everybody', (round) =>
  rowsOf(
    'changed',
    '',
    {
      endpointSelector: {},
      ingress: [{ fromEntities: ['cluster'], toPorts: [port(round + 1)] }],
      egressDeny: [{ toPorts: [port(round + 1)] }],
    },
    'CiliumClusterwideNetworkPolicy',
  ),
);
change('a new selector over half of all identities', (round) =>
  rowsOf(
    'changed',
    '',
    {
      endpointSelector: {},
      ingress: [
        {
          fromEndpoints: [
            {
              matchExpressions: [
                {
                  key: 'app',
                  operator: 'In',
                  values: half.map((each) => `app-${each + (round % 2)}`),
                },
              ],
            },
          ],
        },
      ],
    },
    'CiliumClusterwideNetworkPolicy',
  ),
);
change('a block that is new', (round) =>
  rowsOf('changed', 'ns-0', {
    endpointSelector: app(0),
    egress: [{ toCIDRSet: [{ cidr: `192.0.${round}.0/24`, except: [`192.0.${round}.0/28`] }] }],
  }),
);
change(
  'every address but a block, to a whole namespace',
  (round) =>
    rowsOf(
      'changed',
      'ns-0',
      {
        podSelector: {},
        ingress: [
          {
            from: [
              { ipBlock: { cidr: '0.0.0.0/0', except: ['10.77.0.0/20', `10.128.${round}.0/24`] } },
            ],
          },
        ],
      },
      'NetworkPolicy',
    ),
  // As many as have pods in them.
  (namespaces * appsPerNamespace) >> 8,
);
measure('a new identity', (round) => {
  const id = (20_000 + round) as IdentityId;
  compiler.upsertIdentity(id, [
    `k8s:app=app-${round}`,
    'k8s:io.cilium.k8s.policy.cluster=default',
    'k8s:io.kubernetes.pod.namespace=ns-1',
  ]);
  compiler.place(`10.250.0.${round}/32`, id);
  const { peers } = compiler.compile();
  if (peers.size !== 1) throw new Error(`${peers.size} peers changed`);
});
