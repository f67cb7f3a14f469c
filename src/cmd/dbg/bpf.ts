/**
 * @module `dbg bpf`: the pinned maps, read directly. Works without an agent.
 */
import type { Command } from '../command.ts';
import { bpfCtCommand, bpfNatCommand } from './bpf-connection.ts';
import { bpfEndpointCommand, bpfIpcacheCommand } from './bpf-endpoint.ts';
import { bpfFsCommand, bpfMetricsCommand } from './bpf-metrics.ts';
import { bpfPolicyCommand } from './bpf-policy.ts';

export const bpfCommand: Command = {
  name: 'bpf',
  summary: 'Direct access to local BPF maps',
  commands: [
    bpfCtCommand,
    bpfEndpointCommand,
    bpfFsCommand,
    bpfIpcacheCommand,
    bpfMetricsCommand,
    bpfNatCommand,
    bpfPolicyCommand,
  ],
};
