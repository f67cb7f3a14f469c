/**
 * @module All commands that are data, as one tree, for completion and the command reference. Loads every
 * one of them: not for the start of a command.
 */
import type { Command } from './command.ts';

/** `more`: commands that load this file themselves. */
export async function loadTrees(...more: Command[]): Promise<Command> {
  const modules = await Promise.all([
    import('./demo.ts'),
    import('./up.ts'),
    import('./down.ts'),
    import('./exec.ts'),
    import('./status.ts'),
    import('./hubble.ts'),
    import('./policy.ts'),
    import('./dbg.ts'),
    import('./agent-help.ts'),
    import('./cni/help.ts'),
    import('./features.ts'),
    import('./version.ts'),
  ]);
  return {
    name: 'cilium',
    summary: 'eBPF networking, network policy and flow visibility in one executable.',
    commands: [...modules.map((module): Command => module.command), ...more],
  };
}
