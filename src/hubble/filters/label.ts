/**
 * @module
 * Filters by label: Kubernetes selector syntax over `source:key=value` labels. A key
 * may name its source (`k8s:app=web`, `reserved:host`); without one any source will do.
 */
import type { Endpoint, FlowFilter } from '../../api/gen/flow/flow.ts';
import { addEach, FilterError, type Predicate } from './predicate.ts';

export function labelFilters(filter: FlowFilter): Predicate[] {
  const tests: Predicate[] = [];
  addEach(tests, filter.source_label, (text) => {
    const matches = endpointSelector(text);
    return (flow) => matches(flow.source());
  });
  addEach(tests, filter.destination_label, (text) => {
    const matches = endpointSelector(text);
    return (flow) => matches(flow.destination());
  });
  addEach(tests, filter.node_labels, (text) => {
    const matches = parseSelector(text);
    return (flow) => matches(flow.nodeLabels());
  });
  return tests;
}

/** Ends are shared between flows, so the answer for one is remembered with it. */
function endpointSelector(text: string): (end: Endpoint | undefined) => boolean {
  const matches = parseSelector(text);
  const answers = new WeakMap<Endpoint, boolean>();
  return (end) => {
    if (end === undefined) return matches([]);
    let answer = answers.get(end);
    if (answer === undefined) {
      answer = matches(end.labels);
      answers.set(end, answer);
    }
    return answer;
  };
}

interface Requirement {
  readonly source: string; // '' is any
  readonly key: string;
  readonly values: readonly string[] | undefined; // undefined: existence
  readonly negated: boolean;
}

/** Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Throws FilterError. */
export function parseSelector(text: string): (labels: readonly string[]) => boolean {
  const requirements = splitRequirements(text).map(parseRequirement);
  if (requirements.length === 0) throw new FilterError('filter by label: the selector is empty');
  return (labels) => requirements.every((one) => holds(one, labels));
}

function holds(requirement: Requirement, labels: readonly string[]): boolean {
  const found = labels.some((label) => {
    const { source, key, value } = splitLabel(label);
    if (key !== requirement.key) return false;
    if (requirement.source !== '' && source !== '' && source !== requirement.source) return false;
    return requirement.values === undefined || requirement.values.includes(value);
  });
  return found !== requirement.negated;
}

function splitLabel(label: string): { source: string; key: string; value: string } {
  const equals = label.indexOf('=');
  const name = equals < 0 ? label : label.slice(0, equals);
  return { ...splitKey(name), value: equals < 0 ? '' : label.slice(equals + 1) };
}

function splitKey(name: string): { source: string; key: string } {
  const colon = name.indexOf(':');
  if (colon < 0) return { source: '', key: name };
  const source = name.slice(0, colon);
  return { source: source === 'any' ? '' : source, key: name.slice(colon + 1) };
}

/** Commas inside parentheses belong to a set. */
function splitRequirements(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let current = '';
  for (const char of text) {
    if (char === '(') depth++;
    if (char === ')') depth--;
    if (char === ',' && depth === 0) {
      parts.push(current);
      current = '';
    } else {
      current += char;
    }
  }
  parts.push(current);
  return parts.map((part) => part.trim()).filter((part) => part !== '');
}

const keyPattern = /^[A-Za-z0-9]([-A-Za-z0-9_./:]*[A-Za-z0-9])?$/;

function parseRequirement(text: string): Requirement {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(text);
  if (set !== null) {
    const values = (set[3] ?? '').split(',').map((value) => value.trim());
    return { ...checkedKey(set[1] ?? '', text), values, negated: set[2] === 'notin' };
  }
  const compare = /^([^=!\s]+)\s*(==|=|!=)\s*([^=!\s(),]*)$/.exec(text);
  if (compare !== null) {
    return {
      ...checkedKey(compare[1] ?? '', text),
      values: [compare[3] ?? ''],
      negated: compare[2] === '!=',
    };
  }
  const absent = text.startsWith('!');
  const name = absent ? text.slice(1).trim() : text;
  return { ...checkedKey(name, text), values: undefined, negated: absent };
}

function checkedKey(name: string, text: string): { source: string; key: string } {
  if (!keyPattern.test(name)) throw new FilterError(`parse label selector ${JSON.stringify(text)}`);
  return splitKey(name);
}
