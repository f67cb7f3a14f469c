/**
 * @module
 * A parsed rule as a row of table `policy-rules`, with the labels by which flows name its policy.
 */

import { formatLabel } from '../identity/table.ts';
import type { ParsedRule } from './parse.ts';
import type { PolicyRuleRow } from './table.ts';

const labelPrefix = 'k8s:io.cilium.k8s.policy';

export function ruleRow(parsed: ParsedRule, origin: string, revision: number): PolicyRuleRow {
  const { namespace, name, uid, ruleIndex, rule } = parsed;
  const kind = 'CiliumNetworkPolicy';
  const own = rule.labels.map((label) =>
    formatLabel(label.source === '' ? { ...label, source: 'unspec' } : label),
  );
  const labels = [
    ...own,
    `${labelPrefix}.derived-from=${kind}`,
    `${labelPrefix}.name=${name}`,
    `${labelPrefix}.namespace=${namespace}`,
    ...(uid === undefined ? [] : [`${labelPrefix}.uid=${uid}`]),
  ];
  return {
    key: `${origin}|${kind}/${namespace}/${name}#${ruleIndex}`,
    kind,
    namespace,
    name,
    ...(uid === undefined ? {} : { uid }),
    ruleIndex,
    rule,
    origin,
    labels,
    revision,
  };
}
