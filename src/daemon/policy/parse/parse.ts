/**
 * @module
 * Text of a file (YAML or JSON, several documents, `List` kinds) → policies and the objects that
 * they refer to, or everything that is wrong with it. Nothing in between: one bad document refuses
 * the file.
 */

import { type DocumentLimits, type Entry, readDocuments } from '../../../k8s/document.ts';
import { FieldReader, isFields } from '../../../k8s/field.ts';
import { type Metadata, parseMetadata } from '../../../k8s/metadata.ts';
import type { ClusterObject, ClusterObjectKind } from '../../../k8s/object.ts';
import { parseObject } from '../../../k8s/parse-object.ts';
import type { Place } from '../../../k8s/place.ts';
import { type Problem, Problems, quote, suggest } from '../../../k8s/problem.ts';
import type { PolicyKind, Rule } from '../rule.ts';
import { parseClusterNetworkPolicy } from './cluster-network-policy.ts';
import { parseNetworkPolicy } from './network-policy.ts';
import { parseRule } from './rule.ts';
import { policyFields, rulesFields } from './schema.ts';

/** Bytes of one policy file. */
export const fileBytesMax = 1024 * 1024;
/** Documents of one policy file, entries of lists counted. */
export const documentsMax = 2000;
const fileLimits: DocumentLimits = { bytesMax: fileBytesMax, documentsMax, nodesMax: 200_000 };
const specsMax = 1000;

export interface ParsedPolicy {
  readonly kind: PolicyKind;
  /** Empty for cluster-scoped kinds. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
  /** `spec`, then the entries of `specs`. */
  readonly rules: readonly Rule[];
  /** Where each of these rules stands in its file. */
  readonly places: readonly Place[];
}

export type ParseResult =
  | {
      readonly kind: 'parsed';
      readonly policies: readonly ParsedPolicy[];
      readonly objects: readonly ClusterObject[];
      /** 0 for a file without any, such as one that is being written. */
      readonly documents: number;
      /** What was read as it is written and is hardly meant so. */
      readonly warnings: readonly Problem[];
    }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] };

export interface ParseOptions {
  /** The name of this cluster, which entity `cluster` means. */
  readonly cluster?: string;
  /** The file's name, for problems and warnings. */
  readonly source?: string;
  /** What kinds that have nothing to do with policy are: a problem, or a warning. */
  readonly otherKinds?: 'refuse' | 'skip';
  /** Default: those of a policy file. */
  readonly limits?: DocumentLimits;
}

interface Context {
  readonly cluster: string;
  readonly skipsOthers: boolean;
  readonly problems: Problems;
  readonly policies: ParsedPolicy[];
  readonly objects: ClusterObject[];
  readonly warnings: Problems;
  /** Kind, namespace and name of what the file has already. */
  readonly seen: Set<string>;
}

/** Never throws. */
export function parseDocuments(text: string, options: ParseOptions = {}): ParseResult {
  const problems = new Problems(options.source);
  const context: Context = {
    cluster: options.cluster ?? 'default',
    skipsOthers: options.otherKinds === 'skip',
    problems,
    policies: [],
    objects: [],
    warnings: new Problems(options.source),
    seen: new Set(),
  };
  const documents = readDocuments(text, options.limits ?? fileLimits, listKinds, problems);
  for (const entry of documents) parseDocument(entry, context);
  if (problems.count > 0) return { kind: 'refused', problems: problems.list };
  const { policies, objects, warnings } = context;
  return {
    kind: 'parsed',
    policies,
    objects,
    documents: documents.length,
    warnings: warnings.list,
  };
}

interface KindShape {
  /** The first is the one to use. */
  readonly apiVersions: readonly string[];
  readonly isNamespaced: boolean;
  /** All fields of the document if it is read strictly. */
  readonly fields?: readonly string[];
}

const kinds: Readonly<Record<PolicyKind | ClusterObjectKind, KindShape>> = {
  CiliumNetworkPolicy: { apiVersions: ['cilium.io/v2'], isNamespaced: true, fields: rulesFields },
  CiliumClusterwideNetworkPolicy: {
    apiVersions: ['cilium.io/v2'],
    isNamespaced: false,
    fields: rulesFields,
  },
  NetworkPolicy: {
    apiVersions: ['networking.k8s.io/v1'],
    isNamespaced: true,
    fields: policyFields,
  },
  ClusterNetworkPolicy: {
    apiVersions: ['policy.networking.k8s.io/v1alpha2'],
    isNamespaced: false,
    fields: policyFields,
  },
  CiliumCIDRGroup: {
    apiVersions: ['cilium.io/v2', 'cilium.io/v2alpha1'],
    isNamespaced: false,
    fields: policyFields,
  },
  Namespace: { apiVersions: ['v1'], isNamespaced: false },
  Pod: { apiVersions: ['v1'], isNamespaced: true },
  Node: { apiVersions: ['v1'], isNamespaced: false },
  Service: { apiVersions: ['v1'], isNamespaced: true },
  Endpoints: { apiVersions: ['v1'], isNamespaced: true },
  EndpointSlice: { apiVersions: ['discovery.k8s.io/v1'], isNamespaced: true },
};

type Kind = keyof typeof kinds;
const kindNames = Object.keys(kinds);
const listKinds = ['List', ...kindNames.map((each) => `${each}List`)];

/** Policies of other standards: to skip them would open what they close. */
const replacedKinds: Readonly<Record<string, string>> = {
  AdminNetworkPolicy: 'use ClusterNetworkPolicy with tier Admin',
  BaselineAdminNetworkPolicy: 'use ClusterNetworkPolicy with tier Baseline',
};

