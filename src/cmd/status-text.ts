/**
 * @module The answer of `/healthz` as the text that upstream's status commands print.
 */
import { formatLines, type Line } from './text-table.ts';

interface State {
  readonly state?: string;
  readonly msg?: string;
}

interface Controller {
  readonly name?: string;
  readonly status?: {
    readonly 'consecutive-failure-count'?: number;
    readonly 'failure-count'?: number;
    readonly 'last-failure-msg'?: string;
    readonly 'last-failure-timestamp'?: string;
    readonly 'last-success-timestamp'?: string;
  };
}

/** The fields of StatusResponse that are printed. */
export interface StatusModel {
  readonly cilium?: State;
  readonly kvstore?: State;
  readonly kubernetes?: State & { readonly 'k8s-api-versions'?: readonly string[] };
  readonly 'kube-proxy-replacement'?: {
    readonly mode?: string;
    readonly devices?: readonly string[];
    readonly deviceList?: readonly { readonly name?: string; readonly ip?: readonly string[] }[];
    readonly directRoutingDevice?: string;
  };
  readonly 'host-firewall'?: { readonly mode?: string };
  /** Ours: whether policy is only audited, at every endpoint. */
  readonly 'policy-audit'?: { readonly mode?: string };
  readonly srv6?: { readonly enabled?: boolean };
  readonly 'cni-chaining'?: { readonly mode?: string };
  readonly 'cni-file'?: State;
  readonly nodeMonitor?: {
    readonly cpus?: number;
    readonly npages?: number;
    readonly pagesize?: number;
    readonly lost?: number;
  };
  readonly cluster?: { readonly ciliumHealth?: State };
  readonly ipam?: {
    readonly status?: string;
    readonly ipv4?: readonly string[];
    readonly ipv6?: readonly string[];
    readonly allocations?: Readonly<Record<string, string>>;
  };
  readonly 'ipv4-big-tcp'?: { readonly enabled?: boolean };
  readonly 'ipv6-big-tcp'?: { readonly enabled?: boolean };
  readonly 'bandwidth-manager'?: { readonly enabled?: boolean };
  readonly routing?: {
    readonly 'inter-host-routing-mode'?: string;
    readonly 'intra-host-routing-mode'?: string;
  };
  readonly 'attach-mode'?: string;
  readonly 'datapath-mode'?: string;
  readonly masquerading?: {
    readonly mode?: string;
    readonly enabled?: boolean;
    readonly enabledProtocols?: { readonly ipv4?: boolean; readonly ipv6?: boolean };
    readonly 'snat-exclusion-cidr-v4'?: string;
    readonly 'snat-exclusion-cidr-v6'?: string;
  };
  readonly 'clock-source'?: { readonly mode?: string };
  readonly controllers?: readonly Controller[];
  readonly proxy?: {
    readonly ip?: string;
    readonly 'total-ports'?: number;
    readonly 'total-redirects'?: number;
  };
  readonly 'identity-range'?: {
    readonly 'min-identity'?: number;
    readonly 'max-identity'?: number;
  };
  readonly hubble?: State & {
    readonly observer?: {
      readonly 'current-flows'?: number;
      readonly 'max-flows'?: number;
      readonly 'seen-flows'?: number;
      readonly uptime?: string | number;
    };
    readonly metrics?: State;
  };
  /** Ours: refused policy files, endpoints without datapath and the like. */
  readonly problems?: readonly string[];
  readonly encryption?: { readonly mode?: string; readonly msg?: string };
  readonly 'bpf-maps'?: {
    readonly 'dynamic-size-ratio'?: number;
    readonly maps?: readonly { readonly name?: string; readonly size?: number }[];
  };
}

/** Whether the agent does its work; `Warning` says that it does, with something to look at. */
export function isWell({ cilium }: StatusModel): boolean {
  return ['Ok', 'Warning', 'Disabled'].includes(cilium?.state ?? '');
}

/** `OK`, or what is wrong. */
export function formatBrief(status: StatusModel): string {
  const { state = 'no state', msg = state } = status.cilium ?? {};
  if (!isWell(status)) return `error: ${msg}\n`;
  const { problems = [] } = status;
  return state === 'Warning' || problems.length > 0
    ? `warning: ${problems.join('; ') || msg}\n`
    : 'OK\n';
}

/** The whole report. `now` in milliseconds since 1970. */
export function formatStatus(status: StatusModel, verbose: boolean, now: number): string {
  const head = formatLines(headLines(status, verbose));
  return (
    head +
    formatControllers(status, verbose, now) +
    formatLines(tailLines(status)) +
    formatProblems(status) +
    (verbose ? formatMaps(status) : '')
  );
}

