/**
 * @module
 * A parsed policy as rows of table `policy-rules`, with the labels by which flows name it.
 */

import { formatLabel } from '../../identity/table.ts';
import type { ParsedPolicy } from '../parse/parse.ts';
import type { PolicyRuleRow } from '../table.ts';

const labelPrefix = 'k8s:io.cilium.k8s.policy';

/** One row a rule, in the order of the document. */
export function ruleRows(policy: ParsedPolicy, origin: string, revision: number): PolicyRuleRow[] {
  const { kind, namespace, name, uid } = policy;
  return policy.rules.map((rule, ruleIndex) => {
    const own = rule.labels.map((label) =>
      formatLabel(label.source === '' ? { ...label, source: 'unspec' } : label),
    );
    const labels = [
      ...own,
      `${labelPrefix}.derived-from=${kind}`,
      `${labelPrefix}.name=${name}`,
      ...(namespace === '' ? [] : [`${labelPrefix}.namespace=${namespace}`]),
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
  });
}
