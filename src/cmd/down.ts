/**
 * @module `cilium down`: removes the sandbox, in whatever state it is, and shows that the host is as it
 * was by comparing with the snapshot taken at the start. Exit code 1 when something differs.
 */
import { sandboxPaths } from '../sandbox/paths.ts';
import type { Difference } from '../sandbox/snapshot.ts';
import { removeSandbox, sandboxExists } from '../sandbox/teardown.ts';
import type { Command } from './command.ts';
import { requireRoot } from './sandbox-steps.ts';
import { printOut } from './terminal.ts';
import { formatLines } from './text-table.ts';

export const command: Command = {
  name: 'down',
  summary: 'Remove the sandbox, policies included, and show that the host is as it was',
  flags: [
    {
      name: 'keep-state',
      kind: 'boolean',
      help: "keep the agent's state, the policies and the logs",
    },
  ],
  examples: [
    ['cilium down', 'remove everything, and show that it is gone'],
    ['cilium down --keep-state', 'leave state, policies and logs for a look, until the next up'],
  ],
  run: async ({ flags }) => {
    requireRoot('down');
    const paths = sandboxPaths();
    if (!sandboxExists(paths)) {
      printOut('There is no sandbox on this machine.\n');
      return 0;
    }
    const keepState = flags.boolean('keep-state');
    const { differences } = await removeSandbox(paths, { keepState });
    if (keepState)
      printOut(
        `Kept until the next up: ${paths.stateDirectory}, ${paths.policyFolder}, ${paths.logFolder}\n`,
      );
    if (differences === undefined) {
      printOut('Removed. It had not come as far as recording the host, so nothing is compared.\n');
      return 0;
    }
    printOut(formatDifferences(differences));
    return differences.some(differs) ? 1 : 0;
  },
};

function differs({ added, missing }: Difference): boolean {
  return added.length + missing.length > 0;
}

/** Not this program's doing, so no reason to fail. */
function others({ foreign }: Difference): string {
  return foreign.length === 0 ? '' : ` (other programs changed ${foreign.length} meanwhile)`;
}

/** A table of categories, then each line that is new or missing. */
export function formatDifferences(differences: readonly Difference[]): string {
  const lines = differences.map((one) => [
    one.category,
    `${one.before} before`,
    `${one.before + one.added.length - one.missing.length} now`,
    differs(one) ? 'DIFFERENT' : `restored${others(one)}`,
  ]);
  const details = differences.flatMap((one) => [
    ...one.added.map((line) => `  + ${one.category}: ${line}\n`),
    ...one.missing.map((line) => `  - ${one.category}: ${line}\n`),
  ]);
  const verdict = differences.some(differs)
    ? 'Removed, but the host differs from what it was:\n'
    : 'Removed. The host is as it was before.\n';
  return formatLines(lines) + verdict + details.join('');
}
