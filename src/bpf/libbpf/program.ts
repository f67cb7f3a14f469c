/**
 * @module
 * A loaded program: what the kernel knows of it, and running it by hand.
 */
import { closeSync } from 'node:fs';
import { check, cString, libbpf } from './ffi.ts';

/** Kinds of programs, numbered as in the kernel's enum bpf_prog_type. */
export const programType = { schedCls: 3, xdp: 6, tracing: 26, syscall: 31 } as const;

/** What the kernel tells of a program. */
export interface ProgramFacts {
  readonly id: number;
  readonly type: number;
  /** Hash of its instructions, in hex: equal for equal programs. */
  readonly tag: string;
  /** Instructions that the verifier walked; 0 before Linux 5.16. */
  readonly verifiedInstructions: number;
  /** Only counted while kernel.bpf_stats_enabled is set. */
  readonly runs: number;
  readonly runTimeNs: number;
  readonly translatedBytes: number;
  readonly jitedBytes: number;
}

/** What a test run gets. Programs on packets take packet; a SYSCALL program takes context. */
export interface TestRun {
  readonly packet?: Uint8Array;
  /** struct __sk_buff, or the arguments of a SYSCALL program, which writes its answer into them. */
  readonly context?: Uint8Array;
  readonly repeat?: number;
  /** Room for the packet as the program leaves it; by default 512 bytes more than it had. */
  readonly packetBytesMax?: number;
}

export interface TestResult {
  readonly returned: number;
  /** Nanoseconds a run, averaged over the repeats. */
  readonly durationNs: number;
  readonly packet: Uint8Array;
}

/** A loaded program. Disposing closes the descriptor only when the program was opened by path. */
export class BpfProgram implements Disposable {
  readonly fd: number;
  readonly name: string;
  readonly #owned: boolean;

  constructor(fd: number, name: string, owned = true) {
    this.fd = fd;
    this.name = name;
    this.#owned = owned;
  }

  static openPinned(path: string): BpfProgram {
    const fd = check(libbpf().bpf_obj_get(cString(path)), 'BPF_OBJ_GET', `open ${path}`);
    return new BpfProgram(fd, path.slice(path.lastIndexOf('/') + 1));
  }

  query(): ProgramFacts {
    const words = new BigUint64Array(8);
    const doing = `query program ${this.name}`;
    check(libbpf().cil_program_query(this.fd, words), 'BPF_OBJ_GET_INFO_BY_FD', doing);
    const number = (index: number): number => Number(words[index] ?? 0n);
    return {
      id: number(0),
      type: number(1),
      verifiedInstructions: number(2),
      runs: number(3),
      runTimeNs: number(4),
      translatedBytes: number(5),
      jitedBytes: number(6),
      tag: new Uint8Array(words.buffer, 56, 8).toHex(),
    };
  }

  /** Runs the program in the kernel on a packet or arguments of ours (BPF_PROG_TEST_RUN). */
  testRun(input: TestRun): TestResult {
    const { packet, context, repeat = packet === undefined ? 0 : 1 } = input;
    const room = packet === undefined ? 0 : (input.packetBytesMax ?? packet.length + 512);
    const out = new Uint8Array(room);
    const results = new Uint32Array(4);
    // A SYSCALL program answers in the context itself and refuses an output buffer.
    const result = libbpf().cil_program_test_run(
      ...([this.fd, packet ?? null, packet?.length ?? 0, room === 0 ? null : out, room] as const),
      ...([context ?? null, context?.length ?? 0, null, 0, repeat, results] as const),
    );
    check(result, 'BPF_PROG_TEST_RUN', `run ${this.name}`);
    const [returned = 0, durationNs = 0, size = 0] = results;
    return { returned: returned | 0, durationNs, packet: out.subarray(0, size) };
  }

  pin(path: string): void {
    const doing = `pin ${this.name} at ${path}`;
    check(libbpf().bpf_obj_pin(this.fd, cString(path)), 'BPF_OBJ_PIN', doing);
  }

  [Symbol.dispose](): void {
    if (this.#owned) closeSync(this.fd);
  }
}
