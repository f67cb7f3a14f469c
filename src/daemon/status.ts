/**
 * @module
 * The agent's status as REST's StatusResponse: tables, health and figures → one object. Pure
 * reading; a probe may ask for it every second.
 */

import type { FlowWorkerStatus } from '../hubble/protocol.ts';
import { printable } from '../k8s/problem.ts';
import type { Datapath } from './datapath.ts';
import type { IpamAllocator } from './ipam/allocator.ts';
import type { StatusModel } from './rest/context.ts';
import type { AgentConfig } from './runtime/config.ts';
import type { HealthLevel } from './runtime/health.ts';
import type { AgentTables } from './tables.ts';

export interface StatusSources {
  readonly config: AgentConfig;
  readonly tables: AgentTables;
  readonly datapath: Datapath;
  readonly ipam: IpamAllocator;
  readonly version: string;
  /** The worst of all modules and what it says. */
  readonly health: () => { readonly level: HealthLevel; readonly message: string };
  /** Latest figures of the flow worker; undefined while it is down, null when Hubble is off. */
  readonly hubble: () => FlowWorkerStatus | undefined | null;
  readonly cniFile: () => { readonly state: string; readonly msg: string };
  readonly conntrackEntries: () => number;
}

const disabled = { state: 'Disabled' } as const;
const noDate = '0001-01-01T00:00:00.000Z';

export function statusModel(sources: StatusSources): StatusModel {
  const { config, datapath, tables } = sources;
  const health = overallHealth(sources);
  const state = health.level === 'ok' ? 'Ok' : health.level === 'degraded' ? 'Warning' : 'Failure';
  return {
    cilium: {
      state,
      msg: health.level === 'ok' ? sources.version : `${sources.version}    ${health.message}`,
    },
    kvstore: disabled,
    'container-runtime': disabled,
    kubernetes: { state: 'Disabled' },
    'cni-file': sources.cniFile(),
    'cni-chaining': { mode: 'none' },
    'datapath-mode': 'veth',
    'attach-mode': datapath.attachMode,
    cluster: { ciliumHealth: disabled, nodes: null, self: config.nodeName },
    controllers: controllers(tables),
    'policy-audit': { mode: datapath.runtime.policyAudit ? 'Enabled' : 'Disabled' },
    'host-firewall': { mode: config.enableHostFirewall ? 'Enabled' : 'Disabled' },
    'kube-proxy-replacement': { mode: 'False' },
    proxy: { 'envoy-deployment-mode': 'embedded', 'total-ports': 0, 'total-redirects': 0 },
    ipam: ipam(sources),
    'identity-range': { 'min-identity': 256, 'max-identity': 65_535 },
    'ipv4-big-tcp': { enabled: false },
    'ipv6-big-tcp': { enabled: false },
    'bandwidth-manager': { enabled: false, devices: null },
    masquerading: masquerading(sources),
    routing: {
      'inter-host-routing-mode': 'Native',
      'intra-host-routing-mode': 'BPF',
    },
    'clock-source': { mode: 'jiffies', hertz: datapath.hz },
    srv6: { enabled: false },
    encryption: { mode: 'Disabled' },
    hubble: hubble(sources),
    'bpf-maps': maps(sources),
    ...problems(sources),
  };
}

/** That nothing is denied is said first, whatever else is not well. */
const auditText =
  'policy-audit-mode is on: policy denies nothing, it only tells what it would deny';

function overallHealth({ datapath, health }: StatusSources): ReturnType<StatusSources['health']> {
  const { level, message } = health();
  if (!datapath.runtime.policyAudit) return { level, message };
  return { level: 'degraded', message: level === 'ok' ? auditText : `${auditText}; ${message}` };
}

function controllers(tables: AgentTables) {
  return [...tables.jobs.all()].map((job) => ({
    name: job.name,
    uuid: job.id,
    configuration: {
      'error-retry': true,
      ...(job.intervalMs === undefined ? {} : { interval: `${job.intervalMs / 1000}s` }),
    },
    status: {
      'success-count': job.successes,
      'failure-count': job.failures,
      'last-success-timestamp': job.lastSuccessAt ?? noDate,
      'last-failure-timestamp': job.lastFailureAt ?? noDate,
      ...(job.lastFailure === '' ? {} : { 'last-failure-msg': job.lastFailure }),
    },
  }));
}

function ipam({ tables, ipam: allocator }: StatusSources) {
  const allocations: Record<string, string> = {};
  const ipv4: string[] = [];
  const ipv6: string[] = [];
  for (const row of tables.addresses.all()) {
    allocations[row.address] = row.owner;
    (row.family === 4 ? ipv4 : ipv6).push(row.address);
  }
  const families = ([4, 6] as const).flatMap((family) => {
    const range = allocator.range(family);
    const used = family === 4 ? ipv4.length : ipv6.length;
    if (range === undefined) return [];
    return [`IPv${family}: ${used}/${allocator.capacity(family)} allocated from ${range}`];
  });
  return { allocations, ipv4, ipv6, status: families.join(', ') };
}

function masquerading({ config, ipam: allocator }: StatusSources) {
  const enabled = config.enableIpv4Masquerade || config.enableIpv6Masquerade;
  return {
    enabled,
    enabledProtocols: { ipv4: config.enableIpv4Masquerade, ipv6: config.enableIpv6Masquerade },
    mode: 'BPF',
    'snat-exclusion-cidr-v4': allocator.range(4) ?? '',
    'snat-exclusion-cidr-v6': allocator.range(6) ?? '',
  };
}

function hubble(sources: StatusSources) {
  const figures = sources.hubble();
  if (figures === null) return disabled;
  if (figures === undefined) return { state: 'Warning', msg: 'the flow worker does not answer' };
  return {
    state: 'Ok',
    observer: {
      'current-flows': figures.flows,
      'max-flows': figures.capacity,
      'seen-flows': figures.seenFlows,
      uptime: `${(figures.uptimeMs / 1000).toFixed(3)}s`,
    },
    metrics: disabled,
  };
}

function maps({ config, datapath, conntrackEntries }: StatusSources) {
  const { sizes } = datapath;
  return {
    'dynamic-size-ratio': config.bpfMapDynamicSizeRatio,
    maps: [
      { name: 'Connection tracking', size: sizes.conntrack },
      { name: 'Connection tracking entries', size: conntrackEntries() },
      { name: 'NAT', size: sizes.nat },
      { name: 'Endpoints', size: sizes.endpoints },
      { name: 'Endpoint policy', size: sizes.policyEntries },
    ],
  };
}

/** What is not as it was asked for: shown by `cilium status`, absent when all is well. */
function problems({ tables, datapath }: StatusSources) {
  const found: string[] = datapath.runtime.policyAudit ? [auditText] : [];
  const refused: string[] = [];
  for (const row of tables.policyFiles.all()) {
    if (row.status.kind !== 'error') continue;
    refused.push(row.name);
    found.push(`policy file ${printable(row.name)}: ${row.status.message}`);
  }
  for (const row of tables.policies.all()) {
    if (row.status.kind === 'error')
      found.push(`policy of identity ${row.identity}: ${row.status.message}`);
  }
  for (const row of tables.endpoints.all()) {
    if (row.status.kind === 'error') found.push(`endpoint ${row.id}: ${row.status.message}`);
  }
  for (const row of tables.health.all()) {
    // The files that it names are in the list already, each with its reason.
    const isSaid =
      row.module === 'policy.files' && refused.some((name) => row.message.includes(name));
    if (row.level !== 'ok' && !isSaid) found.push(`${row.module}: ${row.message}`);
  }
  return found.length === 0 ? {} : { problems: found };
}
