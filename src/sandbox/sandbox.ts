/**
 * @module A sandbox from nothing to running, step by step, each step said to the caller. Whatever stops
 * it half-way, `removeSandbox` cleans up: nothing here needs to be undone in order.
 */
import { mkdirSync } from 'node:fs';
import { basename } from 'node:path';
import { agentReady, isRunning, prepareAgent, startAgent } from './agent-process.ts';
import { type CurrentSandbox, currentFile } from './current.ts';
import { namespacesIn, occupants } from './namespace.ts';
import { createNetwork, nodeNetns, worldNetns, worldPort } from './network.ts';
import { runRoot, type SandboxPaths } from './paths.ts';
import {
  createPod,
  type PodSpec,
  podPort,
  servingAt,
  startPodServer,
  startWorldServer,
} from './pod.ts';
import { readRecord, type SandboxPod, writeJson, writeRecord } from './record.ts';
import { takeSnapshot } from './snapshot.ts';

/** What a caller shows of the progress. */
export type Say = (line: string) => void;

/** Starts the node: snapshot, namespaces, agent. Throws with the reason; the caller then removes. */
export async function startSandbox(
  paths: SandboxPaths,
  say: Say,
  signal: AbortSignal,
): Promise<{ agentPid: number }> {
  const snapshot = takeSnapshot();
  mkdirSync(paths.directory, { recursive: true, mode: 0o755 });
  writeJson(paths.snapshotFile, snapshot);
  writeRecord(paths, { maker: process.pid, agentPid: 0, pods: [] });
  say(`host recorded in ${paths.snapshotFile}, to compare with on the way out`);
  createNetwork(paths);
  prepareAgent(paths);
  say('a node and a world, each a network namespace, joined by a veth pair');
  const agentPid = startAgent(paths);
  const world = startWorldServer(paths);
  writeRecord(paths, { maker: process.pid, agentPid, pods: [] });
  await agentReady(paths, agentPid, signal);
  await servingAt(world, worldPort, signal);
  say(`agent running (process ${agentPid}, log ${paths.logFolder}/agent.log)`);
  return { agentPid };
}

/** Whether a finished sandbox stands there with all its namespaces, whatever its agent does. */
export function isStanding(paths: SandboxPaths): boolean {
  const record = readRecord(paths);
  if (record === undefined || record.maker !== 0) return false;
  const standing = new Set(namespacesIn(paths.netnsFolder).values());
  const needed = [nodeNetns(paths), worldNetns(paths), ...record.pods.map((pod) => pod.netnsPath)];
  return needed.every((path) => standing.has(basename(path)));
}

/** Whether the agent's process is there, in the sandbox's namespaces. */
export function hasAgent(paths: SandboxPaths): boolean {
  const pid = readRecord(paths)?.agentPid ?? 0;
  return (
    isRunning(pid) && occupants(namespacesIn(paths.netnsFolder)).some((one) => one.pid === pid)
  );
}

/** Starts the agent of such a sandbox again; it adopts what the last one pinned. Returns its process. */
export async function restartAgent(
  paths: SandboxPaths,
  signal = new AbortController().signal,
): Promise<number> {
  const agentPid = startAgent(paths);
  writeRecord(paths, { maker: 0, agentPid, pods: readRecord(paths)?.pods ?? [] });
  await agentReady(paths, agentPid, signal);
  return agentPid;
}

/** Attaches pods, one after the other said as it is done, and starts their servers. */
export async function addPods(
  paths: SandboxPaths,
  agentPid: number,
  specs: readonly PodSpec[],
  say: Say,
  signal: AbortSignal,
): Promise<SandboxPod[]> {
  const pods: SandboxPod[] = [];
  const servers: number[] = [];
  for (const spec of specs) {
    signal.throwIfAborted();
    const pod = await createPod(paths, spec);
    servers.push(startPodServer(paths, pod));
    pods.push(pod);
    writeRecord(paths, { maker: process.pid, agentPid, pods });
    say(`pod ${pod.namespace}/${pod.name} attached: ${pod.ipv4} ${pod.ipv6}`);
  }
  for (const pid of servers) await servingAt(pid, podPort, signal);
  return pods;
}

/** From here on the other commands find the sandbox, and its maker may end. */
export function finishSandbox(
  paths: SandboxPaths,
  agentPid: number,
  pods: readonly SandboxPod[],
  signal: AbortSignal,
): void {
  signal.throwIfAborted();
  const current: CurrentSandbox = {
    sandbox: paths.name,
    directory: paths.directory,
    socketPath: paths.agentSocket,
    hubbleSocketPath: paths.hubbleSocket,
    bpfRoot: paths.bpfRoot,
  };
  mkdirSync(runRoot, { recursive: true });
  writeJson(currentFile, current);
  writeRecord(paths, { maker: 0, agentPid, pods });
}
