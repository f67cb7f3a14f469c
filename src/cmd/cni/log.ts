/**
 * @module The plugin's log file: one line for each call that failed, with `enable-debug` for each call.
 * A runtime shows its own words only, so this is where a person finds ours.
 */
import { appendFileSync } from 'node:fs';
import type { CniEnvironment } from './environment.ts';
import { CniError } from './error.ts';

/** Appends a line. A file that cannot be written is no reason for a call to fail. */
export function logCall(path: string, environment: CniEnvironment, error?: unknown): void {
  const fields: [string, string][] = [
    ['time', new Date().toISOString()],
    ['level', error === undefined ? 'info' : 'error'],
    ['subsys', 'cilium-cni'],
    ['msg', error === undefined ? 'done' : reason(error)],
    ['command', environment.command],
    ['containerID', environment.containerId],
    ['netns', environment.netns],
    ['ifName', environment.ifname],
    ['pod', `${environment.podNamespace}/${environment.podName}`],
  ];
  const line = fields.map(([name, value]) => `${name}=${quoted(value)}`).join(' ');
  try {
    appendFileSync(path, `${line}\n`, { mode: 0o640 });
  } catch {
    // Nowhere left to complain: standard output is the answer's.
  }
}

function reason(error: unknown): string {
  if (error instanceof CniError && error.details !== '')
    return `${error.message}: ${error.details}`;
  return error instanceof Error ? error.message : String(error);
}

function quoted(value: string): string {
  return /^[^\s="\\]+$/.test(value) ? value : JSON.stringify(value);
}
