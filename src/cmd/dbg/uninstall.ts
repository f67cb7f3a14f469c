/**
 * @module `dbg post-uninstall-cleanup`: removes what agents left on this node. For when none comes back.
 */
import { readSync } from 'node:fs';
import type { Command, Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { printOut } from '../terminal.ts';
import { openSession } from './session.ts';

const defaultStateDirectory = '/var/run/cilium';

export const uninstallCommand: Command = {
  name: 'post-uninstall-cleanup',
  summary: 'Remove system state installed by Cilium at runtime',
  flags: [
    { name: 'all-state', kind: 'boolean', help: 'everything, the state directory included' },
    { name: 'bpf-state', kind: 'boolean', help: 'everything but the state directory' },
    { name: 'force', short: 'f', kind: 'boolean', help: 'do not ask' },
    { name: 'state-dir', kind: 'string', help: `the agent's (default ${defaultStateDirectory})` },
  ],
  examples: [
    ['cilium dbg post-uninstall-cleanup --all-state -f', 'after the agent is gone for good'],
    [
      'cilium dbg --bpf-root=/run/a/bpf post-uninstall-cleanup --all-state -f --state-dir=/run/a/state',
      'of an agent with its own places, in its network namespace',
    ],
  ],
  run: cleanUp,
};

async function cleanUp(invocation: Invocation): Promise<number> {
  const { flags } = invocation;
  const state = flags.boolean('all-state');
  if (!state && !flags.boolean('bpf-state')) {
    throw new UsageError('say what to remove: --all-state or --bpf-state');
  }
  if (process.geteuid?.() !== 0) throw new Error('removing interfaces and maps takes root');
  const stateDirectory = flags.string('state-dir') ?? defaultStateDirectory;
  const bpfRoot = openSession(invocation).agent.bpfRoot;
  if (!flags.boolean('force') && !isSure(stateDirectory, bpfRoot)) return 1;
  const { lockStateDirectory } = await import('../../daemon/state-lock.ts');
  const { uninstall } = await import('../../daemon/uninstall.ts');
  using _lock = await lockStateDirectory(stateDirectory);
  const done = uninstall({ stateDirectory, bpfRoot }, { state });
  for (const line of done) printOut(`removed ${line}\n`);
  if (done.length === 0) printOut('There was nothing to remove.\n');
  return 0;
}

function isSure(stateDirectory: string, bpfRoot: string): boolean {
  printOut(
    `Pods of this node lose their network; maps below ${bpfRoot} and state in ${stateDirectory} go.\n` +
      'Remove all of it? [y/N] ',
  );
  const answer = new Uint8Array(64);
  const length = readSync(0, answer);
  return /^y(es)?\s*$/i.test(new TextDecoder().decode(answer.subarray(0, length)));
}
