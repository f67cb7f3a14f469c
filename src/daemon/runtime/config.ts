/**
 * @module
 * The agent's configuration: command line, environment and files in, one frozen object with typed
 * fields out. A flag beats the environment, that beats `config-dir`, that beats the `--config`
 * file, that beats the default. Nothing here touches the system beyond
 * looking at files.
 */

import { realpathSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseAddress } from '../../net/address.ts';
import { parsePrefix } from '../../net/prefix.ts';
import { ConfigError } from './config-error.ts';
import type { OptionValue } from './config-parse.ts';
import { explainedOptions, unsupportedValues } from './config-unsupported.ts';
import { OptionValues } from './config-values.ts';

export type MonitorAggregation = 'none' | 'low' | 'medium' | 'maximum';

/** What the agent was told, checked. Times end in `Ms`; an empty text means "not given". */
export interface AgentConfig
  extends ProcessConfig,
    ClusterConfig,
    AddressingConfig,
    MapConfig,
    PolicyConfig,
    ObservabilityConfig,
    CniConfig {
  /** One line per thing that was said and has no effect. The agent logs each once. */
  readonly warnings: readonly string[];
  /** Every option by its name, supported or not, with its effective value. */
  readonly options: Readonly<Record<string, OptionValue>>;
  /** The options that somebody set, even to their defaults. */
  readonly explicit: ReadonlySet<string>;
}

interface ProcessConfig {
  readonly stateDir: string;
  readonly libDir: string;
  readonly socketPath: string;
  readonly bpfRoot: string;
  /** Empty: find the mounted cgroup v2 hierarchy. */
  readonly cgroupRoot: string;
  readonly procfs: string;
  readonly debug: boolean;
  readonly logOpt: Readonly<Record<string, string>>;
  readonly apiRateLimit: string;
  /** API operations that clients may use; `*` is all. */
  readonly enableCiliumApiServerAccess: readonly string[];
  readonly agentHealthPort: number;
}

interface ClusterConfig {
  readonly enableK8s: boolean;
  readonly clusterName: string;
  readonly clusterId: number;
  readonly nodeName: string;
  readonly identityAllocationMode: string;
  readonly kubeProxyReplacement: boolean;
  readonly labels: readonly string[];
  readonly labelPrefixFile: string;
}

interface AddressingConfig {
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly ipam: string;
  /** A prefix, or `auto`: whoever allocates picks one that overlaps nothing. */
  readonly ipv4Range: string;
  readonly ipv6Range: string;
  readonly localRouterIpv4: string;
  readonly localRouterIpv6: string;
  readonly devices: readonly string[];
  /** 0: as the devices have it. */
  readonly mtu: number;
  readonly routingMode: 'tunnel' | 'native';
  readonly enableTcx: boolean;
  readonly enableIpv4Masquerade: boolean;
  readonly enableIpv6Masquerade: boolean;
}

interface MapConfig {
  readonly bpfMapDynamicSizeRatio: number;
  readonly bpfCtGlobalTcpMax: number;
  readonly bpfCtGlobalAnyMax: number;
  readonly bpfNatGlobalMax: number;
  readonly bpfPolicyMapMax: number;
  readonly bpfEndpointMapMax: number;
  readonly bpfCtTimeoutRegularTcpMs: number;
  readonly bpfCtTimeoutRegularTcpSynMs: number;
  readonly bpfCtTimeoutRegularTcpFinMs: number;
  readonly bpfCtTimeoutRegularAnyMs: number;
  readonly bpfCtTimeoutServiceTcpMs: number;
  readonly bpfCtTimeoutServiceAnyMs: number;
  /** 0: the agent chooses. */
  readonly conntrackGcIntervalMs: number;
}

interface PolicyConfig {
  readonly staticCnpPath: string;
  readonly enablePolicy: 'default' | 'always' | 'never';
  readonly allowLocalhost: 'auto' | 'always' | 'policy';
  /** What policy denies goes on, and is told. */
  readonly policyAuditMode: boolean;
  /** CIDR rules of the Cilium kinds mean nodes as well. */
  readonly policyCidrMatchesNodes: boolean;
  /** Policies with a nodeSelector are enforced on this node. */
  readonly enableHostFirewall: boolean;
  /** ICMP "fragmentation needed" and "packet too big" pass whatever policy says. */
  readonly allowIcmpFragNeeded: boolean;
}

