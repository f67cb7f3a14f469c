/**
 * @module Network namespaces: opening, entering for the length of a synchronous function, creating
 * and deleting named ones (bind mounts under /run/netns, as `ip netns` keeps them).
 */
import { closeSync, existsSync, fstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { isKernelError } from './kernel-error.ts';
import * as libc from './libc.ts';

/** Where named namespaces are. */
export const netnsFolder = '/run/netns';

/** Namespaces belong to threads, and a worker is one: so not /proc/self. */
const ownNetns = '/proc/thread-self/ns/net';

/** An open network namespace. It lives at least as long as this. */
export class Netns implements Disposable {
  readonly fd: number;
  #isOpen = true;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** Opens a namespace by its file. Throws `EINVAL` for a file that is none. */
  static open(path: string): Netns {
    const doing = `open netns ${path}`;
    const fd = libc.open(path, libc.O_RDONLY, 0, doing);
    const netns = new Netns(fd);
    try {
      // setns would say EINVAL too, but only after other work was done.
      if (libc.fileSystemMagic(`/proc/self/fd/${fd}`, doing) !== libc.NSFS_MAGIC) {
        throw new RangeError(`${doing}: not a namespace`);
      }
    } catch (error) {
      netns[Symbol.dispose]();
      throw error;
    }
    return netns;
  }

  /** The namespace of a process. */
  static ofProcess(pid: number): Netns {
    return Netns.open(`/proc/${pid}/ns/net`);
  }

  /** A named namespace. */
  static named(name: string): Netns {
    return Netns.open(netnsPath(name));
  }

  /** The namespace of the calling thread. */
  static current(): Netns {
    return Netns.open(ownNetns);
  }

  /** Identifies the namespace while it exists; the number in `net:[N]`. */
  get inode(): number {
    return fstatSync(this.fd).ino;
  }

  /** The cookie that BPF programs see (`bpf_get_netns_cookie`); never reused until reboot. */
  get cookie(): bigint {
    return withNetns(this.fd, currentNetnsCookie);
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) closeSync(this.fd);
    this.#isOpen = false;
  }
}

/** Cookie of the namespace of the calling thread. */
export function currentNetnsCookie(): bigint {
  const doing = 'read netns cookie';
  const fd = libc.socket(libc.AF_INET, libc.SOCK_DGRAM | libc.SOCK_CLOEXEC, 0, doing);
  try {
    const bytes = libc.getSocketOption(fd, libc.SOL_SOCKET, libc.SO_NETNS_COOKIE, 8, doing);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  } finally {
    libc.close(fd);
  }
}

/**
 * Runs `body` inside the namespace and comes back. `body` must be synchronous: after an `await`
 * the whole event loop would run in the wrong namespace, so a promise as result is refused (by type, and
 * by exception). If coming back fails the process is aborted, since nothing it did after would be safe.
 */
export function withNetns<T>(
  fd: number,
  body: () => T extends PromiseLike<unknown> ? never : T,
): T {
  const own = libc.open(ownNetns, libc.O_RDONLY, 0, 'open own netns');
  let result: T;
  try {
    libc.setns(fd, libc.CLONE_NEWNET, 'enter netns');
    try {
      result = body();
    } finally {
      goBack(own);
    }
  } finally {
    libc.close(own);
  }
  if (result instanceof Promise) throw new TypeError('withNetns: the function is not synchronous');
  return result;
}

function goBack(own: number): void {
  try {
    libc.setns(own, libc.CLONE_NEWNET, 'leave netns');
  } catch (error) {
    console.error(`stopped: ${String(error)}`);
    process.abort();
  }
}

/** File of a named namespace. Throws for a name with a slash, or one that is no file name. */
export function netnsPath(name: string): string {
  if (!/^[^/\0]{1,255}$/.test(name) || name === '.' || name === '..') {
    throw new RangeError(`not a netns name: ${JSON.stringify(name)}`);
  }
  return `${netnsFolder}/${name}`;
}

/** Creates a named namespace, with its loopback down. `EEXIST` if the name is taken. */
export function createNetns(name: string): Netns {
  const path = netnsPath(name);
  const doing = `create netns ${name}`;
  shareFolder();
  closeSync(openExclusive(path, doing));
  const own = libc.open(ownNetns, libc.O_RDONLY, 0, doing);
  try {
    libc.unshare(libc.CLONE_NEWNET, doing);
    try {
      libc.mount(ownNetns, path, 'none', libc.MS_BIND, '', doing);
    } finally {
      goBack(own);
    }
    return Netns.open(path);
  } catch (error) {
    deleteNetns(name);
    throw error;
  } finally {
    libc.close(own);
  }
}

function openExclusive(path: string, doing: string): number {
  return libc.open(path, libc.O_RDONLY | libc.O_CREAT | libc.O_EXCL, 0o444, doing);
}

/** Deletes a named namespace; it goes away with its last process and descriptor. Absent is success. */
export function deleteNetns(name: string): void {
  const path = netnsPath(name);
  if (!existsSync(path)) return;
  try {
    libc.unmount(path, libc.MNT_DETACH, `delete netns ${name}`);
  } catch (error) {
    // EINVAL: a file without mount, left by somebody who stopped half-way.
    if (!isKernelError(error, 'EINVAL', 'ENOENT')) throw error;
  }
  try {
    unlinkSync(path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}

/**
 * Makes the folder a shared mount, as `ip netns` does: a mount namespace that was made earlier (a
 * container runtime's) must see a later unmount, or it would keep deleted namespaces alive.
 */
function shareFolder(): void {
  mkdirSync(netnsFolder, { recursive: true, mode: 0o755 });
  const share = () => libc.mount('', netnsFolder, 'none', libc.MS_SHARED | libc.MS_REC);
  try {
    share();
  } catch (error) {
    if (!isKernelError(error, 'EINVAL')) throw error;
    // Not a mount point yet.
    libc.mount(netnsFolder, netnsFolder, 'none', libc.MS_BIND | libc.MS_REC);
    share();
  }
}
