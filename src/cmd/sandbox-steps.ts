/**
 * @module What `demo`, `up`, `down` and `exec` share: the check for root, progress lines, and making a
 * sandbox so that an interruption or an error removes what was made.
 */
import { existsSync } from 'node:fs';
import { isHealthy } from '../sandbox/agent-process.ts';
import { readCurrent } from '../sandbox/current.ts';
import type { SandboxPaths } from '../sandbox/paths.ts';
import { hasAgent, isStanding, restartAgent } from '../sandbox/sandbox.ts';
import { shownCommand } from '../sandbox/self.ts';
import { removeSandbox, sandboxExists } from '../sandbox/teardown.ts';
import { errorText, printError, printOut } from './terminal.ts';
import { formatLines } from './text-table.ts';

const interruptedExit = 130;

/** Throws unless this runs as root. */
export function requireRoot(name: string): void {
  if (process.geteuid?.() === 0) return;
  throw new Error(
    `cilium ${name} creates network namespaces and loads eBPF programs, which takes root: ` +
      `run it with sudo`,
  );
}

let isInterrupted = false;

/** A line of progress; nothing any more once somebody has interrupted. */
export function sayStep(line: string): void {
  if (isInterrupted) return;
  printOut(`✓ ${line}\n`);
}

/**
 * Says so when the sandbox runs already. One whose agent has ended gets a new agent, which adopts what
 * is there; what an interrupted one left is removed.
 */
export async function alreadyUp(paths: SandboxPaths): Promise<boolean> {
  if (readCurrent()?.directory === paths.directory && (await isHealthy(paths))) {
    printOut(`The sandbox is up already (${paths.directory}).\n`);
    return true;
  }
  if (isStanding(paths)) {
    if (hasAgent(paths)) {
      throw new Error(
        `the sandbox is up, but its agent is not well: see ${shownCommand()} status; ` +
          `remove it with ${shownCommand()} down`,
      );
    }
    const agentPid = await restartAgent(paths);
    sayStep(
      `the agent had ended: a new one (process ${agentPid}) has taken over pods and policies`,
    );
    return true;
  }
  if (sandboxExists(paths)) {
    sayStep(`removing what an earlier sandbox left${keptParts(paths)}`);
    await removeSandbox(paths, { keepState: false });
  }
  return false;
}

/** What is lost with it that somebody may want. */
function keptParts({ policyFolder, stateDirectory, logFolder }: SandboxPaths): string {
  const there = [policyFolder, stateDirectory, logFolder].filter((path) => existsSync(path));
  return there.length === 0 ? '' : `, with ${there.join(', ')}`;
}

/**
 * Runs `build`; Ctrl-C, SIGTERM or an error removes what is there. After the first signal the others
 * are ignored: removing takes a moment and must not be cut.
 */
export async function buildOrRemove(
  paths: SandboxPaths,
  build: (signal: AbortSignal) => Promise<void>,
): Promise<number> {
  const abort = new AbortController();
  const stop = () => {
    isInterrupted = true;
    abort.abort(new Error('interrupted'));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, stop);
  const building = build(abort.signal);
  try {
    await Promise.race([building, whenAborted(abort.signal)]);
    return 0;
  } catch (error) {
    printError(abort.signal.aborted ? '\nInterrupted.' : `Error: ${errorText(error)}`);
    printOut('Removing what was made …\n');
    await removeSandbox(paths, { keepState: false });
    // A step that was under way finds its folder gone and ends; what it may have made goes too.
    await building.catch(() => {});
    if (sandboxExists(paths)) await removeSandbox(paths, { keepState: false });
    printOut('Removed.\n');
    return abort.signal.aborted ? interruptedExit : 1;
  } finally {
    for (const name of signals) process.off(name, stop);
  }
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** The commands to try next. */
export function showNext(commands: readonly (readonly [string, string])[]): void {
  const lines = commands.map(([command, shows]) => [`  ${command}`, `# ${shows}`]);
  printOut(`\nAll of it is running. Try:\n${formatLines(lines)}`);
}
