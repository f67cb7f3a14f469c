/**
 * @module Rows of table `endpoints` as REST's `Endpoint` and its parts.
 */
import type { EndpointRow } from './table.ts';

/** Names and values of the per-endpoint options, e.g. `PolicyAuditMode: Disabled`. */
export type EndpointOptions = Readonly<Record<string, string>>;

/** REST's EndpointHealthStatus. */
export type HealthStatus = 'OK' | 'Bootstrap' | 'Pending' | 'Warning' | 'Failure' | 'Disabled';

/** REST's EndpointHealth. */
export interface EndpointHealth {
  readonly bpf: HealthStatus;
  readonly connected: boolean;
  readonly overallHealth: HealthStatus;
  readonly policy: HealthStatus;
}

/** Health as the reconciler's status says it. */
export function endpointHealth(row: EndpointRow): EndpointHealth {
  const status = healthStatus(row);
  return { bpf: status, connected: true, overallHealth: status, policy: status };
}

function healthStatus(row: EndpointRow): HealthStatus {
  if (row.status.kind === 'error' || row.state === 'invalid') return 'Failure';
  if (row.state === 'ready') return 'OK';
  return row.state === 'restoring' ? 'Bootstrap' : 'Pending';
}

/** REST's EndpointPolicyEnabled. */
export function policyEnabled(row: EndpointRow, audit: boolean): string {
  const side = row.egressEnforced ? 'egress' : 'none';
  const enforced = row.ingressEnforced ? (row.egressEnforced ? 'both' : 'ingress') : side;
  return audit && enforced !== 'none' ? `audit-${enforced}` : enforced;
}

/** The agent's options, with those that the endpoint has of its own. */
export function optionsOf(row: EndpointRow, options: EndpointOptions): EndpointOptions {
  return row.audit ? { ...options, PolicyAuditMode: 'Enabled' } : options;
}

/** REST's EndpointStatusLog, latest first. */
export function endpointLog(row: EndpointRow): readonly object[] {
  return row.log.toReversed().map(({ code, message, state, timestamp }) => ({
    code,
    message,
    state,
    timestamp: timestamp.replace(/\.[0-9]+Z$/, 'Z'),
  }));
}

/** REST's LabelConfiguration. */
export function endpointLabels(row: EndpointRow): object {
  return { spec: {}, status: { realized: {}, 'security-relevant': row.labels } };
}

/** REST's EndpointConfigurationStatus. */
export function endpointConfiguration(options: EndpointOptions): object {
  return { realized: { 'label-configuration': {}, options } };
}

/** REST's Endpoint; `compiled` is its EndpointPolicy, if there is one. */
export function endpointModel(
  row: EndpointRow,
  agentOptions: EndpointOptions,
  compiled?: object,
): object {
  const options = optionsOf(row, agentOptions);
  const configuration = { 'label-configuration': {}, options };
  const realized = policy(row, options, compiled);
  return {
    id: row.id,
    spec: configuration,
    status: {
      controllers: [],
      'external-identifiers': identifiers(row),
      health: endpointHealth(row),
      ...(row.identity === 0 ? {} : { identity: { id: row.identity, labels: row.labels } }),
      labels: { realized: {}, 'security-relevant': row.labels },
      log: endpointLog(row).slice(0, 1),
      networking: networking(row),
      policy: { 'proxy-statistics': [], realized, spec: realized },
      realized: configuration,
      state: row.state,
    },
  };
}

function identifiers(row: EndpointRow): object {
  return {
    'cni-attachment-id': `${row.containerId}:${row.containerInterfaceName}`,
    'container-id': row.containerId,
    'k8s-namespace': row.namespace,
    'k8s-pod-name': row.podName,
    'pod-name': `${row.namespace}/${row.podName}`,
  };
}

function networking(row: EndpointRow): object {
  return {
    addressing: [
      {
        ...(row.ipv4 === undefined ? {} : { ipv4: row.ipv4, 'ipv4-pool-name': 'default' }),
        ...(row.ipv6 === undefined ? {} : { ipv6: row.ipv6, 'ipv6-pool-name': 'default' }),
      },
    ],
    'container-interface-name': row.containerInterfaceName,
    'host-mac': row.hostMac,
    'interface-index': row.ifindex,
    'interface-name': row.interfaceName,
    mac: row.mac,
  };
}

/** What the compiler made of the identity's rules, with what this endpoint has of it. */
function policy(row: EndpointRow, options: EndpointOptions, compiled: object | undefined): object {
  return {
    l4: { egress: [], ingress: [] },
    ...compiled,
    id: row.identity,
    'policy-enabled': policyEnabled(row, options['PolicyAuditMode'] === 'Enabled'),
    'policy-revision': row.policyRevision,
  };
}
