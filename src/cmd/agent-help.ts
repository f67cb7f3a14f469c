/**
 * @module The help of `cilium agent`, from the table of options.
 */
import { agentOptions } from '../daemon/runtime/config-options.ts';

const examples = `Examples:
  # Without Kubernetes, with policies from a folder:
  cilium agent --enable-k8s=false --static-cnp-path /etc/cilium/policies

  # A second agent on the same machine, in a network namespace of its own:
  ip netns exec other cilium agent --enable-k8s=false --state-dir /run/other \\
    --socket-path /run/other/cilium.sock --bpf-root /run/other/bpf \\
    --hubble-socket-path /run/other/hubble.sock --ipv4-range 10.99.0.0/24
`;

export function agentHelp(): string {
  const lines = [...agentOptions()].map((option) =>
    `  --${option.name} ${option.type === 'bool' ? '' : option.type}`.trimEnd(),
  );
  return [
    'Run the agent of this node.',
    '',
    'Usage: cilium agent [flags]',
    '',
    examples,
    'Every flag is also CILIUM_<NAME> in the environment and a file in --config-dir.',
    '',
    'Flags:',
    ...lines,
    '',
  ].join('\n');
}
