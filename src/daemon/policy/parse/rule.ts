/**
 * @module
 * One rule of a CiliumNetworkPolicy or a CiliumClusterwideNetworkPolicy: a `spec`, or an entry of
 * `specs`.
 */

import { FieldReader } from '../../../k8s/field.ts';
import type { Place } from '../../../k8s/place.ts';
import { type Problems, quote } from '../../../k8s/problem.ts';
import type { Label } from '../../identity/table.ts';
import { type Direction, directions, type Rule, type RuleItem, type Selector } from '../rule.ts';
import { parseItem } from './item.ts';
import type { PolicyScope } from './peer.ts';
import { ruleFields, type SectionName, sectionNames } from './schema.ts';
import { parseObjectSelector, parseSubject } from './selector.ts';

const itemsMax = 1000;
const labelsMax = 100;
const systemPrefixes = ['io.cilium.k8s.policy.', 'io.cilium.policy.'];

/** Undefined (and problems) if anything in it cannot be carried out. */
export function parseRule(
  value: unknown,
  place: Place,
  scope: PolicyScope,
  problems: Problems,
): Rule | undefined {
  const reader = FieldReader.open(value, place, ruleFields, problems);
  if (reader === undefined) return undefined;
  const before = problems.count;
  const isNode = reader.has('nodeSelector');
  const subject = parseRuleSubject(reader, scope);
  const description = reader.text('description');
  const labels = parseLabels(reader);
  const section = (name: SectionName) =>
    reader.each(name, itemsMax, (each, at, index) =>
      parseItem(each, at, { section: name, index, isNode, scope }, problems),
    );
  const ingress = joined(section('ingress'), section('ingressDeny'));
  const egress = joined(section('egress'), section('egressDeny'));
  if (!sectionNames.some((name) => reader.has(name))) {
    problems.add(place, `has none of ${sectionNames.join(', ')}`);
  }
  const defaultDeny = parseDefaultDeny(reader, { ingress, egress });
  if (problems.count > before || subject === undefined) return undefined;
  return {
    tier: 'network',
    priority: 0,
    subjectKind: isNode ? 'node' : 'endpoint',
    subject,
    description,
    labels,
    defaultDeny,
    ingress,
    egress,
  };
}

function joined(
  allow: readonly RuleItem[] | undefined,
  deny: readonly RuleItem[] | undefined,
): readonly RuleItem[] | undefined {
  if (allow === undefined && deny === undefined) return undefined;
  return [...(allow ?? []), ...(deny ?? [])];
}

function parseRuleSubject(reader: FieldReader, { namespace }: PolicyScope): Selector | undefined {
  const { fields, problems, place } = reader;
  const isNode = reader.has('nodeSelector');
  if (isNode && namespace !== '') {
    reader.refuse('nodeSelector', 'is possible in a CiliumClusterwideNetworkPolicy only');
    return undefined;
  }
  if (isNode && reader.has('endpointSelector')) {
    problems.add(place, 'endpointSelector and nodeSelector cannot stand together');
    return undefined;
  }
  if (isNode) {
    const at = reader.at('nodeSelector');
    return parseObjectSelector(fields['nodeSelector'], at, 'subject-node', problems);
  }
  const all = namespace === '' ? 'every pod' : 'every pod of the namespace';
  if (!reader.require('endpointSelector', `{} means ${all}`)) return undefined;
  const at = reader.at('endpointSelector');
  return parseSubject(fields['endpointSelector'], at, namespace, problems);
}

/** By default a section that is there, be it empty, makes its direction deny by default. */
function parseDefaultDeny(
  reader: FieldReader,
  sections: Readonly<Record<Direction, readonly RuleItem[] | undefined>>,
): Record<Direction, boolean> {
  const result = { ingress: sections.ingress !== undefined, egress: sections.egress !== undefined };
  const written = reader.object('enableDefaultDeny', ['ingress', 'egress']);
  for (const direction of directions) {
    const value = written?.flag(direction);
    if (value === true && !result[direction]) {
      written?.refuse(direction, `has no effect without ${direction}; write ${direction}: [{}]`);
    } else if (value !== undefined) result[direction] = value;
  }
  return result;
}

/** A person's labels may not pass for those by which flows name the policy. */
function parseLabels(reader: FieldReader): Label[] {
  const labels = reader.each('labels', labelsMax, (each, place) => {
    const label = FieldReader.open(each, place, ['key', 'value', 'source'], reader.problems);
    if (label === undefined) return undefined;
    const key = label.require('key') ? label.text('key') : undefined;
    const value = label.text('value') ?? '';
    const source = label.text('source') ?? '';
    if (key === undefined) return undefined;
    if (key === '' || /[\p{Cc}=,:]/u.test(key))
      label.refuse('key', `not a label key: ${quote(key)}`);
    if (systemPrefixes.some((prefix) => key.startsWith(prefix))) {
      label.refuse('key', 'is set by the system only');
    }
    if (/[\p{Cc}\p{Cf}]/u.test(value)) label.refuse('value', `not a label value: ${quote(value)}`);
    if (!/^[a-z0-9-]*$/.test(source)) label.refuse('source', `not a source: ${quote(source)}`);
    if (source === 'reserved') label.refuse('source', 'is set by the system only');
    return { source, key, value };
  });
  return labels ?? [];
}
