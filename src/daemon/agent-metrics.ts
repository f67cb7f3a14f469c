/**
 * @module
 * The agent's Prometheus metrics, read from tables and maps when somebody asks for them. Names and
 * labels are upstream's, so that dashboards work.
 */
import { dropReasonNames } from '../bpf/gen/constants.ts';
import type { FlowWorkerStatus } from '../hubble/protocol.ts';
import type { Datapath } from './datapath.ts';
import { readMetrics } from './map-reader.ts';
import { countLines } from './runtime/log.ts';
import { counter, gauge, registerProcessMetrics } from './runtime/metrics.ts';
import type { AgentTables } from './tables.ts';

export interface MetricSources {
  readonly tables: AgentTables;
  readonly datapath: Datapath;
  readonly procfs: string;
  readonly policyRevision: () => number;
  readonly policyMaps: () => number;
  readonly conntrackEntries: () => number;
  /** The flow worker's latest figures. */
  readonly hubble: () => FlowWorkerStatus | undefined | null;
}

/** Text of a drop reason as upstream's metric label has it; codes of no name keep the number. */
export function dropReasonText(reason: number): string {
  return dropTexts[reason] ?? dropReasonNames.get(reason) ?? String(reason);
}

const dropTexts: Readonly<Record<number, string>> = {
  132: 'Invalid source ip',
  133: 'Policy denied',
  134: 'Invalid packet',
  135: 'CT: Truncated or invalid header',
  137: 'CT: Unknown L4 protocol',
  139: 'Unsupported L3 protocol',
  141: 'Error writing to packet',
  150: 'Unknown L3 target address',
  151: 'Stale or unroutable IP',
  155: 'CT: Map insertion failed',
  156: 'Invalid IPv6 extension header',
  157: 'IP fragmentation not supported',
  165: 'No configuration available to perform policy decision',
  166: 'Unsupported L2 protocol',
  167: 'No mapping for NAT masquerade',
  169: 'FIB lookup failed',
  175: 'First logical datagram fragment not found',
  176: 'Forbidden ICMPv6 message',
  181: 'Policy denied by denylist',
  196: 'TTL exceeded',
  201: 'Multicast handled',
  203: 'Endpoint policy program not available',
};

/** Registers everything. Call once. */
export function registerAgentMetrics(sources: MetricSources): void {
  const { tables, datapath } = sources;
  registerProcessMetrics(sources.procfs);
  registerDatapath(datapath);
  const lines = counter('cilium_errors_warnings_total', 'errors and warnings logged', [
    'level',
    'subsystem',
  ]);
  countLines((level, subsystem) => {
    if (level === 'warn' || level === 'error')
      lines.inc({ level: level === 'warn' ? 'warning' : level, subsystem });
  });
  gauge('cilium_endpoint', 'endpoints managed by this agent', [], (self) => {
    self.set(tables.endpoints.size);
  });
  gauge('cilium_endpoint_state', 'endpoints by state', ['endpoint_state'], (self) => {
    self.reset();
    for (const row of tables.endpoints.all()) self.inc({ endpoint_state: row.state });
  });
  gauge('cilium_identity', 'identities in use', ['type'], (self) => {
    self.reset();
    for (const row of tables.identities.all()) {
      self.inc({ type: row.reserved ? 'reserved' : 'cluster_local' });
    }
  });
  gauge('cilium_policy', 'policy rules in force', [], (self) => self.set(tables.policyRules.size));
  gauge('cilium_policy_max_revision', 'highest policy revision', [], (self) =>
    self.set(sources.policyRevision()),
  );
  gauge('cilium_policy_maps', 'maps of policy entries in the kernel', [], (self) =>
    self.set(sources.policyMaps()),
  );
  gauge('cilium_policy_overflow', 'policies that do not fit their map: all is denied', [], (self) =>
    self.set([...tables.policies.all()].filter((row) => row.overflow !== undefined).length),
  );
  gauge(
    'cilium_policy_endpoint_enforcement_status',
    'endpoints by enforcement',
    ['enforcement'],
    (self) => {
      self.reset();
      for (const row of tables.endpoints.all()) {
        const both = row.ingressEnforced && row.egressEnforced;
        const one = row.ingressEnforced ? 'ingress' : row.egressEnforced ? 'egress' : 'none';
        self.inc({ enforcement: both ? 'both' : one });
      }
    },
  );
  gauge('cilium_ip_addresses', 'allocated pod addresses', ['family'], (self) => {
    self.reset();
    for (const row of tables.addresses.all()) self.inc({ family: `ipv${row.family}` });
  });
  counter('hubble_lost_events_total', 'flows that were lost', ['source'], (self) => {
    self.reset();
    for (const [source, lost] of Object.entries(sources.hubble()?.lost ?? {})) {
      self.inc({ source }, lost);
    }
  });
  gauge('cilium_bpf_map_pressure', 'fill of a map, 1 is full', ['map_name'], (self) => {
    self.set({ map_name: 'ct_global' }, sources.conntrackEntries() / datapath.sizes.conntrack);
    self.set({ map_name: 'lxc' }, tables.endpoints.size / datapath.sizes.endpoints);
  });
}

type DatapathLabel = 'reason' | 'direction';
type Collected = {
  reset(): void;
  inc(labels: Partial<Record<DatapathLabel, string>>, value: number): void;
};

function registerDatapath({ maps }: Datapath): void {
  const collect = (value: 'packets' | 'bytes', dropped: boolean) => (self: Collected) => {
    self.reset();
    for (const count of readMetrics(maps)) {
      if (dropped !== count.reason > 0) continue;
      const direction = count.direction.toUpperCase();
      const reason = dropReasonText(count.reason);
      self.inc(dropped ? { reason, direction } : { direction }, Number(count[value]));
    }
  };
  const both: readonly DatapathLabel[] = ['reason', 'direction'];
  const one: readonly DatapathLabel[] = ['direction'];
  counter('cilium_drop_count_total', 'packets dropped', both, collect('packets', true));
  counter('cilium_drop_bytes_total', 'bytes dropped', both, collect('bytes', true));
  counter('cilium_forward_count_total', 'packets forwarded', one, collect('packets', false));
  counter('cilium_forward_bytes_total', 'bytes forwarded', one, collect('bytes', false));
}