function headLines(status: StatusModel, verbose: boolean): Line[] {
  const versions = status.kubernetes?.['k8s-api-versions'];
  const lines: (Line | undefined)[] = [
    stateLine('KVStore:', status.kvstore),
    stateLine('Kubernetes:', status.kubernetes),
    versions === undefined
      ? undefined
      : ['Kubernetes APIs:', JSON.stringify([...versions].sort()).replaceAll('","', '", "')],
    kubeProxyLine(status),
    modeLine('Host firewall:', status['host-firewall']?.mode),
    modeLine('Policy audit mode:', status['policy-audit']?.mode),
    flagLine('SRv6:', status.srv6),
    modeLine('CNI Chaining:', status['cni-chaining']?.mode),
    status['cni-file'] === undefined
      ? undefined
      : ['CNI Config file:', status['cni-file'].msg || (status['cni-file'].state ?? '')],
    stateLine('Cilium:', status.cilium),
    monitorLine(status),
    stateLine('Cilium health daemon:', status.cluster?.ciliumHealth),
    ...ipamLines(status, verbose),
    flagLine('IPv4 BIG TCP:', status['ipv4-big-tcp']),
    flagLine('IPv6 BIG TCP:', status['ipv6-big-tcp']),
    flagLine('BandwidthManager:', status['bandwidth-manager']),
    routingLine(status),
    modeLine('Attach Mode:', attachMode(status['attach-mode'])),
    modeLine('Device Mode:', status['datapath-mode']),
    masqueradingLine(status),
    verbose ? modeLine('Clock Source for BPF:', status['clock-source']?.mode) : undefined,
  ];
  return lines.filter((line) => line !== undefined);
}

/** tcx prints in capitals, clsact by its kernel name. */
function attachMode(mode: string | undefined): string | undefined {
  return mode === 'tcx' ? 'TCX' : mode === 'tc' ? 'Legacy TC' : mode;
}

function stateLine(name: string, state: State | undefined): Line | undefined {
  return state === undefined ? undefined : [name, state.state ?? '', state.msg ?? ''];
}

function modeLine(name: string, mode: string | undefined): Line | undefined {
  return mode === undefined ? undefined : [name, mode];
}

function flagLine(
  name: string,
  value: { readonly enabled?: boolean } | undefined,
): Line | undefined {
  return value === undefined ? undefined : [name, value.enabled === true ? 'Enabled' : 'Disabled'];
}

function kubeProxyLine(status: StatusModel): Line | undefined {
  const replacement = status['kube-proxy-replacement'];
  if (replacement === undefined) return undefined;
  const devices = (replacement.deviceList ?? []).map(({ name = '', ip = [] }) => {
    const direct = name === replacement.directRoutingDevice ? ' (Direct Routing)' : '';
    return `${name}    ${ip.filter((one) => one !== '').join(' ')}${direct}`;
  });
  const list = devices.length === 0 ? '' : `[${devices.join(', ')}]`;
  return ['KubeProxyReplacement:', replacement.mode ?? '', list];
}

function monitorLine({ nodeMonitor }: StatusModel): Line | undefined {
  if (nodeMonitor === undefined) return undefined;
  const { cpus = 0, npages = 0, pagesize = 0, lost = 0 } = nodeMonitor;
  const losses = lost === 0 ? '' : ` (${lost} lost)`;
  return [
    'NodeMonitor:',
    `Listening for events on ${cpus} CPUs with ${npages}x${pagesize} of shared memory${losses}`,
  ];
}

function ipamLines({ ipam }: StatusModel, verbose: boolean): Line[] {
  if (ipam === undefined) return [];
  const lines: Line[] = [['IPAM:', ipam.status ?? '']];
  if (!verbose) return lines;
  const allocations = Object.entries(ipam.allocations ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    ...lines,
    ['Allocated addresses:'],
    ...allocations.map(([ip, owner]) => [`  ${ip} (${owner})`]),
  ];
}

function routingLine({ routing }: StatusModel): Line | undefined {
  if (routing === undefined) return undefined;
  const network = routing['inter-host-routing-mode'] ?? '';
  return ['Routing:', `Network: ${network}   Host: ${routing['intra-host-routing-mode'] ?? ''}`];
}

function masqueradingLine(status: StatusModel): Line | undefined {
  const { masquerading } = status;
  if (masquerading === undefined) return undefined;
  const { ipv4 = false, ipv6 = false } = masquerading.enabledProtocols ?? {};
  const word = (on: boolean) => (on ? 'Enabled' : 'Disabled');
  const families = `[IPv4: ${word(ipv4)}, IPv6: ${word(ipv6)}]`;
  if (masquerading.enabled !== true) return ['Masquerading:', 'Disabled'];
  const cidrs = [masquerading['snat-exclusion-cidr-v4'], masquerading['snat-exclusion-cidr-v6']]
    .filter((cidr) => cidr !== undefined && cidr !== '')
    .join(' ');
  const devices = status['kube-proxy-replacement']?.devices ?? [];
  const list = devices.length === 0 ? '' : `[${devices.join(', ')}]   `;
  const mode = masquerading.mode ?? 'BPF';
  return ['Masquerading:', `${mode}   ${list}${cidrs === '' ? '' : `${cidrs} `}${families}`];
}

