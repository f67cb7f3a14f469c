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

/** Of an entry that denies: fields of those that allow, and what to do without. */
export const denyHints: ReadonlyMap<string, string> = new Map([
  ['toFQDNs', 'names cannot be denied; deny the blocks of their addresses with toCIDRSet'],
  ['authentication', 'what is denied is not asked who it is; leave it out'],
]);

/** Of an entry of `toPorts` beside `ports`: what only a proxy can carry out. */
export const proxyFields = ['listener', 'originatingTLS', 'rules', 'serverNames', 'terminatingTLS'];

const denyPortHint = 'a deny is of whole ports; leave it out to deny all that is sent to them';

/** The same of an entry of `toPorts` that denies. */
export const denyPortHints: ReadonlyMap<string, string> = new Map(
  proxyFields.map((name) => [name, denyPortHint]),
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
