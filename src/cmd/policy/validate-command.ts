/**
 * @module `policy validate` as data, for `cilium policy` and `cilium dbg policy`.
 */
import type { Command } from '../command.ts';
import { outputFlag } from '../rendering.ts';
import { agentFlags, exitNotes, fileFlag } from './options.ts';

export const validateCommand: Command = {
  name: 'validate',
  summary: 'Check files: line and field of each error, and warnings',
  positionals: [
    { name: 'path', help: 'file, folder, or - for standard input', optional: true, many: true },
  ],
  flags: [
    { ...fileFlag, help: 'the same as an argument; may be repeated' },
    ...agentFlags,
    outputFlag,
  ],
  examples: [
    ['cilium policy validate policies/', 'every manifest in a folder'],
    ['helm template . | cilium policy validate -', 'what a chart renders'],
    ['cilium policy validate web.yaml -o json', 'for programs'],
  ],
  notes: `Warnings do not change the exit status.\n${exitNotes}`,
  run: async (invocation) => (await import('./validate.ts')).validate(invocation),
};