interface ObservabilityConfig {
  /**
   * Without Kubernetes, or with a socket named, Hubble is on unless switched off: there is no ConfigMap
   * to switch it on.
   */
  readonly enableHubble: boolean;
  readonly hubbleSocketPath: string;
  readonly hubbleListenAddress: string;
  readonly hubbleDisableTls: boolean;
  readonly hubbleEventBufferCapacity: number;
  readonly monitorAggregation: MonitorAggregation;
  readonly bpfEventsDropEnabled: boolean;
  readonly bpfEventsTraceEnabled: boolean;
  readonly bpfEventsPolicyVerdictEnabled: boolean;
  readonly prometheusServeAddr: string;
}

interface CniConfig {
  readonly cniExclusive: boolean;
  readonly writeCniConfWhenReady: string;
  readonly readCniConf: string;
  readonly cniLogFile: string;
}

/**
 * Reads and checks the configuration. Throws ConfigError, which names the option and says what is
 * wrong. `argv` holds flags only, without the program and the command.
 */
export function loadAgentConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): AgentConfig {
  const values = new OptionValues(argv, env);
  const fields = readFields(values, env);
  checkPolicyFolder(fields);
  const options = values.all();
  const explicit = new Set(Object.keys(options).filter((name) => values.isSet(name)));
  const warnings = [
    ...values.leftover(explainedOptions),
    ...unsupportedValues(fields, explicit, options),
  ];
  return freeze({ ...fields, options, explicit, warnings });
}

/** What is in the state directory is the agent's own: it is rewritten, and goes with an uninstall. */
function checkPolicyFolder({ staticCnpPath, stateDir }: Pick<AgentConfig, PolicyFolders>): void {
  if (staticCnpPath === '') return;
  const [folder, state] = [realPath(staticCnpPath), realPath(stateDir)];
  if (`${folder}/`.startsWith(`${state}/`)) {
    throw new ConfigError(
      'static-cnp-path',
      `${staticCnpPath} is in state-dir (${stateDir}), where the agent writes and deletes files of its own: use another folder`,
    );
  }
}

type PolicyFolders = 'staticCnpPath' | 'stateDir';

/** Without symlinks, as far as it is there. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(realPath(parent), basename(path));
  }
}

/** Names of the options that do something. */
export function supportedOptions(): ReadonlySet<string> {
  const values = new OptionValues([], {});
  readFields(values, {});
  return values.taken;
}

function readFields(
  values: OptionValues,
  env: Readonly<Record<string, string | undefined>>,
): Omit<AgentConfig, 'options' | 'explicit' | 'warnings'> {
  return {
    ...processConfig(values),
    ...clusterConfig(values, env),
    ...addressingConfig(values),
    ...mapConfig(values),
    ...policyConfig(values),
    ...observabilityConfig(values),
    ...cniConfig(values),
  };
}

const logLevels = new Set(['debug', 'info', 'warn', 'warning', 'error', 'fatal', 'panic']);
const logFormats = new Set(['text', 'text-ts', 'json', 'json-ts']);

function processConfig(values: OptionValues): ProcessConfig {
  const logOpt = values.map('log-opt');
  for (const [key, value] of Object.entries(logOpt)) {
    const known = key === 'level' ? logLevels : key === 'format' ? logFormats : undefined;
    if (known === undefined) throw new ConfigError('log-opt', `${key} is neither level nor format`);
    if (!known.has(value.toLowerCase())) {
      throw new ConfigError('log-opt', `${key} is none of ${[...known].join(', ')}`);
    }
  }
  return {
    stateDir: required('state-dir', values.path('state-dir')),
    libDir: required('lib-dir', values.path('lib-dir')),
    socketPath: required('socket-path', values.socketPath('socket-path')),
    bpfRoot: values.path('bpf-root') || '/sys/fs/bpf',
    cgroupRoot: values.path('cgroup-root'),
    procfs: required('procfs', values.path('procfs')),
    debug: values.bool('debug'),
    logOpt,
    apiRateLimit: values.text('api-rate-limit'),
    enableCiliumApiServerAccess: values.list('enable-cilium-api-server-access'),
    agentHealthPort: values.number('agent-health-port', 0, 0xffff),
  };
}

const clusterNamePattern = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
const identityModes = ['kvstore', 'crd', 'doublewrite-readkvstore', 'doublewrite-readcrd'] as const;

