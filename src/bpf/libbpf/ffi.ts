/**
 * @module
 * The only door to libbpf: dist/libcilium_bpf.so (libbpf, libelf, zlib and
 * src/bpf/native in one), opened when it is first needed. From the executable
 * it is opened through a file in memory, since nothing may be written to disk.
 */
import { CString, dlopen, type FFIFunction, type Pointer, toArrayBuffer } from 'bun:ffi';
import { writeSync } from 'node:fs';
import { KernelError } from '../../net/kernel-error.ts';
import { close, memfdCreate } from '../../net/libc.ts';
import { nativeLibrary } from '../loader/embedded.ts';

const definitions = {
  cil_start: { args: [], returns: 'i32' },
  cil_log_take: { args: ['ptr', 'u32', 'ptr'], returns: 'u32' },

  cil_object_open: { args: ['ptr', 'u64', 'ptr', 'ptr'], returns: 'i32' },
  cil_verifier_log: { args: [], returns: 'ptr' },
  bpf_object__load: { args: ['ptr'], returns: 'i32' },
  bpf_object__close: { args: ['ptr'], returns: 'void' },
  bpf_object__next_map: { args: ['ptr', 'ptr'], returns: 'ptr' },
  bpf_object__next_program: { args: ['ptr', 'ptr'], returns: 'ptr' },
  bpf_object__find_map_by_name: { args: ['ptr', 'ptr'], returns: 'ptr' },
  bpf_object__find_program_by_name: { args: ['ptr', 'ptr'], returns: 'ptr' },
  bpf_map__name: { args: ['ptr'], returns: 'ptr' },
  bpf_map__fd: { args: ['ptr'], returns: 'i32' },
  bpf_map__set_max_entries: { args: ['ptr', 'u32'], returns: 'i32' },
  bpf_map__set_pin_path: { args: ['ptr', 'ptr'], returns: 'i32' },
  bpf_map__reuse_fd: { args: ['ptr', 'i32'], returns: 'i32' },
  bpf_map__initial_value: { args: ['ptr', 'ptr'], returns: 'ptr' },
  bpf_program__name: { args: ['ptr'], returns: 'ptr' },
  bpf_program__fd: { args: ['ptr'], returns: 'i32' },
  bpf_program__set_autoload: { args: ['ptr', 'bool'], returns: 'i32' },

  cil_program_load: { args: ['u32', 'ptr', 'ptr', 'u32'], returns: 'i32' },
  cil_program_query: { args: ['i32', 'ptr'], returns: 'i32' },
  cil_program_test_run: {
    args: ['i32', 'ptr', 'u32', 'ptr', 'u32', 'ptr', 'u32', 'ptr', 'u32', 'i32', 'ptr'],
    returns: 'i32',
  },

  bpf_obj_get: { args: ['ptr'], returns: 'i32' },
  bpf_obj_pin: { args: ['i32', 'ptr'], returns: 'i32' },

  cil_map_create: { args: ['u32', 'ptr', 'u32', 'u32', 'u32', 'u32', 'i32'], returns: 'i32' },
  cil_map_query: { args: ['i32', 'ptr', 'ptr'], returns: 'i32' },
  cil_map_update_batch: {
    args: ['i32', 'ptr', 'u32', 'ptr', 'u32', 'u32', 'u64'],
    returns: 'i32',
  },
  cil_map_delete_batch: { args: ['i32', 'ptr', 'u32', 'u32'], returns: 'i32' },
  cil_map_update_batch_async: {
    args: ['i32', 'ptr', 'u32', 'ptr', 'u32', 'u32', 'ptr'],
    returns: 'i32',
  },
  bpf_map_lookup_elem: { args: ['i32', 'ptr', 'ptr'], returns: 'i32' },
  bpf_map_update_elem: { args: ['i32', 'ptr', 'ptr', 'u64'], returns: 'i32' },
  bpf_map_delete_elem: { args: ['i32', 'ptr'], returns: 'i32' },
  bpf_map_get_next_key: { args: ['i32', 'ptr', 'ptr'], returns: 'i32' },
  bpf_map_lookup_batch: {
    args: ['i32', 'ptr', 'ptr', 'ptr', 'ptr', 'ptr', 'ptr'],
    returns: 'i32',
  },
  bpf_map_get_fd_by_id: { args: ['u32'], returns: 'i32' },
  bpf_map_freeze: { args: ['i32'], returns: 'i32' },

  cil_link_create: { args: ['i32', 'i32', 'u32'], returns: 'i32' },
  cil_link_create_map_iter: { args: ['i32', 'i32'], returns: 'i32' },
  cil_link_query: { args: ['i32', 'ptr'], returns: 'i32' },
  bpf_link_update: { args: ['i32', 'i32', 'ptr'], returns: 'i32' },
  bpf_link_detach: { args: ['i32'], returns: 'i32' },
  bpf_iter_create: { args: ['i32'], returns: 'i32' },
  cil_tc_attach: { args: ['i32', 'i32', 'i32', 'u32', 'u32'], returns: 'i32' },
  cil_tc_detach: { args: ['i32', 'i32', 'u32', 'u32'], returns: 'i32' },
  cil_tc_query: { args: ['i32', 'i32', 'u32', 'u32'], returns: 'i32' },

  libbpf_num_possible_cpus: { args: [], returns: 'i32' },
  libbpf_probe_bpf_prog_type: { args: ['i32', 'ptr'], returns: 'i32' },
  libbpf_probe_bpf_map_type: { args: ['i32', 'ptr'], returns: 'i32' },
  libbpf_probe_bpf_helper: { args: ['i32', 'i32', 'ptr'], returns: 'i32' },
} as const satisfies Record<string, FFIFunction>;

