/**
 * @module
 * The kinds of maps that the datapath uses, numbered as in the kernel's
 * enum bpf_map_type.
 */
export const mapType = {
  hash: 1,
  array: 2,
  progArray: 3,
  percpuHash: 5,
  percpuArray: 6,
  lruHash: 9,
  lruPercpuHash: 10,
  lpmTrie: 11,
  arrayOfMaps: 12,
  hashOfMaps: 13,
  ringbuf: 27,
} as const;

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(mapType).map(([name, value]) => [value, name]),
);

/** For messages and tables: "lruHash", or "type 40" for a kind that is not used here. */
export function mapTypeName(type: number): string {
  return names.get(type) ?? `type ${type}`;
}

/** Whether every key has one value per possible CPU. */
export function isPerCpu(type: number): boolean {
  return (
    type === mapType.percpuHash || type === mapType.percpuArray || type === mapType.lruPercpuHash
  );
}

/** Whether the map has a fixed slot for every index, so that keys are never absent. */
export function isArray(type: number): boolean {
  return (
    type === mapType.array ||
    type === mapType.percpuArray ||
    type === mapType.progArray ||
    type === mapType.arrayOfMaps
  );
}
