/**
 * @module
 * A map in the kernel, by file descriptor, in bytes. Typed access is in
 * typed-map.ts. Where a kernel has no batches for a kind of map, the same calls
 * work key by key.
 */
import { closeSync } from 'node:fs';
import { errnoNumber, isKernelError, KernelError } from '../../net/kernel-error.ts';
import { MAP_SHARED, type Mapping, mmap, PROT_READ, PROT_WRITE } from '../../net/libc.ts';
import { check, cString, libbpf } from './ffi.ts';
import type { MapShape } from './layout.ts';
import { isPerCpu, mapType, mapTypeName } from './map-type.ts';

const ENOENT = errnoNumber('ENOENT');
const E2BIG = errnoNumber('E2BIG');
const ENOSPC = errnoNumber('ENOSPC');
const batchless = ['EINVAL', 'EOPNOTSUPP', 'ENOTSUPP', 'ENOSYS'].map(errnoNumber);

/** Entries fetched by one system call while a map is walked. */
const walkBatch = 1024;
/** How often the end of an update in another thread is looked for. */
const asyncPollMs = 1;

/** Flags of update. */
export const updateFlag = { any: 0, noExist: 1, exist: 2 } as const;

/** One key and its value. For a per-CPU map the values of all CPUs, each in a multiple of 8 bytes. */
export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A map that this process has open. Disposing closes the descriptor; the kernel's map may live on. */
export class BpfMap implements Disposable {
  readonly fd: number;
  readonly id: number;
  /** The kernel's name for it: the first 15 characters. */
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  /** Bytes of one value as C declares it, of one CPU for a per-CPU map. */
  readonly valueSize: number;
  /** Bytes of what lookup returns: valueSize, or that of all CPUs together. */
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;

  /** Takes over the descriptor. */
  constructor(fd: number) {
    const words = new Uint32Array(6);
    const name = new Uint8Array(16);
    check(libbpf().cil_map_query(fd, words, name), 'BPF_OBJ_GET_INFO_BY_FD', `query map ${fd}`);
    const [id = 0, type = 0, keySize = 0, valueSize = 0, maxEntries = 0, flags = 0] = words;
    this.fd = fd;
    this.id = id;
    this.name = new TextDecoder().decode(name).replace(/\0.*$/, '');
    this.type = type;
    this.keySize = keySize;
    this.valueSize = valueSize;
    this.valueBytes = isPerCpu(type) ? Math.ceil(valueSize / 8) * 8 * possibleCpus() : valueSize;
    this.maxEntries = maxEntries;
    this.flags = flags;
  }

  /** Opens a pinned map. Throws ENOENT when there is none. */
  static openPinned(path: string): BpfMap {
    return new BpfMap(check(libbpf().bpf_obj_get(cString(path)), 'BPF_OBJ_GET', `open ${path}`));
  }

  static openId(id: number): BpfMap {
    return new BpfMap(
      check(libbpf().bpf_map_get_fd_by_id(id), 'BPF_MAP_GET_FD_BY_ID', `map ${id}`),
    );
  }

  /** Makes a map that no object declares, such as the inner map of a map of maps. */
  static create(shape: MapShape, name: string = shape.name): BpfMap {
    const inner = shape.inner === undefined ? undefined : BpfMap.create(shape.inner, 'inner');
    try {
      const fd = libbpf().cil_map_create(
        shape.type,
        cString(name.slice(0, 15)),
        shape.keySize,
        shape.valueSize,
        shape.maxEntries,
        shape.flags,
        inner?.fd ?? -1,
      );
      return new BpfMap(check(fd, 'BPF_MAP_CREATE', `create map ${name}`));
    } finally {
      inner?.[Symbol.dispose]();
    }
  }

  /** The value in memory of its own, or undefined. */
  lookup(key: Uint8Array): Uint8Array | undefined {
    const value = new Uint8Array(this.valueBytes);
    return this.lookupInto(key, value) ? value : undefined;
  }

  /** Reads into a buffer of valueBytes; false when the key is absent. */
  lookupInto(key: Uint8Array, value: Uint8Array): boolean {
    const result = libbpf().bpf_map_lookup_elem(this.fd, key, value);
    if (result === -ENOENT) return false;
    check(result, 'BPF_MAP_LOOKUP_ELEM', `look up in ${this.name}`);
    return true;
  }

  /** For a map of maps the value is the descriptor of the inner map, and the call takes milliseconds. */
  update(key: Uint8Array, value: Uint8Array, flags: number = updateFlag.any): void {
    const result = libbpf().bpf_map_update_elem(this.fd, key, value, flags);
    if (result === -E2BIG) {
      const detail = `full, ${this.maxEntries} entries`;
      const doing = `update ${this.name}`;
      throw new KernelError({ call: 'BPF_MAP_UPDATE_ELEM', errno: E2BIG, doing, detail });
    }
    check(result, 'BPF_MAP_UPDATE_ELEM', `update ${this.name}`);
  }

  /** False when the key was absent already. */
  delete(key: Uint8Array): boolean {
    const result = libbpf().bpf_map_delete_elem(this.fd, key);
    if (result === -ENOENT) return false;
    check(result, 'BPF_MAP_DELETE_ELEM', `delete from ${this.name}`);
    return true;
  }

  /** Keys and values one after the other, without gaps. Not atomic: an error may leave a part done. */
  updateBatch(keys: Uint8Array, values: Uint8Array, count: number): void {
    if (count === 0) return;
    const { keySize, valueBytes } = this;
    const result = libbpf().cil_map_update_batch(
      ...([this.fd, keys, keySize, values, valueBytes, count, 0] as const),
    );
    check(result, 'BPF_MAP_UPDATE_BATCH', `update ${count} entries of ${this.name}`);
  }

