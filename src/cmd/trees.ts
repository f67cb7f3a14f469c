/**
 * @module All commands that are data, as one tree, for completion and the command reference. Loads every
 * one of them: not for the start of a command.
 */
import type { Command } from './command.ts';

export async function loadTrees(): Promise<Command> {
  const modules = await Promise.all([
    import('./demo.ts'),
    import('./up.ts'),
    import('./down.ts'),
    import('./exec.ts'),
    import('./status.ts'),
    import('./dbg.ts'),
    import('./features.ts'),
    import('./version.ts'),
  ]);
  const commands = modules.map((module): Command => module.command);
  return {
    name: 'cilium',
    summary: 'eBPF networking, network policy and flow visibility in one executable.',
    commands: [
      ...commands,
      { name: 'hubble', summary: 'Flows' },
      { name: 'agent', summary: 'The agent' },
    ],
  };
}
