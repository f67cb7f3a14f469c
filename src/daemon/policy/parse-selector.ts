/**
 * @module
 * LabelSelectors of a policy document. A CiliumNetworkPolicy never reaches beyond its namespace by
 * accident: subjects are always bound to it, peers unless they name a namespace label themselves.
 */

import { isLabelText } from './label-text.ts';
import { type Problems, quote, suggest } from './problems.ts';
import type { Operator, Requirement, Selector } from './rule.ts';
import {
  expressionSchema,
  type Fields,
  isFields,
  readList,
  readObject,
  readText,
  selectorSchema,
} from './schema.ts';
import { namespaceLabelKey, namespaceLabelsPrefix, requirement, selectorOf } from './selector.ts';

const expressionsMax = 100;
const valuesMax = 1000;
const labelsMax = 100;

const operators: readonly Operator[] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];
const sources = ['any', 'k8s', 'reserved', 'container', 'cni', 'unspec'];
const sourcesKnown = ['cidr', 'cidrgroup', 'fqdn', 'node', 'directory'];

interface Parts {
  readonly labels: Record<string, string>;
  readonly expressions: Requirement[];
}

/** The pods that a rule applies to: always in the namespace. */
export function parseSubject(
  value: unknown,
  path: string,
  namespace: string,
  problems: Problems,
): Selector | undefined {
  const parts = parseParts(value, path, problems);
  if (parts === undefined) return undefined;
  for (const name of [`k8s:${namespaceLabelKey}`, `any:${namespaceLabelKey}`]) {
    const written = parts.labels[name];
    if (written === undefined || written === namespace) continue;
    const message = `selects namespace ${quote(written)} from a policy in ${quote(namespace)}`;
    problems.add(`${path}.matchLabels`, message);
  }
  delete parts.labels[`any:${namespaceLabelKey}`];
  parts.labels[`k8s:${namespaceLabelKey}`] = namespace;
  return selectorOf(parts.labels, parts.expressions);
}

/** Peers: in the namespace, unless the selector says something about namespaces. */
export function parsePeer(
  value: unknown,
  path: string,
  namespace: string,
  problems: Problems,
): Selector | undefined {
  const parts = parseParts(value, path, problems);
  if (parts === undefined) return undefined;
  const names = Object.keys(parts.labels);
  for (const { source, key } of parts.expressions) names.push(`${source}:${key}`);
  if (!names.some(namesNamespace)) parts.labels[`k8s:${namespaceLabelKey}`] = namespace;
  return selectorOf(parts.labels, parts.expressions);
}

function namesNamespace(name: string): boolean {
  const colon = name.indexOf(':');
  const source = name.slice(0, colon);
  const key = name.slice(colon + 1);
  if (source !== 'k8s' && source !== 'any') return false;
  return key === namespaceLabelKey || key.startsWith(namespaceLabelsPrefix);
}

function parseParts(value: unknown, path: string, problems: Problems): Parts | undefined {
  const fields = readObject(value, path, selectorSchema, problems);
  if (fields === undefined) return undefined;
  const before = problems.count;
  const labels = parseLabels(fields, path, problems);
  const expressions = parseExpressions(fields, path, problems);
  return problems.count > before ? undefined : { labels, expressions };
}

function parseLabels(fields: Fields, path: string, problems: Problems): Record<string, string> {
  const labels: Record<string, string> = {};
  if (!Object.hasOwn(fields, 'matchLabels')) return labels;
  const at = `${path}.matchLabels`;
  const written = fields['matchLabels'];
  if (!isFields(written)) {
    problems.add(at, `must be an object, is ${quote(written)}`);
    return labels;
  }
  const entries = Object.entries(written);
  if (entries.length > labelsMax) problems.add(at, `more than ${labelsMax} labels`);
  for (const [name, each] of entries.slice(0, labelsMax)) {
    const key = parseKey(name, `${at}[${quote(name)}]`, problems);
    const text = readText(each, `${at}[${quote(name)}]`, problems);
    if (key === undefined || text === undefined) continue;
    if (!isLabelText(text, 'value'))
      problems.add(`${at}[${quote(name)}]`, `not a label value: ${quote(text)}`);
    const full = `${key.source}:${key.key}`;
    if (Object.hasOwn(labels, full)) problems.add(`${at}[${quote(name)}]`, 'the same key twice');
    labels[full] = text;
  }
  return labels;
}

function parseExpressions(fields: Fields, path: string, problems: Problems): Requirement[] {
  if (!Object.hasOwn(fields, 'matchExpressions')) return [];
  const at = `${path}.matchExpressions`;
  const list = readList(fields['matchExpressions'], at, expressionsMax, problems) ?? [];
  return list.flatMap((each, index) => parseExpression(each, `${at}[${index}]`, problems) ?? []);
}

function parseExpression(
  value: unknown,
  path: string,
  problems: Problems,
): Requirement | undefined {
  const fields = readObject(value, path, expressionSchema, problems);
  if (fields === undefined) return undefined;
  const name = readText(fields['key'], `${path}.key`, problems);
  const key = name === undefined ? undefined : parseKey(name, `${path}.key`, problems);
  const operator = operators.find((each) => each === fields['operator']);
  if (operator === undefined) {
    const written = String(fields['operator']);
    const choices = `one of ${operators.join(', ')}`;
    problems.add(`${path}.operator`, `must be ${choices}${suggest(written, operators)}`);
    return undefined;
  }
  const values = parseValues(fields, path, operator, problems);
  if (key === undefined || values === undefined) return undefined;
  return requirement(key.source, key.key, operator, values);
}

function parseValues(
  fields: Fields,
  path: string,
  operator: Operator,
  problems: Problems,
): string[] | undefined {
  const at = `${path}.values`;
  const written = Object.hasOwn(fields, 'values');
  const list = written ? readList(fields['values'], at, valuesMax, problems) : [];
  if (list === undefined) return undefined;
  const needed = operator === 'In' || operator === 'NotIn';
  if (needed !== list.length > 0) {
    problems.add(at, needed ? `${operator} needs at least one` : `${operator} takes none`);
    return undefined;
  }
  const values: string[] = [];
  for (const [index, each] of list.entries()) {
    const text = readText(each, `${at}[${index}]`, problems);
    if (text === undefined) continue;
    if (isLabelText(text, 'value')) values.push(text);
    else problems.add(`${at}[${index}]`, `not a label value: ${quote(text)}`);
  }
  return values.length === list.length ? values : undefined;
}

/** `source:key`, or a bare key of any source. */
function parseKey(
  name: string,
  path: string,
  problems: Problems,
): { source: string; key: string } | undefined {
  const colon = name.indexOf(':');
  const source = colon < 0 ? 'any' : name.slice(0, colon);
  const key = name.slice(colon + 1);
  if (sourcesKnown.includes(source)) {
    problems.add(path, `labels of source ${source} are known but not supported yet`);
  } else if (!sources.includes(source)) {
    problems.add(path, `unknown label source ${quote(source)}${suggest(source, sources)}`);
  } else if (!isLabelText(key, 'key')) {
    problems.add(path, `not a label key: ${quote(key)}`);
  } else {
    return { source, key };
  }
  return undefined;
}