function clusterConfig(
  values: OptionValues,
  env: Readonly<Record<string, string | undefined>>,
): ClusterConfig {
  const clusterName = values.text('cluster-name');
  if (!clusterNamePattern.test(clusterName)) {
    throw new ConfigError(
      'cluster-name',
      'at most 32 lower case letters, digits and dashes, beginning and ending with no dash',
    );
  }
  const clusterIdMax = values.number('max-connected-clusters', 255, 511);
  if (clusterIdMax !== 255 && clusterIdMax !== 511) {
    throw new ConfigError('max-connected-clusters', 'must be 255 or 511');
  }
  const clusterId = values.number('cluster-id', 0, clusterIdMax);
  if (clusterId !== 0 && clusterName === 'default') {
    throw new ConfigError('cluster-id', 'needs a cluster-name other than default');
  }
  return {
    enableK8s: values.bool('enable-k8s'),
    clusterName,
    clusterId,
    nodeName: values.text('node-name') || env.K8S_NODE_NAME || hostname(),
    identityAllocationMode: values.word('identity-allocation-mode', identityModes),
    kubeProxyReplacement: values.word('kube-proxy-replacement', ['true', 'false']) === 'true',
    labels: values.list('labels'),
    labelPrefixFile: values.path('label-prefix-file'),
  };
}

const ipamModes = [
  'kubernetes',
  'cluster-pool',
  'multi-pool',
  'crd',
  'eni',
  'azure',
  'alibabacloud',
  'delegated-plugin',
] as const;

function addressingConfig(values: OptionValues): AddressingConfig {
  const enableIpv4 = values.bool('enable-ipv4');
  const enableIpv6 = values.bool('enable-ipv6');
  if (!enableIpv4 && !enableIpv6) {
    throw new ConfigError('enable-ipv4', 'and enable-ipv6 cannot both be false');
  }
  return {
    enableIpv4,
    enableIpv6,
    ipam: values.word('ipam', ipamModes),
    ipv4Range: prefix('ipv4-range', values.text('ipv4-range'), 4),
    ipv6Range: prefix('ipv6-range', values.text('ipv6-range'), 6),
    localRouterIpv4: address('local-router-ipv4', values.text('local-router-ipv4'), 4),
    localRouterIpv6: address('local-router-ipv6', values.text('local-router-ipv6'), 6),
    devices: values.list('devices'),
    mtu: values.number('mtu', 0, 0xffff),
    routingMode: values.word('routing-mode', ['tunnel', 'native']),
    enableTcx: values.bool('enable-tcx'),
    enableIpv4Masquerade: values.bool('enable-ipv4-masquerade'),
    enableIpv6Masquerade: values.bool('enable-ipv6-masquerade'),
  };
}

const tableEntriesMin = 1 << 10;
const tableEntriesMax = 1 << 24;

function mapConfig(values: OptionValues): MapConfig {
  const entries = (name: string) => values.number(name, tableEntriesMin, tableEntriesMax);
  const timeout = (name: string) => {
    const ms = values.durationMs(name);
    // The kernel side counts whole seconds; less would forget a connection at once.
    if (ms < 1000) throw new ConfigError(name, 'a connection must be kept for a second at least');
    return ms;
  };
  return {
    bpfMapDynamicSizeRatio: values.number('bpf-map-dynamic-size-ratio', 0, 1),
    bpfCtGlobalTcpMax: entries('bpf-ct-global-tcp-max'),
    bpfCtGlobalAnyMax: entries('bpf-ct-global-any-max'),
    bpfNatGlobalMax: entries('bpf-nat-global-max'),
    bpfPolicyMapMax: values.number('bpf-policy-map-max', 1 << 8, 1 << 16),
    bpfEndpointMapMax: values.number('bpf-endpoint-map-max', 1, 0xffff),
    bpfCtTimeoutRegularTcpMs: timeout('bpf-ct-timeout-regular-tcp'),
    bpfCtTimeoutRegularTcpSynMs: timeout('bpf-ct-timeout-regular-tcp-syn'),
    bpfCtTimeoutRegularTcpFinMs: timeout('bpf-ct-timeout-regular-tcp-fin'),
    bpfCtTimeoutRegularAnyMs: timeout('bpf-ct-timeout-regular-any'),
    bpfCtTimeoutServiceTcpMs: timeout('bpf-ct-timeout-service-tcp'),
    bpfCtTimeoutServiceAnyMs: timeout('bpf-ct-timeout-service-any'),
    conntrackGcIntervalMs: values.durationMs('conntrack-gc-interval'),
  };
}

