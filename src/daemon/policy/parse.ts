/**
 * @module
 * Text of a policy file (YAML or JSON, several documents, `List` kinds) → rules, or everything
 * that is wrong with it. Nothing in between: one bad document refuses the file.
 */

import { type Document, type ParsedNode, parseAllDocuments } from 'yaml';
import { isDnsLabel, isDnsSubdomain } from './label-text.ts';
import { parseRule } from './parse-rule.ts';
import { Problems, quote, suggest } from './problems.ts';
import type { Rule } from './rule.ts';
import {
  documentSchema,
  type Fields,
  isFields,
  kindSupported,
  kindsKnown,
  metadataSchema,
  readList,
  readObject,
  readText,
} from './schema.ts';

/** Bytes of one file. */
export const fileBytesMax = 1024 * 1024;
/** Documents of one file, entries of lists counted. */
export const documentsMax = 2000;
const depthMax = 40;
const nodesMax = 200_000;
const aliasesMax = 100;
const specsMax = 1000;
const errorsMax = 3;

export interface ParsedRule {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
  readonly ruleIndex: number;
  readonly rule: Rule;
}

export type ParseResult =
  | { readonly kind: 'parsed'; readonly rules: readonly ParsedRule[]; readonly documents: number }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

/** Never throws. `documents` is 0 for a file without any, such as one that is being written. */
export function parsePolicies(text: string, cluster = 'default'): ParseResult {
  const problems = new Problems();
  const rules: ParsedRule[] = [];
  const documents = readDocuments(text, problems);
  const seen = new Set<string>();
  for (const { value, path } of documents) {
    const found = parseDocument(value, path, cluster, problems);
    const first = found[0];
    if (first === undefined) continue;
    const full = `${first.namespace}/${first.name}`;
    if (seen.has(full)) problems.add(full, 'is in this file twice');
    seen.add(full);
    rules.push(...found);
  }
  if (problems.count > 0) return { kind: 'refused', problems: problems.texts };
  return { kind: 'parsed', rules, documents: documents.length };
}

interface Entry {
  readonly value: unknown;
  readonly path: string;
}

/** The objects of a file; lists are opened. */
function readDocuments(text: string, problems: Problems): readonly Entry[] {
  if (Buffer.byteLength(text) > fileBytesMax) {
    problems.add('file', `is larger than ${fileBytesMax} bytes`);
    return [];
  }
  const entries: Entry[] = [];
  try {
    const documents = readYaml(text);
    for (const [index, document] of documents.entries()) {
      const path = `document ${index + 1}`;
      // One mistake often makes hundreds of errors; the first ones say where it is.
      for (const { message } of [...document.errors, ...document.warnings].slice(0, errorsMax)) {
        problems.add(path, message.split('\n', 1)[0]?.replace(/:$/, '') ?? 'cannot be read');
      }
      if (document.errors.length > 0) continue;
      const value: unknown = document.toJS({ maxAliasCount: aliasesMax });
      if (value === null || value === undefined) continue;
      if (!isBounded(value)) problems.add(path, `nested deeper than ${depthMax} or too large`);
      else openList(value, path, entries, problems);
    }
  } catch (cause) {
    // Nesting that exhausts the stack, and aliases that multiply, end here.
    problems.add('file', cause instanceof RangeError ? 'nested too deeply' : String(cause));
  }
  if (entries.length > documentsMax) {
    problems.add('file', `has more than ${documentsMax} documents`);
    return [];
  }
  return entries;
}

/** Line numbers cost a third of the time, so they are counted only where there is an error. */
function readYaml(text: string): readonly Document.Parsed<ParsedNode>[] {
  const read = (prettyErrors: boolean): Document.Parsed<ParsedNode>[] => {
    const parsed = parseAllDocuments(text, { uniqueKeys: true, prettyErrors });
    return Array.isArray(parsed) ? parsed : [];
  };
  const documents = read(false);
  const clean = documents.every((each) => each.errors.length + each.warnings.length === 0);
  return clean ? documents : read(true);
}

