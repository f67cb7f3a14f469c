/**
 * @module
 * The field names of the policy kinds, object by object. A name that is not here is refused with
 * the nearest one. What is neither carried out nor refused does not exist: a rule is never weaker
 * than what was asked.
 */

import type { Direction } from '../rule.ts';

export const policyFields = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];

/** Of the Cilium kinds. */
export const rulesFields = [...policyFields, 'specs'];

export const sectionNames = ['ingress', 'ingressDeny', 'egress', 'egressDeny'] as const;

export type SectionName = (typeof sectionNames)[number];

export const ruleFields = [
  'endpointSelector',
  'nodeSelector',
  ...sectionNames,
  'description',
  'labels',
  'enableDefaultDeny',
];

/** The fields of an entry that say who is meant. One entry has at most one of them. */
export const peerFields: Readonly<Record<Direction, readonly string[]>> = {
  ingress: ['fromEndpoints', 'fromCIDR', 'fromCIDRSet', 'fromEntities', 'fromNodes', 'fromGroups'],
  egress: [
    'toEndpoints',
    'toCIDR',
    'toCIDRSet',
    'toEntities',
    'toNodes',
    'toServices',
    'toGroups',
    'toFQDNs',
  ],
};

export function itemFields(section: SectionName): readonly string[] {
  const direction: Direction = section.startsWith('ingress') ? 'ingress' : 'egress';
  const requires = direction === 'ingress' ? 'fromRequires' : 'toRequires';
  const deny = section.endsWith('Deny');
  const peers = peerFields[direction].filter((each) => !deny || each !== 'toFQDNs');
  return [...peers, requires, 'toPorts', 'icmps', ...(deny ? [] : ['authentication'])];
}

/** What to do instead of fields that other sections have. */
export function itemHints(section: SectionName): Readonly<Record<string, string>> {
  switch (section) {
    case 'ingress':
      return fromOutside;
    case 'ingressDeny':
      return { ...fromOutside, authentication: unauthenticated };
    case 'egress':
      return {};
    case 'egressDeny':
      return {
        authentication: unauthenticated,
        toFQDNs: 'is possible in egress only; a deny rule needs addresses: use toCIDR or toCIDRSet',
      };
  }
}

const fromOutside = {
  toServices: 'is possible in egress only; use fromEndpoints with the labels of its pods',
  toFQDNs: 'is possible in egress only; use fromCIDR or fromCIDRSet',
};
const unauthenticated = 'is possible in ingress and egress only; a deny rule needs none';

/** Of an entry of `toPorts` beside `ports`: what only a proxy can carry out. */
export const proxyFields = ['listener', 'originatingTLS', 'rules', 'serverNames', 'terminatingTLS'];

/** What to do instead of them in a deny rule. */
export const denyPortHints: Readonly<Record<string, string>> = Object.fromEntries(
  proxyFields.map((name) => [
    name,
    'is possible in ingress and egress only; a deny rule denies whole ports: allow there what may pass',
  ]),
);

export const portFields = ['port', 'endPort', 'protocol'];

export const selectorFields = ['matchLabels', 'matchExpressions'];

export const expressionFields = ['key', 'operator', 'values'];

export const entities = [
  'all',
  'world',
  'world-ipv4',
  'world-ipv6',
  'cluster',
  'host',
  'init',
  'ingress',
  'unmanaged',
  'remote-node',
  'health',
  'none',
  'kube-apiserver',
] as const;

export type Entity = (typeof entities)[number];
