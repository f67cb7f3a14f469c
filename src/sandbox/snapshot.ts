/**
 * @module What a sandbox could leave behind on the host, as lists of text lines by category, taken
 * before it starts and after it is removed, and compared. What the kernel changes by itself (learned
 * neighbours, lifetimes, counters) is left out.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { formatAddress } from '../net/address.ts';
import { dumpInterfaceAddresses } from '../net/netlink/interface-address.ts';
import { dumpLinks } from '../net/netlink/link.ts';
import { dumpNeighbors, neighborStates } from '../net/netlink/neighbor.ts';
import { dumpRoutes, type Route } from '../net/netlink/route.ts';
import { dumpRules, type Rule } from '../net/netlink/rule.ts';
import { NetlinkSocket } from '../net/netlink/socket.ts';
import { formatPrefix } from '../net/prefix.ts';
import { cgroup2Root, parseMounts, readMountinfo, runRoot, sandboxName } from './paths.ts';

/** Lines by category. */
export type Snapshot = Readonly<Record<string, readonly string[]>>;

/** One category, compared. */
export interface Difference {
  readonly category: string;
  readonly before: number;
  readonly added: readonly string[];
  readonly missing: readonly string[];
  /** Came or went meanwhile, and is not a sandbox's: a container runtime, another test. */
  readonly foreign: readonly string[];
}

/** What other programs also make and remove at any time, and where a sandbox's bears its name. */
const sharedCategories: ReadonlySet<string> = new Set(['namespaces', 'mounts', 'bpffs', 'cgroups']);

/** Below the run directory, the sandbox's cgroup, or pinned where an agent by itself would pin. */
const sandboxLine = new RegExp(
  `^${runRoot}(/| |$)|/cilium-${sandboxName}(/|$)|^/sys/fs/bpf/.*cilium`,
);

/** Whether a line of a category can be a sandbox's doing. */
export function isSandboxLine(category: string, line: string): boolean {
  return !sharedCategories.has(category) || sandboxLine.test(line);
}

/** The host as it is now. Must run in the host's network namespace. Takes some 10 ms. */
export function takeSnapshot(): Snapshot {
  const mountinfo = readMountinfo();
  return {
    ...networkLines(),
    ...fileLines(mountinfo),
    sysctls: sysctlLines(),
    firewall: firewallLines(),
  };
}

function networkLines(): Snapshot {
  using socket = NetlinkSocket.open();
  const links = dumpLinks(socket);
  const names = new Map(links.map((link) => [link.index as number, link.name]));
  const nameOf = (index: number | undefined) => names.get(index ?? 0) ?? '';
  return {
    links: links.map((link) =>
      [link.index, link.name, link.kind, link.mac, `mtu ${link.mtu}`, link.up ? 'up' : 'down'].join(
        ' ',
      ),
    ),
    addresses: dumpInterfaceAddresses(socket).map(
      (one) => `${nameOf(one.device)} ${formatAddress(one.address)}/${one.length}`,
    ),
    routes: dumpRoutes(socket).map((route) => routeLine(route, nameOf(route.device))),
    rules: dumpRules(socket).map(ruleLine),
    neighbours: dumpNeighbors(socket)
      .filter((one) => (one.state & neighborStates.permanent) !== 0)
      .map((one) => `${nameOf(one.device)} ${formatAddress(one.address)} ${one.mac ?? ''}`),
  };
}

function routeLine(route: Route, device: string): string {
  const via = route.via === undefined ? '' : ` via ${formatAddress(route.via)}`;
  const source = route.source === undefined ? '' : ` src ${formatAddress(route.source)}`;
  return (
    `${route.type} ${formatPrefix(route.destination)}${via} dev ${device}${source} ` +
    `table ${route.table} metric ${route.priority ?? 0}`
  );
}

function ruleLine(rule: Rule): string {
  const { from, to, ...rest } = rule;
  const ends = { from: from && formatPrefix(from), to: to && formatPrefix(to) };
  return JSON.stringify({ ...ends, ...rest });
}

