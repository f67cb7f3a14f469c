/**
 * @module
 * The door to libbpf against the running kernel: needs root. Programs and maps
 * are those of src/bpf/test/fixture.c.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { u32Layout, u64Layout } from '../../src/bpf/libbpf/layout.ts';
import { attachClsact, BpfLink, detachClsact, queryClsact } from '../../src/bpf/libbpf/link.ts';
import { BpfMap, pinnedMapFits } from '../../src/bpf/libbpf/map.ts';
import { mapType } from '../../src/bpf/libbpf/map-type.ts';
import { BpfObject } from '../../src/bpf/libbpf/object.ts';
import { probeAll } from '../../src/bpf/libbpf/probe.ts';
import { RingBufferReader } from '../../src/bpf/libbpf/ring-buffer.ts';
import { VerifierError } from '../../src/bpf/libbpf/verifier-error.ts';
import { MNT_DETACH, mount, unmount } from '../../src/net/libc.ts';

const answerConfig = {
  size: 10,
  encode(config: { answer?: number }, view: DataView) {
    if (config.answer !== undefined) view.setUint32(0, config.answer, true);
  },
};

const countsShape = {
  name: 'fixture_counts',
  type: mapType.hash,
  keySize: 4,
  valueSize: 8,
  maxEntries: 4096,
  flags: 0,
  pinned: false,
  key: u32Layout,
  value: u64Layout,
};

const packet = new Uint8Array(64);
let bytes: Uint8Array;
let bpffs: string;

beforeAll(async () => {
  bytes = await Bun.file(join(import.meta.dir, '../../dist/bpf/test/fixture.o')).bytes();
  bpffs = mkdtempSync('/tmp/cilium-test-bpffs-');
  mount('bpf', bpffs, 'bpf', 0);
});

afterAll(() => {
  unmount(bpffs, MNT_DETACH);
  rmSync(bpffs, { recursive: true });
});

function loaded(): BpfObject {
  const object = BpfObject.open('fixture', bytes);
  object.load();
  return object;
}

describe('object', () => {
  test('names its maps and programs', () => {
    using object = loaded();
    expect(object.programNames()).toContain('fixture_emit');
    expect(object.mapNames()).toContain('fixture_outer');
    expect(() => object.map('absent')).toThrow('fixture has no map absent');
  });

  test('constants are seen by the program', () => {
    using object = BpfObject.open('fixture', bytes);
    object.configure(answerConfig, { answer: 41 });
    object.load();
    const context = new Uint8Array(8);
    new DataView(context.buffer).setUint32(0, 1, true);
    object.program('fixture_add').testRun({ context });
    expect(new DataView(context.buffer).getUint32(4, true)).toBe(42);
  });

  test('a pinned map is adopted by the next object', () => {
    const path = join(bpffs, 'counts');
    const ids = [0, 1].map(() => {
      using object = BpfObject.open('fixture', bytes);
      object.setMaxEntries('fixture_counts', 100);
      object.setPinPath('fixture_counts', path);
      object.load();
      using map = object.map('fixture_counts');
      expect(map.maxEntries).toBe(100);
      return map.id;
    });
    expect(ids[0]).toBe(ids[1]!);
    expect(pinnedMapFits(path, { ...countsShape, maxEntries: 100 })).toBe('fits');
    expect(pinnedMapFits(path, countsShape)).toBe('differs');
    expect(pinnedMapFits(join(bpffs, 'none'), countsShape)).toBe('absent');
  });

  test('a refused program is one readable line, with the log kept', () => {
    using object = BpfObject.open('fixture', bytes);
    object.setAutoload('fixture_refused', true);
    let error: unknown;
    try {
      object.load();
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(VerifierError);
    const refused = error as VerifierError;
    expect(refused.message).toStartWith(
      'load fixture_refused: EACCES (R1 offset is outside of the packet',
    );
    expect(refused.message).not.toContain('\n');
    expect(refused.log).toContain('processed');
  });

  test('bytes that are no object', () => {
    expect(() => BpfObject.open('junk', new Uint8Array(100))).toThrow('open object junk');
  });
});

describe('map', () => {
  test('entries one by one and in batches', () => {
    using object = loaded();
    using counts = object.typedMap(countsShape);
    expect(counts.lookup(1)).toBeUndefined();
    counts.update(1, 10n);
    expect(counts.lookup(1)).toBe(10n);
    expect(counts.delete(1)).toBe(true);
    expect(counts.delete(1)).toBe(false);

    const pairs = Array.from({ length: 3000 }, (_, index) => [index, BigInt(index) * 2n] as const);
    counts.updateAll(pairs);
    const read = [...counts.entries()].sort(([a], [b]) => a - b);
    expect(read).toEqual(pairs.map(([key, value]) => [key, value]));
    counts.deleteAll([0, 1, 2, 9999]);
    expect([...counts.entries()]).toHaveLength(2997);
    for (const [key] of counts.entries()) counts.delete(key);
    expect([...counts.entries()]).toHaveLength(0);
  });

  test('full is ENOSPC or E2BIG, by name', () => {
    using small = BpfMap.create({ ...countsShape, name: 'small', maxEntries: 1 });
    small.update(new Uint8Array([1, 0, 0, 0]), new Uint8Array(8));
    expect(() => small.update(new Uint8Array([2, 0, 0, 0]), new Uint8Array(8))).toThrow(
      'update small: E2BIG',
    );
  });

  test('outer map: slots are swapped in another thread', async () => {
    using object = loaded();
    using outer = object.map('fixture_outer');
    using inner = BpfMap.create({
      ...countsShape,
      ...{ name: 'inner', type: mapType.lpmTrie, keySize: 8, valueSize: 4 },
      ...{ maxEntries: 16, flags: 1 },
    });
    const slots = new Uint32Array([3, 4, 5]);
    const fds = new Uint32Array([inner.fd, inner.fd, inner.fd]);
    await outer.updateBatchAsync(new Uint8Array(slots.buffer), new Uint8Array(fds.buffer), 3);
    const held = outer.lookup(new Uint8Array(new Uint32Array([4]).buffer));
    expect(new Uint32Array(held!.buffer)[0]).toBe(inner.id);
    fds[0] = 1_000_000;
    const failed = outer.updateBatchAsync(
      new Uint8Array(slots.buffer),
      new Uint8Array(fds.buffer),
      3,
    );
    await expect(failed).rejects.toThrow('update 3 entries of fixture_outer: EBADF');
  });

  test('a trie, which has keys in an order of its own, is walked', () => {
    using trie = BpfMap.create({
      ...countsShape,
      ...{ name: 'trie', type: mapType.lpmTrie, keySize: 8, flags: 1 },
    });
    for (let prefix = 0; prefix <= 32; prefix++) {
      trie.update(new Uint8Array([prefix, 0, 0, 0, 10, 0, 0, 0]), new Uint8Array(8));
    }
    const prefixes = [...trie.entries()].map(({ key }) => key[0]!);
    expect(prefixes.sort((a, b) => a - b)).toEqual(Array.from({ length: 33 }, (_, i) => i));
  });

  test('memory of an array is live', () => {
    using object = loaded();
    using shared = object.map('fixture_shared');
    using memory = shared.mapMemory();
    const count = new BigUint64Array(memory.buffer, 0, 1);
    object.program('fixture_emit').testRun({ packet });
    expect(count[0]).toBe(1n);
  });
});

describe('ring buffer', () => {
  test('records in order, discarded ones skipped, overflow counted, room given back', () => {
    using object = loaded();
    using events = object.map('fixture_events');
    using lost = object.map('fixture_lost');
    using ring = new RingBufferReader(events);
    const emit = object.program('fixture_emit');
    const seen: bigint[] = [];
    const note = (view: DataView, offset: number, length: number): void => {
      expect(length).toBe(16);
      seen.push(view.getBigUint64(offset + 8, true));
    };
    for (let round = 0; round < 50; round++) {
      emit.testRun({ packet, repeat: 37 });
      ring.read(note);
      expect(ring.pendingBytes).toBe(0);
    }
    const expected = Array.from({ length: 50 * 37 }, (_, index) => BigInt(index));
    expect(seen).toEqual(expected.filter((index) => index % 3n !== 2n));
    expect(ring.discarded).toBe(expected.length - seen.length);
    expect(ring.position).toBe(expected.length * 24);

    emit.testRun({ packet, repeat: 1000 });
    expect(ring.read(note, 10)).toBe(10);
    ring.read(note);
    const value = lost.lookup(new Uint8Array(4))!;
    const total = new BigUint64Array(value.buffer).reduce((sum, count) => sum + count, 0n);
    expect(total).toBe(1000n - BigInt(Math.floor(4096 / 24)));
  });
});

describe('link', () => {
  test('tcx: attach, pin, replace, adopt, detach', () => {
    using object = loaded();
    const path = join(bpffs, 'link');
    const emit = object.program('fixture_emit');
    using link = BpfLink.attachTcx(emit, 1, 'egress');
    link.pin(path);
    expect(link.query()).toMatchObject({ ifindex: 1, attachType: 47, programId: emit.query().id });
    using next = loaded();
    using adopted = BpfLink.openPinned(path);
    adopted.update(next.program('fixture_emit'));
    expect(link.query().programId).toBe(next.program('fixture_emit').query().id);
    adopted.detach();
    expect(link.query().ifindex).toBe(0);
    rmSync(path);
  });

  test('clsact: attach, replace, detach', () => {
    using object = loaded();
    const emit = object.program('fixture_emit');
    attachClsact(emit, 1, 'egress');
    attachClsact(emit, 1, 'egress');
    expect(queryClsact(1, 'egress')).toBe(emit.query().id);
    detachClsact(1, 'egress');
    detachClsact(1, 'egress');
    expect(queryClsact(1, 'egress')).toBeUndefined();
  });

  test('an iterator walks a map', () => {
    using object = loaded();
    using counts = object.map('fixture_counts');
    using link = BpfLink.attachMapIterator(object.program('fixture_walk'), counts);
    expect(link.readIterator()).toBe('');
  });

  test('a device that is not there', () => {
    using object = loaded();
    expect(() => BpfLink.attachTcx(object.program('fixture_emit'), 999_999, 'ingress')).toThrow(
      'attach fixture_emit to ingress of device 999999: ENODEV',
    );
  });
});

test('program facts', () => {
  using object = loaded();
  const facts = object.program('fixture_emit').query();
  expect(facts.tag).toMatch(/^[0-9a-f]{16}$/);
  expect(facts.verifiedInstructions).toBeGreaterThan(10);
});

test('probes answer', () => {
  const answers = new Map(probeAll().map((row) => [row.feature, row.answer]));
  expect(answers.get('ring-buffer')).toBe('yes');
  expect([...answers.values()]).not.toContain('unknown');
});
