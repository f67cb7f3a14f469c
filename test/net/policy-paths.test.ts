/**
 * @module One rule means the same on every path: pods of a node among each other, the node to its pods
 * and back, the world to pods, pods to the world through translation; with the node's own policy, too.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { cilium, kubernetes, labelled, tiered } from './policy-documents.ts';
import { ports } from './policy-fixture.ts';
import { PolicyMatrix } from './policy-matrix.ts';

const server = { endpointSelector: labelled('server') };
const web = ports('TCP/80');
/** The same port of everybody, said in every kind of policy. */
const sayings: readonly (readonly [name: string, ...policies: object[]])[] = [
  [
    'CiliumNetworkPolicy',
    cilium('shop/p', { ...server, ingress: [{ toPorts: web }], egress: [{ toPorts: web }] }),
  ],
  [
    'CiliumClusterwideNetworkPolicy',
    cilium('p', { ...server, ingress: [{ toPorts: web }], egress: [{ toPorts: web }] }),
  ],
  [
    'NetworkPolicy',
    kubernetes('shop/p', {
      podSelector: labelled('server'),
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ ports: [{ port: 80 }] }],
      egress: [{ ports: [{ port: 80 }] }],
    }),
  ],
  [
    'entities',
    cilium('shop/p', {
      ...server,
      ingress: [{ fromEntities: ['cluster', 'world'], toPorts: web }],
      egress: [{ toEntities: ['cluster', 'world'], toPorts: web }],
    }),
  ],
  [
    'blocks of everything, by address',
    kubernetes('shop/p', {
      podSelector: labelled('server'),
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          from: ['0.0.0.0/0', '::/0'].map((cidr) => ({ ipBlock: { cidr } })),
          ports: [{ port: 80 }],
        },
      ],
      egress: [
        { to: ['0.0.0.0/0', '::/0'].map((cidr) => ({ ipBlock: { cidr } })), ports: [{ port: 80 }] },
      ],
    }),
  ],
  [
    'a deny of everything else',
    cilium('shop/p', {
      ...server,
      enableDefaultDeny: { ingress: false, egress: false },
      ingressDeny: [
        { fromEntities: ['all'], toPorts: ports('TCP/1-79', 'TCP/81-65535', 'UDP/0') },
        {
          fromEntities: ['all'],
          icmps: [{ fields: [{ type: 8 }, { family: 'IPv6', type: 128 }] }],
        },
      ],
      egressDeny: [
        { toEntities: ['all'], toPorts: ports('TCP/1-79', 'TCP/81-65535', 'UDP/0') },
        { toEntities: ['all'], icmps: [{ fields: [{ type: 8 }, { family: 'IPv6', type: 128 }] }] },
      ],
    }),
  ],
];

let matrix: PolicyMatrix;

describe('pods, their node and the world', () => {
  beforeAll(async () => {
    matrix = await PolicyMatrix.create({ allowLocalhost: true });
  });
  afterAll(async () => await matrix[Symbol.asyncDispose]());

  test.each(sayings)('one port, said by %s', async (name, ...policies) => {
    expect(await matrix.differences(policies)).toEqual([]);
    const passed = await matrix.passing();
    const about = [...matrix.names].filter((one) => one.includes('server'));
    // The node always reaches its pods, unless a deny speaks of it.
    const spared = name.startsWith('a deny') ? '-' : 'node>server';
    const wanted = about.filter((one) => one.includes(' tcp/80 ') || one.startsWith(spared));
    expect(about.filter((one) => passed.has(one)).sort()).toEqual(wanted.sort());
  });

  test('a pod is never judged as its node, though the world sees the node’s address', async () => {
    const policies = [
      tiered('t', 'Admin', 1, {
        egress: [{ action: 'Deny', to: [{ networks: ['203.0.113.10/32', '2001:db8:1::10/128'] }] }],
      }),
    ];
    expect(await matrix.differences(policies)).toEqual([]);
    const passed = await matrix.passing();
    expect([...passed].filter((one) => one.startsWith('server>world'))).toEqual([]);
    expect([...passed].filter((one) => one.startsWith('node>world'))).not.toEqual([]);
  });
});

describe('with the node’s own policy', () => {
  beforeAll(async () => {
    matrix = await PolicyMatrix.create({ hostFirewall: true });
  });
  afterAll(async () => await matrix[Symbol.asyncDispose]());

  const worker = { nodeSelector: { matchLabels: { role: 'worker' } } };
  test.each([
    ['ingress of a port', cilium('h', { ...worker, ingress: [{ toPorts: ports('TCP/80') }] })],
    [
      'ingress of a pod',
      cilium('h', { ...worker, ingress: [{ fromEndpoints: [labelled('client')] }] }),
    ],
    [
      'egress of a port',
      cilium('h', { ...worker, egress: [{ toEntities: ['all'], toPorts: ports('UDP/81') }] }),
    ],
    ['egress to the world', cilium('h', { ...worker, egress: [{ toEntities: ['world'] }] })],
    [
      'a deny of the world',
      cilium('h', {
        ...worker,
        enableDefaultDeny: { ingress: false },
        ingressDeny: [{ fromEntities: ['world'], toPorts: ports('TCP/80') }],
      }),
    ],
    [
      'a policy of other nodes',
      cilium('h', { nodeSelector: { matchLabels: { role: 'other' } }, ingress: [{}] }),
    ],
  ])('%s', async (_, policy) => {
    expect(await matrix.differences([policy])).toEqual([]);
  });
});
