/**
 * @module
 * Where programs hang: tcx links (Linux 6.6) and, before that, clsact filters
 * on a device; iterator links over a map.
 */
import { closeSync, readSync } from 'node:fs';
import { check, cString, libbpf, takeLog } from './ffi.ts';
import type { BpfMap } from './map.ts';
import type { BpfProgram } from './program.ts';

/** Points of attachment, numbered as in the kernel's enum bpf_attach_type. */
export const attachType = { tcxIngress: 46, tcxEgress: 47 } as const;

export type Direction = 'ingress' | 'egress';

/** What the kernel tells of a link. */
export interface LinkFacts {
  readonly id: number;
  readonly type: number;
  readonly programId: number;
  /** Of a tcx link: the device, 0 once it is gone. */
  readonly ifindex: number;
  /** Of a tcx link: a value of attachType. */
  readonly attachType: number;
}

/**
 * A link that was let go ends a moment later, in a work queue of the kernel; until then the same
 * program at the same place is EEXIST.
 */
const errnoExists = 17;
const freedTriesMax = 20;
const freedWaitMs = 2;

/** A link by descriptor. Disposing closes it: an attachment ends when nothing else holds it. */
export class BpfLink implements Disposable {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Attaches to a device, after the programs that are there. Throws EINVAL before Linux 6.6. */
  static attachTcx(program: BpfProgram, ifindex: number, direction: Direction): BpfLink {
    const type = direction === 'ingress' ? attachType.tcxIngress : attachType.tcxEgress;
    const doing = `attach ${program.name} to ${direction} of device ${ifindex}`;
    let fd = libbpf().cil_link_create(program.fd, ifindex, type);
    for (let tries = 0; fd === -errnoExists && tries < freedTriesMax; tries++) {
      Bun.sleepSync(freedWaitMs);
      fd = libbpf().cil_link_create(program.fd, ifindex, type);
    }
    return new BpfLink(check(fd, 'BPF_LINK_CREATE', doing));
  }

  /** Binds an iterator program to the map that it will walk. */
  static attachMapIterator(program: BpfProgram, map: BpfMap): BpfLink {
    const fd = libbpf().cil_link_create_map_iter(program.fd, map.fd);
    return new BpfLink(check(fd, 'BPF_LINK_CREATE', `iterate ${map.name} by ${program.name}`));
  }

  static openPinned(path: string): BpfLink {
    return new BpfLink(check(libbpf().bpf_obj_get(cString(path)), 'BPF_OBJ_GET', `open ${path}`));
  }

  pin(path: string): void {
    check(libbpf().bpf_obj_pin(this.fd, cString(path)), 'BPF_OBJ_PIN', `pin link at ${path}`);
  }

  /** Replaces the program between two packets. */
  update(program: BpfProgram): void {
    const result = libbpf().bpf_link_update(this.fd, program.fd, null);
    check(result, 'BPF_LINK_UPDATE', `replace program by ${program.name}`);
  }

  query(): LinkFacts {
    const words = new Uint32Array(6);
    check(libbpf().cil_link_query(this.fd, words), 'BPF_OBJ_GET_INFO_BY_FD', 'query link');
    const [type = 0, id = 0, programId = 0, , ifindex = 0, attach = 0] = words;
    return { id, type, programId, ifindex, attachType: attach };
  }

  /** Ends the attachment, whoever else holds the link. */
  detach(): void {
    check(libbpf().bpf_link_detach(this.fd), 'BPF_LINK_DETACH', 'detach link');
  }

  /** Of an iterator: walks once, and returns what the program wrote. */
  readIterator(): string {
    const fd = this.startIterator();
    try {
      const parts: Uint8Array[] = [];
      for (;;) {
        const part = new Uint8Array(65_536);
        const length = readSync(fd, part);
        if (length === 0) return Buffer.concat(parts).toString();
        parts.push(part.subarray(0, length));
      }
    } finally {
      closeSync(fd);
    }
  }

  /** Of an iterator: begins a walk. Every read of the descriptor goes on where the last one ended. */
  startIterator(): number {
    return check(libbpf().bpf_iter_create(this.fd), 'BPF_ITER_CREATE', 'start iterator');
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** Our filter on a clsact hook; there is one per device and direction. */
const filterPriority = 1;
const filterHandle = 0xc111;

/** The way before tcx: makes the clsact qdisc if needed, attaches, or replaces ours. Lives until detached. */
export function attachClsact(program: BpfProgram, ifindex: number, direction: Direction): void {
  const egress = direction === 'egress' ? 1 : 0;
  const { cil_tc_attach: attach } = libbpf();
  const result = attach(ifindex, egress, program.fd, filterPriority, filterHandle);
  check(result, 'RTM_NEWTFILTER', `attach ${program.name} to ${direction} of device ${ifindex}`);
}

/** The id of our program there, or undefined. */
export function queryClsact(ifindex: number, direction: Direction): number | undefined {
  const egress = direction === 'egress' ? 1 : 0;
  const id = libbpf().cil_tc_query(ifindex, egress, filterPriority, filterHandle);
  if (id >= 0) return id;
  // That there is no filter is an answer; what libbpf says of it would be in the next error.
  takeLog();
  return undefined;
}

/** Absence is no error: the device takes its filters along. */
export function detachClsact(ifindex: number, direction: Direction): void {
  const egress = direction === 'egress' ? 1 : 0;
  if (queryClsact(ifindex, direction) === undefined) return;
  const result = libbpf().cil_tc_detach(ifindex, egress, filterPriority, filterHandle);
  check(result, 'RTM_DELTFILTER', `detach from ${direction} of device ${ifindex}`);
}
