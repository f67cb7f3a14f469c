import { expect, test } from 'bun:test';
import type { BpfMap } from '../libbpf/map.ts';
import { installPolicyMaps } from './policy.ts';

test('maps are in their slots when it resolves, also where the last slot has its map already', async () => {
  const held = new Map([
    [1, 100],
    [2, 200],
  ]);
  // Descriptors and numbers of maps are the same here.
  const outer = {
    lookupInto(key: Uint8Array, value: Uint8Array) {
      const [slot = 0] = new Uint32Array(key.buffer);
      new Uint32Array(value.buffer)[0] = held.get(slot) ?? 0;
      return held.has(slot);
    },
    async updateBatchAsync(keys: Uint8Array, values: Uint8Array, count: number) {
      const [slots, fds] = [new Uint32Array(keys.buffer), new Uint32Array(values.buffer)];
      await Bun.sleep(20);
      for (let at = 0; at < count; at++) held.set(slots[at] ?? 0, fds[at] ?? 0);
    },
  } as unknown as BpfMap;
  const map = (id: number) => ({ id, fd: id }) as BpfMap;
  const { settled } = await installPolicyMaps(outer, [
    { slot: 1, map: map(101) },
    { slot: 2, map: map(200) },
  ]);
  expect([...held]).toEqual([
    [1, 101],
    [2, 200],
  ]);
  await settled;
});