/** A pointer into libbpf's memory. Bun hands them out as numbers and takes both. */
export type Address = Pointer | bigint;

let opened: ReturnType<typeof open> | undefined;

/** libbpf's functions and ours. The first call opens the library, a few milliseconds. */
export function libbpf(): ReturnType<typeof open> {
  opened ??= open();
  return opened;
}

function open() {
  const library = nativeLibrary();
  let fd = -1;
  let path = library.path;
  if (library.bytes !== undefined) {
    fd = memfdCreate('libcilium_bpf.so');
    for (let written = 0; written < library.bytes.length; ) {
      written += writeSync(fd, library.bytes, written);
    }
    path = `/proc/self/fd/${fd}`;
  }
  try {
    const { symbols } = dlopen(path, definitions);
    symbols.cil_start();
    return symbols;
  } finally {
    // The mapping keeps the file in memory alive.
    if (fd >= 0) {
      close(fd);
    }
  }
}

/** Throws a KernelError for a result below zero, which is a negated errno; else returns it. */
export function check(result: number, call: string, doing: string): number {
  if (result < 0) {
    const [said] = takeLog().split('\n');
    throw new KernelError({ call, errno: -result, doing, detail: said === '' ? undefined : said });
  }
  return result;
}

const logBytes = 16_384;

/** What libbpf printed since the last call: warnings, in several lines. */
export function takeLog(): string {
  const text = new Uint8Array(logBytes);
  const lost = new Uint32Array(1);
  const length = libbpf().cil_log_take(text, logBytes, lost);
  const printed = new TextDecoder()
    .decode(text.subarray(0, length))
    .replace(/^libbpf: /gm, '')
    .trim();
  return lost[0] === 0 ? printed : `${printed}\n(${lost[0]} more lines)`;
}

/** A C string in memory that lives as long as the result is referenced. */
export function cString(text: string): Uint8Array {
  if (text.includes('\0')) {
    throw new RangeError('a name or path contains NUL');
  }
  return Buffer.from(`${text}\0`);
}

export function readString(address: Address | null): string {
  return address === null ? '' : new CString(Number(address) as Pointer).toString();
}

/** A view of memory that libbpf owns; not to be used after libbpf has freed it. */
export function viewMemory(address: Address, length: number): DataView {
  return new DataView(toArrayBuffer(Number(address) as Pointer, 0, length));
}
