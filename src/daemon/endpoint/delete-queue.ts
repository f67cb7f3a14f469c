/**
 * @module Deletions that were asked for while no agent answered:
 * `<state-dir>/deleteQueue/<sha256 of the content>.delete`, written by the CNI plugin and carried out
 * by the agent after it has begun to listen. The plugin writes first and then tries the socket once
 * more, so that a file is either seen by the agent or taken back by its writer.
 */
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

const fileBytesMax = 64 * 1024;
/** Files that one start carries out; more than the pods that a node can have. */
const filesMax = 8192;

/** Where the queue of a state directory is. */
export function deleteQueueDirectory(stateDirectory: string): string {
  return join(stateDirectory, 'deleteQueue');
}

/** Queues the deletion of a container's endpoints; asking twice is once. Returns the file's path. */
export function queueDeletion(stateDirectory: string, containerId: string): string {
  const text = JSON.stringify({ 'container-id': containerId });
  const directory = deleteQueueDirectory(stateDirectory);
  const name = createHash('sha256').update(text).digest('hex');
  const path = join(directory, `${name}.delete`);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  // By rename: a reader never sees half of it. The name is the process's own, parallel calls differ.
  const temporary = join(directory, `.${name}.${process.pid}`);
  writeFileSync(temporary, text, { mode: 0o644 });
  renameSync(temporary, path);
  return path;
}

/** What a replay found. */
export interface ReplayResult {
  readonly containerIds: readonly string[];
  /** Files that held something else, with the reason; they are removed. */
  readonly ignored: readonly { readonly path: string; readonly reason: string }[];
}

/** Carries out and removes every queued deletion. Call it once the socket listens. */
export function replayDeleteQueue(
  stateDirectory: string,
  deleteContainer: (containerId: string) => void,
): ReplayResult {
  const directory = deleteQueueDirectory(stateDirectory);
  const containerIds: string[] = [];
  const ignored: { path: string; reason: string }[] = [];
  for (const name of list(directory)) {
    const path = join(directory, name);
    const containerId = readRequest(path);
    if (typeof containerId === 'string') {
      deleteContainer(containerId);
      containerIds.push(containerId);
    } else {
      ignored.push({ path, reason: containerId.reason });
    }
    rmSync(path, { recursive: true, force: true });
  }
  return { containerIds, ignored };
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.delete'))
      .slice(0, filesMax);
  } catch {
    // No queue: no agent was ever missed.
    return [];
  }
}

function readRequest(path: string): string | { readonly reason: string } {
  try {
    const stat = lstatSync(path);
    if (!stat.isFile()) return { reason: 'not a regular file' };
    if (stat.size > fileBytesMax) return { reason: `more than ${fileBytesMax} bytes` };
    const text = readFileSync(path, 'utf8').trim();
    // Older plugins wrote the container id alone.
    if (/^[0-9A-Za-z][0-9A-Za-z_.-]*$/.test(text)) return text;
    const request: unknown = JSON.parse(text);
    const id =
      typeof request === 'object' && request !== null && Reflect.get(request, 'container-id');
    return typeof id === 'string' && id !== '' ? id : { reason: 'no container-id' };
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}