function fileLines(mountinfo: string): Snapshot {
  const mounts = parseMounts(mountinfo);
  const bpf = mounts.filter((mount) => mount.type === 'bpf').map((mount) => mount.point);
  return {
    namespaces: [
      ...folder('/run/netns'),
      ...mounts.filter((one) => one.type === 'nsfs').map((one) => `${one.point} ${one.root}`),
    ],
    mounts: mounts.map((mount) => `${mount.point} ${mount.type}`),
    bpffs: bpf.flatMap((point) => [point, ...tree(point)]),
    cgroups: folder(cgroup2Root(mountinfo)).filter((path) => existsSync(`${path}/cgroup.procs`)),
    files: [
      ...(existsSync(runRoot) ? [runRoot] : []),
      ...tree(runRoot),
      ...tree('/etc/cni/net.d'),
      ...tree('/var/lib/cilium'),
    ],
  };
}

function folder(path: string): string[] {
  try {
    return readdirSync(path).map((name) => `${path}/${name}`);
  } catch {
    return [];
  }
}

function tree(path: string): string[] {
  try {
    return readdirSync(path, { recursive: true }).map((name) => `${path}/${String(name)}`);
  } catch {
    return [];
  }
}

/** Parameters of the host that an agent sets, here or on its interfaces. */
const sysctlFiles = [
  'net/core/bpf_jit_enable',
  'net/core/bpf_jit_harden',
  'net/ipv4/ip_forward',
  'net/ipv4/ip_local_reserved_ports',
  'kernel/unprivileged_bpf_disabled',
  'kernel/timer_migration',
  'net/core/fb_tunnels_only_for_init_net',
  'net/ipv4/fib_multipath_use_neigh',
] as const;
const interfaceParameters = [
  ['net/ipv4/conf', ['forwarding', 'rp_filter', 'accept_local', 'send_redirects', 'proxy_arp']],
  ['net/ipv6/conf', ['forwarding', 'disable_ipv6', 'accept_ra', 'accept_dad', 'proxy_ndp']],
] as const;

function sysctlLines(): string[] {
  const perInterface = interfaceParameters.flatMap(([path, names]) =>
    folder(`/proc/sys/${path}`).flatMap((device) =>
      names.map((name) => `${device.slice('/proc/sys/'.length)}/${name}`),
    ),
  );
  return [...sysctlFiles, ...perInterface].flatMap((name) => {
    try {
      return [`${name} = ${readFileSync(`/proc/sys/${name}`, 'utf8').trim()}`];
    } catch {
      return [];
    }
  });
}

/** Tables of the host's packet filters, with their rules where `nft` is installed. */
function firewallLines(): string[] {
  const legacy = ['ip_tables_names', 'ip6_tables_names'].flatMap((name) => {
    try {
      return readFileSync(`/proc/net/${name}`, 'utf8').trim().split('\n').filter(Boolean);
    } catch {
      return [];
    }
  });
  const nft = Bun.which('nft');
  if (nft === null) return legacy;
  const { stdout } = Bun.spawnSync([nft, '--stateless', 'list', 'ruleset'], { stderr: 'ignore' });
  return [...legacy, ...stdout.toString().split('\n').filter(Boolean)];
}

/** Compares category by category, as bags of lines. */
export function compareSnapshots(before: Snapshot, after: Snapshot): Difference[] {
  const categories = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...categories].map((category) => {
    const old = before[category] ?? [];
    const now = after[category] ?? [];
    const added = without(now, old);
    const missing = without(old, now);
    const ours = (line: string) => isSandboxLine(category, line);
    return {
      category,
      before: old.length,
      added: added.filter(ours),
      missing: missing.filter(ours),
      foreign: [...added, ...missing].filter((line) => !ours(line)),
    };
  });
}

/** Lines of `from` that are not in `taken`, counted. */
function without(from: readonly string[], taken: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const line of taken) left.set(line, (left.get(line) ?? 0) + 1);
  return from.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
}

/** A snapshot from its file's text, or undefined if it is none. */
export function parseSnapshot(text: string): Snapshot | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return undefined;
    const isLines = (lines: unknown) =>
      Array.isArray(lines) && lines.every((line) => typeof line === 'string');
    return Object.values(value).every(isLines) ? (value as Snapshot) : undefined;
  } catch {
    return undefined;
  }
}