function isKind(kind: unknown): kind is Kind {
  return typeof kind === 'string' && Object.hasOwn(kinds, kind);
}

function parseDocument({ value, place, document }: Entry, context: Context): void {
  const { problems } = context;
  if (!isFields(value)) {
    problems.add(place, `must be an object, is ${quote(value)}`);
    return;
  }
  const kind = kindOf(value, { value, place, document }, context);
  if (kind === undefined) return;
  const { fields, isNamespaced } = kinds[kind];
  // The title changes with the name, so that everything after it is found by its name.
  const object =
    fields === undefined
      ? FieldReader.openLenient(value, place, problems)
      : FieldReader.open(value, place, fields, problems);
  const metadata = object === undefined ? undefined : parseMetadata(object, isNamespaced);
  if (object === undefined) return;
  const name = metadata?.name ?? '';
  if (metadata !== undefined) {
    document.title = metadata.namespace === '' ? name : `${metadata.namespace}/${name}`;
    const full = `${kind}/${metadata.namespace}/${name}`;
    if (context.seen.has(full)) problems.add(place, 'is in this file twice');
    context.seen.add(full);
  }
  const read = metadata ?? {
    namespace: isNamespaced ? 'default' : '',
    name,
    uid: undefined,
    labels: {},
  };
  parseContent(kind, object, read, context);
}

/** The kind if it is one of ours; else a problem, or a warning where others are skipped. */
function kindOf(
  value: Readonly<Record<string, unknown>>,
  { place }: Entry,
  { problems, skipsOthers, warnings }: Context,
): Kind | undefined {
  const { kind, apiVersion } = value;
  if (typeof kind === 'string' && Object.hasOwn(replacedKinds, kind)) {
    problems.add(place.field('kind'), `${kind} is not supported; ${replacedKinds[kind]}`);
    return undefined;
  }
  if (isKind(kind) && kinds[kind].apiVersions.includes(String(apiVersion))) return kind;
  const isOther = !isKind(kind) || groupOf(apiVersion) !== groupOf(kinds[kind].apiVersions[0]);
  const isLegacy = kind === 'NetworkPolicy' && groupOf(apiVersion) === 'extensions';
  const isNamed = typeof kind === 'string' && typeof apiVersion === 'string';
  if (skipsOthers && isOther && isNamed && !isLegacy) {
    const message = `kind ${quote(kind)} of ${quote(apiVersion)} has no part in policy: skipped here, refused in an agent's folder`;
    warnings.add(place, `${message}${isKind(kind) ? '' : suggest(kind, kindNames)}`);
    return undefined;
  }
  if (isKind(kind)) {
    const wanted = kinds[kind].apiVersions.map(quote).join(' or ');
    problems.add(
      place.field('apiVersion'),
      `must be ${wanted} for kind ${kind}, is ${quote(apiVersion)}`,
    );
  } else if (typeof kind === 'string') {
    problems.add(place.field('kind'), `unknown kind ${quote(kind)}${suggest(kind, kindNames)}`);
  } else problems.add(place.field('kind'), `must be a string, is ${quote(kind ?? null)}`);
  return undefined;
}

function groupOf(apiVersion: unknown): string {
  const text = String(apiVersion);
  const slash = text.indexOf('/');
  return slash < 0 ? '' : text.slice(0, slash);
}

function parseContent(kind: Kind, object: FieldReader, metadata: Metadata, context: Context): void {
  switch (kind) {
    case 'CiliumNetworkPolicy':
    case 'CiliumClusterwideNetworkPolicy':
      addPolicy(kind, metadata, parseSpecs(object, metadata.namespace, context), context);
      return;
    case 'NetworkPolicy': {
      const rule = parseNetworkPolicy(object, metadata.namespace, context.warnings);
      addPolicy(kind, metadata, placed(rule, object.at('spec')), context);
      return;
    }
    case 'ClusterNetworkPolicy': {
      const rule = parseClusterNetworkPolicy(object, context.warnings);
      addPolicy(kind, metadata, placed(rule, object.at('spec')), context);
      return;
    }
    default: {
      const parsed = parseObject(kind, object, metadata);
      if (parsed !== undefined) context.objects.push(parsed);
    }
  }
}

interface PlacedRule {
  readonly rule: Rule;
  readonly place: Place;
}

function placed(rule: Rule | undefined, place: Place): PlacedRule[] {
  return rule === undefined ? [] : [{ rule, place }];
}

function addPolicy(
  kind: PolicyKind,
  { namespace, name, uid }: Metadata,
  placedRules: readonly PlacedRule[],
  { policies }: Context,
): void {
  const rules = placedRules.map(({ rule }) => rule);
  const places = placedRules.map(({ place }) => place);
  policies.push({ kind, namespace, name, uid, rules, places });
}

function parseSpecs(object: FieldReader, namespace: string, context: Context): PlacedRule[] {
  const { problems, cluster } = context;
  const scope = { namespace, cluster };
  const parse = (value: unknown, place: Place) =>
    placed(parseRule(value, place, scope, problems), place);
  const rules = object.has('spec') ? parse(object.fields['spec'], object.at('spec')) : [];
  rules.push(...(object.each('specs', specsMax, parse)?.flat() ?? []));
  const isEmpty = Array.isArray(object.fields['specs']) && object.fields['specs'].length === 0;
  if (!object.has('spec') && (!object.has('specs') || isEmpty)) {
    problems.add(object.place, 'has neither spec nor specs');
  }
  return rules;
}
