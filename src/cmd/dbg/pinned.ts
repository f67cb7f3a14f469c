/**
 * @module Reading of pinned maps for the debug commands: whole maps, as bytes. Input: the maps that
 * the agent pinned below its bpffs. Nothing is written.
 */
import type { Layout } from '../../bpf/libbpf/layout.ts';
import { BpfMap } from '../../bpf/libbpf/map.ts';
import { isKernelError } from '../../net/kernel-error.ts';

/** An entry as the kernel holds it. */
export interface RawRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

function pinPath(bpfRoot: string, name: string): string {
  return `${bpfRoot}/tc/globals/${name}`;
}

/** Entries of a pinned map. Throws when it is not there. */
export function readPinned(bpfRoot: string, name: string): RawRow[] {
  using map = openMap(bpfRoot, name);
  return rowsOf(map);
}

/** Entries of the map in a slot of a map of maps; none when the slot is empty. */
export function readInner(bpfRoot: string, name: string, slot: number): RawRow[] {
  using outer = openMap(bpfRoot, name);
  const id = outer.lookup(new Uint8Array(new Uint32Array([slot]).buffer));
  if (id === undefined) return [];
  using inner = BpfMap.openId(viewOf(id).getUint32(0, true));
  return rowsOf(inner);
}

function openMap(bpfRoot: string, name: string): BpfMap {
  const path = pinPath(bpfRoot, name);
  try {
    return BpfMap.openPinned(path);
  } catch (error) {
    if (isKernelError(error, 'EPERM', 'EACCES')) {
      throw new Error(`open map ${path}: permission denied\nReading maps takes root.`);
    }
    if (!isKernelError(error, 'ENOENT')) throw error;
    throw new Error(
      `open map ${path}: no such file or directory\n` +
        'Is the agent running? It says where its maps are, and nothing else remembers it: ' +
        'without it name its bpffs with --bpf-root or CILIUM_BPF_ROOT.',
    );
  }
}

/** The walk hands out views that hold for one step only. */
function rowsOf(map: BpfMap): RawRow[] {
  const rows: RawRow[] = [];
  for (const { key, value } of map.entries()) rows.push({ key: key.slice(), value: value.slice() });
  return rows;
}

/** Values decoded by their layout; keys stay bytes. */
export function decodeRows<Value>(
  rows: readonly RawRow[],
  layout: Layout<Value>,
): { key: Uint8Array; value: Value }[] {
  return rows.map(({ key, value }) => ({ key, value: layout.decode(viewOf(value)) }));
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
