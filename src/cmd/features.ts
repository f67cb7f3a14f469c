/**
 * @module
 * `cilium features`: what this kernel can do, found out by trying. Needs no
 * agent; opens the library that travels in the executable.
 */
import { probeAll } from '../bpf/libbpf/probe.ts';
import type { Command } from './command.ts';
import { printOut } from './terminal.ts';
import { formatTable } from './text-table.ts';

export const command: Command = {
  name: 'features',
  summary: 'What this kernel can do',
  flags: [{ name: 'output', short: 'o', kind: 'string', help: 'json for machines' }],
  run: ({ flags }) => {
    const rows = probeAll();
    if (flags.string('output') === 'json') {
      printOut(`${JSON.stringify(rows, null, 2)}\n`);
    } else {
      const cells = rows.map(({ feature, answer, since }) => [feature, answer, since]);
      printOut(formatTable(['FEATURE', 'HERE', 'SINCE LINUX'], cells));
    }
    return 0;
  },
};
