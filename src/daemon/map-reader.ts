/**
 * @module
 * The pinned maps as text, for REST's `/map` and `cilium dbg map`. Input: the open maps; output:
 * names, paths, entries. The text of an entry is that of the debug commands' tables.
 */
import { metricDirection } from '../bpf/gen/constants.ts';
import type { TypedMap } from '../bpf/libbpf/typed-map.ts';
import { mapPath } from '../bpf/loader/bpffs.ts';
import type { DatapathMaps } from '../bpf/loader/objects.ts';
import { formatAddressBytes } from '../net/address.ts';
import { formatPrefix, prefixFromMapped } from '../net/prefix.ts';
import type { MapEntryText, MapReader } from './rest/context.ts';

type Walk = (limit: number) => MapEntryText[];

export function mapReader(root: string, maps: DatapathMaps): MapReader {
  const walks = new Map<string, Walk>([
    [
      maps.lxc.spec.name,
      walk(
        maps.lxc,
        formatAddress,
        (value) =>
          `id=${value.id} sec_id=${value.identity} ifindex=${value.ifindex} policy=${value.policyId}`,
      ),
    ],
    [
      maps.endpoints.spec.name,
      walk(
        maps.endpoints,
        String,
        (value) =>
          `id=${value.id} sec_id=${value.identity} ipv4=${formatAddress(value.ipv4)} ipv6=${formatAddress(value.ipv6)}`,
      ),
    ],
    [
      maps.ipcache.spec.name,
      walk(
        maps.ipcache,
        (key) => formatPrefix(prefixFromMapped(key.addr, key.prefixlen)),
        (value) =>
          `identity=${value.identity} encryptkey=0 tunnelendpoint=0.0.0.0 flags=${value.flags}`,
      ),
    ],
    [
      maps.identityClass.spec.name,
      walk(
        maps.identityClass,
        (key) => `identity=${key.identity} set=${key.addressSet}`,
        (value) => `class=${value.classId.join('/')}`,
      ),
    ],
    [
      maps.devices.spec.name,
      walk(
        maps.devices,
        String,
        (value) => `ipv4=${formatAddress(value.ipv4)} ipv6=${formatAddress(value.ipv6)}`,
      ),
    ],
    [
      maps.conntrack.spec.name,
      walk(
        maps.conntrack,
        (key) => `${key.proto} ${key.addr.map(formatAddress).join(' ')} ${key.port.join(' ')}`,
        (value) =>
          `identities=${value.identity.join('/')} flags=0x${value.flags.toString(16)} epoch=${value.epoch}`,
      ),
    ],
    [
      maps.snat.spec.name,
      walk(
        maps.snat,
        (key) => `${key.proto} ${key.addr.map(formatAddress).join(' ')} ${key.port.join(' ')}`,
        (value) => `${formatAddress(value.addr)} port=${value.port} endpoint=${value.endpointId}`,
      ),
    ],
    [maps.metrics.spec.name, (limit) => metricEntries(maps, limit)],
    [maps.policyConfig.spec.name, (limit) => policyEntries(maps, limit)],
    [
      maps.runtimeConfig.spec.name,
      walk(maps.runtimeConfig, String, (value) => `epoch=${value.epoch} flags=${value.flags}`),
    ],
  ]);
  return {
    names: [...walks.keys()].sort(),
    path: (name) => mapPath(root, name),
    entries: (name, limit) => walks.get(name)?.(limit),
  };
}

function formatAddress(bytes: Uint8Array): string {
  return formatAddressBytes(bytes, 0);
}

function walk<Key, Value>(
  map: TypedMap<Key, Value>,
  key: (key: Key) => string,
  value: (value: Value) => string,
): Walk {
  return (limit) => {
    const found: MapEntryText[] = [];
    for (const entry of map.entries()) {
      if (found.length >= limit) break;
      found.push({ key: key(entry[0]), value: value(entry[1]) });
    }
    return found;
  };
}

const directionNames = new Map<number, string>(
  Object.entries(metricDirection).map(([name, value]) => [
    value,
    name.replace('METRIC_', '').toLowerCase(),
  ]),
);

function metricEntries(maps: DatapathMaps, limit: number): MapEntryText[] {
  const found: MapEntryText[] = [];
  for (const { reason, direction, packets, bytes } of readMetrics(maps)) {
    if (found.length >= limit) break;
    found.push({
      key: `reason:${reason} dir:${direction}`,
      value: `count:${packets} bytes:${bytes}`,
    });
  }
  return found;
}

/** Only slots in use: most policies of most nodes are not. */
function policyEntries(maps: DatapathMaps, limit: number): MapEntryText[] {
  const found: MapEntryText[] = [];
  for (const [slot, { flags, denyCookie }] of maps.policyConfig.entries()) {
    if (flags === 0) continue;
    if (found.length >= limit) break;
    found.push({
      key: String(slot),
      value: `flags=0x${flags.toString(16)} deny=${denyCookie.join('/')}`,
    });
  }
  return found;
}

export interface DatapathCount {
  /** 0: forwarded. */
  readonly reason: number;
  readonly direction: string;
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** The counters of all CPUs together, those that have counted anything. */
export function* readMetrics(maps: DatapathMaps): IterableIterator<DatapathCount> {
  for (const [index, values] of maps.metrics.entriesPerCpu()) {
    let [packets, bytes] = [0n, 0n];
    for (const value of values) {
      packets += value.packets;
      bytes += value.bytes;
    }
    if (packets === 0n) continue;
    const direction = directionNames.get(index & 3) ?? 'unknown';
    yield { reason: index >> 2, direction, packets, bytes };
  }
}
