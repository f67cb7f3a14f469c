/**
 * @module The system calls that Bun has no API for, through glibc by `bun:ffi` (besides libbpf, the
 * only place with FFI). Every function throws `KernelError`. Symbols are opened by group on first
 * use, since compiling their trampolines is a visible part of a CNI call's start.
 */
import { dlopen, type FFIFunction, FFIType, type Pointer, ptr, read, toArrayBuffer } from 'bun:ffi';
import { KernelError } from './kernel-error.ts';

const libcName = 'libc.so.6';

// The location is per thread and so is this module (a worker has its own copy). It is looked up
// before the first call, since looking it up after a failure could itself change errno.
let errnoAddress: Pointer | undefined;

function symbols<const F extends Record<string, FFIFunction>>(definitions: F) {
  const open = () => dlopen(libcName, definitions).symbols;
  let opened: ReturnType<typeof open> | undefined;
  return () => {
    errnoAddress ??= errnoLocation();
    opened ??= open();
    return opened;
  };
}

function errnoLocation(): Pointer {
  const library = dlopen(libcName, { __errno_location: { args: [], returns: 'ptr' } });
  const address = library.symbols.__errno_location();
  if (address === null) throw new Error('locate errno: no address');
  return Number(address) as Pointer;
}

function errno(): number {
  return errnoAddress === undefined ? 0 : read.i32(errnoAddress, 0);
}

function check(result: number | bigint, call: string, doing: string): number {
  if (result < 0) throw new KernelError({ call, errno: errno(), doing });
  return Number(result);
}

// Not Buffer, whose first use costs a CNI call a third of a millisecond.
const encoder = new TextEncoder();

/** NUL-terminated bytes. Throws on an embedded NUL, which would silently shorten a path. */
function cString(text: string): Uint8Array {
  if (text.includes('\0')) throw new RangeError('string for the kernel contains NUL');
  return encoder.encode(`${text}\0`);
}

const socketCalls = symbols({
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  setsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'u32'], returns: 'i32' },
  send: { args: ['i32', 'ptr', 'u64', 'i32'], returns: FFIType.i64_fast },
  recv: { args: ['i32', 'ptr', 'u64', 'i32'], returns: FFIType.i64_fast },
  close: { args: ['i32'], returns: 'i32' },
});

const rareSocketCalls = symbols({
  bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  getsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'ptr'], returns: 'i32' },
  sendto: { args: ['i32', 'ptr', 'u64', 'i32', 'ptr', 'u32'], returns: FFIType.i64_fast },
  poll: { args: ['ptr', 'u64', 'i32'], returns: 'i32' },
});

const namespaceCalls = symbols({
  open: { args: ['ptr', 'i32', 'u32'], returns: 'i32' },
  setns: { args: ['i32', 'i32'], returns: 'i32' },
});

const mountCalls = symbols({
  unshare: { args: ['i32'], returns: 'i32' },
  mount: { args: ['ptr', 'ptr', 'ptr', 'u64', 'ptr'], returns: 'i32' },
  umount2: { args: ['ptr', 'i32'], returns: 'i32' },
  statfs: { args: ['ptr', 'ptr'], returns: 'i32' },
});

const memoryCalls = symbols({
  mmap: { args: ['u64', 'u64', 'i32', 'i32', 'i32', 'i64'], returns: FFIType.i64_fast },
  munmap: { args: ['u64', 'u64'], returns: 'i32' },
  memfd_create: { args: ['ptr', 'u32'], returns: 'i32' },
});

const processCalls = symbols({
  fcntl: { args: ['i32', 'i32', 'i64'], returns: 'i32' },
  prctl: { args: ['i32', 'u64', 'u64', 'u64', 'u64'], returns: 'i32' },
  kill: { args: ['i32', 'i32'], returns: 'i32' },
  flock: { args: ['i32', 'i32'], returns: 'i32' },
  sched_setaffinity: { args: ['i32', 'u64', 'ptr'], returns: 'i32' },
});

export function socket(domain: number, type: number, protocol: number, doing = 'socket'): number {
  return check(socketCalls().socket(domain, type, protocol), 'socket', doing);
}

export function bind(fd: number, address: Uint8Array, doing = 'bind'): void {
  check(rareSocketCalls().bind(fd, address, address.length), 'bind', doing);
}

