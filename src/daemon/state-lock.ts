/**
 * @module
 * One agent a state directory: a lock file in it, held as long as the process lives, with its number
 * inside for the message to the second one. Before anything of the kernel is touched.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { tryLock } from '../net/libc.ts';

const fileName = 'agent.lock';
const pollMs = 10;

/** How long an agent that is just stopping may take. */
export const lockWaitMsDefault = 3000;

/** The directory is another agent's. */
export class StateInUseError extends Error {
  constructor(directory: string, owner: string) {
    const who = owner === '' ? 'another agent' : `another agent (process ${owner})`;
    super(
      `state directory ${directory} is in use by ${who}: ` +
        'stop it, or give this one its own --state-dir, --socket-path and --bpf-root',
    );
    this.name = 'StateInUseError';
  }
}

/** Takes the lock, waiting for an agent that stops. Throws `StateInUseError`. */
export async function lockStateDirectory(
  directory: string,
  waitMs = lockWaitMsDefault,
): Promise<Disposable> {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const path = join(directory, fileName);
  const fd = openSync(path, 'a+', 0o640);
  const deadline = performance.now() + waitMs;
  while (!tryLock(fd, `lock ${path}`)) {
    if (performance.now() > deadline) {
      closeSync(fd);
      throw new StateInUseError(directory, ownerIn(path));
    }
    await Bun.sleep(pollMs);
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`);
  return { [Symbol.dispose]: () => closeSync(fd) };
}

function ownerIn(path: string): string {
  const text = readFileSync(path, 'utf8').trim();
  return /^\d+$/.test(text) ? text : '';
}
