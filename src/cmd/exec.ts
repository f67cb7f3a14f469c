/**
 * @module `cilium exec <pod> -- <command>`: runs a command in the namespace of a sandbox's pod. Terminal,
 * exit code and signals are the command's own.
 */
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { Netns, withNetns } from '../net/netns.ts';
import { joinCgroup } from '../sandbox/namespace.ts';
import { nodeNetns, worldNetns } from '../sandbox/network.ts';
import { type SandboxPaths, sandboxPaths } from '../sandbox/paths.ts';
import { podCgroup } from '../sandbox/pod.ts';
import { findPod, readRecord } from '../sandbox/record.ts';
import { selfCommand } from '../sandbox/self.ts';
import type { Command } from './command.ts';
import { podWords } from './live-words.ts';
import { requireRoot } from './sandbox-steps.ts';
import { printError } from './terminal.ts';

const signalExitBase = 128;
/** As shells have it. */
const commandNotFoundExit = 127;

export const command: Command = {
  name: 'exec',
  summary: 'Run a command inside a pod of the sandbox',
  positionals: [
    { name: 'pod', help: 'name or namespace/name; node and world are places, too', live: podWords },
    { name: 'command', help: 'after --, with its own arguments', many: true },
  ],
  examples: [
    ['cilium exec frontend -- curl -sS -m 2 http://10.244.0.3:8080/', 'a connection from a pod'],
    ['cilium exec node -- ip route', "the node's own namespace"],
  ],
  passThrough: true,
  run: async ({ args }) => {
    requireRoot('exec');
    const [pod = '', ...words] = args;
    const paths = sandboxPaths();
    const { netnsPath, cgroup } = placeOf(paths, pod);
    return runInPod(netnsPath, cgroup, withSelf(words));
  },
};

interface Place {
  readonly netnsPath: string;
  readonly cgroup: string | undefined;
}

/** `node` and `world` are places too, unless a pod is called so. */
function placeOf(paths: SandboxPaths, name: string): Place {
  const record = readRecord(paths);
  if (record === undefined) throw new Error("no sandbox is running: start one with 'cilium demo'");
  const isPod = record.pods.some((pod) => pod.name === name);
  if (!isPod && name === 'node') return { netnsPath: nodeNetns(paths), cgroup: undefined };
  if (!isPod && name === 'world') return { netnsPath: worldNetns(paths), cgroup: undefined };
  const pod = findPod(record, name);
  return { netnsPath: pod.netnsPath, cgroup: podCgroup(paths, pod) };
}

/** `cilium` need not be installed to be run inside. */
function withSelf(words: readonly string[]): string[] {
  const [first = '', ...rest] = words;
  if (first !== 'cilium' || Bun.which('cilium') !== null) return [...words];
  return [...selfCommand(), ...rest];
}

async function runInPod(
  netnsPath: string,
  cgroup: string | undefined,
  words: readonly string[],
): Promise<number> {
  if (Bun.which(words[0] ?? '') === null) {
    printError(`Error: ${words[0]}: command not found`);
    return commandNotFoundExit;
  }
  using netns = Netns.open(netnsPath);
  // The child gets the namespace and the cgroup of the thread that starts it.
  if (cgroup !== undefined) joinCgroup(cgroup, process.pid);
  let child: Bun.Subprocess | undefined;
  // Before the child is there, which may be interrupted as soon as it is seen.
  const isPassedOn = !hasTerminal();
  for (const signal of keySignals) {
    // A terminal sends what its keys mean to both already; the child decides what it makes of it.
    process.on(signal, () => isPassedOn && child?.kill(signal));
  }
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => child?.kill(signal));
  }
  withNetns(netns.fd, () => {
    child = Bun.spawn([...words], { stdin: 'inherit', stdout: 'inherit', stderr: 'inherit' });
  });
  if (child === undefined) return 1;
  const running = child;
  const exitCode = await running.exited;
  return running.signalCode === null ? exitCode : signalExitBase + signalNumber(running.signalCode);
}

/** Of Ctrl-C and Ctrl-\\. */
const keySignals = ['SIGINT', 'SIGQUIT'] as const;

/** Whether a terminal controls this process, wherever its input and output go. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

function signalNumber(name: NodeJS.Signals | number): number {
  return typeof name === 'number' ? name : (constants.signals[name] ?? 0);
}