function openList(value: unknown, path: string, entries: Entry[], problems: Problems): void {
  const kind = isFields(value) ? value['kind'] : undefined;
  if (!isFields(value) || (kind !== 'List' && kind !== `${kindSupported}List`)) {
    entries.push({ value, path });
    return;
  }
  const schema = { supported: ['apiVersion', 'kind', 'metadata', 'items'], known: [] };
  readObject(value, path, schema, problems);
  const items = readList(value['items'], `${path}: items`, documentsMax, problems) ?? [];
  items.forEach((each, index) => {
    entries.push({ value: each, path: `${path}: items[${index}]` });
  });
}

/** True unless the value is deeper or larger than any policy; aliases count as often as used. */
function isBounded(root: unknown): boolean {
  let nodes = 0;
  const visit = (value: unknown, depth: number): boolean => {
    if (++nodes > nodesMax || depth > depthMax) return false;
    if (typeof value !== 'object' || value === null) return true;
    return Object.values(value).every((each) => visit(each, depth + 1));
  };
  return visit(root, 0);
}

function parseDocument(
  value: unknown,
  path: string,
  cluster: string,
  problems: Problems,
): ParsedRule[] {
  if (!isFields(value)) {
    problems.add(path, `must be an object, is ${quote(value)}`);
    return [];
  }
  if (!isPolicy(value, path, problems)) return [];
  const identity = parseMetadata(value['metadata'], path, problems);
  const at = identity === undefined ? path : `${identity.namespace}/${identity.name}`;
  readObject(value, `${at}: `, documentSchema, problems);
  const specs = specsOf(value, at, problems);
  const scope = { namespace: identity?.namespace ?? 'default', cluster };
  return specs.flatMap((spec, ruleIndex) => {
    const rule = parseRule(spec.value, `${at}: ${spec.path}`, scope, problems);
    return rule === undefined || identity === undefined ? [] : [{ ...identity, ruleIndex, rule }];
  });
}

function isPolicy(value: Fields, path: string, problems: Problems): boolean {
  const { kind, apiVersion } = value;
  if (kind !== kindSupported) {
    const known = typeof kind === 'string' && kindsKnown.includes(kind);
    const nearest = suggest(String(kind), [kindSupported, ...kindsKnown]);
    const message = known ? `${kind} is known but not supported yet` : `unknown kind${nearest}`;
    problems.add(path, `kind ${quote(kind)}: ${message}`);
    return false;
  }
  if (apiVersion !== 'cilium.io/v2') {
    problems.add(path, `apiVersion must be "cilium.io/v2", is ${quote(apiVersion)}`);
    return false;
  }
  return true;
}

function parseMetadata(value: unknown, path: string, problems: Problems) {
  const metadata = readObject(value, `${path}: metadata`, metadataSchema, problems);
  if (metadata === undefined) return undefined;
  const name = readText(metadata['name'], `${path}: metadata.name`, problems);
  const namespace = readText(
    metadata['namespace'] ?? 'default',
    `${path}: metadata.namespace`,
    problems,
  );
  const uid =
    metadata['uid'] === undefined
      ? undefined
      : readText(metadata['uid'], `${path}: metadata.uid`, problems);
  if (name === undefined || namespace === undefined) return undefined;
  const before = problems.count;
  if (!isDnsSubdomain(name)) problems.add(`${path}: metadata.name`, `not a name: ${quote(name)}`);
  if (!isDnsLabel(namespace)) {
    problems.add(`${path}: metadata.namespace`, `not a namespace: ${quote(namespace)}`);
  }
  if (uid !== undefined && !/^[A-Za-z0-9-]{0,64}$/.test(uid)) {
    problems.add(`${path}: metadata.uid`, `not a uid: ${quote(uid)}`);
  }
  return problems.count > before ? undefined : { name, namespace, uid };
}

function specsOf(value: Fields, at: string, problems: Problems): Entry[] {
  const entries: Entry[] = [];
  if (Object.hasOwn(value, 'spec')) entries.push({ value: value['spec'], path: 'spec' });
  if (Object.hasOwn(value, 'specs')) {
    const list = readList(value['specs'], `${at}: specs`, specsMax, problems) ?? [];
    list.forEach((each, index) => {
      entries.push({ value: each, path: `specs[${index}]` });
    });
  }
  if (entries.length === 0) problems.add(at, 'has neither spec nor specs');
  return entries;
}
