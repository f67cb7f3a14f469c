/**
 * @module `cilium demo`: a sandbox with three pods and two policies on this machine, connections
 * through it, and the flows that they made. Leaves all of it running.
 */
import { readCurrent } from '../sandbox/current.ts';
import {
  type Attempt,
  demoAttempts,
  demoPods,
  nextCommands,
  type Outcome,
  tryAttempts,
  writeDemoPolicy,
} from '../sandbox/demo.ts';
import { type SandboxPaths, sandboxPaths } from '../sandbox/paths.ts';
import type { SandboxPod } from '../sandbox/record.ts';
import { readRecord } from '../sandbox/record.ts';
import { addPods, finishSandbox, startSandbox } from '../sandbox/sandbox.ts';
import { shownCommand } from '../sandbox/self.ts';
import type { Command } from './command.ts';
import { demoFlows } from './demo-flows.ts';
import { alreadyUp, buildOrRemove, requireRoot, sayStep, showNext } from './sandbox-steps.ts';
import { printError, printOut } from './terminal.ts';
import { formatLines } from './text-table.ts';

export const command: Command = {
  name: 'demo',
  summary: 'Three pods, two policies, traffic and flows, on this machine',
  examples: [['cilium demo', 'takes some three seconds, and says what to try next']],
  run: async () => {
    requireRoot('demo');
    const paths = sandboxPaths();
    if (await alreadyUp(paths)) {
      showNext(nextCommands(readRecord(paths)?.pods ?? []));
      return 0;
    }
    let isAsExpected = false;
    const exitCode = await buildOrRemove(paths, async (signal) => {
      const pods = await buildDemo(paths, signal);
      signal.throwIfAborted();
      isAsExpected = await showTraffic(paths, pods, signal);
      signal.throwIfAborted();
      showNext(nextCommands(pods));
    });
    if (exitCode !== 0 || isAsExpected) return exitCode;
    printError("Error: not every connection went as the policies say; see 'cilium status'");
    return 1;
  },
};

async function buildDemo(paths: SandboxPaths, signal: AbortSignal): Promise<SandboxPod[]> {
  const { agentPid } = await startSandbox(paths, sayStep, signal);
  const file = writeDemoPolicy(paths);
  sayStep(`two policies in ${file}`);
  const pods = await addPods(paths, agentPid, demoPods, sayStep, signal);
  finishSandbox(paths, agentPid, pods, signal);
  return pods;
}

/** Whether all of it went as the policies say. */
async function showTraffic(
  paths: SandboxPaths,
  pods: readonly SandboxPod[],
  signal: AbortSignal,
): Promise<boolean> {
  const attempts: readonly Attempt[] = demoAttempts(pods);
  const outcomes = await tryAttempts(pods, attempts);
  signal.throwIfAborted();
  printOut(`\nConnections:\n${formatOutcomes(outcomes)}`);
  const flows = await demoFlows(readCurrent()?.hubbleSocketPath ?? paths.hubbleSocket, outcomes);
  signal.throwIfAborted();
  printOut(
    `\nTheir flows, with the policy that decided each (${shownCommand()} hubble observe):\n${flows}`,
  );
  return outcomes.every((one) => one.answered === one.expected);
}

/** One line for each connection: who, where to, and what came of it. */
export function formatOutcomes(outcomes: readonly Outcome[]): string {
  return formatLines(
    outcomes.map((one) => [
      `  ${one.from} -> ${one.to}`,
      one.url,
      one.answered ? 'allowed' : 'denied',
      one.answered === one.expected ? one.detail : `${one.detail} (unexpected)`,
    ]),
  );
}
