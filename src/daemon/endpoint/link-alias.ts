/**
 * @module
 * The mark on the host side of a pod's interface that says whose it is: the alias that the CNI plugin
 * sets and the agent looks for. Several agents, ours and others, may share a machine and the names.
 */
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';

/** IFALIASZ without the NUL. */
const aliasBytesMax = 255;

/** The alias of the interfaces of the agent that has this state directory. */
export function linkAlias(stateDirectory: string): string {
  const path = realPath(stateDirectory);
  const alias = `cilium:${path}`;
  if (Buffer.byteLength(alias) <= aliasBytesMax) return alias;
  return `cilium:${new Bun.CryptoHasher('sha256').update(path).digest('hex')}`;
}

/** One directory has one name here, whichever way it was written. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