function policyConfig(values: OptionValues): PolicyConfig {
  return {
    staticCnpPath: values.path('static-cnp-path'),
    enablePolicy: values.word('enable-policy', ['default', 'always', 'never']),
    allowLocalhost: values.word('allow-localhost', ['auto', 'always', 'policy']),
    policyAuditMode: values.bool('policy-audit-mode'),
    policyCidrMatchesNodes: cidrMatchesNodes(values),
    enableHostFirewall: values.bool('enable-host-firewall'),
    allowIcmpFragNeeded: values.bool('allow-icmp-frag-needed'),
  };
}

/** `policy-cidr-match-mode`: empty, or `nodes`. */
function cidrMatchesNodes(values: OptionValues): boolean {
  const modes = values.list('policy-cidr-match-mode');
  const unknown = modes.find((mode) => mode !== 'nodes');
  if (unknown !== undefined) {
    throw new ConfigError('policy-cidr-match-mode', `${JSON.stringify(unknown)} is not "nodes"`);
  }
  return modes.length > 0;
}

const aggregations: Readonly<Record<string, MonitorAggregation>> = {
  none: 'none',
  disabled: 'none',
  lowest: 'low',
  low: 'low',
  medium: 'medium',
  max: 'maximum',
  maximum: 'maximum',
};
const eventBufferCapacityMax = 0xffff;

function observabilityConfig(values: OptionValues): ObservabilityConfig {
  const capacity = values.number('hubble-event-buffer-capacity', 1, eventBufferCapacityMax);
  if ((capacity & (capacity + 1)) !== 0) {
    throw new ConfigError('hubble-event-buffer-capacity', 'must be a power of two less one');
  }
  const hubbleSocketPath = values.socketPath('hubble-socket-path');
  const isWanted =
    !values.bool('enable-k8s') || (values.isSet('hubble-socket-path') && hubbleSocketPath !== '');
  const enableHubble = values.bool('enable-hubble') || (isWanted && !values.isSet('enable-hubble'));
  const hubbleListenAddress = values.listenAddress('hubble-listen-address');
  const hubbleDisableTls = values.bool('hubble-disable-tls');
  if (enableHubble && hubbleListenAddress !== '' && !hubbleDisableTls) {
    throw new ConfigError(
      'hubble-listen-address',
      'TLS is not supported yet, and flows are not served in the clear unless hubble-disable-tls is set',
    );
  }
  const aggregation = values.word('monitor-aggregation', Object.keys(aggregations));
  return {
    enableHubble,
    hubbleSocketPath,
    hubbleListenAddress,
    hubbleDisableTls,
    hubbleEventBufferCapacity: capacity,
    monitorAggregation: aggregations[aggregation] ?? 'none',
    bpfEventsDropEnabled: values.bool('bpf-events-drop-enabled'),
    bpfEventsTraceEnabled: values.bool('bpf-events-trace-enabled'),
    bpfEventsPolicyVerdictEnabled: values.bool('bpf-events-policy-verdict-enabled'),
    prometheusServeAddr: values.listenAddress('prometheus-serve-addr'),
  };
}

function cniConfig(values: OptionValues): CniConfig {
  return {
    cniExclusive: values.bool('cni-exclusive'),
    writeCniConfWhenReady: values.path('write-cni-conf-when-ready'),
    readCniConf: values.path('read-cni-conf'),
    cniLogFile: values.path('cni-log-file'),
  };
}

function required(option: string, text: string): string {
  if (text === '') throw new ConfigError(option, 'cannot be empty');
  return text;
}

function prefix(option: string, text: string, family: 4 | 6): string {
  if (text === 'auto' || parsePrefix(text)?.address.family === family) return text;
  throw new ConfigError(option, `neither auto nor an IPv${family} prefix such as a/n`);
}

function address(option: string, text: string, family: 4 | 6): string {
  if (text === '' || parseAddress(text)?.family === family) return text;
  throw new ConfigError(option, `not an IPv${family} address`);
}

function freeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null && !(inner instanceof Set)) freeze(inner);
  }
  return Object.freeze(value);
}
