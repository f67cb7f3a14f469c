/**
 * @module
 * Random rules, identities and addresses, for the property tests of this folder. Small worlds, so
 * that things collide: few labels, nested blocks, the same ports.
 */

import fc from 'fast-check';
import { type IdentityId, identityHost, reservedIdentities } from '../../identity/table.ts';
import type { NamedPort, Peer, PortMatch, Rule, RuleItem } from '../rule.ts';
import { labelSelector, requirement, selectorOf } from '../selector.ts';
import type { PolicyRuleRow } from '../table.ts';

const id = (value: number) => value as IdentityId;

/** Where an identity is, in the worlds that these rules are about. */
export interface Someone {
  readonly identity: IdentityId;
  readonly address: string;
  /** Text of its named ports; of pods. */
  readonly ports: string;
}

const podLabels = fc
  .record({
    app: fc.constantFrom('a', 'b', 'c'),
    tier: fc.constantFrom('x', 'y'),
    odd: fc.boolean(),
  })
  .map(({ app, tier, odd }) => [
    `k8s:app=${app}`,
    'k8s:io.kubernetes.pod.namespace=ns',
    ...(odd ? ['k8s:odd'] : []),
    `k8s:tier=${tier}`,
  ]);

/** Pods with their labels; reserved identities are always there. */
export const identities = fc.array(podLabels, { minLength: 1, maxLength: 6 }).map((list) => {
  const map = new Map<IdentityId, readonly string[]>();
  for (const reserved of reservedIdentities) map.set(reserved.id, reserved.labels);
  list.forEach((labels, index) => {
    map.set(id(1000 + index), labels);
  });
  return map;
});

const portTexts = ['', 'web/6=80', 'web/6=8080', 'web/17=80,web/6=8080'];

/** Two pods of each identity, the host, and outside addresses. */
export function everybody(labels: ReadonlyMap<IdentityId, readonly string[]>): Someone[] {
  const pods = [...labels.keys()].filter((each) => each >= 1000);
  return [
    ...pods.flatMap((identity, index) => [
      { identity, address: `10.0.${index}.1`, ports: portTexts[index % 4] ?? '' },
      { identity, address: `fd00::${index + 1}:1`, ports: portTexts[index % 4] ?? '' },
      { identity, address: `10.0.${index}.200`, ports: portTexts[(index + 1) % 4] ?? '' },
    ]),
    { identity: identityHost, address: '10.0.200.1', ports: '' },
    ...['10.9.9.9', '10.0.0.77', '192.0.2.1', '192.0.2.129'].map((address) => ({
      identity: id(9),
      address,
      ports: '',
    })),
    ...['fd00::77', '2001:db8::1'].map((address) => ({ identity: id(10), address, ports: '' })),
  ];
}

const selector = fc.oneof(
  fc.constantFrom('a', 'b', 'c').map((app) => selectorOf({ 'any:app': app })),
  fc.constantFrom('x', 'y').map((tier) => selectorOf({ 'k8s:tier': tier })),
  fc.constant(selectorOf({ 'k8s:io.kubernetes.pod.namespace': 'ns' })),
  fc
    .tuple(
      fc.constantFrom('In' as const, 'NotIn' as const),
      fc.subarray(['a', 'b', 'c'], { minLength: 1 }),
    )
    .map(([operator, values]) => selectorOf({}, [requirement('k8s', 'app', operator, values)])),
  fc
    .constantFrom('Exists' as const, 'DoesNotExist' as const)
    .map((operator) => selectorOf({}, [requirement('any', 'odd', operator)])),
);

const blocks = [
  ['10.0.0.0/8', ['10.0.0.0/24', '10.0.1.0/24']],
  ['10.0.0.0/24', ['10.0.0.128/25']],
  ['10.0.1.1/32', []],
  ['0.0.0.0/0', ['10.0.0.0/16', '192.0.2.0/25']],
  ['192.0.2.0/24', ['192.0.2.128/25']],
  ['::/0', ['fd00::/16']],
  ['fd00::/64', ['fd00::1:0/112']],
] as const;

const peer: fc.Arbitrary<Peer> = fc.oneof(
  fc
    .oneof(selector, fc.constantFrom('reserved:host', 'reserved:world-ipv4').map(labelSelector))
    .map((each) => ({ kind: 'labels' as const, selector: each })),
  fc
    .record({
      block: fc.constantFrom(...blocks),
      withExcept: fc.boolean(),
      scope: fc.constantFrom('outside' as const, 'address' as const),
    })
    .map(({ block: [cidr, except], withExcept, scope }) => ({
      kind: 'cidr' as const,
      cidr,
      except: withExcept ? [...except] : [],
      scope,
    })),
);

