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
export const versionFlags: readonly FlagSpec[] = [
  outputFlag('text or json'),
  { name: 'help', short: 'h', help: 'Show this help', group: 'Other' },
];
export const statusFlags: readonly FlagSpec[] = [
  outputFlag('compact, dict, json or table'),
  ...serverFlags,
];

export const hubbleCommands: readonly HubbleCommand[] = [
  {
    name: 'observe',
    summary: 'Flows as they are seen by the node',
    usage: 'observe [flows|agent-events] [flags]',
    flags: observeFlags,
    examples: [
      ['hubble observe -f --verdict DROPPED', 'what is being dropped'],
      ['hubble observe --pod shop/web -t policy-verdict', 'which policy decided'],
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
  {
    name: 'list',
    summary: 'Nodes (of a relay), or namespaces with flows',
    usage: 'list nodes|namespaces [flags]',
    flags: listFlags,
    examples: [
      ['hubble list namespaces', 'namespaces with flows'],
      ['hubble list nodes -o wide', 'nodes, with version and address'],
    ],
  },
  {
    name: 'version',
    summary: 'Print the version',
    usage: 'version [flags]',
    flags: versionFlags,
    examples: [['hubble version -o json', 'for scripts']],
  },
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
    'Examples:',
    '  hubble observe -f                      every connection and the policy that decided it, live',
    '  hubble observe --verdict DROPPED       what was dropped last',
    '  hubble observe --pod shop/web -o json  as JSON lines',
    '',
    'The server is --server, else HUBBLE_SERVER (unix:///path or host:port), else that of the agent which',
    'CILIUM_SOCK names, else of the agent of this machine.',
    'hubble <command> --help tells more.',
    '',
  ].join('\n');
}
