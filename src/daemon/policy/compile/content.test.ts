/**
 * Every direction that a policy enforces says why it drops what no entry is about.
 */
import { expect, test } from 'bun:test';
import { type IdentityId, identityHost, reservedIdentities } from '../../identity/table.ts';
import { ruleRows } from '../documents/rule-row.ts';
import { parseDocuments } from '../parse/parse.ts';
import { type Direction, directions } from '../rule.ts';
import { policySubject } from '../table.ts';
import { PolicyCompiler, type PolicyConfig } from './compiler.ts';
import { type References, resolveRule } from './resolve.ts';

const nothing: References = {
  cidrGroups: () => [],
  services: () => [],
  endpoints: () => [],
  nodes: () => [],
  portNumbers: () => [],
};

const node = policySubject(identityHost, '');
const pod = policySubject(1000 as IdentityId, '');

function compilerOf(enablePolicy: PolicyConfig['enablePolicy'], ...documents: object[]) {
  const compiler = new PolicyCompiler({
    enablePolicy,
    allowLocalhost: true,
    cidrMatchesNodes: false,
    entriesMax: 1000,
  });
  for (const { id, labels } of reservedIdentities) compiler.upsertIdentity(id, labels);
  compiler.upsertIdentity(1000 as IdentityId, ['k8s:app=a', 'k8s:io.kubernetes.pod.namespace=ns']);
  compiler.setLocal({ subject: node, identity: identityHost, ports: '', nodeLabels: ['k8s:n=1'] });
  compiler.setLocal({ subject: pod, identity: 1000 as IdentityId, ports: '' });
  const list = { apiVersion: 'v1', kind: 'List', items: documents };
  const parsed = parseDocuments(JSON.stringify(list));
  if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.problems));
  for (const row of parsed.policies.flatMap((policy) => ruleRows(policy, 'test', 2))) {
    compiler.upsertRule(row, resolveRule(row.rule, nothing));
  }
  compiler.compile();
  return compiler;
}

const telnet = { toPorts: [{ ports: [{ port: '23', protocol: 'TCP' }] }] };
const enableDefaultDeny = { ingress: false, egress: false };
const clusterwide = (name: string, spec: object) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumClusterwideNetworkPolicy',
  metadata: { name },
  spec,
});
const deniesOnly = clusterwide('no-telnet', {
  nodeSelector: {},
  enableDefaultDeny,
  ingressDeny: [telnet],
  egressDeny: [telnet],
});

/** The names and labels behind the cookie of what no entry is about. */
function reasons(compiler: PolicyCompiler, direction: Direction): string[] {
  const cookie = compiler.policy(node)?.denyCookie[direction] ?? 0;
  return (compiler.cookies.row(cookie)?.policies ?? []).map(
    ({ name, labels }) => name || labels.join(),
  );
}

test('without a default deny, that it cannot be read, and who may deny it', () => {
  const allowsOnly = clusterwide('ssh', { nodeSelector: {}, enableDefaultDeny, ingress: [{}] });
  const compiler = compilerOf('default', deniesOnly, allowsOnly);
  const unread = 'reserved:io.cilium.policy.derived-from=unreadable-packet';
  for (const direction of directions) {
    expect(reasons(compiler, direction)).toEqual(['no-telnet', unread]);
  }
  expect(reasons(compilerOf('default', allowsOnly), 'ingress')).toEqual([unread]);
});

test('with a default deny, only its causes', () => {
  const closed = clusterwide('closed', { nodeSelector: {}, ingress: [telnet] });
  const compiler = compilerOf('default', deniesOnly, closed);
  expect(reasons(compiler, 'ingress')).toEqual(['closed']);
});

test('an enforced direction has a cookie that is known, another has none', () => {
  const passes = {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: 'tiers' },
    spec: {
      ...{ tier: 'Admin', priority: 1 },
      subject: { namespaces: {} },
      ingress: [{ action: 'Pass', from: [{ namespaces: {} }] }],
    },
  };
  const ofPods = clusterwide('pods', { endpointSelector: {}, enableDefaultDeny, egress: [telnet] });
  for (const enablePolicy of ['default', 'always', 'never'] as const) {
    for (const documents of [[], [deniesOnly], [passes], [ofPods], [deniesOnly, passes, ofPods]]) {
      const compiler = compilerOf(enablePolicy, ...documents);
      for (const subject of [node, pod]) {
        const policy = compiler.policy(subject);
        if (policy === undefined) throw new Error('no policy');
        const { denyCookie, ingressEnforced, egressEnforced } = policy;
        for (const direction of directions) {
          const isEnforced = direction === 'ingress' ? ingressEnforced : egressEnforced;
          const row = compiler.cookies.row(denyCookie[direction]);
          expect((row?.policies.length ?? 0) > 0).toBe(isEnforced);
          expect(denyCookie[direction] !== 0).toBe(isEnforced);
        }
      }
    }
  }
});
