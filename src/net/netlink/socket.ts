/**
 * @module One rtnetlink socket of the network namespace in which it was opened. Requests go out in
 * batches, many messages in one `send`; refusals are matched by sequence number. The kernel has
 * carried everything out when `send` returns, so nothing here ever waits.
 */
import { errnoName, errnoNumber, KernelError } from '../kernel-error.ts';
import * as libc from '../libc.ts';
import {
  messageName,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_OVERRUN,
  NLMSGERR_ATTR_MSG,
  SOL_NETLINK,
} from './constants.ts';
import {
  Attributes,
  headerBytes,
  type Message,
  type Request,
  splitMessages,
  viewOf,
} from './message.ts';

/** The kernel fills at most this much per datagram of a dump (include/linux/netlink.h). */
const receiveBytesMax = 64 * 1024;
/** Messages per send: their refusals, about 800 bytes each, must fit the default receive buffer. */
const batchMax = 64;
/** How often a dump that was cut by a concurrent change is repeated. */
const dumpAttemptsMax = 10;

// One for all sockets of the thread: what is received is decoded before anything else runs.
const receiveBuffer = new Uint8Array(receiveBytesMax);

/** A netlink socket. Synchronous, not to be shared between threads. */
export class NetlinkSocket implements Disposable {
  readonly #fd: number;
  #sequence = 0;
  #isOpen = true;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Opens a socket in the network namespace of the calling thread; it stays with that namespace. */
  static open(): NetlinkSocket {
    const type = libc.SOCK_RAW | libc.SOCK_CLOEXEC;
    const fd = libc.socket(libc.AF_NETLINK, type, NETLINK_ROUTE, 'open rtnetlink socket');
    for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK]) {
      libc.setSocketOption(fd, SOL_NETLINK, option, 1, 'set up rtnetlink socket');
    }
    return new NetlinkSocket(fd);
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) libc.close(this.#fd);
    this.#isOpen = false;
  }

  /** Carries out one request. Throws `KernelError` with the kernel's own words. */
  request(request: Request): void {
    this.batch([request]);
  }

  /**
   * Carries out requests in order, all of them even if one is refused, then throws the first
   * refusal. A batch is no transaction: what was accepted stays.
   */
  batch(requests: readonly Request[]): void {
    for (const error of this.tryBatch(requests)) if (error !== undefined) throw error;
  }

  /** As `batch`, but returns each request's refusal, or `undefined` where it was accepted. */
  tryBatch(requests: readonly Request[]): (KernelError | undefined)[] {
    const results: (KernelError | undefined)[] = [];
    for (let start = 0; start < requests.length; start += batchMax) {
      results.push(...this.#exchange(requests.slice(start, start + batchMax)));
    }
    return results;
  }

  #exchange(requests: readonly Request[]): (KernelError | undefined)[] {
    const first = this.#send(requests, 0, NLM_F_ACK);
    const results: (KernelError | undefined)[] = new Array(requests.length).fill(undefined);
    // Refusals are always answered and in order, so an ack of the last request closes the batch.
    for (;;) {
      for (const message of this.#receive(requests[0]?.doing ?? 'netlink')) {
        const index = (message.sequence - first) >>> 0;
        const sent = requests[index];
        // Anything else belongs to an exchange that an error cut short.
        if (sent === undefined || message.type !== NLMSG_ERROR) continue;
        results[index] = refusalOf(message, sent);
        if (index === requests.length - 1) return results;
      }
    }
  }

  /** Asks for one object. `undefined` if the kernel answers with one of the request's settled errors. */
  get<T>(request: Request, decode: (message: Message) => T | undefined): T | undefined {
    const sequence = this.#send([request], 0, NLM_F_ACK);
    let found: T | undefined;
    for (;;) {
      for (const message of this.#receive(request.doing)) {
        if (message.sequence !== sequence) continue;
        if (message.type !== NLMSG_ERROR) {
          found ??= decode(message);
          continue;
        }
        const refusal = refusalOf(message, request);
        if (refusal !== undefined) throw refusal;
        return found;
      }
    }
  }

  /**
   * Lists objects. A dump that a concurrent change made inconsistent is repeated from the start;
   * throws `EINTR` when that goes on.
   */
  dump<T>(request: Request, decode: (message: Message) => T | undefined): T[] {
    for (let attempt = 0; attempt < dumpAttemptsMax; attempt++) {
      const rows = this.#dumpOnce(request, decode);
      if (rows !== undefined) return rows;
    }
    const call = messageName(request.type);
    throw new KernelError({ call, errno: errnoNumber('EINTR'), doing: request.doing });
  }

  #dumpOnce<T>(request: Request, decode: (message: Message) => T | undefined): T[] | undefined {
    const sequence = this.#send([request], NLM_F_DUMP, 0);
    const rows: T[] = [];
    let isConsistent = true;
    for (;;) {
      for (const message of this.#receive(request.doing)) {
        if (message.sequence !== sequence) continue;
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) isConsistent = false;
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          const refusal = refusalOf(message, request);
          if (refusal !== undefined) throw refusal;
          return isConsistent ? rows : undefined;
        }
        const row = decode(message);
        if (row !== undefined) rows.push(row);
      }
    }
  }

  /** Sends messages under fresh sequence numbers; returns the first. */
  #send(requests: readonly Request[], flags: number, lastFlags: number): number {
    const first = (this.#sequence + 1) >>> 0;
    let length = 0;
    for (const request of requests) length += request.bytes.length;
    const bytes = new Uint8Array(length);
    const view = viewOf(bytes);
    let at = 0;
    for (let index = 0; index < requests.length; index++) {
      const request = requests[index];
      if (request === undefined) continue;
      bytes.set(request.bytes, at);
      const added = index === requests.length - 1 ? flags | lastFlags : flags;
      view.setUint16(at + 6, view.getUint16(at + 6, true) | added, true);
      this.#sequence = (this.#sequence + 1) >>> 0;
      view.setUint32(at + 8, this.#sequence, true);
      at += request.bytes.length;
    }
    libc.send(this.#fd, bytes, 0, requests[0]?.doing ?? 'netlink');
    return first;
  }

  #receive(doing: string): Message[] {
    const flags = libc.MSG_DONTWAIT | libc.MSG_TRUNC;
    const length = libc.recv(this.#fd, receiveBuffer, flags, doing);
    if (length === undefined || length > receiveBuffer.length) {
      // Nothing there although an answer is due: it did not fit the socket's receive buffer.
      throw new KernelError({ call: 'recv', errno: errnoNumber('ENOBUFS'), doing });
    }
    return splitMessages(receiveBuffer.subarray(0, length));
  }
}

/** `struct nlmsgerr` or the integer in NLMSG_DONE; `undefined` for success. */
function refusalOf(message: Message, request: Request): KernelError | undefined {
  const { payload, flags, type } = message;
  const call = messageName(request.type);
  if (type === NLMSG_OVERRUN || payload.length < 4) {
    return new KernelError({ call, errno: errnoNumber('EPROTO'), doing: request.doing });
  }
  const view = viewOf(payload);
  const errno = -view.getInt32(0, true);
  // NLMSG_DONE carries the count of the last part on some kernels: only negatives are errors.
  if (errno <= 0 || request.settled.includes(errnoName(errno))) return undefined;
  let detail: string | undefined;
  if ((flags & NLM_F_ACK_TLVS) !== 0) {
    const isError = type === NLMSG_ERROR;
    const echoed = isError && payload.length >= 4 + headerBytes ? view.getUint32(4, true) : 0;
    const skip = isError ? 4 + ((flags & NLM_F_CAPPED) !== 0 ? headerBytes : echoed) : 4;
    detail = new Attributes(payload, skip).text(NLMSGERR_ATTR_MSG);
  }
  return new KernelError({ call, errno, doing: request.doing, detail });
}
