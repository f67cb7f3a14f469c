/**
 * @module
 * Table `ipcache` → cilium_ipcache_v2. An address that changes hands makes established connections
 * be judged again.
 */
import { ipcacheFlags } from '../../bpf/gen/constants.ts';
import type { IpcacheEntry, IpcacheKey } from '../../bpf/gen/layouts.ts';
import type { TypedMap } from '../../bpf/libbpf/typed-map.ts';
import { Reconciler } from '../../kv/reconciler.ts';
import type { Table } from '../../kv/table.ts';
import { formatPrefix, mappedLength, prefixFromMapped, requirePrefix } from '../../net/prefix.ts';
import type { IpcacheRow } from './table.ts';

const noTunnel = new Uint8Array(16);

function encodeKey(prefix: string): IpcacheKey {
  const parsed = requirePrefix(prefix);
  // The world of IPv6 is everything, that of IPv4 everything mapped.
  return { prefixlen: mappedLength(parsed), addr: parsed.address.bytes };
}

function encodeEntry(row: IpcacheRow): IpcacheEntry {
  const flags =
    (row.host ? ipcacheFlags.IPCACHE_HOST : 0) |
    (row.unroutable ? ipcacheFlags.IPCACHE_UNROUTABLE : 0);
  return { identity: row.identity, tunnelEndpoint: noTunnel, flags };
}

export function reconcileIpcache(
  table: Table<IpcacheRow>,
  map: TypedMap<IpcacheKey, IpcacheEntry>,
  options: {
    readonly initialized: Promise<unknown>;
    readonly signal: AbortSignal;
    readonly onChangedHands: () => void;
    /** The kernel holds no address of an earlier agent that this one does not know. */
    readonly onPruned: () => void;
  },
): Reconciler<IpcacheRow> {
  return new Reconciler<IpcacheRow>({
    table,
    initialized: options.initialized,
    signal: options.signal,
    setStatus: (row, status) => ({ ...row, status }),
    unchanged: (a, b) =>
      a.identity === b.identity && a.host === b.host && a.unroutable === b.unroutable,
    target: {
      update(row) {
        const key = encodeKey(row.prefix);
        const before = map.lookup(key);
        const entry = encodeEntry(row);
        map.update(key, entry);
        if (before !== undefined && before.identity !== entry.identity) options.onChangedHands();
      },
      delete(prefix) {
        if (map.delete(encodeKey(prefix))) options.onChangedHands();
      },
      prune(prefixes) {
        let removed = 0;
        for (const [key] of [...map.entries()]) {
          if (prefixes.has(formatPrefix(prefixFromMapped(key.addr, key.prefixlen)))) continue;
          if (map.delete(key)) removed++;
        }
        if (removed > 0) options.onChangedHands();
        options.onPruned();
      },
    },
  });
}
