/**
 * @module
 * The agent's datapath: bpffs, maps, programs, and the switches that go with the configuration.
 * Input: AgentConfig and the gateway addresses; output: open maps, programs and attachments. What
 * an earlier agent left goes on running until it is replaced piece by piece.
 */
import { totalmem } from 'node:os';
import { probe } from '../bpf/libbpf/probe.ts';
import { type AttachMode, Attachments } from '../bpf/loader/attachment.ts';
import { ensureBpffs } from '../bpf/loader/bpffs.ts';
import { healGracePeriods } from '../bpf/loader/grace-period.ts';
import {
  type LoadedDatapath,
  loadObjects,
  type MapSizes,
  withClockProgram,
} from '../bpf/loader/objects.ts';
import { RuntimeConfig } from '../bpf/map/runtime-config.ts';
import type { Address } from '../net/address.ts';
import { tryReadSysctl } from '../net/sysctl.ts';
import { measureHz, readClock } from './conntrack/clock.ts';
import { worldIdentity } from './identity/table.ts';
import type { AgentConfig } from './runtime/config.ts';

export interface Datapath extends LoadedDatapath {
  readonly attachments: Attachments;
  readonly attachMode: AttachMode;
  readonly runtime: RuntimeConfig;
  /** Jiffies in a second, in which conntrack counts. */
  readonly hz: number;
  readonly sizes: MapSizes;
}

/** Bytes of kernel memory that an entry of conntrack and of the NAT table takes, measured. */
const conntrackEntryBytes = 168;
const natEntryBytes = 152;
/** Of the memory that `bpf-map-dynamic-size-ratio` grants. */
const conntrackShare = 0.75;
const conntrackMin = 1 << 17;
const natMin = 1 << 16;
const entriesMax = 1 << 24;

/** Sizes by the share of memory, unless an option names them. */
export function mapSizes(config: AgentConfig, memoryBytes = totalmem()): MapSizes {
  const budget = memoryBytes * config.bpfMapDynamicSizeRatio;
  const within = (entries: number, min: number) =>
    Math.max(min, Math.min(entriesMax, Math.floor(entries)));
  const given = (option: string) => config.explicit.has(option);
  const conntrack =
    given('bpf-ct-global-tcp-max') || given('bpf-ct-global-any-max')
      ? config.bpfCtGlobalTcpMax + config.bpfCtGlobalAnyMax
      : within((budget * conntrackShare) / conntrackEntryBytes, conntrackMin);
  const nat = given('bpf-nat-global-max')
    ? config.bpfNatGlobalMax
    : within((budget * (1 - conntrackShare)) / natEntryBytes, natMin);
  return {
    conntrack,
    nat,
    policyEntries: config.bpfPolicyMapMax,
    endpoints: config.bpfEndpointMapMax,
  };
}

/** Ports for translation, beside those that the node's own connections are given. */
const natPortsMin = 1024;
const portMax = 65_535;
const portMin = 1024;

/** The range above the node's own ephemeral ports, or where that is too small, the one below. */
export function natPorts(ephemeral: string | undefined): {
  natPortMin: number;
  natPortMax: number;
} {
  const [low = 32_768, high = 60_999] = (ephemeral ?? '').split(/\s+/).filter(Boolean).map(Number);
  if (portMax - high >= natPortsMin) {
    return { natPortMin: high + 1, natPortMax: portMax };
  }
  if (low - portMin >= natPortsMin) return { natPortMin: portMin, natPortMax: low - 1 };
  return { natPortMin: portMax - natPortsMin, natPortMax: portMax };
}

export function openDatapath(config: AgentConfig, routers: readonly Address[]): Datapath {
  ensureBpffs(config.bpfRoot);
  healGracePeriods();
  const sizes = mapSizes(config);
  const isDualStack = new Set(routers.map(({ family }) => family)).size === 2;
  const router = (family: 4 | 6) =>
    routers.find((address) => address.family === family)?.bytes ?? new Uint8Array(16);
  const hz = withClockProgram((program) => measureHz(() => readClock(program)));
  const loaded = loadObjects(config.bpfRoot, sizes, {
    routerIpv4: router(4),
    routerIpv6: router(6),
    worldIdentityIpv4: worldIdentity(4, isDualStack),
    worldIdentityIpv6: worldIdentity(6, isDualStack),
    hostFirewall: config.enableHostFirewall ? 1 : 0,
    allowFragNeeded: config.allowIcmpFragNeeded ? 1 : 0,
    cidrMatchesNodes: config.policyCidrMatchesNodes ? 1 : 0,
    masqueradeIpv4: config.enableIpv4Masquerade ? 1 : 0,
    masqueradeIpv6: config.enableIpv6Masquerade ? 1 : 0,
    ...natPorts(tryReadSysctl('net.ipv4.ip_local_port_range')),
    ...lifetimes(config, hz),
  });
  const runtime = new RuntimeConfig(loaded.maps.runtimeConfig.map);
  const attachMode: AttachMode = config.enableTcx && probe('tcx') === 'yes' ? 'tcx' : 'tc';
  return {
    ...loaded,
    attachments: new Attachments(config.bpfRoot, attachMode, loaded.adopted),
    attachMode,
    runtime,
    hz,
    // A pinned map that is adopted keeps its size.
    sizes: {
      ...sizes,
      conntrack: loaded.maps.conntrack.map.maxEntries,
      nat: loaded.maps.snat.map.maxEntries,
      endpoints: loaded.maps.endpoints.map.maxEntries,
    },
  };
}

function lifetimes(config: AgentConfig, hz: number) {
  const jiffies = (milliseconds: number) => Math.max(1, Math.round((milliseconds / 1000) * hz));
  const [tcp, syn, fin, any] = [
    jiffies(config.bpfCtTimeoutRegularTcpMs),
    jiffies(config.bpfCtTimeoutRegularTcpSynMs),
    jiffies(config.bpfCtTimeoutRegularTcpFinMs),
    jiffies(config.bpfCtTimeoutRegularAnyMs),
  ];
  return { ctTcp: tcp, ctTcpSyn: syn, ctTcpFin: fin, ctAny: any, ctFresh: Math.min(tcp, syn, any) };
}
