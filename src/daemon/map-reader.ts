/**
 * @module
 * The pinned maps as REST shows them: names, paths, entries. The text of an entry is that of the
 * debug commands' lists.
 */
import { metricDirection } from '../bpf/gen/constants.ts';
import type { TypedMap } from '../bpf/libbpf/typed-map.ts';
import { mapPath } from '../bpf/loader/bpffs.ts';
import type { DatapathMaps } from '../bpf/loader/objects.ts';
import { addressText } from '../bpf/map/address-text.ts';
import { ctKeyText, ctValueText, natText } from '../bpf/map/connection-text.ts';
import * as text from '../bpf/map/entry-text.ts';
import { jiffiesClock } from '../bpf/map/jiffies.ts';
import type { MapEntryText, MapReader } from './rest/context.ts';

/** One map: its entries as text, one by one, so that a caller may stop. */
interface Shown {
  readonly name: string;
  readonly entries: () => Iterable<MapEntryText>;
}

/** Entries that are counted for a list; a full conntrack table would hold the thread. */
const countMax = 65_536;

export function mapReader(root: string, maps: DatapathMaps): MapReader {
  const shown = new Map(shownMaps(maps).map((one) => [one.name, one]));
  return {
    names: [...shown.keys()].sort(),
    path: (name) => mapPath(root, name),
    count: (name) => [...first(shown.get(name)?.entries() ?? [], countMax)].length,
    entries(name, limit) {
      const map = shown.get(name);
      return map === undefined ? undefined : [...first(map.entries(), limit)];
    },
  };
}

function* first<T>(items: Iterable<T>, limit: number): IterableIterator<T> {
  let left = limit;
  for (const item of items) {
    if (left-- <= 0) return;
    yield item;
  }
}

function shownMaps(maps: DatapathMaps): Shown[] {
  return [
    show(maps.lxc, text.lxcKeyText, text.endpointText),
    show(maps.endpoints, (ifindex) => `ifindex=${ifindex}`, text.endpointText),
    show(maps.ipcache, text.ipcacheKeyText, text.ipcacheText),
    show(maps.identityClass, text.identityClassKeyText, text.identityClassText),
    show(maps.addressSets, text.ipcacheKeyText, text.addressSetText),
    show(maps.devices, (ifindex) => `ifindex=${ifindex}`, text.deviceText),
    show(maps.runtimeConfig, String, text.runtimeConfigText),
    {
      name: maps.policyConfig.spec.name,
      // Only slots in use: most policies of most nodes are not.
      *entries() {
        for (const [slot, value] of maps.policyConfig.entries()) {
          if (value.flags !== 0) yield { key: String(slot), value: text.policyConfigText(value) };
        }
      },
    },
    { name: maps.conntrack.spec.name, entries: () => connections(maps) },
    { name: maps.snat.spec.name, entries: () => translations(maps) },
    {
      name: maps.metrics.spec.name,
      *entries() {
        for (const { reason, direction, packets, bytes } of readMetrics(maps)) {
          const key = `reason:${reason} dir:${direction}`;
          yield { key, value: `count:${packets} bytes:${bytes}` };
        }
      },
    },
  ];
}

function show<Key, Value>(
  map: TypedMap<Key, Value>,
  keyText: (key: Key) => string,
  valueText: (value: Value) => string,
): Shown {
  return {
    name: map.spec.name,
    *entries() {
      for (const [key, value] of map.entries()) {
        yield { key: keyText(key), value: valueText(value) };
      }
    },
  };
}

function* connections({ conntrack }: DatapathMaps): IterableIterator<MapEntryText> {
  const clock = jiffiesClock();
  for (const [key, value] of conntrack.entries()) {
    yield { key: ctKeyText(key, value), value: ctValueText(value, clock) };
  }
}

/** As they leave; the way back is the same entry. */
function* translations({ devices, snat }: DatapathMaps): IterableIterator<MapEntryText> {
  const clock = jiffiesClock();
  const nodeAddresses = new Set(
    [...devices.entries()].flatMap(([, { ipv4, ipv6 }]) => [addressText(ipv4), addressText(ipv6)]),
  );
  for (const [key, value] of snat.entries()) yield natText(key, value, nodeAddresses, clock)[0];
}

const directionNames = new Map<number, string>(
  Object.entries(metricDirection).map(([name, value]) => [
    value,
    name.replace('METRIC_', '').toLowerCase(),
  ]),
);

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
