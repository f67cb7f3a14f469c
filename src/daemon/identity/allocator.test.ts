import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { firstChoice, IdentityAllocator } from './allocator.ts';
import { identities, identityId, identityInit, identityMax, identityMin } from './table.ts';

function start() {
  const table = identities();
  return { table, allocator: new IdentityAllocator(table) };
}

/** Other labels whose first choice is the number. */
function rivalOf(id: number): string[] {
  for (let at = 0; ; at++) if (firstChoice([`k8s:b=${at}`]) === id) return [`k8s:b=${at}`];
}

describe('identity allocator', () => {
  test('the same labels in any order are one identity, counted', () => {
    const { table, allocator } = start();
    const one = allocator.allocate(['k8s:b=2', 'k8s:a=1']);
    const two = allocator.allocate(['k8s:a=1', 'k8s:b=2']);
    if (one.kind !== 'allocated' || two.kind !== 'allocated') throw new Error('exhausted');
    expect(two.id).toBe(one.id);
    expect([one.created, two.created]).toEqual([true, false]);
    expect(one.id).toBe(firstChoice(['k8s:a=1', 'k8s:b=2']));
    allocator.release(one.id);
    expect(table.get(one.id)?.refCount).toBe(1);
    allocator.release(one.id);
    expect(table.get(one.id)).toBeUndefined();
    allocator.release(one.id);
  });

  test('reserved labels are reserved identities, which stay', () => {
    const { table, allocator } = start();
    expect(allocator.allocate(['reserved:init'])).toMatchObject({ id: identityInit });
    expect(allocator.allocate(['reserved:init', 'k8s:app=x'])).toMatchObject({ id: identityInit });
    allocator.release(identityInit);
    allocator.release(identityInit);
    expect(table.get(identityInit)?.refCount).toBe(0);
  });

  test('restore takes the number it is given, or says why not', () => {
    const { allocator } = start();
    const id = identityId(300);
    expect(allocator.restore(id, ['k8s:a=1'])).toEqual({ kind: 'restored', id });
    expect(allocator.restore(id, ['k8s:a=1']).kind).toBe('restored');
    expect(allocator.restore(id, ['k8s:a=2']).kind).toBe('conflict');
    expect(allocator.restore(identityId(301), ['k8s:a=1']).kind).toBe('conflict');
    expect(allocator.restore(identityId(70000), ['k8s:c=1']).kind).toBe('conflict');
    expect(allocator.allocate(['k8s:a=1'])).toMatchObject({ id, created: false });
  });

  test('a number that was given back is for the same labels alone, for a while', () => {
    let now = 0;
    const table = identities();
    const allocator = new IdentityAllocator(table, () => now);
    const id = firstChoice(['k8s:a=1']);
    const others = Array.from({ length: 200_000 }, (_, at) => [`k8s:b=${at}`]);
    const rival = others.find((labels) => firstChoice(labels) === id) ?? [];
    expect(allocator.allocate(['k8s:a=1'])).toMatchObject({ id });
    allocator.release(id);
    const next = allocator.allocate(rival);
    expect(next).toMatchObject({ id: id + 1 });
    expect(allocator.allocate(['k8s:a=1'])).toMatchObject({ id });
    allocator.release(id);
    allocator.release(identityId(id + 1));
    now = 10_000;
    expect(allocator.allocate(rival)).toMatchObject({ id });
  });

  test('numbers of an earlier agent rest until the kernel is rid of them, however long a start takes', () => {
    let now = 0;
    const labels = ['k8s:a=1'];
    const id = firstChoice(labels);
    const rival = rivalOf(id);
    const earlier = new Map([[id, rival]]);
    const allocator = new IdentityAllocator(identities(), () => now, earlier);
    now += 60_000;
    expect(allocator.allocate(labels)).toMatchObject({ id: id + 1 });
    allocator.release(identityId(id + 1));
    allocator.endEarlier();
    now += 4_000;
    expect(allocator.allocate(labels)).toMatchObject({ id: id + 1 });
    allocator.release(identityId(id + 1));
    now += 6_000;
    expect(allocator.allocate(labels)).toMatchObject({ id });
  });

  test('a number by which somebody may still be met does not come to an end of its rest', () => {
    let now = 0;
    let isKept = true;
    const allocator = new IdentityAllocator(
      identities(),
      () => now,
      undefined,
      () => isKept,
    );
    const labels = ['k8s:a=1'];
    const id = firstChoice(labels);
    const rival = rivalOf(id);
    expect(allocator.allocate(labels)).toMatchObject({ id });
    allocator.release(id);
    now += 60_000;
    expect(allocator.allocate(rival)).toMatchObject({ id: id + 1 });
    allocator.release(identityId(id + 1));
    isKept = false;
    expect(allocator.allocate(rival)).toMatchObject({ id: id + 1 });
    allocator.release(identityId(id + 1));
    now += 6_000;
    expect(allocator.allocate(rival)).toMatchObject({ id });
  });

  test('two label sets never share a number', () => {
    const op = fc.record({ add: fc.boolean(), label: fc.integer({ min: 0, max: 30 }) });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 100 }), (ops) => {
        const { table, allocator } = start();
        const held = new Map<number, number[]>();
        for (const { add, label } of ops) {
          const ids = held.get(label) ?? [];
          held.set(label, ids);
          if (add) {
            const result = allocator.allocate([`k8s:n=${label}`]);
            if (result.kind === 'allocated') ids.push(result.id);
          } else {
            const id = ids.pop();
            if (id !== undefined) allocator.release(identityId(id));
          }
        }
        const live = [...held.values()].filter((ids) => ids.length > 0);
        expect(new Set(live.flat()).size).toBe(live.length);
        expect([...table.all()].filter((row) => !row.reserved).length).toBe(live.length);
      }),
      { numRuns: 50 },
    );
  });

  test('exhaustion is said, and ends with a release', () => {
    const { allocator } = start();
    for (let id = identityMin; id <= identityMax; id++) {
      allocator.restore(identityId(id), [`k8s:n=${id}`]);
    }
    expect(allocator.allocate(['k8s:one=more']).kind).toBe('exhausted');
    allocator.release(identityId(5000));
    expect(allocator.allocate(['k8s:one=more'])).toMatchObject({ kind: 'allocated', id: 5000 });
  });
});