  /** Deletes the keys that exist. */
  deleteBatch(keys: Uint8Array, count: number): void {
    if (count === 0) return;
    const result = libbpf().cil_map_delete_batch(this.fd, keys, this.keySize, count);
    check(result, 'BPF_MAP_DELETE_BATCH', `delete ${count} entries of ${this.name}`);
  }

  /**
   * Updates in a thread of its own and resolves when the kernel has returned. For maps of maps,
   * whose update waits for RCU's grace period though packets see it after microseconds.
   */
  async updateBatchAsync(keys: Uint8Array, values: Uint8Array, count: number): Promise<void> {
    if (count === 0) return;
    const { fd, keySize, valueBytes } = this;
    const doing = `update ${count} entries of ${this.name}`;
    // C writes here after its call has returned, so the memory must stay where it is, referenced.
    const done = new Uint32Array(new SharedArrayBuffer(4));
    check(
      libbpf().cil_map_update_batch_async(fd, keys, keySize, values, valueBytes, count, done),
      'pthread_create',
      doing,
    );
    let outcome = 0;
    while (outcome === 0) {
      await Bun.sleep(asyncPollMs);
      outcome = Atomics.load(done, 0);
    }
    if (outcome !== 1) {
      const errno = outcome & 0x7fffffff;
      throw new KernelError({ call: 'BPF_MAP_UPDATE_BATCH', errno, doing });
    }
  }

  /**
   * Every entry. Entries may be updated and deleted meanwhile: those may be
   * missed or come twice. Key and value are views that hold until the next step.
   */
  *entries(): Generator<Entry, void, undefined> {
    const cursors = [new Uint8Array(this.keySize + 8), new Uint8Array(this.keySize + 8)] as const;
    let capacity = Math.min(walkBatch, Math.max(1, this.maxEntries));
    for (let step = 0, first = true; ; ) {
      const keys = new Uint8Array(capacity * this.keySize);
      const values = new Uint8Array(capacity * this.valueBytes);
      const count = new Uint32Array([capacity]);
      const from = first ? null : cursors[step === 0 ? 1 : 0];
      const into = cursors[step === 0 ? 0 : 1];
      const { fd } = this;
      const result = libbpf().bpf_map_lookup_batch(fd, from, into, keys, values, count, null);
      if (result === -ENOSPC && (count[0] ?? 0) === 0) {
        // One bucket of the hash holds more than fits.
        capacity *= 2;
        continue;
      }
      if (first && batchless.includes(-result)) {
        yield* this.entriesOneByOne();
        return;
      }
      if (result !== -ENOENT) check(result, 'BPF_MAP_LOOKUP_BATCH', `read ${this.name}`);
      for (let index = 0; index < (count[0] ?? 0); index++) {
        yield {
          key: keys.subarray(index * this.keySize, (index + 1) * this.keySize),
          value: values.subarray(index * this.valueBytes, (index + 1) * this.valueBytes),
        };
      }
      if (result === -ENOENT) return;
      first = false;
      step = 1 - step;
    }
  }

  /** For kinds of maps without batches. */
  private *entriesOneByOne(): Generator<Entry, void, undefined> {
    let key = this.nextKey(undefined);
    while (key !== undefined) {
      const value = this.lookup(key);
      // Before the caller may delete the key, after which the walk would begin anew.
      const next = this.nextKey(key);
      if (value !== undefined) yield { key, value };
      key = next;
    }
  }

  /** The key after this one in the kernel's order; the first for undefined; undefined at the end. */
  nextKey(key: Uint8Array | undefined): Uint8Array | undefined {
    const next = new Uint8Array(this.keySize);
    const result = libbpf().bpf_map_get_next_key(this.fd, key ?? null, next);
    if (result === -ENOENT) return undefined;
    check(result, 'BPF_MAP_GET_NEXT_KEY', `read ${this.name}`);
    return next;
  }

  /** User space can no longer write to it. */
  freeze(): void {
    check(libbpf().bpf_map_freeze(this.fd), 'BPF_MAP_FREEZE', `freeze ${this.name}`);
  }

  pin(path: string): void {
    const doing = `pin ${this.name} at ${path}`;
    check(libbpf().bpf_obj_pin(this.fd, cString(path)), 'BPF_OBJ_PIN', doing);
  }

  /** The live memory of an array that was declared with BPF_F_MMAPABLE. */
  mapMemory(): Mapping {
    if (this.type !== mapType.array) {
      throw new TypeError(`a ${mapTypeName(this.type)} map cannot be mapped into memory`);
    }
    const length = Math.ceil(this.valueSize / 8) * 8 * this.maxEntries;
    const page = 4096;
    const rounded = Math.ceil(length / page) * page;
    const access = PROT_READ | PROT_WRITE;
    return mmap(this.fd, rounded, access, MAP_SHARED, 0, `map ${this.name} into memory`);
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

let cpus = 0;

/** CPUs that this kernel has room for: the number of values of a key in a per-CPU map. */
export function possibleCpus(): number {
  cpus ||= check(libbpf().libbpf_num_possible_cpus(), 'possible cpus', 'count possible cpus');
  return cpus;
}

/** Whether the map that is pinned there, if any, is one that the shape describes. */
export function pinnedMapFits(path: string, shape: MapShape): 'absent' | 'fits' | 'differs' {
  try {
    using map = BpfMap.openPinned(path);
    const same =
      map.type === shape.type &&
      map.keySize === shape.keySize &&
      map.valueSize === shape.valueSize &&
      map.maxEntries === shape.maxEntries;
    return same ? 'fits' : 'differs';
  } catch (error) {
    if (isKernelError(error, 'ENOENT')) return 'absent';
    throw error;
  }
}
