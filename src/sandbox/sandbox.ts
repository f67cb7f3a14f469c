/**
 * @module A sandbox from nothing to running, step by step, each step said to the caller. Whatever stops
 * it half-way, `removeSandbox` cleans up: nothing here needs to be undone in order.
 */
import { mkdirSync } from 'node:fs';
import { agentReady, prepareAgent, startAgent } from './agent-process.ts';
import { type CurrentSandbox, currentFile } from './current.ts';
import { createNetwork, worldPort } from './network.ts';
import { runRoot, type SandboxPaths } from './paths.ts';
import {
  createPod,
  type PodSpec,
  podPort,
  servingAt,
  startPodServer,
  startWorldServer,
} from './pod.ts';
import { type SandboxPod, writeJson, writeRecord } from './record.ts';
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
