/**
 * @module
 * Reads the .BTF section of a compiled BPF object into types that the layout
 * generator can walk. The format is the kernel's
 * (Documentation/bpf/btf.rst); numbers of kinds are those of its struct btf_type.
 */
import { findSection } from './elf.ts';
import { BuildError } from './run.ts';

export interface Member {
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
}

export type BtfType =
  | { readonly kind: 'void' }
  | { readonly kind: 'int'; readonly name: string; readonly size: number; readonly signed: boolean }
  | { readonly kind: 'pointer'; readonly type: number }
  | { readonly kind: 'array'; readonly type: number; readonly length: number }
  | {
      readonly kind: 'struct' | 'union';
      readonly name: string;
      readonly size: number;
      readonly members: readonly Member[];
    }
  | {
      readonly kind: 'enum';
      readonly name: string;
      readonly size: number;
      readonly values: readonly { readonly name: string; readonly value: number }[];
    }
  | { readonly kind: 'typedef'; readonly name: string; readonly type: number }
  | { readonly kind: 'qualifier'; readonly type: number; readonly volatile: boolean }
  | { readonly kind: 'variable'; readonly name: string; readonly type: number }
  | { readonly kind: 'section'; readonly name: string; readonly variables: readonly number[] }
  | { readonly kind: 'other' };

/** The types of one object by their BTF number; number 0 is void. */
export type Btf = readonly BtfType[];

export function readBtf(object: Uint8Array): Btf {
  const section = findSection(object, '.BTF');
  if (section === undefined) {
    throw new BuildError('the object has no .BTF section: was it compiled with -g?');
  }
  const { bytes } = section;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(0, true) !== 0xeb9f) {
    throw new BuildError("the .BTF section does not begin with BTF's magic number");
  }
  const header = view.getUint32(4, true);
  const names = bytes.subarray(header + view.getUint32(16, true));
  const start = header + view.getUint32(8, true);
  const end = start + view.getUint32(12, true);
  const types: BtfType[] = [{ kind: 'void' }];
  for (let offset = start; offset < end; ) {
    const [type, next] = readType(view, offset, names);
    types.push(type);
    offset = next;
  }
  return types;
}

function readType(view: DataView, offset: number, names: Uint8Array): [BtfType, number] {
  const name = readName(names, view.getUint32(offset, true));
  const word = view.getUint32(offset + 4, true);
  const sizeOrType = view.getUint32(offset + 8, true);
  const count = word & 0xffff;
  const bitfields = word >>> 31 === 1;
  const body = offset + 12;
  const u32 = (index: number): number => view.getUint32(body + index * 4, true);
  switch ((word >>> 24) & 0x1f) {
    case 1:
      return [{ kind: 'int', name, size: sizeOrType, signed: (u32(0) >>> 24) % 2 === 1 }, body + 4];
    case 2:
      return [{ kind: 'pointer', type: sizeOrType }, body];
    case 3:
      return [{ kind: 'array', type: u32(0), length: u32(2) }, body + 12];
    case 4:
    case 5: {
      const kind = ((word >>> 24) & 0x1f) === 4 ? 'struct' : 'union';
      const members = Array.from({ length: count }, (_, index) => ({
        name: readName(names, u32(index * 3)),
        type: u32(index * 3 + 1),
        bitOffset: bitfields ? u32(index * 3 + 2) & 0xffffff : u32(index * 3 + 2),
      }));
      return [{ kind, name, size: sizeOrType, members }, body + count * 12];
    }
    case 6: {
      const values = Array.from({ length: count }, (_, index) => ({
        name: readName(names, u32(index * 2)),
        value: bitfields ? u32(index * 2 + 1) | 0 : u32(index * 2 + 1),
      }));
      return [{ kind: 'enum', name, size: sizeOrType, values }, body + count * 8];
    }
    case 8:
      return [{ kind: 'typedef', name, type: sizeOrType }, body];
    case 9:
    case 10:
    case 11:
    case 18:
      return [
        { kind: 'qualifier', type: sizeOrType, volatile: ((word >>> 24) & 0x1f) === 9 },
        body,
      ];
    case 14:
      return [{ kind: 'variable', name, type: sizeOrType }, body + 4];
    case 15: {
      const variables = Array.from({ length: count }, (_, index) => u32(index * 3));
      return [{ kind: 'section', name, variables }, body + count * 12];
    }
    case 13: // a function's prototype: its parameters
      return [{ kind: 'other' }, body + count * 8];
    case 17: // a declaration's tag
      return [{ kind: 'other' }, body + 4];
    case 19: // a 64-bit enum, of which the datapath has none
      return [{ kind: 'other' }, body + count * 12];
    default: // forward declarations, functions, floats: nothing follows
      return [{ kind: 'other' }, body];
  }
}

export interface Resolved {
  readonly type: BtfType;
  /** A typedef on the way was __be16, __be32 or __be64. */
  readonly bigEndian: boolean;
  readonly volatile: boolean;
}

/** The type behind typedefs and qualifiers, and what they said. */
export function resolve(btf: Btf, number: number): Resolved {
  let bigEndian = false;
  let volatile = false;
  for (let current = number; ; ) {
    const type = btf[current];
    if (type === undefined) {
      throw new BuildError(`BTF names a type ${current} that it does not have`);
    }
    if (type.kind !== 'typedef' && type.kind !== 'qualifier') {
      return { type, bigEndian, volatile };
    }
    volatile ||= type.kind === 'qualifier' && type.volatile;
    bigEndian ||= type.kind === 'typedef' && /^__be(16|32|64)$/.test(type.name);
    current = type.type;
  }
}

function readName(names: Uint8Array, offset: number): string {
  return new TextDecoder().decode(names.subarray(offset, names.indexOf(0, offset)));
}
