/**
 * @module
 * BTF types → TypeScript source: an interface, an encoder and a decoder for
 * each C struct, and a flat decoder for the record that is read a hundred
 * thousand times a second. Output goes to src/bpf/gen through build/generate.ts.
 */
import { type Btf, type BtfType, resolve } from './btf.ts';
import { BuildError } from './run.ts';

type StructType = Extract<BtfType, { kind: 'struct' | 'union' }>;

/** What a member of a struct is, for the purpose of reading and writing it. */
export type Field =
  | { readonly kind: 'int'; readonly size: number; readonly signed: boolean; readonly big: boolean }
  | { readonly kind: 'bytes'; readonly size: number }
  | { readonly kind: 'struct'; readonly name: string; readonly size: number }
  | {
      readonly kind: 'array';
      readonly element: Field;
      readonly length: number;
      readonly size: number;
    };

export function fieldOf(btf: Btf, number: number): Field {
  const { type, bigEndian } = resolve(btf, number);
  switch (type.kind) {
    case 'int':
      return { kind: 'int', size: type.size, signed: type.signed, big: bigEndian };
    case 'enum':
      return { kind: 'int', size: type.size, signed: false, big: false };
    case 'union':
      return { kind: 'bytes', size: type.size };
    case 'struct':
      return { kind: 'struct', name: type.name, size: type.size };
    case 'array': {
      const element = fieldOf(btf, type.type);
      const size = element.size * type.length;
      if (element.kind === 'int' && element.size === 1) {
        return { kind: 'bytes', size };
      }
      return { kind: 'array', element, length: type.length, size };
    }
    default:
      throw new BuildError(`a ${type.kind} cannot be part of a layout`);
  }
}

interface Placed {
  readonly name: string;
  readonly offset: number;
  readonly field: Field;
}

function placedFields(btf: Btf, struct: StructType): Placed[] {
  return struct.members.map((member) => {
    const { type } = resolve(btf, member.type);
    if (member.bitOffset % 8 !== 0 || (type.kind === 'struct' && type.name === '')) {
      throw new BuildError(`struct ${struct.name}: bit fields and nameless structs have no layout`);
    }
    return {
      name: camelCase(member.name),
      offset: member.bitOffset / 8,
      field: fieldOf(btf, member.type),
    };
  });
}

const isPadding = (placed: Placed): boolean => /^pad\d*$/.test(placed.name);

/** Bytes that no visible field covers: declared padding and the compiler's. */
function gaps(struct: StructType, fields: readonly Placed[]): { offset: number; size: number }[] {
  const found: { offset: number; size: number }[] = [];
  let end = 0;
  const shown = fields.filter((placed) => !isPadding(placed));
  for (const { offset, size } of [
    ...shown.map((placed) => ({ offset: placed.offset, size: placed.field.size })),
    { offset: struct.size, size: 0 },
  ]) {
    if (offset > end) {
      found.push({ offset: end, size: offset - end });
    }
    end = offset + size;
  }
  return found;
}

/** Interface and layout of one struct. */
export function emitStruct(btf: Btf, struct: StructType): string {
  const fields = placedFields(btf, struct);
  const shown = fields.filter((placed) => !isPadding(placed));
  const name = pascalCase(struct.name);
  const value = shown.length === 0 ? '_value' : 'value';
  return [
    `/** struct ${struct.name}, ${struct.size} bytes. */`,
    `export interface ${name} {`,
    ...shown.map((placed) => `  readonly ${placed.name}: ${typeOf(placed.field)};`),
    '}',
    `export const ${camelCase(struct.name)}Layout: Layout<${name}> = {`,
    `  size: ${struct.size},`,
    `  encode(${value}, view, offset = 0) {`,
    ...shown.map((placed) => write(placed.field, `value.${placed.name}`, 'offset', placed.offset)),
    ...gaps(struct, fields).map(
      (gap) => `zeroBytes(view, ${at('offset', gap.offset)}, ${gap.size});`,
    ),
    '  },',
    '  decode(view, offset = 0) {',
    '    return {',
    ...shown.map((placed) => `${placed.name}: ${read(placed.field, 'offset', placed.offset)},`),
    '    };',
    '  },',
    '};',
  ].join('\n');
}

/**
 * A decoder whose result is one object of numbers: arrays become numbered
 * fields, an address four big-endian words, a MAC one 48-bit number, 64-bit
 * integers doubles (exact up to 2^53).
 */
export function emitFlatDecoder(btf: Btf, struct: StructType, record: string): string {
  const flat = placedFields(btf, struct)
    .filter((placed) => !isPadding(placed))
    .flatMap((placed) => flatten(placed));
  return [
    `/** struct ${struct.name}, flat: what a reader of many of them wants. */`,
    `export interface ${record} {`,
    ...flat.map((placed) => `  readonly ${placed.name}: number;`),
    '}',
    `export const ${record.charAt(0).toLowerCase()}${record.slice(1)}Size = ${struct.size};`,
    `export function decode${record}(view: DataView, offset: number): ${record} {`,
    '  return {',
    ...flat.map((placed) => `${placed.name}: ${placed.read},`),
    '  };',
    '}',
  ].join('\n');
}

