/**
 * @module
 * What this kernel can do, found out by trying. An answer is yes, no, or
 * unknown (no permission, a table full); only yes and no are remembered.
 */
import { closeSync } from 'node:fs';
import { errnoName, KernelError } from '../../net/kernel-error.ts';
import { cString, libbpf, takeLog } from './ffi.ts';
import { attachType } from './link.ts';
import { BpfMap } from './map.ts';
import { mapType } from './map-type.ts';
import { programType } from './program.ts';

export type Answer = 'yes' | 'no' | 'unknown';

export type Feature =
  | 'tcx'
  | 'netkit'
  | 'ring-buffer'
  | 'batch-operations'
  | 'for-each-map-elem'
  | 'redirect-peer'
  | 'redirect-neigh'
  | 'sk-assign'
  | 'syscall-program'
  | 'map-of-maps';

/** A feature and what it is for: the rows of `cilium dbg features`. */
export interface FeatureRow {
  readonly feature: Feature;
  readonly since: string;
  readonly answer: Answer;
}

const netkitPrimary = 54;
const helper = { skAssign: 124, redirectNeigh: 152, redirectPeer: 155, forEachMapElem: 164 };

const probes: Readonly<Record<Feature, { since: string; probe: () => Answer }>> = {
  tcx: { since: '6.6', probe: () => probeAttach(attachType.tcxIngress) },
  netkit: { since: '6.7', probe: () => probeAttach(netkitPrimary) },
  'ring-buffer': { since: '5.8', probe: () => probeMap(mapType.ringbuf) },
  'batch-operations': { since: '5.6', probe: probeBatch },
  'for-each-map-elem': { since: '5.13', probe: () => probeHelper(helper.forEachMapElem) },
  'redirect-peer': { since: '5.10', probe: () => probeHelper(helper.redirectPeer) },
  'redirect-neigh': { since: '5.10', probe: () => probeHelper(helper.redirectNeigh) },
  'sk-assign': { since: '5.7', probe: () => probeHelper(helper.skAssign) },
  'syscall-program': { since: '5.14', probe: () => probeProgram(programType.syscall) },
  'map-of-maps': { since: '4.12', probe: () => probeMap(mapType.arrayOfMaps) },
};

export const features: readonly Feature[] = Object.keys(probes) as Feature[];

const remembered = new Map<Feature, Answer>();

export function probe(feature: Feature): Answer {
  const known = remembered.get(feature);
  if (known !== undefined) return known;
  const answer = probes[feature].probe();
  takeLog();
  if (answer !== 'unknown') remembered.set(feature, answer);
  return answer;
}

export function probeAll(): FeatureRow[] {
  return features.map((feature) => ({
    feature,
    since: probes[feature].since,
    answer: probe(feature),
  }));
}

function answerOf(result: number): Answer {
  if (result < 0) return 'unknown';
  return result > 0 ? 'yes' : 'no';
}

function probeMap(type: number): Answer {
  return answerOf(libbpf().libbpf_probe_bpf_map_type(type, null));
}

function probeProgram(type: number): Answer {
  return answerOf(libbpf().libbpf_probe_bpf_prog_type(type, null));
}

function probeHelper(number: number): Answer {
  return answerOf(libbpf().libbpf_probe_bpf_helper(programType.schedCls, number, null));
}

/** struct bpf_insn twice: r0 = 0; exit. */
const doNothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);

/**
 * Attaches to a device that cannot exist: a kernel that knows the kind of
 * attachment misses the device, one that does not refuses the kind. Nothing is attached either way.
 */
function probeAttach(type: number): Answer {
  const { cil_program_load: load, cil_link_create: create } = libbpf();
  const program = load(programType.schedCls, cString('cil_probe'), doNothing, 2);
  if (program < 0) return 'unknown';
  const result = create(program, 0x7fffffff, type);
  closeSync(program);
  switch (errnoName(-result)) {
    case 'ENODEV':
      return 'yes';
    case 'EINVAL':
      return 'no';
    default:
      return 'unknown';
  }
}

/** A batch on an empty hash finds nothing where batches exist, and is an invalid call elsewhere. */
function probeBatch(): Answer {
  const shape = { type: mapType.hash, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 };
  try {
    using map = BpfMap.create({ ...shape, name: 'cil_probe', pinned: false });
    const [cursor, keys, values] = [new Uint8Array(16), new Uint8Array(4), new Uint8Array(4)];
    const count = new Uint32Array([1]);
    const { bpf_map_lookup_batch: lookup } = libbpf();
    const result = lookup(map.fd, null, cursor, keys, values, count, null);
    if (errnoName(-result) === 'ENOENT') return 'yes';
    return errnoName(-result) === 'EINVAL' ? 'no' : 'unknown';
  } catch (error) {
    if (error instanceof KernelError) return 'unknown';
    throw error;
  }
}
