/**
 * @module The help of `cilium agent`, from the table of options. As a tree for completion and the
 * command reference; its flags are read by the configuration itself.
 */
import { agentOptions } from '../daemon/runtime/config-options.ts';
import type { Command } from './command.ts';
import { commonFlags } from './command.ts';
import { usageText } from './usage.ts';

const common = new Set(commonFlags.map((flag) => flag.name));

export const command: Command = {
  name: 'agent',
  summary:
    'The agent, one a node. Every flag is also CILIUM_<NAME> in the environment and a file in --config-dir',
  flags: [...agentOptions()]
    .filter((option) => !common.has(option.name))
    .map((option) => ({
      name: option.name,
      kind: option.type === 'bool' ? ('boolean' as const) : ('string' as const),
      hint: option.type,
      help: option.default === '' ? '' : `default ${option.default}`,
    })),
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
};

export function agentHelp(): Promise<string> {
  return usageText([command]);
}
