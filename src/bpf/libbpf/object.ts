/**
 * @module
 * One compiled eBPF object on its way into the kernel: opened from memory,
 * its maps sized and pinned or adopted, its constants set, then loaded. The
 * bytes come from loader/embedded.ts.
 */
import { KernelError } from '../../net/kernel-error.ts';
import { fcntl } from '../../net/libc.ts';
import { type Address, check, cString, libbpf, readString, takeLog, viewMemory } from './ffi.ts';
import type { ConfigLayout, MapSpec } from './layout.ts';
import { BpfMap } from './map.ts';
import { BpfProgram } from './program.ts';
import { TypedMap } from './typed-map.ts';
import { VerifierError } from './verifier-error.ts';

const F_DUPFD_CLOEXEC = 1030;

/** An object. Disposing frees it and closes its descriptors: what is pinned or attached stays. */
export class BpfObject implements Disposable {
  readonly name: string;
  readonly #address: Address;

  private constructor(name: string, address: Address) {
    this.name = name;
    this.#address = address;
  }

  /** The bytes are copied. Nothing is in the kernel yet. */
  static open(name: string, bytes: Uint8Array): BpfObject {
    const out = new BigUint64Array(1);
    takeLog();
    const result = libbpf().cil_object_open(bytes, bytes.length, cString(name), out);
    check(result, 'bpf_object__open_mem', `open object ${name}`);
    return new BpfObject(name, out[0] ?? 0n);
  }

  /** Before load. */
  setMaxEntries(map: string, entries: number): void {
    const result = libbpf().bpf_map__set_max_entries(this.#mapAddress(map), entries);
    check(result, 'bpf_map__set_max_entries', `size ${map} to ${entries}`);
  }

  /** Before load: the map that is pinned there is adopted, otherwise the new one is pinned there. */
  setPinPath(map: string, path: string): void {
    const result = libbpf().bpf_map__set_pin_path(this.#mapAddress(map), cString(path));
    check(result, 'bpf_map__set_pin_path', `pin ${map} at ${path}`);
  }

  /** Before load: uses an open map in place of the declared one. The caller keeps its descriptor. */
  reuseMap(map: string, fd: number): void {
    const result = libbpf().bpf_map__reuse_fd(this.#mapAddress(map), fd);
    check(result, 'bpf_map__reuse_fd', `reuse ${map}`);
  }

  /** Before load: whether a program is loaded at all. */
  setAutoload(program: string, load: boolean): void {
    const result = libbpf().bpf_program__set_autoload(this.#programAddress(program), load);
    check(result, 'bpf_program__set_autoload', `choose ${program}`);
  }

  /** Before load: the constants after which the verifier removes what is switched off. */
  configure<Config>(layout: ConfigLayout<Config>, config: Partial<Config>): void {
    const size = new BigUint64Array(1);
    const address = libbpf().bpf_map__initial_value(this.#mapAddress('.rodata'), size);
    if (address === null || Number(size[0]) < layout.size) {
      throw new TypeError(`${this.name}: its constants are not the ones to be set`);
    }
    layout.encode(config, viewMemory(address, layout.size));
  }

  /** Creates the maps and loads the programs. Throws a VerifierError when one is refused. */
  load(): void {
    takeLog();
    const result = libbpf().bpf_object__load(this.#address);
    if (result >= 0) return;
    const printed = takeLog();
    const log = readString(libbpf().cil_verifier_log());
    const refused = /prog '([^']+)': (?:BPF program load failed|failed to load)/.exec(printed);
    const doing = `load ${refused?.[1] ?? this.name}`;
    if (refused !== null && log !== '') {
      throw new VerifierError({ call: 'BPF_PROG_LOAD', errno: -result, doing }, log);
    }
    const [detail] = printed.split('\n');
    throw new KernelError({ call: 'bpf_object__load', errno: -result, doing, detail });
  }

  /** After load. The map has a descriptor of its own, which outlives the object. */
  map(name: string): BpfMap {
    const fd = libbpf().bpf_map__fd(this.#mapAddress(name));
    return new BpfMap(
      fcntl(check(fd, 'bpf_map__fd', `find map ${name}`), F_DUPFD_CLOEXEC, 3, `duplicate ${name}`),
    );
  }

  /** After load, typed. */
  typedMap<Key, Value>(spec: MapSpec<Key, Value>): TypedMap<Key, Value> {
    return new TypedMap(this.map(spec.name), spec);
  }

  /** After load. Its descriptor is the object's and closes with it. */
  program(name: string): BpfProgram {
    const fd = libbpf().bpf_program__fd(this.#programAddress(name));
    return new BpfProgram(check(fd, 'bpf_program__fd', `find program ${name}`), name, false);
  }

  mapNames(): string[] {
    const { bpf_object__next_map: next, bpf_map__name: nameOf } = libbpf();
    return this.#names(next, nameOf);
  }

  programNames(): string[] {
    const { bpf_object__next_program: next, bpf_program__name: nameOf } = libbpf();
    return this.#names(next, nameOf);
  }

  [Symbol.dispose](): void {
    libbpf().bpf_object__close(this.#address);
  }

  #names(
    next: (object: Address, previous: Address | null) => Address | null,
    nameOf: (item: Address) => Address | null,
  ): string[] {
    const names: string[] = [];
    let item = next(this.#address, null);
    while (item !== null) {
      names.push(readString(nameOf(item)));
      item = next(this.#address, item);
    }
    return names;
  }

  #mapAddress(name: string): Address {
    const address = libbpf().bpf_object__find_map_by_name(this.#address, cString(name));
    if (address === null) throw new RangeError(`${this.name} has no map ${name}`);
    return address;
  }

  #programAddress(name: string): Address {
    const found = libbpf().bpf_object__find_program_by_name(this.#address, cString(name));
    if (found === null) throw new RangeError(`${this.name} has no program ${name}`);
    return found;
  }
}
