/**
 * @module The error that every refused system call and netlink request becomes. Carries the errno by
 * number and name, and the sentence that the kernel attached, if it attached one.
 * Input: errno from `libc.ts`, from netlink acks, and from libbpf in `src/bpf`.
 */

// Index = errno. The numbers are those of include/uapi/asm-generic/errno*.h (x86-64 and arm64).
// Holes keep their place as '-'.
const table = `- EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK
  EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE
  EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP - ENOMSG EIDRM
  ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT
  - EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP
  EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ
  ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT
  ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH
  ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT
  ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM
  EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED
  EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON`;

// Split on first use: most runs of the CNI plugin meet no error.
let split: readonly string[] | undefined;

function names(): readonly string[] {
  split ??= table.split(/\s+/);
  return split;
}

/** `ENOTSUPP`: kernel-internal, has no place in user space's table, and leaks out of BPF and netlink. */
const ENOTSUPP = 524;

/** Name of an errno, or `errno N` for one that the table does not know. */
export function errnoName(errno: number): string {
  if (errno === ENOTSUPP) return 'ENOTSUPP';
  const name = names()[errno];
  return name === undefined || name === '-' ? `errno ${errno}` : name;
}

/** Number of an errno name. Throws for a name that does not exist: that is a typing mistake. */
export function errnoNumber(name: string): number {
  const errno = name === 'ENOTSUPP' ? ENOTSUPP : names().indexOf(name);
  if (errno < 0 || name === '-') throw new RangeError(`no errno is called ${name}`);
  return errno;
}

/** What `KernelError` is made of. */
export interface KernelErrorFields {
  /** System call or request, e.g. `bind`, `RTM_NEWLINK`. */
  readonly call: string;
  /** Positive errno. */
  readonly errno: number;
  /** What was being done, e.g. `create veth lxc0a1b`. */
  readonly doing: string;
  /** The kernel's own sentence (netlink extended ack), if it gave one. */
  readonly detail?: string | undefined;
  readonly cause?: unknown;
}

/** The kernel said no. `code` is the errno's name and is what callers compare. */
export class KernelError extends Error {
  readonly call: string;
  readonly errno: number;
  readonly code: string;
  readonly doing: string;
  readonly detail: string | undefined;

  constructor(fields: KernelErrorFields) {
    const code = errnoName(fields.errno);
    const detail = fields.detail === undefined ? '' : ` (${fields.detail})`;
    super(
      `${fields.doing}: ${code}${detail}`,
      fields.cause === undefined ? undefined : { cause: fields.cause },
    );
    // Assigned, because minifying would otherwise change the name that is printed.
    this.name = 'KernelError';
    this.call = fields.call;
    this.errno = fields.errno;
    this.code = code;
    this.doing = fields.doing;
    this.detail = fields.detail;
  }
}

/** True if `error` is the kernel answering with one of these errno names. */
export function isKernelError(error: unknown, ...codes: readonly string[]): error is KernelError {
  return error instanceof KernelError && (codes.length === 0 || codes.includes(error.code));
}
