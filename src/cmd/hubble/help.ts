/**
 * @module
 * Help of the hubble commands, from their flags, with examples that work.
 */
import type { FlagSpec } from './flags.ts';
import { agentEventFlags, observeFlags, serverFlags } from './observe-flags.ts';

export interface HubbleCommand {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  readonly flags: readonly FlagSpec[];
  readonly examples: readonly (readonly [string, string])[];
}

const outputFlag = (forms: string): FlagSpec => ({
  name: 'output',
  short: 'o',
  value: 'form',
  help: forms,
  group: 'Format',
});

export const listFlags: readonly FlagSpec[] = [outputFlag('table, wide or json'), ...serverFlags];
export const statusFlags: readonly FlagSpec[] = [
  outputFlag('compact, dict, json or table'),
  ...serverFlags,
];

export const hubbleCommands: readonly HubbleCommand[] = [
  {
    name: 'observe',
    summary: 'Flows as they are seen by the node',
    usage: 'observe [flows|agent-events|debug-events] [flags]',
    flags: observeFlags,
    examples: [
      ['hubble observe -f --verdict DROPPED', 'what is being dropped'],
      [
        'hubble observe --pod shop/web -t policy-verdict --print-policy-names',
        'which policy decided',
      ],
      [
        'hubble observe --since 5m --to-port 443 --not --to-namespace kube-system',
        'a window of time',
      ],
      ['hubble observe -f -o json | jq .flow.source', 'as JSON lines'],
      ['hubble observe --input-file flows.json --protocol udp', 'a capture again'],
    ],
  },
  {
    name: 'observe agent-events',
    summary: 'What the agent did: start, policies, endpoints',
    usage: 'observe agent-events [flags]',
    flags: agentEventFlags,
    examples: [['hubble observe agent-events -f', 'as it happens']],
  },
  {
    name: 'status',
    summary: 'How the server is',
    usage: 'status [flags]',
    flags: statusFlags,
    examples: [['hubble status -o json', 'for scripts']],
  },
  {
    name: 'list namespaces',
    summary: 'Namespaces with flows in the last hour',
    usage: 'list namespaces [flags]',
    flags: listFlags,
    examples: [['hubble list namespaces', 'by name']],
  },
  {
    name: 'list nodes',
    summary: 'Nodes behind a relay',
    usage: 'list nodes [flags]',
    flags: listFlags,
    examples: [['hubble list nodes --server relay:4245', 'of a cluster']],
  },
  { name: 'version', summary: 'Print the version', usage: 'version', flags: [], examples: [] },
];

/** Help of one command, or the list of them for the empty name. */
export function helpText(name: string): string {
  const command = hubbleCommands.find((one) => one.name === name);
  if (command === undefined) return overview();
  const lines = [command.summary, '', `Usage: hubble ${command.usage}`];
  if (command.examples.length > 0) lines.push('', 'Examples:');
  for (const [line, why] of command.examples) lines.push(`  ${line}`, `      ${why}`);
  for (const group of new Set(command.flags.map((flag) => flag.group))) {
    lines.push('', `${group}:`);
    const flags = command.flags.filter((flag) => flag.group === group);
    const left = flags.map(flagText);
    const width = Math.min(44, Math.max(...left.map((text) => text.length)));
    flags.forEach((flag, index) => {
      lines.push(`  ${(left[index] ?? '').padEnd(width)}  ${flag.help}`);
    });
  }
  return `${lines.join('\n')}\n`;
}

function flagText(flag: FlagSpec): string {
  const short = flag.short === undefined ? '    ' : `-${flag.short}, `;
  return `${short}--${flag.name}${flag.value === undefined ? '' : ` <${flag.value}>`}`;
}

function overview(): string {
  const width = Math.max(...hubbleCommands.map((command) => command.name.length));
  return [
    'Flows: what the network does, and which policy decided it.',
    '',
    'Usage: hubble <command> [flags]',
    '',
    'Commands:',
    ...hubbleCommands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    '',
    'The server is --server, else HUBBLE_SERVER, else the agent of this machine.',
    'hubble <command> --help tells more.',
    '',
  ].join('\n');
}
