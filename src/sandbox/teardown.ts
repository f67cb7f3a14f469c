/**
 * @module Removal of a sandbox, from whatever state it is in: finished, half made, its agent killed.
 * It relies on nothing but the paths: processes are found by their namespace, mounts by their place.
 */
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { isKernelError } from '../net/kernel-error.ts';
import * as libc from '../net/libc.ts';
import { currentFile, readCurrent } from './current.ts';
import { namespacesIn, occupants, signal } from './namespace.ts';
import { parseMounts, readMountinfo, runRoot, type SandboxPaths } from './paths.ts';
import { readRecord } from './record.ts';
import {
  compareSnapshots,
  type Difference,
  parseSnapshot,
  type Snapshot,
  takeSnapshot,
} from './snapshot.ts';
import { waitFor } from './wait.ts';

const SIGTERM = 15;
const SIGKILL = 9;
const stopTimeoutMs = 2000;
const killTimeoutMs = 5000;

export interface RemovalOptions {
  /** Leave the agent's state directory, the policies and the logs. */
  readonly keepState: boolean;
}

export interface Removal {
  /** Undefined when there was no snapshot to compare with. */
  readonly differences: readonly Difference[] | undefined;
}

/** Whether there is anything of a sandbox, finished or not. */
export function sandboxExists(paths: SandboxPaths): boolean {
  return existsSync(paths.directory) || existsSync(paths.cgroup) || existsSync(currentFile);
}

/** Removes everything and compares with the snapshot. Safe to call again and again. */
export async function removeSandbox(
  paths: SandboxPaths,
  options: RemovalOptions,
): Promise<Removal> {
  const before = existsSync(paths.snapshotFile)
    ? parseSnapshot(readFileSync(paths.snapshotFile, 'utf8'))
    : undefined;
  await stopMaker(paths);
  if (readCurrent()?.directory === paths.directory) rmSync(currentFile, { force: true });
  await stopProcesses(paths);
  unmountBelow(paths.directory);
  await removeCgroup(paths.cgroup);
  removeFiles(paths, options, before?.files?.includes(runRoot) === true);
  if (before === undefined) return { differences: undefined };
  const kept = options.keepState ? paths.directory : undefined;
  const withoutKept = (snapshot: Snapshot): Snapshot => {
    const isKept = (line: string) => [kept, runRoot].includes(line) || line.startsWith(`${kept}/`);
    return { ...snapshot, files: (snapshot.files ?? []).filter((line) => !kept || !isKept(line)) };
  };
  return { differences: compareSnapshots(withoutKept(before), withoutKept(takeSnapshot())) };
}

/** Somebody is setting it up at this moment: ask them to stop, they clean up themselves. */
async function stopMaker(paths: SandboxPaths): Promise<void> {
  const maker = readRecord(paths)?.maker ?? 0;
  if (maker === 0 || maker === process.pid || !isOurProgram(maker)) return;
  signal(maker, SIGTERM);
  await waitFor(`process ${maker} to stop`, killTimeoutMs, () => gone(maker)).catch(() =>
    signal(maker, SIGKILL),
  );
}

/** Process numbers are used again, so a number alone is not enough. */
function isOurProgram(pid: number): boolean {
  try {
    const own = statSync('/proc/self/exe');
    const other = statSync(`/proc/${pid}/exe`);
    return own.ino === other.ino && own.dev === other.dev;
  } catch {
    return false;
  }
}

function gone(pid: number): true | undefined {
  return existsSync(`/proc/${pid}`) && !isZombie(pid) ? undefined : true;
}

function isZombie(pid: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return true;
  }
}

/** Ends every process in the sandbox's namespaces, kindly first. */
async function stopProcesses(paths: SandboxPaths): Promise<void> {
  const namespaces = namespacesIn(paths.netnsFolder);
  if (namespaces.size === 0) return;
  const empty = () => {
    const left = occupants(namespaces).filter((one) => !isZombie(one.pid));
    return left.length === 0 ? true : undefined;
  };
  for (const { pid } of occupants(namespaces)) signal(pid, SIGTERM);
  try {
    await waitFor('processes to stop', stopTimeoutMs, empty);
  } catch {
    await waitFor('processes to end', killTimeoutMs, () => {
      for (const { pid } of occupants(namespaces)) signal(pid, SIGKILL);
      return empty();
    });
  }
}

/** Unmounts all that is mounted in a directory, the last mounted first. */
function unmountBelow(directory: string): void {
  const points = parseMounts(readMountinfo())
    .map((mount) => mount.point)
    .filter((point) => point.startsWith(`${directory}/`));
  for (const point of points.reverse()) {
    try {
      libc.unmount(point, libc.MNT_DETACH);
    } catch (error) {
      // Somebody else was faster.
      if (!isKernelError(error, 'EINVAL', 'ENOENT')) throw error;
    }
  }
}

/** Removes a cgroup and those below it; their processes may take a moment to leave. */
async function removeCgroup(cgroup: string): Promise<void> {
  if (!existsSync(cgroup)) return;
  await waitFor(`cgroup ${cgroup} to be empty`, killTimeoutMs, () => tryRemoveTree(cgroup));
}

function tryRemoveTree(cgroup: string): true | undefined {
  try {
    for (const entry of readdirSync(cgroup, { withFileTypes: true })) {
      if (entry.isDirectory() && tryRemoveTree(`${cgroup}/${entry.name}`) === undefined) return;
    }
    rmdirSync(cgroup);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY') return undefined;
    throw error;
  }
}

function removeFiles(
  paths: SandboxPaths,
  { keepState }: RemovalOptions,
  runRootWasThere: boolean,
): void {
  const keep = new Set(
    keepState ? [paths.stateDirectory, paths.policyFolder, paths.logFolder] : [],
  );
  if (existsSync(paths.directory)) {
    for (const name of readdirSync(paths.directory)) {
      const path = `${paths.directory}/${name}`;
      if (!keep.has(path)) rmSync(path, { recursive: true, force: true });
    }
  }
  tryRemoveFolder(paths.directory);
  if (!runRootWasThere) tryRemoveFolder(runRoot);
  if (existsSync(currentFile) && readCurrent() === undefined) unlinkSync(currentFile);
}

/** The shared folder stays while somebody else uses it. */
function tryRemoveFolder(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY') throw error;
  }
}
