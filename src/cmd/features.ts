/**
 * @module
 * `cilium features`: what this kernel can do, found out by trying. Needs no
 * agent; opens the library that travels in the executable.
 */
import { probeAll } from '../bpf/libbpf/probe.ts';
import type { Command } from './command.ts';
import { outputFlag, renderValue } from './rendering.ts';
import { printOut } from './terminal.ts';
import { formatTable } from './text-table.ts';

export const command: Command = {
  name: 'features',
  summary: 'What this kernel can do',
  flags: [outputFlag],
  examples: [
    ['cilium features', 'each feature, and since which kernel it is there'],
    ['cilium features -o json', 'for programs'],
  ],
  run: async ({ flags }) => {
    const rows = probeAll();
    const form = flags.string('output');
    if (form !== undefined) {
      printOut(await renderValue(form, rows));
    } else {
      const cells = rows.map(({ feature, answer, since }) => [feature, answer, since]);
      printOut(formatTable(['FEATURE', 'HERE', 'SINCE LINUX'], cells));
    }
    return 0;
  },
};
