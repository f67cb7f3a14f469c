/**
 * @module
 * The field names of CiliumNetworkPolicy, object by object: which this version carries out and
 * which it only knows. A known one is refused by name, an unknown one with the nearest name. What
 * is neither carried out nor refused does not exist: a rule is never weaker than what was asked.
 */

import { type Problems, quote, suggest } from './problems.ts';

export type Fields = Readonly<Record<string, unknown>>;

interface ObjectSchema {
  readonly supported: readonly string[];
  readonly known: readonly string[];
}

const itemCommon = ['icmps'];

export const documentSchema: ObjectSchema = {
  supported: ['apiVersion', 'kind', 'metadata', 'spec', 'specs', 'status'],
  known: [],
};

/** All of ObjectMeta: what does not concern policy is accepted and ignored. */
export const metadataSchema: ObjectSchema = {
  supported: [
    'name',
    'namespace',
    'labels',
    'uid',
    'annotations',
    'creationTimestamp',
    'deletionGracePeriodSeconds',
    'deletionTimestamp',
    'finalizers',
    'generateName',
    'generation',
    'managedFields',
    'ownerReferences',
    'resourceVersion',
    'selfLink',
  ],
  known: [],
};

export const ruleSchema: ObjectSchema = {
  supported: [
    'endpointSelector',
    'ingress',
    'egress',
    'description',
    'labels',
    'enableDefaultDeny',
  ],
  known: ['nodeSelector', 'ingressDeny', 'egressDeny'],
};

export const itemSchemas: Readonly<Record<'ingress' | 'egress', ObjectSchema>> = {
  ingress: {
    supported: ['fromEndpoints', 'fromEntities', 'toPorts'],
    known: [
      ...itemCommon,
      'authentication',
      'fromCIDR',
      'fromCIDRSet',
      'fromGroups',
      'fromNodes',
      'fromRequires',
    ],
  },
  egress: {
    supported: ['toEndpoints', 'toEntities', 'toPorts'],
    known: [
      ...itemCommon,
      'authentication',
      'toCIDR',
      'toCIDRSet',
      'toFQDNs',
      'toGroups',
      'toNodes',
      'toRequires',
      'toServices',
    ],
  },
};

export const toPortsSchema: ObjectSchema = {
  supported: ['ports'],
  known: ['listener', 'originatingTLS', 'rules', 'serverNames', 'terminatingTLS'],
};

export const portSchema: ObjectSchema = { supported: ['port', 'endPort', 'protocol'], known: [] };

export const selectorSchema: ObjectSchema = {
  supported: ['matchLabels', 'matchExpressions'],
  known: [],
};

export const expressionSchema: ObjectSchema = {
  supported: ['key', 'operator', 'values'],
  known: [],
};

export const defaultDenySchema: ObjectSchema = { supported: ['ingress', 'egress'], known: [] };

export const labelSchema: ObjectSchema = { supported: ['key', 'value', 'source'], known: [] };

/** Entities that select something in this version. */
export const entitiesSupported: readonly string[] = [
  'all',
  'world',
  'host',
  'cluster',
  'init',
  'none',
];

export const entitiesKnown: readonly string[] = [
  'health',
  'ingress',
  'kube-apiserver',
  'remote-node',
  'unmanaged',
  'world-ipv4',
  'world-ipv6',
];

export const kindSupported = 'CiliumNetworkPolicy';

export const kindsKnown: readonly string[] = [
  'CiliumCIDRGroup',
  'CiliumClusterwideNetworkPolicy',
  'NetworkPolicy',
];

/** The value as an object, with its field names checked; undefined (and a problem) if it is none. */
export function readObject(
  value: unknown,
  path: string,
  schema: ObjectSchema,
  problems: Problems,
): Fields | undefined {
  if (!isFields(value)) {
    problems.add(path, `must be an object, is ${quote(value)}`);
    return undefined;
  }
  for (const name of Object.keys(value)) {
    const field = `${path}.${name}`.replace(/^\./, '');
    if (schema.supported.includes(name)) continue;
    if (schema.known.includes(name)) problems.add(field, 'known but not supported yet');
    else {
      const nearest = suggest(name, [...schema.supported, ...schema.known]);
      problems.add(field.replace(/\p{Cc}/gu, '?'), `unknown field${nearest}`);
    }
  }
  return value;
}

/** The value as a list, or undefined (and a problem) if it is none or too long. */
export function readList(
  value: unknown,
  path: string,
  lengthMax: number,
  problems: Problems,
): readonly unknown[] | undefined {
  if (!Array.isArray(value)) {
    problems.add(path, `must be a list, is ${quote(value)}`);
    return undefined;
  }
  if (value.length > lengthMax) {
    problems.add(path, `has ${value.length} entries, at most ${lengthMax} are possible`);
    return undefined;
  }
  return value;
}

/** The value as text, or undefined (and a problem). */
export function readText(value: unknown, path: string, problems: Problems): string | undefined {
  if (typeof value === 'string') return value;
  const scalar = typeof value === 'number' || typeof value === 'boolean';
  problems.add(path, `must be a string${scalar ? `: "${value}"` : `, is ${quote(value)}`}`);
  return undefined;
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
