/**
 * @module Namespaces and processes of a sandbox: a network namespace as a bind mount in the run
 * directory (the host's /run/netns stays as it is), a process started in one, processes found by it.
 */
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { KernelError } from '../net/kernel-error.ts';
import * as libc from '../net/libc.ts';
import { Netns, withNetns } from '../net/netns.ts';

/** Creates a namespace that lives as long as the mount at `path`. Its loopback is down. */
export function createNamespaceAt(path: string): Netns {
  const doing = `create netns ${path}`;
  writeFileSync(path, '', { flag: 'wx', mode: 0o444 });
  using own = Netns.current();
  libc.unshare(libc.CLONE_NEWNET, doing);
  try {
    libc.mount('/proc/thread-self/ns/net', path, 'none', libc.MS_BIND, '', doing);
  } finally {
    libc.setns(own.fd, libc.CLONE_NEWNET, doing);
  }
  return Netns.open(path);
}

/** Inode numbers of the namespaces that are mounted in a folder. Plain files there are left-overs. */
export function namespacesIn(folder: string): Map<number, string> {
  const found = new Map<number, string>();
  const rootDevice = deviceOf(folder);
  for (const name of listFolder(folder)) {
    const status = statOf(`${folder}/${name}`);
    // A namespace is on nsfs, an unfinished one is an empty file on the folder's own file system.
    if (status !== undefined && status.dev !== rootDevice) found.set(status.ino, name);
  }
  return found;
}

function deviceOf(path: string): number | undefined {
  return statOf(path)?.dev;
}

function statOf(path: string): { dev: number; ino: number } | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

export interface SpawnOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** File for standard output and standard error together. */
  readonly logFile?: string;
  /** cgroup that the process is put into. */
  readonly cgroup?: string;
}

export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in a namespace to its end. */
export async function runIn(
  netnsPath: string,
  command: readonly string[],
  options: SpawnOptions = {},
): Promise<Finished> {
  using netns = Netns.open(netnsPath);
  const child = spawnInside(netns, () =>
    Bun.spawn([...command], {
      env: { ...process.env, ...options.environment },
      stdin: options.stdin === undefined ? 'ignore' : new Blob([options.stdin]),
      stdout: 'pipe',
      stderr: 'pipe',
      detached: true,
    }),
  );
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, stdout, stderr };
}

/** Starts a daemon in a namespace: session of its own, output to a file. Returns its process id. */
export function startIn(
  netnsPath: string,
  command: readonly string[],
  options: SpawnOptions & { readonly logFile: string },
): number {
  using netns = Netns.open(netnsPath);
  const log = openSync(options.logFile, 'a', 0o640);
  try {
    const child = spawnInside(netns, () =>
      Bun.spawn([...command], {
        cwd: '/',
        env: { ...process.env, ...options.environment },
        stdin: 'ignore',
        stdout: log,
        stderr: log,
        detached: true,
      }),
    );
    child.unref();
    if (options.cgroup !== undefined) joinCgroup(options.cgroup, child.pid);
    return child.pid;
  } finally {
    closeSync(log);
  }
}

/** The child gets the namespace of the thread that starts it. */
function spawnInside<T>(netns: Netns, spawn: () => T): T {
  let child: T | undefined;
  withNetns(netns.fd, () => {
    child = spawn();
  });
  return child as T;
}

export function joinCgroup(cgroup: string, pid: number): void {
  writeFileSync(`${cgroup}/cgroup.procs`, String(pid));
}

/** A process that is in one of the namespaces. */
export interface Occupant {
  readonly pid: number;
  readonly namespace: string;
}

/** Processes in the given namespaces, without this one and those that started it. */
export function occupants(namespaces: ReadonlyMap<number, string>): Occupant[] {
  const own = ancestry(process.pid);
  const found: Occupant[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || own.has(pid)) continue;
    const inode = statOf(`/proc/${pid}/ns/net`)?.ino;
    const namespace = inode === undefined ? undefined : namespaces.get(inode);
    if (namespace !== undefined) found.push({ pid, namespace: basename(namespace) });
  }
  return found;
}

/** A process and its parents. */
function ancestry(pid: number): Set<number> {
  const seen = new Set<number>();
  for (let current = pid; current > 0 && !seen.has(current); ) {
    seen.add(current);
    current = parentOf(current);
  }
  return seen;
}

function parentOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return 0;
  }
}

/** Signals a process; one that is gone already is success. */
export function signal(pid: number, number: number): void {
  try {
    libc.kill(pid, number);
  } catch (error) {
    if (!(error instanceof KernelError && error.code === 'ESRCH')) throw error;
  }
}
