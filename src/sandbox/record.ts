/**
 * @module The file in the run directory that says what a sandbox consists of: who made it, its agent,
 * its pods. Written after each step, by rename, so that a reader never sees half of it.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { SandboxPaths } from './paths.ts';

/** A pod of the sandbox. */
export interface SandboxPod {
  readonly namespace: string;
  readonly name: string;
  readonly netnsPath: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface SandboxRecord {
  /** Process that is setting the sandbox up, 0 when it is done. */
  readonly maker: number;
  readonly agentPid: number;
  readonly pods: readonly SandboxPod[];
}

export function writeRecord(paths: SandboxPaths, record: SandboxRecord): void {
  writeJson(paths.recordFile, record);
}

/** Undefined when there is none, or it is not readable. */
export function readRecord(paths: SandboxPaths): SandboxRecord | undefined {
  try {
    return checkedRecord(JSON.parse(readFileSync(paths.recordFile, 'utf8')));
  } catch {
    return undefined;
  }
}

function checkedRecord(value: unknown): SandboxRecord | undefined {
  if (value === null || typeof value !== 'object') return undefined;
  const { maker, agentPid, pods } = value as Record<string, unknown>;
  if (typeof maker !== 'number' || typeof agentPid !== 'number' || !Array.isArray(pods)) {
    return undefined;
  }
  return pods.every(isPod) ? { maker, agentPid, pods } : undefined;
}

function isPod(value: unknown): value is SandboxPod {
  if (value === null || typeof value !== 'object') return false;
  const pod = value as Record<string, unknown>;
  return ['namespace', 'name', 'netnsPath', 'ipv4', 'ipv6'].every(
    (field) => typeof pod[field] === 'string',
  );
}

export function writeJson(path: string, value: unknown): void {
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o644 });
  renameSync(temporary, path);
}

/** Finds a pod by `name` or `namespace/name`. Throws with the names that there are. */
export function findPod(record: SandboxRecord, text: string): SandboxPod {
  const wanted = record.pods.filter(
    (pod) => pod.name === text || `${pod.namespace}/${pod.name}` === text,
  );
  const [pod, other] = wanted;
  const names = record.pods.map((one) => `${one.namespace}/${one.name}`).join(', ');
  if (pod === undefined)
    throw new Error(`no pod "${text}" in the sandbox: ${names || 'it has none'}`);
  if (other !== undefined) throw new Error(`pod name "${text}" is not unique: ${names}`);
  return pod;
}