const interesting = fc.constantFrom(1, 79, 80, 81, 8080, 8085, 65535);
const range = fc
  .record({
    proto: fc.constantFrom(6, 17, 132),
    a: interesting,
    b: interesting,
    every: fc.boolean(),
  })
  .map(({ proto, a, b, every }) =>
    every
      ? { proto, first: 0, last: 65535 }
      : { proto, first: Math.min(a, b), last: Math.max(a, b) },
  );
const named: fc.Arbitrary<NamedPort> = fc.constantFrom(
  { proto: 6, name: 'web' },
  { proto: 17, name: 'web' },
);
const icmp = fc.constantFrom({ proto: 1, first: 8, last: 8 }, { proto: 58, first: 128, last: 128 });
const ports: fc.Arbitrary<PortMatch[] | undefined> = fc.option(
  fc.array(fc.oneof({ weight: 4, arbitrary: range }, named, icmp), { minLength: 1, maxLength: 3 }),
  { nil: undefined },
);

type Content = Pick<RuleItem, 'action' | 'peers' | 'ports' | 'requires'>;

const content: fc.Arbitrary<Content> = fc.record({
  action: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
  peers: fc.oneof(fc.constant('any' as const), fc.array(peer, { maxLength: 3 })),
  ports,
  requires: fc.oneof(
    { weight: 8, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(selector, { minLength: 1, maxLength: 1 }) },
  ),
});

const tieredContent: fc.Arbitrary<Content> = fc.record({
  action: fc.constantFrom('allow' as const, 'deny' as const, 'pass' as const),
  peers: fc.array(peer, { minLength: 1, maxLength: 2 }),
  ports,
  requires: fc.constant([]),
});

function items(side: 'ingress' | 'egress', list: readonly Content[]): RuleItem[] {
  return list.map((each, index) => ({
    ...each,
    path: `${side}[${index}]`,
    name: undefined,
    written: '{}',
  }));
}

const networkRule: fc.Arbitrary<Rule> = fc
  .record({
    subject: selector,
    ingress: fc.option(fc.array(content, { maxLength: 4 }), { nil: undefined }),
    egress: fc.option(fc.array(content, { maxLength: 4 }), { nil: undefined }),
    deny: fc.record({ ingress: fc.boolean(), egress: fc.boolean() }),
  })
  .map(({ subject, ingress, egress, deny }) => ({
    tier: 'network' as const,
    priority: 0,
    subjectKind: 'endpoint' as const,
    subject,
    description: undefined,
    labels: [],
    defaultDeny: {
      ingress: ingress !== undefined && deny.ingress,
      egress: egress !== undefined && deny.egress,
    },
    ingress: ingress && items('ingress', ingress),
    egress: egress && items('egress', egress),
  }));

const tieredRule: fc.Arbitrary<Rule> = fc
  .record({
    tier: fc.constantFrom('admin' as const, 'baseline' as const),
    priority: fc.constantFrom(0, 10, 1000),
    subject: selector,
    ingress: fc.option(fc.array(tieredContent, { maxLength: 3 }), { nil: undefined }),
    egress: fc.option(fc.array(tieredContent, { maxLength: 3 }), { nil: undefined }),
  })
  .map(({ ingress, egress, ...rest }) => ({
    ...rest,
    subjectKind: 'endpoint' as const,
    description: undefined,
    labels: [],
    defaultDeny: { ingress: false, egress: false },
    ingress: ingress && items('ingress', ingress),
    egress: egress && items('egress', egress),
  }));

/** Rows of table `policy-rules`, named p0, p1 …; of all tiers. */
export const rules: fc.Arbitrary<PolicyRuleRow[]> = fc
  .array(fc.oneof({ weight: 3, arbitrary: networkRule }, { weight: 1, arbitrary: tieredRule }), {
    maxLength: 6,
  })
  .map((list) =>
    list.map((rule, index): PolicyRuleRow => {
      const name = `p${index}`;
      return {
        key: name,
        kind: rule.tier === 'network' ? 'CiliumNetworkPolicy' : 'ClusterNetworkPolicy',
        namespace: 'ns',
        name,
        ruleIndex: 0,
        rule,
        origin: 'test',
        labels: [`k8s:io.cilium.k8s.policy.name=${name}`],
        revision: 2,
      };
    }),
  );