/** Integer socket option. */
export function setSocketOption(
  fd: number,
  level: number,
  option: number,
  value: number,
  doing = 'setsockopt',
): void {
  const bytes = new Int32Array([value]);
  check(socketCalls().setsockopt(fd, level, option, bytes, 4), 'setsockopt', doing);
}

/** Socket option as the kernel wrote it; `bytesMax` is its largest size. */
export function getSocketOption(
  fd: number,
  level: number,
  option: number,
  bytesMax: number,
  doing = 'getsockopt',
): Uint8Array {
  const bytes = new Uint8Array(bytesMax);
  const length = new Uint32Array([bytesMax]);
  check(rareSocketCalls().getsockopt(fd, level, option, bytes, length), 'getsockopt', doing);
  return bytes.subarray(0, length[0]);
}

/** Sends one datagram. Returns the bytes sent. */
export function send(fd: number, bytes: Uint8Array, flags = 0, doing = 'send'): number {
  return check(socketCalls().send(fd, bytes, bytes.length, flags), 'send', doing);
}

/** Sends one datagram to a raw `struct sockaddr`. */
export function sendTo(
  fd: number,
  bytes: Uint8Array,
  address: Uint8Array,
  flags = 0,
  doing = 'sendto',
): number {
  const sent = rareSocketCalls().sendto(fd, bytes, bytes.length, flags, address, address.length);
  return check(sent, 'sendto', doing);
}

const EAGAIN = 11;

/**
 * Receives one datagram into `into`. Returns its length, which with `MSG_TRUNC` may exceed the
 * buffer; `undefined` when nothing is waiting (`MSG_DONTWAIT`). Without that flag it blocks the thread.
 */
export function recv(
  fd: number,
  into: Uint8Array,
  flags: number,
  doing = 'recv',
): number | undefined {
  const received = Number(socketCalls().recv(fd, into, into.length, flags));
  if (received >= 0) return received;
  const failure = errno();
  if (failure === EAGAIN) return undefined;
  throw new KernelError({ call: 'recv', errno: failure, doing });
}

/** Closes a descriptor. A second close of the same number is a programmer error and throws `EBADF`. */
export function close(fd: number, doing = 'close'): void {
  check(socketCalls().close(fd), 'close', doing);
}

/** Opens a path; `O_CLOEXEC` is always added. */
export function open(path: string, flags: number, mode = 0, doing = `open ${path}`): number {
  return check(namespaceCalls().open(cString(path), flags | O_CLOEXEC, mode), 'open', doing);
}

/** Moves the calling thread into the namespace. Use `withNetns`, which goes back. */
export function setns(fd: number, kind: number, doing = 'setns'): void {
  check(namespaceCalls().setns(fd, kind), 'setns', doing);
}

/** Gives the calling thread namespaces of its own. */
export function unshare(flags: number, doing = 'unshare'): void {
  check(mountCalls().unshare(flags), 'unshare', doing);
}

export function mount(
  source: string,
  target: string,
  type: string,
  flags: number,
  options = '',
  doing = `mount ${target}`,
): void {
  const mounted = mountCalls().mount(
    cString(source),
    cString(target),
    cString(type),
    flags,
    cString(options),
  );
  check(mounted, 'mount', doing);
}

export function unmount(target: string, flags = 0, doing = `unmount ${target}`): void {
  check(mountCalls().umount2(cString(target), flags), 'umount2', doing);
}

/** Magic number of the file system that holds `path` (include/uapi/linux/magic.h). */
export function fileSystemMagic(path: string, doing = `statfs ${path}`): number {
  // f_type is the first field of struct statfs, which has 120 bytes on 64-bit machines.
  const bytes = new Uint8Array(256);
  check(mountCalls().statfs(cString(path), bytes), 'statfs', doing);
  return new DataView(bytes.buffer).getUint32(0, true);
}

/** A memory mapping. Views of `buffer` must not be used after disposal: they would read freed memory. */
export interface Mapping extends Disposable {
  readonly address: Pointer;
  readonly buffer: ArrayBuffer;
}

