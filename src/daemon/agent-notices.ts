/**
 * @module
 * What Hubble's clients are told of the agent (`hubble observe agent-events`): changes of tables
 * `endpoints`, `policy-rules` and `policies`, as notices to the flow worker.
 */
import type { AgentNotice } from '../hubble/protocol.ts';
import type { EndpointRow } from './endpoint/table.ts';
import { describeOverflow } from './policy/compile/overflow.ts';
import { type DesiredPolicyRow, type PolicyRuleRow, policySubject } from './policy/table.ts';
import type { AgentTables } from './tables.ts';

/** Follows the tables until disposed. What is there at the start is not news. */
export function followNotices(
  tables: AgentTables,
  policyRevision: () => number,
  tell: (notice: AgentNotice) => void,
): Disposable {
  const endpoints = tables.endpoints.reader('agent notices');
  const rules = tables.policyRules.reader('agent notices');
  const policies = tables.policies.reader('agent notices');
  policies.next();
  const told = new Map<string | number, string>();
  const known = new Map<string | number, EndpointRow>();
  for (const { key, row } of endpoints.next()) if (row !== undefined) known.set(key, row);
  rules.next();
  const subscriptions = [
    tables.endpoints.subscribe(() => {
      for (const { key, row } of endpoints.next()) tellEndpoint(tables, known, key, row, tell);
    }),
    tables.policies.subscribe(() => {
      for (const { key, row } of policies.next()) {
        const error = overflowError(row);
        if ((told.get(key) ?? '') === error) continue;
        if (error === '') told.delete(key);
        else told.set(key, error);
        for (const { id, labels } of row === undefined ? [] : endpointsOf(tables, row)) {
          tell({ type: 'endpoint-regenerated', id, labels, error });
        }
      }
    }),
    tables.policyRules.subscribe(() => {
      const changed = rules.next().flatMap(({ row }) => row ?? []);
      const gone = changed.length === 0;
      tell({
        type: gone ? 'policy-deleted' : 'policy-updated',
        labels: labelsOf(changed),
        revision: policyRevision(),
        ruleCount: changed.length,
      });
    }),
  ];
  return {
    [Symbol.dispose]() {
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
      endpoints.close();
      rules.close();
      policies.close();
    },
  };
}

/** Endpoints that have the policy. */
function endpointsOf(tables: AgentTables, { subject, identity }: DesiredPolicyRow): EndpointRow[] {
  const all = tables.endpoints.by('identity', identity);
  return all.filter((row) => policySubject(identity, row.ports) === subject);
}

/** Empty if the policy fits its map. */
function overflowError(row: DesiredPolicyRow | undefined): string {
  return row?.overflow === undefined ? '' : describeOverflow(row.overflow);
}

function tellEndpoint(
  tables: AgentTables,
  known: Map<string | number, EndpointRow>,
  key: string | number,
  row: EndpointRow | undefined,
  tell: (notice: AgentNotice) => void,
): void {
  const before = known.get(key);
  if (row === undefined) {
    known.delete(key);
    if (before !== undefined) tell(notice('endpoint-deleted', before));
    return;
  }
  known.set(key, row);
  if (before === undefined) tell(notice('endpoint-created', row));
  if (row.state === 'ready' && before?.state !== 'ready') {
    const subject = row.identity === 0 ? undefined : policySubject(row.identity, row.ports);
    const error = overflowError(subject && tables.policies.get(subject));
    tell({ type: 'endpoint-regenerated', id: row.id, labels: row.labels, error });
  } else if (row.status.kind === 'error' && before?.status.kind !== 'error') {
    tell({
      type: 'endpoint-regenerated',
      id: row.id,
      labels: row.labels,
      error: row.status.message,
    });
  }
}

function notice(type: 'endpoint-created' | 'endpoint-deleted', row: EndpointRow): AgentNotice {
  const { id, labels, podName, namespace } = row;
  return { type, id, labels, podName, namespace };
}

function labelsOf(rules: readonly PolicyRuleRow[]): string[] {
  return [...new Set(rules.flatMap((rule) => rule.labels))].sort();
}
