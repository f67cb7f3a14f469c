/**
 * @module
 * The configuration as maps for people and clients: by option name, and by the names that the REST
 * API's `daemonConfigurationMap` uses for the same settings.
 */

import type { AgentConfig } from './config.ts';
import { agentOption } from './config-options.ts';
import { formatDuration, type OptionValue } from './config-parse.ts';
import { isSecretName, redacted } from './redact.ts';

const nsPerMs = 1e6;

/** Every option by name with its effective value; durations as `1m0s`, secrets withheld. */
export function configMap(config: AgentConfig): Readonly<Record<string, OptionValue>> {
  return Object.fromEntries(
    Object.entries(config.options)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => [name, printed(name, value)]),
  );
}

function printed(name: string, value: OptionValue): OptionValue {
  if (agentOption(name)?.type === 'duration') return formatDuration(Number(value));
  if (typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, isSecretName(key) ? redacted : item]),
  );
}

/** What GET /config shows under `daemonConfigurationMap`. Durations are nanoseconds, as there. */
export function daemonConfigurationMap(config: AgentConfig): Readonly<Record<string, OptionValue>> {
  const ns = (ms: number) => Math.round(ms * nsPerMs);
  return {
    AgentHealthPort: config.agentHealthPort,
    AllowLocalhost: config.allowLocalhost,
    BPFEventsDropEnabled: config.bpfEventsDropEnabled,
    BPFEventsPolicyVerdictEnabled: config.bpfEventsPolicyVerdictEnabled,
    BPFEventsTraceEnabled: config.bpfEventsTraceEnabled,
    BPFMapsDynamicSizeRatio: config.bpfMapDynamicSizeRatio,
    BPFRoot: config.bpfRoot,
    CGroupRoot: config.cgroupRoot,
    CTMapEntriesGlobalAny: config.bpfCtGlobalAnyMax,
    CTMapEntriesGlobalTCP: config.bpfCtGlobalTcpMax,
    CTMapEntriesTimeoutAny: ns(config.bpfCtTimeoutRegularAnyMs),
    CTMapEntriesTimeoutFIN: ns(config.bpfCtTimeoutRegularTcpFinMs),
    CTMapEntriesTimeoutSVCAny: ns(config.bpfCtTimeoutServiceAnyMs),
    CTMapEntriesTimeoutSVCTCP: ns(config.bpfCtTimeoutServiceTcpMs),
    CTMapEntriesTimeoutSYN: ns(config.bpfCtTimeoutRegularTcpSynMs),
    CTMapEntriesTimeoutTCP: ns(config.bpfCtTimeoutRegularTcpMs),
    ClusterID: config.clusterId,
    ClusterName: config.clusterName,
    ConntrackGCInterval: ns(config.conntrackGcIntervalMs),
    Debug: config.debug,
    Devices: config.devices,
    EnableIPv4: config.enableIpv4,
    EnableIPv4Masquerade: config.enableIpv4Masquerade,
    EnableIPv6: config.enableIpv6,
    EnableIPv6Masquerade: config.enableIpv6Masquerade,
    EnablePolicy: config.enablePolicy,
    EnableTCX: config.enableTcx,
    HubbleSocketPath: config.hubbleSocketPath,
    IPAM: config.ipam,
    IPv4Range: config.ipv4Range,
    IPv6Range: config.ipv6Range,
    IdentityAllocationMode: config.identityAllocationMode,
    KubeProxyReplacement: String(config.kubeProxyReplacement),
    LabelPrefixFile: config.labelPrefixFile,
    Labels: config.labels,
    LibDir: config.libDir,
    LocalRouterIPv4: config.localRouterIpv4,
    LocalRouterIPv6: config.localRouterIpv6,
    LogOpt: config.logOpt,
    MTU: config.mtu,
    MonitorAggregation: config.monitorAggregation,
    NATMapEntriesGlobal: config.bpfNatGlobalMax,
    PolicyAuditMode: false,
    ProcFs: config.procfs,
    PrometheusServeAddr: config.prometheusServeAddr,
    RoutingMode: config.routingMode,
    RunDir: config.stateDir,
    SocketPath: config.socketPath,
  };
}
