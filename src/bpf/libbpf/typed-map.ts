/**
 * @module
 * A kernel map whose keys and values are the generated types of src/bpf/gen.
 */
import type { MapSpec } from './layout.ts';
import { encodeBytes } from './layout.ts';
import { BpfMap } from './map.ts';
import { isPerCpu } from './map-type.ts';

const batchEntriesMax = 4096;

/** A map and its spec. Owns the map: disposing it closes the descriptor. */
export class TypedMap<Key, Value> implements Disposable {
  readonly map: BpfMap;
  readonly spec: MapSpec<Key, Value>;
  readonly #key: Uint8Array;
  readonly #keyView: DataView;
  readonly #value: Uint8Array;
  readonly #valueView: DataView;

  /** Throws a TypeError when the kernel's map has other sizes than the spec. */
  constructor(map: BpfMap, spec: MapSpec<Key, Value>) {
    if (map.keySize !== spec.key.size || map.valueSize !== spec.value.size) {
      throw new TypeError(
        `${spec.name}: keys of ${map.keySize} and values of ${map.valueSize} bytes, ` +
          `where ${spec.key.size} and ${spec.value.size} are expected`,
      );
    }
    this.map = map;
    this.spec = spec;
    this.#key = new Uint8Array(map.keySize);
    this.#keyView = new DataView(this.#key.buffer);
    this.#value = new Uint8Array(map.valueBytes);
    this.#valueView = new DataView(this.#value.buffer);
  }

  static openPinned<Key, Value>(path: string, spec: MapSpec<Key, Value>): TypedMap<Key, Value> {
    return new TypedMap(BpfMap.openPinned(path), spec);
  }

  static create<Key, Value>(spec: MapSpec<Key, Value>, name?: string): TypedMap<Key, Value> {
    return new TypedMap(BpfMap.create(spec, name), spec);
  }

  /** Of a per-CPU map: the value of the first CPU. */
  lookup(key: Key): Value | undefined {
    this.spec.key.encode(key, this.#keyView);
    const found = this.map.lookupInto(this.#key, this.#value);
    return found ? this.spec.value.decode(this.#valueView) : undefined;
  }

  /** The value of every possible CPU; empty when the key is absent. */
  lookupPerCpu(key: Key): Value[] {
    this.spec.key.encode(key, this.#keyView);
    return this.map.lookupInto(this.#key, this.#value) ? this.#decodeAll(this.#valueView) : [];
  }

  /** Of a per-CPU map: every CPU gets the value. */
  update(key: Key, value: Value, flags = 0): void {
    this.spec.key.encode(key, this.#keyView);
    for (let offset = 0; offset < this.map.valueBytes; offset += this.#stride()) {
      this.spec.value.encode(value, this.#valueView, offset);
    }
    this.map.update(this.#key, this.#value, flags);
  }

  delete(key: Key): boolean {
    this.spec.key.encode(key, this.#keyView);
    return this.map.delete(this.#key);
  }

  updateAll(pairs: Iterable<readonly [Key, Value]>): void {
    for (const batch of inBatches(pairs)) {
      const keys = this.#encodeKeys(batch.map(([key]) => key));
      this.map.updateBatch(keys, this.#encodeValues(batch), batch.length);
    }
  }

  /** As updateAll, without holding the thread: see BpfMap.updateBatchAsync. */
  async updateAllAsync(pairs: Iterable<readonly [Key, Value]>): Promise<void> {
    for (const batch of inBatches(pairs)) {
      const keys = this.#encodeKeys(batch.map(([key]) => key));
      await this.map.updateBatchAsync(keys, this.#encodeValues(batch), batch.length);
    }
  }

  deleteAll(keys: Iterable<Key>): void {
    for (const batch of inBatches(keys)) {
      this.map.deleteBatch(this.#encodeKeys(batch), batch.length);
    }
  }

  /** Every entry, of a per-CPU map with the first CPU's value. Deleting while walking is allowed. */
  *entries(): Generator<[Key, Value], void, undefined> {
    for (const { key, value } of this.map.entries()) {
      yield [this.spec.key.decode(viewOf(key)), this.spec.value.decode(viewOf(value))];
    }
  }

  *entriesPerCpu(): Generator<[Key, Value[]], void, undefined> {
    for (const { key, value } of this.map.entries()) {
      yield [this.spec.key.decode(viewOf(key)), this.#decodeAll(viewOf(value))];
    }
  }

  [Symbol.dispose](): void {
    this.map[Symbol.dispose]();
  }

  /** From one CPU's value to the next; the whole value of a map that has one for all. */
  #stride(): number {
    return isPerCpu(this.map.type) ? Math.ceil(this.map.valueSize / 8) * 8 : this.map.valueBytes;
  }

  #decodeAll(view: DataView): Value[] {
    const values: Value[] = [];
    for (let offset = 0; offset < view.byteLength; offset += this.#stride()) {
      values.push(this.spec.value.decode(view, offset));
    }
    return values;
  }

  #encodeKeys(keys: readonly Key[]): Uint8Array {
    const bytes = new Uint8Array(keys.length * this.map.keySize);
    const view = new DataView(bytes.buffer);
    for (const [index, key] of keys.entries()) {
      this.spec.key.encode(key, view, index * this.map.keySize);
    }
    return bytes;
  }

  #encodeValues(batch: readonly (readonly [Key, Value])[]): Uint8Array {
    const stride = this.#stride();
    const copies = this.map.valueBytes / stride;
    const bytes = new Uint8Array(batch.length * this.map.valueBytes);
    for (const [index, [, value]] of batch.entries()) {
      const encoded = encodeBytes(this.spec.value, value);
      for (let copy = 0; copy < copies; copy++) {
        bytes.set(encoded, (index * copies + copy) * stride);
      }
    }
    return bytes;
  }
}

function* inBatches<T>(items: Iterable<T>): Generator<T[], void, undefined> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length === batchEntriesMax) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
