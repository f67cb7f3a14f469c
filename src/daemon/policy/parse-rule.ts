/**
 * @module
 * One rule: a `spec`, or an entry of `specs`.
 */

import type { Label } from '../identity/table.ts';
import { type PolicyScope, parseItem } from './parse-item.ts';
import { parseSubject } from './parse-selector.ts';
import { type Problems, quote } from './problems.ts';
import { type Direction, directions, type Rule, type RuleItem } from './rule.ts';
import {
  defaultDenySchema,
  type Fields,
  labelSchema,
  readList,
  readObject,
  readText,
  ruleSchema,
} from './schema.ts';

const itemsMax = 1000;
const labelsMax = 100;
const policyLabelPrefix = 'io.cilium.k8s.policy.';

/** Undefined (and problems) if anything in it cannot be carried out. */
export function parseRule(
  value: unknown,
  path: string,
  scope: PolicyScope,
  problems: Problems,
): Rule | undefined {
  const fields = readObject(value, path, ruleSchema, problems);
  if (fields === undefined) return undefined;
  const before = problems.count;
  const subject = parseSubjectOf(fields, path, scope, problems);
  const description = Object.hasOwn(fields, 'description')
    ? readText(fields['description'], `${path}.description`, problems)
    : undefined;
  const labels = parseLabels(fields, path, problems);
  const ingress = parseSection(fields, 'ingress', path, scope, problems);
  const egress = parseSection(fields, 'egress', path, scope, problems);
  if (
    !['ingress', 'egress', 'ingressDeny', 'egressDeny'].some((name) => Object.hasOwn(fields, name))
  ) {
    problems.add(path, 'has neither ingress nor egress');
  }
  const defaultDeny = parseDefaultDeny(fields, path, { ingress, egress }, problems);
  if (problems.count > before || subject === undefined) return undefined;
  return { subject, description, labels, defaultDeny, ingress, egress };
}

function parseSubjectOf(fields: Fields, path: string, scope: PolicyScope, problems: Problems) {
  if (Object.hasOwn(fields, 'endpointSelector')) {
    const at = `${path}.endpointSelector`;
    return parseSubject(fields['endpointSelector'], at, scope.namespace, problems);
  }
  // nodeSelector in its place has been refused already, by name.
  if (!Object.hasOwn(fields, 'nodeSelector')) {
    problems.add(`${path}.endpointSelector`, 'is missing; {} means every pod of the namespace');
  }
  return undefined;
}

function parseSection(
  fields: Fields,
  direction: Direction,
  path: string,
  scope: PolicyScope,
  problems: Problems,
): RuleItem[] | undefined {
  if (!Object.hasOwn(fields, direction)) return undefined;
  const at = `${path}.${direction}`;
  const list = readList(fields[direction], at, itemsMax, problems) ?? [];
  return list.flatMap(
    (each, index) => parseItem(each, `${at}[${index}]`, index, direction, scope, problems) ?? [],
  );
}

/** By default a section that is there, be it empty, makes its direction deny by default. */
function parseDefaultDeny(
  fields: Fields,
  path: string,
  sections: Readonly<Record<Direction, readonly RuleItem[] | undefined>>,
  problems: Problems,
): Record<Direction, boolean> {
  const result = { ingress: sections.ingress !== undefined, egress: sections.egress !== undefined };
  if (!Object.hasOwn(fields, 'enableDefaultDeny')) return result;
  const at = `${path}.enableDefaultDeny`;
  const written = readObject(fields['enableDefaultDeny'], at, defaultDenySchema, problems);
  for (const direction of directions) {
    if (written === undefined || !Object.hasOwn(written, direction)) continue;
    const value = written[direction];
    if (typeof value !== 'boolean') {
      problems.add(`${at}.${direction}`, `must be true or false, is ${quote(value)}`);
    } else if (value && !result[direction]) {
      problems.add(
        `${at}.${direction}`,
        `has no effect without ${direction}; write ${direction}: [{}]`,
      );
    } else result[direction] = value;
  }
  return result;
}

/** A person's labels may not pass for those by which flows name the policy. */
function parseLabels(fields: Fields, path: string, problems: Problems): Label[] {
  if (!Object.hasOwn(fields, 'labels')) return [];
  const at = `${path}.labels`;
  const list = readList(fields['labels'], at, labelsMax, problems) ?? [];
  return list.flatMap((each, index) => {
    const label = readObject(each, `${at}[${index}]`, labelSchema, problems);
    if (label === undefined) return [];
    const text = (name: string) =>
      Object.hasOwn(label, name) ? readText(label[name], `${at}[${index}].${name}`, problems) : '';
    const key = text('key') ?? '';
    if (key === '' || /[\p{Cc}=,:]/u.test(key)) {
      problems.add(`${at}[${index}].key`, `not a label key: ${quote(key)}`);
    }
    if (key.startsWith(policyLabelPrefix) || key.startsWith('io.cilium.policy.')) {
      problems.add(`${at}[${index}].key`, 'is set by the system only');
    }
    return [{ source: text('source') ?? '', key, value: text('value') ?? '' }];
  });
}
