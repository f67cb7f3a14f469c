/**
 * @module
 * The little of ELF that the build needs: find a section of a compiled BPF
 * object, the offsets of its symbols, and empty the DWARF sections, which
 * nobody reads after clang has turned them into BTF.
 */
import { BuildError } from './run.ts';

const typeNull = 0;
const typeSymbols = 2;
const typeNoBits = 8;

export interface Section {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly headerOffset: number;
  readonly bytes: Uint8Array;
}

export interface Symbol {
  readonly name: string;
  readonly section: number;
  readonly offset: number;
  readonly size: number;
}

export function readSections(file: Uint8Array): Section[] {
  const view = viewOf(file);
  if (view.getUint32(0) !== 0x7f454c46 || view.getUint8(4) !== 2 || view.getUint8(5) !== 1) {
    throw new BuildError('not a 64-bit little-endian ELF object');
  }
  const table = Number(view.getBigUint64(40, true));
  const entrySize = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  const nameHeader = table + view.getUint16(62, true) * entrySize;
  const names = file.subarray(Number(view.getBigUint64(nameHeader + 24, true)));
  return Array.from({ length: count }, (_, index) => {
    const header = table + index * entrySize;
    const type = view.getUint32(header + 4, true);
    const offset = Number(view.getBigUint64(header + 24, true));
    const size = type === typeNoBits ? 0 : Number(view.getBigUint64(header + 32, true));
    return {
      index,
      name: readCString(names, view.getUint32(header, true)),
      type,
      headerOffset: header,
      bytes: file.subarray(offset, offset + size),
    };
  });
}

export function findSection(file: Uint8Array, name: string): Section | undefined {
  return readSections(file).find((section) => section.name === name);
}

export function readSymbols(file: Uint8Array): Symbol[] {
  const view = viewOf(file);
  const sections = readSections(file);
  const table = sections.find((section) => section.type === typeSymbols);
  if (table === undefined) {
    return [];
  }
  const names = sections[view.getUint32(table.headerOffset + 40, true)]?.bytes ?? new Uint8Array();
  const entries = viewOf(table.bytes);
  return Array.from({ length: table.bytes.length / 24 }, (_, index) => ({
    name: readCString(names, entries.getUint32(index * 24, true)),
    section: entries.getUint16(index * 24 + 6, true),
    offset: Number(entries.getBigUint64(index * 24 + 8, true)),
    size: Number(entries.getBigUint64(index * 24 + 16, true)),
  }));
}

/**
 * The object without DWARF. Section numbers stay as they are, so symbols and
 * relocations need no change: the sections become empty, and what follows
 * moves up over their bytes.
 */
export function withoutDwarf(file: Uint8Array): Uint8Array {
  const view = viewOf(file);
  const table = Number(view.getBigUint64(40, true));
  const headers = file.slice(table, table + view.getUint16(58, true) * view.getUint16(60, true));
  const headerView = viewOf(headers);
  const parts: Uint8Array[] = [file.slice(0, 64)];
  let end = 64;
  for (const section of readSections(file)) {
    const header = section.headerOffset - table;
    if (/^(\.rel)?\.debug_/.test(section.name)) {
      headers.fill(0, header + 4, header + 64);
      headerView.setUint32(header + 4, typeNull, true);
      continue;
    }
    const alignment = Math.max(1, Number(headerView.getBigUint64(header + 48, true)));
    const start = Math.ceil(end / alignment) * alignment;
    parts.push(new Uint8Array(start - end), section.bytes);
    end = start + section.bytes.length;
    headerView.setBigUint64(header + 24, BigInt(section.index === 0 ? 0 : start), true);
  }
  const tableStart = Math.ceil(end / 8) * 8;
  parts.push(new Uint8Array(tableStart - end), headers);
  const result = new Uint8Array(Buffer.concat(parts));
  viewOf(result).setBigUint64(40, BigInt(tableStart), true);
  return result;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function readCString(bytes: Uint8Array, offset: number): string {
  const end = bytes.indexOf(0, offset);
  return new TextDecoder().decode(bytes.subarray(offset, end < 0 ? undefined : end));
}
