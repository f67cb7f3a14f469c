/**
 * @module
 * What the generated code in src/bpf/gen is made of: a layout turns the bytes
 * of a C type into a value and back; a map's shape and layouts describe one
 * map. Little endian, except where C says __be: those fields are numbers in
 * host order here, and big endian in the bytes.
 */

/** The bytes of one C type. Encoding also zeroes its padding, so that hash keys compare equal. */
export interface Layout<Value> {
  readonly size: number;
  encode(value: Value, view: DataView, offset?: number): void;
  /** The value owns its memory: nothing in it points into the view. */
  decode(view: DataView, offset?: number): Value;
}

/** A map as its declaration in C describes it. */
export interface MapShape {
  readonly name: string;
  /** A number of mapType. */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** Declared with LIBBPF_PIN_BY_NAME. */
  readonly pinned: boolean;
  /** Of a map of maps: what every slot holds. */
  readonly inner?: MapShape;
}

/** A map's shape, and how to read its keys and values. For a per-CPU map: one CPU's value. */
export interface MapSpec<Key, Value> extends MapShape {
  readonly key: Layout<Key>;
  readonly value: Layout<Value>;
}

/** Where the configuration constants (`const volatile` globals) lie in a compiled object. */
export interface ConfigLayout<Config> {
  readonly size: number;
  /** Overwrites the constants that are given; the others keep their compiled value. */
  encode(config: Partial<Config>, view: DataView): void;
}

export const u8Layout: Layout<number> = {
  size: 1,
  encode: (value, view, offset = 0) => view.setUint8(offset, value),
  decode: (view, offset = 0) => view.getUint8(offset),
};

export const u16Layout: Layout<number> = {
  size: 2,
  encode: (value, view, offset = 0) => view.setUint16(offset, value, true),
  decode: (view, offset = 0) => view.getUint16(offset, true),
};

export const u32Layout: Layout<number> = {
  size: 4,
  encode: (value, view, offset = 0) => view.setUint32(offset, value, true),
  decode: (view, offset = 0) => view.getUint32(offset, true),
};

export const u64Layout: Layout<bigint> = {
  size: 8,
  encode: (value, view, offset = 0) => view.setBigUint64(offset, value, true),
  decode: (view, offset = 0) => view.getBigUint64(offset, true),
};

export function bytesLayout(size: number): Layout<Uint8Array> {
  return {
    size,
    encode: (value, view, offset = 0) => writeBytes(view, offset, size, value),
    decode: (view, offset = 0) => readBytes(view, offset, size),
  };
}

/** A value's bytes, in memory of their own. */
export function encodeBytes<Value>(layout: Layout<Value>, value: Value): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  layout.encode(value, new DataView(bytes.buffer));
  return bytes;
}

/** The value in bytes of exactly the layout's size or more. */
export function decodeBytes<Value>(layout: Layout<Value>, bytes: Uint8Array, offset = 0): Value {
  return layout.decode(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset);
}

export function readBytes(view: DataView, offset: number, size: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, size).slice();
}

/** Throws a RangeError when the value has another size than the field. */
export function writeBytes(view: DataView, offset: number, size: number, value: Uint8Array): void {
  if (value.length !== size) {
    throw new RangeError(`a field of ${size} bytes got ${value.length}`);
  }
  new Uint8Array(view.buffer, view.byteOffset + offset, size).set(value);
}

export function zeroBytes(view: DataView, offset: number, size: number): void {
  new Uint8Array(view.buffer, view.byteOffset + offset, size).fill(0);
}
