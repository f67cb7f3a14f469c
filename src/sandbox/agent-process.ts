/**
 * @module The agent of a sandbox: the ordinary agent with ordinary flags, started in the node's
 * namespace and left to itself.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import * as libc from '../net/libc.ts';
import { startIn } from './namespace.ts';
import { addresses, nodeNetns } from './network.ts';
import { cgroup2Root, readMountinfo, type SandboxPaths } from './paths.ts';
import { selfCommand } from './self.ts';
import { waitFor } from './wait.ts';

const readyTimeoutMs = 15_000;
const logLinesShown = 15;

/** Flags of a sandbox's agent. */
export function agentFlags(paths: SandboxPaths): string[] {
  return [
    '--enable-k8s=false',
    `--state-dir=${paths.stateDirectory}`,
    `--socket-path=${paths.agentSocket}`,
    `--bpf-root=${paths.bpfRoot}`,
    `--cgroup-root=${paths.cgroup}`,
    `--static-cnp-path=${paths.policyFolder}`,
    `--ipv4-range=${addresses.podRanges[0]}`,
    `--ipv6-range=${addresses.podRanges[1]}`,
    '--enable-hubble=true',
    `--hubble-socket-path=${paths.hubbleSocket}`,
  ];
}

/** Folders, the bpffs and the cgroup that the agent is given. */
export function prepareAgent(paths: SandboxPaths): void {
  for (const folder of [paths.stateDirectory, paths.logFolder, paths.policyFolder, paths.bpfRoot]) {
    mkdirSync(folder, { recursive: true });
  }
  libc.mount('bpf', paths.bpfRoot, 'bpf', 0, 'mode=0700');
  // The root must be there before the cgroup of the sandbox can be made below it.
  cgroup2Root(readMountinfo());
  mkdirSync(paths.cgroup, { recursive: true });
}

function logFile(paths: SandboxPaths): string {
  return `${paths.logFolder}/agent.log`;
}

/** Starts it. Returns its process id. */
export function startAgent(paths: SandboxPaths): number {
  const command = [...selfCommand(), 'agent', ...agentFlags(paths)];
  return startIn(nodeNetns(paths), command, { logFile: logFile(paths) });
}

/** Waits until it says that it is well. Throws with the end of its log if it ends or takes too long. */
export async function agentReady(
  paths: SandboxPaths,
  pid: number,
  signal: AbortSignal,
): Promise<void> {
  try {
    await waitFor(
      'the agent to be ready',
      readyTimeoutMs,
      async () => {
        if (!isRunning(pid)) throw new Error('the agent ended');
        return (await isHealthy(paths)) || undefined;
      },
      signal,
    );
  } catch (error) {
    signal.throwIfAborted();
    throw new Error(`start the agent: ${String((error as Error).message)}\n${logTail(paths)}`, {
      cause: error,
    });
  }
}

/** Whether there is a process of that number, and not only its remains. */
export function isRunning(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !status.slice(status.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false;
  }
}

/** Whether the agent of a sandbox answers that it is well. */
export async function isHealthy(paths: Pick<SandboxPaths, 'agentSocket'>): Promise<boolean> {
  try {
    const response = await fetch('http://localhost/v1/healthz', {
      unix: paths.agentSocket,
      headers: { brief: 'true' },
      signal: AbortSignal.timeout(1000),
    });
    const body = (await response.json()) as { cilium?: { state?: string } };
    return response.ok && ['Ok', 'Warning'].includes(body.cilium?.state ?? '');
  } catch {
    return false;
  }
}

function logTail(paths: SandboxPaths): string {
  try {
    const lines = readFileSync(logFile(paths), 'utf8').trimEnd().split('\n');
    return lines.slice(-logLinesShown).join('\n');
  } catch {
    return '';
  }
}
