/**
 * @module Differences between compiler and oracle that random clusters once found, by name.
 */
import { expect, test } from 'bun:test';
import type { Cluster, Query } from '../oracle/documents.ts';
import { judge } from '../oracle/oracle.ts';
import { compile, compiledVerdict } from './subject.ts';

const config = {
  enablePolicy: 'default',
  allowLocalhost: true,
  cluster: 'default',
  localNode: 'node-a',
  cidrMatchesNodes: false,
} as const;

function expectAgreement(cluster: Cluster, query: Query, allowed: boolean): void {
  const verdict = compiledVerdict(compile(cluster), query);
  expect(JSON.stringify(verdict)).toBe(JSON.stringify(judge(cluster, query)));
  expect(verdict.allowed).toBe(allowed);
}

test('what a rule requires of peers counts although no pod has the port that it names', () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'pod', namespace: 'shop' },
    spec: { nodeName: 'node-c' },
    status: { podIPs: [{ ip: 'fd00:10:0:2::12' }] },
  };
  const policy = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    specs: [
      {
        endpointSelector: {},
        egress: [{ toRequires: [{}], toPorts: [{ ports: [{ port: 'absent' }] }] }],
      },
      { endpointSelector: {}, egress: [{ toPorts: [{ ports: [{ port: '80' }] }] }] },
    ],
  };
  const query: Query = {
    family: 6,
    from: 'shop/pod',
    to: '2001:db8::1',
    protocol: 'UDP',
    port: 80,
  };
  expectAgreement({ config, objects: [pod, policy] }, query, false);
});
