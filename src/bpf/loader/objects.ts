/**
 * @module
 * Loads the compiled objects with one set of maps among them: pinned ones are adopted as they are,
 * missing ones are created and pinned. Input: embedded objects, sizes, constants; output: programs
 * and open maps. What is already attached goes on running meanwhile.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { type DatapathConfig, datapathConfig } from '../gen/config.ts';
import * as specs from '../gen/maps.ts';
import { BpfMap, pinnedMapFits } from '../libbpf/map.ts';
import { BpfObject } from '../libbpf/object.ts';
import type { BpfProgram } from '../libbpf/program.ts';
import { TypedMap } from '../libbpf/typed-map.ts';
import { mapPath, mapsFolder } from './bpffs.ts';
import { type ObjectName, objectBytes } from './embedded.ts';

/** Entries of the maps that have an option; the others keep what C declares. */
export interface MapSizes {
  readonly conntrack: number;
  readonly nat: number;
  readonly policyEntries: number;
  readonly endpoints: number;
}

export type Constants = Partial<DatapathConfig>;

/** The open maps. Descriptors stay open as long as the agent lives. */
export type DatapathMaps = ReturnType<typeof openMaps>;

export interface DatapathPrograms {
  readonly fromContainer: BpfProgram;
  readonly toContainer: BpfProgram;
  readonly fromNetdev: BpfProgram;
  /** Only for a host firewall; without one it lets everything pass. */
  readonly toNetdev: BpfProgram;
  /** Loaded when it is asked for: an iterator needs the kernel's types, which take some 20 ms to read. */
  readonly ctSweep: BpfProgram;
}

export interface LoadedDatapath {
  readonly maps: DatapathMaps;
  readonly programs: DatapathPrograms;
  /** Pinned maps that another layout or size made unusable: what they held is gone. */
  readonly replaced: readonly string[];
  readonly adopted: boolean;
}

/** The size of a declared map, where it has an option. */
function sizeOf(name: string, sizes: MapSizes): number | undefined {
  switch (name) {
    case specs.ciliumCtGlobal.name:
      return sizes.conntrack;
    case specs.ciliumSnat.name:
      return sizes.nat;
    case specs.ciliumEndpoints.name:
      return sizes.endpoints;
    case specs.ciliumLxc.name:
      return sizes.endpoints * 2;
    default:
      return undefined;
  }
}

/** Throws a VerifierError or KernelError; then nothing is attached that was not before. */
export function loadObjects(root: string, sizes: MapSizes, constants: Constants): LoadedDatapath {
  mkdirSync(mapsFolder(root), { recursive: true, mode: 0o700 });
  const { replaced, kept } = settlePinnedMaps(root, sizes);
  const open = (name: ObjectName) => openObject(name, root, sizes, kept, constants);
  const [lxc, host] = [open('bpf_lxc'), open('bpf_host')];
  for (const object of [lxc, host]) object.load();
  let sweep: BpfProgram | undefined;
  const loadSweep = () => {
    const object = open('bpf_ct');
    object.load();
    return object.program('cil_ct_sweep');
  };
  return {
    maps: openMaps(lxc),
    programs: {
      fromContainer: lxc.program('cil_from_container'),
      toContainer: lxc.program('cil_to_container'),
      fromNetdev: host.program('cil_from_netdev'),
      toNetdev: host.program('cil_to_netdev'),
      get ctSweep() {
        sweep ??= loadSweep();
        return sweep;
      },
    },
    replaced,
    adopted: kept.size > 0,
  };
}

/**
 * Removes pins of maps that this build cannot use. One of another size only is kept: running
 * connections are worth more than a new limit, which comes with the next clean start.
 */
function settlePinnedMaps(root: string, sizes: MapSizes) {
  const replaced: string[] = [];
  const kept = new Map<string, number>();
  for (const shape of specs.allMaps) {
    const path = mapPath(root, shape.name);
    const wanted = { ...shape, maxEntries: sizeOf(shape.name, sizes) ?? shape.maxEntries };
    const fit = pinnedMapFits(path, wanted);
    if (fit === 'absent') continue;
    using map = BpfMap.openPinned(path);
    if (
      fit === 'fits' ||
      pinnedMapFits(path, { ...wanted, maxEntries: map.maxEntries }) === 'fits'
    ) {
      kept.set(shape.name, map.maxEntries);
    } else {
      rmSync(path);
      replaced.push(shape.name);
    }
  }
  return { replaced, kept };
}

function openObject(
  name: ObjectName,
  root: string,
  sizes: MapSizes,
  kept: ReadonlyMap<string, number>,
  constants: Constants,
): BpfObject {
  const object = BpfObject.open(name, objectBytes(name));
  for (const { name: map } of specs.allMaps) {
    const entries = kept.get(map) ?? sizeOf(map, sizes);
    if (entries !== undefined) object.setMaxEntries(map, entries);
    object.setPinPath(map, mapPath(root, map));
  }
  object.configure(datapathConfig, constants);
  return object;
}

function openMaps(object: BpfObject) {
  const outer = object.map(specs.ciliumPolicyV2.name);
  return {
    endpoints: object.typedMap(specs.ciliumEndpoints),
    lxc: object.typedMap(specs.ciliumLxc),
    ipcache: object.typedMap(specs.ciliumIpcacheV2),
    addressSets: object.typedMap(specs.ciliumAddressSets),
    identityClass: object.typedMap(specs.ciliumIdentityClass),
    policyConfig: object.typedMap(specs.ciliumPolicyConfig),
    policy: outer,
    conntrack: object.typedMap(specs.ciliumCtGlobal),
    snat: object.typedMap(specs.ciliumSnat),
    devices: object.typedMap(specs.ciliumDevices),
    runtimeConfig: object.typedMap(specs.ciliumRuntimeConfig),
    metrics: object.typedMap(specs.ciliumMetrics),
    events: object.map(specs.ciliumEvents.name),
    eventsLost: object.typedMap(specs.ciliumEventsLost),
  };
}

/** Opens a pinned map by its spec, for readers that load nothing. */
export function openPinnedMap<Key, Value>(
  root: string,
  spec: Parameters<typeof TypedMap.openPinned<Key, Value>>[1],
): TypedMap<Key, Value> {
  return TypedMap.openPinned(mapPath(root, spec.name), spec);
}

/** Runs a function with the program that reads the kernel's clocks, which needs nothing else. */
export function withClockProgram<T>(use: (program: BpfProgram) => T): T {
  using object = BpfObject.open('bpf_clock', objectBytes('bpf_clock'));
  object.load();
  return use(object.program('cil_clock'));
}