/** What is not as it was asked for; nothing when all is. */
function formatProblems({ problems = [] }: StatusModel): string {
  if (problems.length === 0) return '';
  return `Problems:\n${problems.map((one) => `  ! ${one.replaceAll('\n', '\n    ')}\n`).join('')}`;
}

/** Those that fail, or all of them; their count in any case. */
function formatControllers(status: StatusModel, verbose: boolean, now: number): string {
  const { controllers } = status;
  if (controllers === undefined) return '';
  const failing = controllers.filter((one) => (one.status?.['consecutive-failure-count'] ?? 0) > 0);
  const healthy = controllers.length - failing.length;
  const head = `Controller Status:      ${healthy}/${controllers.length} healthy\n`;
  const shown = [...(verbose ? controllers : failing)].sort((a, b) =>
    (a.name ?? '') < (b.name ?? '') ? -1 : 1,
  );
  if (shown.length === 0) return head;
  const lines = shown.map(({ name, status: one }) => [
    `  ${name ?? ''}`,
    ago(one?.['last-success-timestamp'], now),
    ago(one?.['last-failure-timestamp'], now),
    String(one?.['failure-count'] ?? 0),
    one?.['last-failure-msg'] ?? 'no error',
    '',
  ]);
  return (
    head + formatLines([['  Name', 'Last success', 'Last error', 'Count', 'Message'], ...lines])
  );
}

/** `12s ago`, `4m13s ago`, `never`. */
export function ago(timestamp: string | undefined, now: number): string {
  const then = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  if (Number.isNaN(then) || then <= 0) return 'never';
  const seconds = Math.max(0, Math.round((now - then) / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const parts = [
    hours > 0 ? `${hours}h` : '',
    hours > 0 || minutes > 0 ? `${minutes}m` : '',
    `${seconds % 60}s`,
  ];
  return `${parts.join('')} ago`;
}

function tailLines(status: StatusModel): Line[] {
  const range = status['identity-range'];
  const lines: (Line | undefined)[] = [
    proxyLine(status),
    range === undefined
      ? undefined
      : [
          'Global Identity Range:',
          `min ${range['min-identity'] ?? 0}, max ${range['max-identity'] ?? 0}`,
        ],
    hubbleLine(status),
    status.encryption === undefined
      ? undefined
      : ['Encryption:', status.encryption.mode ?? '', status.encryption.msg ?? ''],
  ];
  return lines.filter((line) => line !== undefined);
}

function proxyLine({ proxy }: StatusModel): Line | undefined {
  if (proxy === undefined || (proxy.ip ?? '') === '') {
    return ['Proxy Status:', 'No managed proxy redirect'];
  }
  const { ip = '', 'total-redirects': redirects = 0, 'total-ports': ports = 0 } = proxy;
  return ['Proxy Status:', `OK, ip ${ip}, ${redirects} redirects active on ports ${ports}`];
}

function hubbleLine({ hubble }: StatusModel): Line | undefined {
  if (hubble === undefined) return undefined;
  const parts: string[] = [];
  const { observer, metrics } = hubble;
  if (observer !== undefined) {
    const current = observer['current-flows'] ?? 0;
    const max = observer['max-flows'] ?? 0;
    const share = max === 0 ? '' : ` (${((current * 100) / max).toFixed(2)}%)`;
    parts.push(`Current/Max Flows: ${current}/${max}${share}${rateText(observer)}`);
  }
  if (metrics !== undefined) parts.push(`Metrics: ${metrics.state ?? ''}`);
  return ['Hubble:', hubble.state ?? '', parts.join('   ') || (hubble.msg ?? '')];
}

/** Uptime comes as nanoseconds or as a Go duration. */
function rateText(observer: {
  readonly 'seen-flows'?: number;
  readonly uptime?: string | number;
}): string {
  const { uptime } = observer;
  const seconds = typeof uptime === 'number' ? uptime / 1e9 : goSeconds(uptime ?? '');
  return seconds <= 0 ? '' : `, Flows/s: ${((observer['seen-flows'] ?? 0) / seconds).toFixed(2)}`;
}

/** Seconds of `1h2m3.5s`; 0 when it is none. */
function goSeconds(text: string): number {
  const match = /^(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s)?$/.exec(text);
  if (match === null) return 0;
  return Number(match[1] ?? 0) * 3600 + Number(match[2] ?? 0) * 60 + Number(match[3] ?? 0);
}

function formatMaps(status: StatusModel): string {
  const maps = status['bpf-maps'];
  if (maps === undefined) return '';
  const ratio = maps['dynamic-size-ratio'] ?? 0;
  const sizing =
    ratio > 0 ? `dynamic sizing: on (ratio: ${ratio.toFixed(6)})` : 'dynamic sizing: off';
  const rows = (maps.maps ?? []).map((map) => [`  ${map.name ?? ''}`, String(map.size ?? 0)]);
  return `BPF Maps:   ${sizing}\n${formatLines([['  Name', 'Size'], ...rows])}`;
}
