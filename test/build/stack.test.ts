/**
 * @module The stack of the eBPF programs. The kernel allows 512 bytes for a program and all that it calls;
 * the frame of each function counts in steps of 32 bytes (of 16 since Linux 6.9, with the JIT), and a
 * program that is too deep is refused when an agent loads it. What a kernel here says is not enough.
 */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const stackBytesMax = 512;
const frameStep = 32;
const framePointer = 10;
const op = { add: 0x07, move: 0xbf, call: 0x85, loadImmediate64: 0x18 } as const;
const [classLdx, classSt, classStx] = [1, 2, 3];
const callOfProgram = 1;
const [typeFunction, typeSection] = [2, 3];
const [sectionSymbols, sectionRelocations] = [2, 9];

interface Section {
  readonly name: number;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  /** Of relocations: the section that they are about. */
  readonly info: number;
}

interface Func {
  readonly name: string;
  readonly section: number;
  readonly start: number;
  readonly size: number;
}

/** As much of an ELF64 object as calls and stacks need (elf(5)). */
class BpfElf {
  readonly #view: DataView;
  readonly #sections: Section[];
  readonly functions: Func[] = [];
  readonly #symbols: (Func & { readonly type: number })[] = [];
  /** Symbol by section and offset of the instruction. */
  readonly #relocations = new Map<string, number>();

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = view;
    const table = Number(view.getBigUint64(40, true));
    this.#sections = Array.from({ length: view.getUint16(60, true) }, (_, index) => {
      const at = table + index * 64;
      return {
        name: view.getUint32(at, true),
        type: view.getUint32(at + 4, true),
        offset: Number(view.getBigUint64(at + 24, true)),
        size: Number(view.getBigUint64(at + 32, true)),
        link: view.getUint32(at + 40, true),
        info: view.getUint32(at + 44, true),
      };
    });
    for (const section of this.#sections) {
      if (section.type === sectionSymbols) this.#readSymbols(section);
      if (section.type === sectionRelocations) this.#readRelocations(section);
    }
  }

  #readSymbols({ offset, size, link }: Section): void {
    for (let at = offset; at < offset + size; at += 24) {
      const type = this.#view.getUint8(at + 4) & 15;
      const symbol = {
        name: this.#text(link, this.#view.getUint32(at, true)),
        section: this.#view.getUint16(at + 6, true),
        start: Number(this.#view.getBigUint64(at + 8, true)),
        size: Number(this.#view.getBigUint64(at + 16, true)),
        type,
      };
      this.#symbols.push(symbol);
      if (type === typeFunction) this.functions.push(symbol);
    }
  }

  #readRelocations({ offset, size, info }: Section): void {
    for (let at = offset; at < offset + size; at += 16) {
      const where = Number(this.#view.getBigUint64(at, true));
      this.#relocations.set(`${info} ${where}`, this.#view.getUint32(at + 12, true));
    }
  }

  #text(section: number, offset: number): string {
    const start = (this.#sections[section]?.offset ?? 0) + offset;
    let end = start;
    while (this.#view.getUint8(end) !== 0) end++;
    return new TextDecoder().decode(
      new Uint8Array(this.#view.buffer, this.#view.byteOffset + start, end - start),
    );
  }

  /** Bytes below the frame pointer that a function touches, and the functions that it calls. */
  frame({ section, start, size }: Func): { depth: number; calls: Set<Func> } {
    const base = this.#sections[section]?.offset ?? 0;
    const calls = new Set<Func>();
    let depth = 0;
    /** Registers that were set to the frame pointer by the instruction before. */
    let copied: number | undefined;
    for (let at = start; at < start + size; at += 8) {
      const code = this.#view.getUint8(base + at);
      const registers = this.#view.getUint8(base + at + 1);
      const [to, from] = [registers & 15, registers >> 4];
      const offset = this.#view.getInt16(base + at + 2, true);
      const value = this.#view.getInt32(base + at + 4, true);
      const kind = code & 7;
      const address = kind === classLdx ? from : kind === classSt || kind === classStx ? to : -1;
      if (address === framePointer) depth = Math.max(depth, -offset);
      if (code === op.add && copied === to) depth = Math.max(depth, -value);
      copied = code === op.move && from === framePointer ? to : undefined;
      if (code === op.call && from === callOfProgram) {
        const called = this.#calledAt(section, at, value);
        if (called !== undefined) calls.add(called);
      }
      if (code === op.loadImmediate64) at += 8;
    }
    return { depth, calls };
  }

  #calledAt(section: number, at: number, value: number): Func | undefined {
    const index = this.#relocations.get(`${section} ${at}`);
    const symbol = index === undefined ? undefined : this.#symbols[index];
    const target =
      symbol === undefined
        ? { section, start: at + 8 + value * 8 }
        : symbol.type === typeSection
          ? { section: symbol.section, start: (value + 1) * 8 }
          : symbol;
    return this.functions.find(
      (each) => each.section === target.section && each.start === target.start,
    );
  }

  /** The deepest chain of calls that begins with the function. */
  deepest(func: Func): { bytes: number; chain: string } {
    const { depth, calls } = this.frame(func);
    const below = [...calls].map((each) => this.deepest(each));
    below.sort((a, b) => b.bytes - a.bytes);
    const [worst] = below;
    const own = Math.ceil(Math.max(depth, 1) / frameStep) * frameStep;
    return {
      bytes: own + (worst?.bytes ?? 0),
      chain: `${func.name} ${depth}${worst === undefined ? '' : ` > ${worst.chain}`}`,
    };
  }
}

test.each(['bpf_lxc', 'bpf_host'])('%s is not too deep for any kernel', (name) => {
  const elf = new BpfElf(readFileSync(join(import.meta.dir, `../../dist/bpf/${name}.o`)));
  const programs = elf.functions.filter((each) => each.name.startsWith('cil_'));
  expect(programs).toHaveLength(2);
  for (const program of programs) {
    const { bytes, chain } = elf.deepest(program);
    console.log(`    ${bytes} bytes: ${chain}`);
    expect([chain, bytes <= stackBytesMax]).toEqual([chain, true]);
    // It has found calls at all.
    expect(chain.split('>').length).toBeGreaterThan(3);
  }
});
