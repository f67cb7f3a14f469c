/**
 * @module `dbg bpf metrics list` and `dbg bpf fs show`: packet counters by reason and direction from
 * the pinned map cilium_metrics; the mount that holds the pins.
 */
import { readFileSync } from 'node:fs';
import { metricLayout } from '../../bpf/gen/layouts.ts';
import type { Command } from '../command.ts';
import { outputFlag } from '../rendering.ts';
import { formatLines } from '../text-table.ts';
import { dropReasonText } from './drop-reason.ts';
import { type RawRow, readPinned, viewOf } from './pinned.ts';
import { findBpfRoot, printValue } from './session.ts';

export interface MetricRow {
  readonly reason: string;
  readonly direction: string;
  readonly packets: bigint;
  readonly bytes: bigint;
}

export const bpfMetricsCommand: Command = {
  name: 'metrics',
  summary: 'BPF datapath traffic metrics',
  commands: [
    {
      name: 'list',
      summary: 'List BPF datapath traffic metrics',
      flags: [outputFlag],
      examples: [['cilium dbg bpf metrics list', 'packets forwarded, and dropped by reason']],
      run: async (invocation) => {
        const bpfRoot = await findBpfRoot(invocation);
        const rows = metricRows(readPinned(bpfRoot, 'cilium_metrics'));
        const json = rows.map((row) => ({ ...row, direction: row.direction.toLowerCase() }));
        return printValue(invocation, json, () => formatMetrics(rows));
      },
    },
  ],
};

const directions = ['UNKNOWN', 'INGRESS', 'EGRESS', 'SERVICE'] as const;

/** Counters that have counted, summed over the CPUs. Key = reason * 4 + direction. */
export function metricRows(rows: readonly RawRow[]): MetricRow[] {
  const counted = rows.map(({ key, value }) => {
    const index = viewOf(key).getUint32(0, true);
    const sum = sumOverCpus(value);
    return { reason: dropReasonText(index >> 2), direction: directions[index & 3] ?? '', ...sum };
  });
  return counted
    .filter((row) => row.packets > 0n)
    .sort((a, b) => compare(a.reason, b.reason) || compare(a.direction, b.direction));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sumOverCpus(value: Uint8Array): { packets: bigint; bytes: bigint } {
  const view = viewOf(value);
  let packets = 0n;
  let bytes = 0n;
  for (let offset = 0; offset + metricLayout.size <= view.byteLength; offset += metricLayout.size) {
    const one = metricLayout.decode(view, offset);
    packets += BigInt(one.packets);
    bytes += BigInt(one.bytes);
  }
  return { packets, bytes };
}

export function formatMetrics(rows: readonly MetricRow[]): string {
  return formatLines([
    ['REASON', 'DIRECTION', 'PACKETS', 'BYTES'],
    ...rows.map((row) => [row.reason, row.direction, String(row.packets), String(row.bytes)]),
  ]);
}

export const bpfFsCommand: Command = {
  name: 'fs',
  summary: 'BPF filesystem mount',
  commands: [
    {
      name: 'show',
      summary: 'Show BPF filesystem mount details',
      flags: [outputFlag],
      examples: [['cilium dbg bpf fs show', 'where the maps are pinned']],
      run: async (invocation) => {
        const bpfRoot = await findBpfRoot(invocation);
        const mount = findMount(readFileSync('/proc/self/mountinfo', 'utf8'), bpfRoot);
        if (mount === undefined) throw new Error(`no bpf file system is mounted at ${bpfRoot}`);
        return printValue(invocation, mount, () =>
          formatLines(Object.entries(mount).map(([name, value]) => [`${name}:`, String(value)])),
        );
      },
    },
  ],
};

/** The mount at or above `path`, of type bpf, from the text of mountinfo. */
export function findMount(mountinfo: string, path: string) {
  const mounts = mountinfo.split('\n').flatMap((line) => {
    const match = /^(\d+) (\d+) \S+ \S+ (\S+) (\S+) (.*?)- (\S+) (\S+) (\S+)$/.exec(line);
    if (match === null || match[6] !== 'bpf') return [];
    const point = match[3] ?? '';
    if (path !== point && !path.startsWith(`${point}/`)) return [];
    return [
      {
        MountID: Number(match[1]),
        ParentID: Number(match[2]),
        'Mounted State': true,
        MountPoint: point,
        MountOptions: match[4],
        OptionFields: `[${match[5]?.trim()}]`,
        FilesystemType: match[6],
        MountSource: match[7],
        SuperOptions: match[8],
      },
    ];
  });
  return mounts.sort((a, b) => b.MountPoint.length - a.MountPoint.length)[0];
}
