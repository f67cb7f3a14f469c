import { expect, test } from 'bun:test';
import { ciliumDocument, fixtureModel, podDocument } from './manifest-fixture.ts';
import { OfflineCluster } from './offline.ts';
import { namedBlocks, sampleBlocks } from './outside-sample.ts';

const cluster = new OfflineCluster(
  fixtureModel([
    podDocument('one', '198.51.100.9'),
    {
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumCIDRGroup',
      metadata: { name: 'partners' },
      spec: { externalCIDRs: ['2001:db8:7::/48'] },
    },
    ciliumDocument('blocks', {
      endpointSelector: {},
      egress: [{ toCIDRSet: [{ cidr: '203.0.113.0/24', except: ['203.0.113.0/25'] }] }],
      ingress: [{ fromCIDRSet: [{ cidrGroupRef: 'partners' }] }, { fromCIDR: ['0.0.0.0/0'] }],
      ingressDeny: [{ fromCIDR: ['198.51.100.9/32'] }],
    }),
  ]),
);

test('blocks of rules, exceptions and groups, all but the whole family', () => {
  expect([...namedBlocks(cluster)].sort()).toEqual([
    '198.51.100.9/32',
    '2001:db8:7::/48',
    '203.0.113.0/24',
    '203.0.113.0/25',
  ]);
});

test.each([
  // One that a pod has stands for that pod.
  [['198.51.100.9/32'], []],
  [['198.51.100.8/30'], ['198.51.100.8']],
  [['203.0.113.7/32'], ['203.0.113.7']],
  [
    ['203.0.113.0/24', '203.0.113.0/25', '203.0.113.128/26'],
    ['203.0.113.1', '203.0.113.129', '203.0.113.254'],
  ],
  // Nothing is left of the widest.
  [
    ['203.0.113.0/24', '203.0.113.0/25', '203.0.113.128/25'],
    ['203.0.113.1', '203.0.113.129'],
  ],
  [['2001:db8::/32', '203.0.113.0/24'], ['203.0.113.1']],
])('addresses of %p', (blocks, addresses) => {
  expect(sampleBlocks(new Set(blocks), [4], [cluster])).toEqual(addresses);
});