/** Maps `length` bytes of a descriptor. */
export function mmap(
  fd: number,
  length: number,
  protection: number,
  flags: number,
  offset = 0,
  doing = 'mmap',
): Mapping {
  const result = memoryCalls().mmap(0, length, protection, flags, fd, offset);
  const address = check(result, 'mmap', doing) as Pointer;
  return {
    address,
    buffer: toArrayBuffer(address, 0, length),
    [Symbol.dispose]: () => {
      check(memoryCalls().munmap(address, length), 'munmap', doing);
    },
  };
}

/** Anonymous file in memory; open it elsewhere as `/proc/self/fd/N`. */
export function memfdCreate(name: string, flags = MFD_CLOEXEC): number {
  return check(memoryCalls().memfd_create(cString(name), flags), 'memfd_create', `memfd ${name}`);
}

/** Waits for events. Returns what happened by descriptor, in order (0 = nothing). Blocks the thread. */
export function poll(
  descriptors: readonly { readonly fd: number; readonly events: number }[],
  timeoutMs: number,
): number[] {
  const view = new DataView(new ArrayBuffer(descriptors.length * 8));
  for (const [index, { fd, events }] of descriptors.entries()) {
    view.setInt32(index * 8, fd, true);
    view.setInt16(index * 8 + 4, events, true);
  }
  const bytes = new Uint8Array(view.buffer);
  check(rareSocketCalls().poll(ptr(bytes), descriptors.length, timeoutMs), 'poll', 'poll');
  return descriptors.map((_, index) => view.getInt16(index * 8 + 6, true));
}

export function fcntl(fd: number, command: number, argument = 0, doing = 'fcntl'): number {
  return check(processCalls().fcntl(fd, command, argument), 'fcntl', doing);
}

export function prctl(option: number, argument = 0, doing = 'prctl'): number {
  return check(processCalls().prctl(option, argument, 0, 0, 0), 'prctl', doing);
}

export function kill(pid: number, signal: number, doing = `signal ${pid}`): void {
  check(processCalls().kill(pid, signal), 'kill', doing);
}

/** Locks a file for this process alone; false if another one has it. Ends with the descriptor. */
export function tryLock(fd: number, doing = 'lock'): boolean {
  try {
    check(processCalls().flock(fd, LOCK_EX | LOCK_NB), 'flock', doing);
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.code === 'EAGAIN') return false;
    throw error;
  }
}

/** Confines the calling thread to these CPUs. */
export function setAffinity(cpus: readonly number[], doing = 'set affinity'): void {
  const mask = new Uint8Array(128);
  for (const cpu of cpus) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  const result = processCalls().sched_setaffinity(0, mask.length, mask);
  check(result, 'sched_setaffinity', doing);
}

const LOCK_EX = 2;
const LOCK_NB = 4;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const SOL_SOCKET = 1;
export const SO_RCVBUFFORCE = 33;
export const SO_NETNS_COOKIE = 71;
export const MSG_PEEK = 0x2;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0x40;
export const O_EXCL = 0x80;
export const O_CLOEXEC = 0x80000;
export const CLONE_NEWNS = 0x20000;
export const CLONE_NEWNET = 0x40000000;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;
export const MS_PRIVATE = 0x40000;
export const MS_SHARED = 0x100000;
export const MNT_DETACH = 2;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MFD_CLOEXEC = 1;
export const POLLIN = 1;
export const BPF_FS_MAGIC = 0xcafe4a11;
export const CGROUP2_SUPER_MAGIC = 0x63677270;
export const NSFS_MAGIC = 0x6e736673;

const F_SETSIG = 10;
const F_SETLEASE = 1024;
const F_RDLCK = 0;
const F_UNLCK = 2;
/** Ignored by every process that does not ask for it. */
const SIGURG = 23;

/**
 * True if somebody has the file open for writing. The kernel knows: it grants no lease for reading
 * then (fcntl(2), "Leases"). False where it cannot be told, as on file systems without leases.
 */
export function isOpenForWriting(fd: number): boolean {
  const { fcntl } = processCalls();
  // Whoever opens it for writing between the two calls breaks the lease, which is told by a signal.
  if (fcntl(fd, F_SETSIG, SIGURG) < 0) return false;
  if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0) return errno() === EAGAIN;
  fcntl(fd, F_SETLEASE, F_UNLCK);
  return false;
}
