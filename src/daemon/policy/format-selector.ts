/**
 * @module
 * Selectors in upstream's printed JSON form, keys with their source.
 */

import type { Requirement, Selector } from './rule.ts';

export function formatSelector(selector: Selector): Record<string, unknown> {
  const names = Object.keys(selector.matchLabels).sort();
  const labels = Object.fromEntries(names.map((name) => [name, selector.matchLabels[name]]));
  return {
    ...(names.length === 0 ? {} : { matchLabels: labels }),
    ...(selector.matchExpressions.length === 0
      ? {}
      : { matchExpressions: selector.matchExpressions.map(formatExpression) }),
  };
}

function formatExpression({ source, key, operator, values }: Requirement): Record<string, unknown> {
  return { key: `${source}:${key}`, operator, ...(values.length === 0 ? {} : { values }) };
}