function flatten({ name, offset, field }: Placed): { name: string; read: string }[] {
  if (field.kind === 'int' && field.size === 8) {
    const high = `view.getUint32(${at('offset', offset + 4)}, true)`;
    return [{ name, read: `${high} * 4294967296 + view.getUint32(${at('offset', offset)}, true)` }];
  }
  if (field.kind === 'int') {
    return [{ name, read: read(field, 'offset', offset) }];
  }
  if (field.kind === 'bytes' && field.size === 6) {
    const high = `view.getUint16(${at('offset', offset)})`;
    return [{ name, read: `${high} * 4294967296 + view.getUint32(${at('offset', offset + 2)})` }];
  }
  if (field.kind === 'bytes' && field.size % 16 === 0) {
    return Array.from({ length: field.size / 4 }, (_, index) => ({
      name: `${name}${index}`,
      read: `view.getUint32(${at('offset', offset + index * 4)})`,
    }));
  }
  const element: Field =
    field.kind === 'array' ? field.element : { kind: 'int', size: 1, signed: false, big: false };
  if (element.kind !== 'int') {
    throw new BuildError(`${name} cannot be flattened`);
  }
  return Array.from({ length: field.size / element.size }, (_, index) => ({
    name: `${name}${index}`,
    read: read(element, 'offset', offset + index * element.size),
  }));
}

export function typeOf(field: Field): string {
  switch (field.kind) {
    case 'int':
      return field.size === 8 ? 'bigint' : 'number';
    case 'bytes':
      return 'Uint8Array';
    case 'struct':
      return pascalCase(field.name);
    case 'array':
      return field.length <= 4
        ? `readonly [${Array(field.length).fill(typeOf(field.element)).join(', ')}]`
        : `readonly ${typeOf(field.element)}[]`;
  }
}

/** The layout object that reads and writes a whole key, value or variable of this type. */
export function layoutExpression(field: Field): string {
  switch (field.kind) {
    case 'int':
      if (field.big || field.signed) {
        throw new BuildError('a map key or value that is a signed or big-endian integer');
      }
      return `u${field.size * 8}Layout`;
    case 'struct':
      return `${camelCase(field.name)}Layout`;
    default:
      return `bytesLayout(${field.size})`;
  }
}

/** The expression that reads a field; `base` is a variable to which the offset is added, or empty. */
export function read(field: Field, base: string, offset: number): string {
  const place = at(base, offset);
  switch (field.kind) {
    case 'int':
      return `view.get${accessor(field)}(${place}${order(field)})`;
    case 'bytes':
      return `readBytes(view, ${place}, ${field.size})`;
    case 'struct':
      return `${camelCase(field.name)}Layout.decode(view, ${place})`;
    case 'array':
      return `[${indexes(field)
        .map((index) => read(field.element, base, offset + index * field.element.size))
        .join(', ')}]`;
  }
}

/** The statement that writes a field. */
export function write(field: Field, value: string, base: string, offset: number): string {
  const place = at(base, offset);
  switch (field.kind) {
    case 'int':
      return `view.set${accessor(field)}(${place}, ${value}${order(field)});`;
    case 'bytes':
      return `writeBytes(view, ${place}, ${field.size}, ${value});`;
    case 'struct':
      return `${camelCase(field.name)}Layout.encode(${value}, view, ${place});`;
    case 'array':
      if (field.length > 4) {
        throw new BuildError('arrays of more than four elements have no encoder yet');
      }
      return indexes(field)
        .map((index) =>
          write(field.element, `${value}[${index}]`, base, offset + index * field.element.size),
        )
        .join('\n');
  }
}

function indexes(field: Extract<Field, { kind: 'array' }>): number[] {
  return Array.from({ length: field.length }, (_, index) => index);
}

function accessor(field: Extract<Field, { kind: 'int' }>): string {
  const sign = field.signed ? 'Int' : 'Uint';
  return field.size === 8 ? `Big${sign}64` : `${sign}${field.size * 8}`;
}

function order(field: Extract<Field, { kind: 'int' }>): string {
  return field.size === 1 || field.big ? '' : ', true';
}

function at(base: string, offset: number): string {
  if (base === '') {
    return String(offset);
  }
  return offset === 0 ? base : `${base} + ${offset}`;
}

export function camelCase(name: string): string {
  return name
    .replace(/^_+/, '')
    .replace(/_+([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase());
}

export function pascalCase(name: string): string {
  const camel = camelCase(name);
  return camel.charAt(0).toUpperCase() + camel.slice(1);
}
