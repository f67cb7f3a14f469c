import { expect, test } from 'bun:test';
import type { IpcacheEntry, IpcacheKey } from '../../bpf/gen/layouts.ts';
import type { TypedMap } from '../../bpf/libbpf/typed-map.ts';
import { requirePrefix } from '../../net/prefix.ts';
import { reconcileIpcache } from './reconciler.ts';
import { ipcache } from './table.ts';

test('an address that is pruned has changed hands; nothing pruned, nothing told', async () => {
  for (const left of [['10.0.0.1/32', '10.0.0.2/32'], []]) {
    const keys = left.map((text) => ({
      prefixlen: 128,
      addr: requirePrefix(text).address.bytes,
    }));
    const deleted: IpcacheKey[] = [];
    const map = {
      entries: () => keys.map((key) => [key, undefined]),
      delete: (key: IpcacheKey) => deleted.push(key) > 0,
    };
    let told = 0;
    let pruned = 0;
    let asked = 0;
    const initialized = Promise.withResolvers<void>();
    using reconciler = reconcileIpcache(
      ipcache(),
      map as unknown as TypedMap<IpcacheKey, IpcacheEntry>,
      {
        initialized: initialized.promise,
        signal: new AbortController().signal,
        onChangedHands: () => told++,
        onPruned: () => pruned++,
      },
    );
    await Bun.sleep(1);
    expect(pruned).toBe(0);
    initialized.resolve();
    while (asked++ < 20) await Bun.sleep(0);
    expect([deleted.length, told]).toEqual([left.length, left.length > 0 ? 1 : 0]);
    expect(pruned).toBe(1);
    expect(reconciler.errors).toBe(0);
  }
});
