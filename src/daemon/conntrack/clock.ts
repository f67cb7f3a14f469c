/**
 * @module
 * The kernel's tick, which conntrack stamps entries with: how many there are in a second cannot be
 * asked for, so it is derived from both clocks read at one instant.
 */
import type { BpfProgram } from '../../bpf/libbpf/program.ts';

/** CONFIG_HZ of every kernel there is. */
const candidates = [100, 250, 300, 1000] as const;

/** Jiffies count from five minutes before boot, in 32 bits, so that wrapping shows early. */
const startSeconds = 300;
const wrap = 2 ** 32;

/** Seconds of uptime around which all candidates give the same jiffies. */
const blindSeconds = 2;

/** The tick rate for which `jiffies` fits `uptimeSeconds` best; undefined where none can be told. */
export function deriveHz(jiffies: number, uptimeSeconds: number): number | undefined {
  if (Math.abs(uptimeSeconds - startSeconds) < blindSeconds) return undefined;
  const off = (hz: number) => Math.abs(wrap + hz * (uptimeSeconds - startSeconds) - jiffies);
  return candidates.reduce((best, hz) => (off(hz) < off(best) ? hz : best));
}

export interface KernelClock {
  readonly jiffies: number;
  readonly uptimeSeconds: number;
}

/** Reads both clocks in the kernel. */
export function readClock(program: BpfProgram): KernelClock {
  const context = new Uint8Array(16);
  program.testRun({ context });
  const view = new DataView(context.buffer);
  return {
    jiffies: Number(view.getBigUint64(0, true)),
    uptimeSeconds: Number(view.getBigUint64(8, true)) / 1e9,
  };
}

/** In the blind moment after boot the difference of two readings tells. */
export function measureHz(read: () => KernelClock): number {
  const first = read();
  const derived = deriveHz(first.jiffies, first.uptimeSeconds);
  if (derived !== undefined) return derived;
  Bun.sleepSync(100);
  const second = read();
  const rate = (second.jiffies - first.jiffies) / (second.uptimeSeconds - first.uptimeSeconds);
  return candidates.reduce((best, hz) => (Math.abs(hz - rate) < Math.abs(best - rate) ? hz : best));
}
