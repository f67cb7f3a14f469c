/**
 * @module Kernel parameters under /proc/sys. What lies below `net` is that of the network namespace of
 * the calling thread, so inside `withNetns` it is the other namespace's.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { errnoNumber, KernelError } from './kernel-error.ts';

const root = '/proc/sys';

/**
 * A parameter: `net.ipv4.ip_forward`, `net/ipv4/conf/eth0.100/rp_filter`, or its parts. Interface
 * names may contain dots, so a name with one needs the form with slashes or the parts. (A name in which a
 * slash stands for a dot, as sysctl(8) takes it, is not understood.)
 */
export type SysctlName = string | readonly string[];

/** File of a parameter. Throws for a name that leaves /proc/sys. */
export function sysctlPath(name: SysctlName): string {
  const parts = typeof name === 'string' ? name.split(name.includes('/') ? '/' : '.') : name;
  const isSafe = parts.every((part) => /^[^/\0]+$/.test(part) && part !== '.' && part !== '..');
  if (parts.length === 0 || !isSafe) {
    throw new RangeError(`not a sysctl name: ${JSON.stringify(name)}`);
  }
  return `${root}/${parts.join('/')}`;
}

/** Value as text, without the newline. */
export function readSysctl(name: SysctlName): string {
  const path = sysctlPath(name);
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch (error) {
    throw kernelError(error, 'read', path);
  }
}

/** As `readSysctl`; `undefined` if this kernel, or the interface, has no such parameter. */
export function tryReadSysctl(name: SysctlName): string | undefined {
  try {
    return readSysctl(name);
  } catch (error) {
    if (error instanceof KernelError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Sets a parameter and returns what it was. Writes nothing if it is so already. */
export function writeSysctl(name: SysctlName, value: string | number): string {
  const previous = readSysctl(name);
  const text = String(value);
  if (previous === text) return previous;
  const path = sysctlPath(name);
  try {
    // Without O_CREAT and O_TRUNC, which make no sense here.
    const fd = openSync(path, 'r+');
    try {
      writeSync(fd, text);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw kernelError(error, `write ${JSON.stringify(text)} to`, path);
  }
  return previous;
}

function kernelError(error: unknown, verb: string, path: string): unknown {
  if (!(error instanceof Error && 'errno' in error && typeof error.errno === 'number'))
    return error;
  const errno = Math.abs(error.errno) || errnoNumber('EIO');
  const parameter = path.slice(root.length + 1);
  return new KernelError({
    call: 'sysctl',
    errno,
    doing: `${verb} sysctl ${parameter}`,
    cause: error,
  });
}
