/**
 * @module The help of `cilium agent`, from the table of options: what does something with a line each,
 * then the names of the others. As a tree for completion and the command reference; its flags are
 * read by the configuration itself.
 */
import { optionDescriptions } from '../daemon/runtime/config-descriptions.ts';
import { agentOption, agentOptions } from '../daemon/runtime/config-options.ts';
import type { Command } from './command.ts';
import { commonFlags } from './command.ts';
import type { Flag } from './flags.ts';
import { usageText } from './usage.ts';

const common = new Set(commonFlags.map((flag) => flag.name));
const columns = 100;

function asFlag(name: string, text: string): Flag {
  const { type = 'string', default: value = '' } = agentOption(name) ?? {};
  const shown = value === '' || text.includes('(default') ? '' : ` (default ${value})`;
  return {
    name,
    kind: type === 'bool' ? 'boolean' : 'string',
    hint: type,
    help: `${text}${shown}`,
  };
}

export const command: Command = {
  name: 'agent',
  summary:
    'The agent, one a node. Every flag is also CILIUM_<NAME> in the environment and a file in --config-dir',
  flags: [...optionDescriptions]
    .filter(([name]) => !common.has(name))
    .map(([name, text]) => asFlag(name, text)),
  examples: [
    [
      'cilium agent --enable-k8s=false --static-cnp-path=/etc/cilium/policies',
      'without Kubernetes, with policies from a folder',
    ],
    [
      'nsenter --net=/run/netns/other cilium agent --enable-k8s=false --state-dir=/run/other ' +
        '--socket-path=/run/other/cilium.sock --bpf-root=/run/other/bpf ' +
        '--hubble-socket-path=/run/other/hubble.sock --ipv4-range=10.99.0.0/24',
      'a second agent on the same machine (not by ip netns exec: its mounts end with it)',
    ],
  ],
  notes:
    'Known, and without effect yet; the agent warns of each that is set, and refuses to start where\n' +
    `protection would be missing:\n\n${wrapped(unsupportedNames())}`,
};

function unsupportedNames(): string[] {
  return [...agentOptions()]
    .map((option) => option.name)
    .filter((name) => !optionDescriptions.has(name))
    .sort();
}

/** Names side by side in lines of equal width. */
function wrapped(names: readonly string[]): string {
  const lines: string[] = [];
  let line = '';
  for (const name of names) {
    if (line !== '' && line.length + name.length + 3 > columns) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? `  ${name}` : ` ${name}`;
  }
  return [...lines, line].join('\n');
}

export function agentHelp(): Promise<string> {
  return usageText([command]);
}
