/**
 * @module Many targets at once, each once, for matrices of who reaches whom: TCP handshakes on raw
 * descriptors (one that is not answered is closed, and is not tried again behind our back), UDP
 * requests from one socket, and SCTP without the kernel's: packets that open an association, sent and
 * seen at raw sockets.
 */
// biome-ignore lint/style/noRestrictedImports: the agent opens no connection, so src/net/libc.ts has no connect
import { dlopen, ptr } from 'bun:ffi';
import { createSocket } from 'node:dgram';
import * as libc from '../../src/net/libc.ts';
import { socketAddress } from './traffic-raw.ts';
import type { ReachLetter, ReachSpec, ReachTarget } from './traffic-types.ts';

const IPPROTO_SCTP = 132;
const SOCK_STREAM = 1;
const POLLOUT = 4;
/** An error, or a socket that was never on its way. */
const POLLERR_POLLHUP = 8 | 16;
const lookMs = 2;
/** Of an SCTP common header and an INIT chunk, RFC 9260 section 3.3.2. */
const initBytes = 32;
const sctpSourcePort = 40_000;

const { symbols } = dlopen('libc.so.6', {
  connect: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
});

export async function reach(spec: ReachSpec): Promise<ReachLetter[]> {
  const letters: ReachLetter[] = spec.targets.map(() => 'n');
  const indexes = (protocol: ReachTarget['protocol']) =>
    spec.targets.flatMap((target, index) => (target.protocol === protocol ? [index] : []));
  const deadline = performance.now() + spec.timeoutMs;
  let tag = spec.firstTag ?? 0;
  for (const index of indexes('sctp')) {
    letters[index] = sendInit(spec.targets[index] as ReachTarget, tag++) ? 's' : 'r';
  }
  await Promise.all([
    reachTcp(spec.targets, indexes('tcp'), deadline, letters),
    reachUdp(spec.targets, indexes('udp'), deadline, letters),
  ]);
  return letters;
}

/** The receiver's kernel completes a handshake: its process need not be asked. */
async function reachTcp(
  targets: readonly ReachTarget[],
  indexes: readonly number[],
  deadline: number,
  letters: ReachLetter[],
): Promise<void> {
  let open = indexes.map((index) => ({ index, fd: startConnect(targets[index] as ReachTarget) }));
  while (open.length > 0) {
    const events = libc.poll(
      open.map(({ fd }) => ({ fd, events: POLLOUT })),
      0,
    );
    const isOver = performance.now() >= deadline;
    open = open.filter(({ index, fd }, at) => {
      const event = events[at] ?? 0;
      if (event !== 0) letters[index] = (event & POLLERR_POLLHUP) !== 0 ? 'r' : 'y';
      if (event === 0 && !isOver) return true;
      libc.close(fd);
      return false;
    });
    if (open.length > 0) await Bun.sleep(lookMs);
  }
}

function startConnect({ host, port }: ReachTarget): number {
  const domain = host.includes(':') ? libc.AF_INET6 : libc.AF_INET;
  const fd = libc.socket(domain, SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0);
  const address = socketAddress(host, port);
  // It is "in progress", or an error that poll tells as well.
  symbols.connect(fd, ptr(address), address.length);
  return fd;
}

async function reachUdp(
  targets: readonly ReachTarget[],
  indexes: readonly number[],
  deadline: number,
  letters: ReachLetter[],
): Promise<void> {
  if (indexes.length === 0) return;
  const socket = createSocket('udp6');
  // An ICMP error of one packet is not the end of the socket.
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.bind(0, '::', resolve));
  const waiting = new Set(indexes);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, Math.max(0, deadline - performance.now()));
    socket.on('message', (bytes) => {
      const index = bytes.readUInt32BE(0);
      if (!waiting.delete(index)) return;
      letters[index] = 'y';
      if (waiting.size > 0) return;
      clearTimeout(timer);
      resolve();
    });
    for (const index of indexes) {
      const { host, port } = targets[index] as ReachTarget;
      const payload = Buffer.alloc(8);
      payload.writeUInt32BE(index, 0);
      socket.send(payload, port, host.includes(':') ? host : `::ffff:${host}`);
    }
  });
  socket.close();
}

/** False if there is no way to the target. */
function sendInit({ host, port }: ReachTarget, tag: number): boolean {
  const bytes = new Uint8Array(initBytes);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, sctpSourcePort + (tag % 20_000));
  view.setUint16(2, port);
  // The checksum is zero, as RFC 9653 lets it be; chunk type 1 with its length and initiate tag.
  view.setUint8(12, 1);
  view.setUint16(14, initBytes - 12);
  view.setUint32(16, tag);
  view.setUint32(20, 65_536);
  view.setUint16(24, 1);
  view.setUint16(26, 1);
  const domain = host.includes(':') ? libc.AF_INET6 : libc.AF_INET;
  const fd = libc.socket(domain, libc.SOCK_RAW | libc.SOCK_CLOEXEC, IPPROTO_SCTP);
  try {
    libc.sendTo(fd, bytes, socketAddress(host));
    return true;
  } catch {
    return false;
  } finally {
    libc.close(fd);
  }
}

const receivers: { readonly fd: number; readonly family: 4 | 6 }[] = [];

/** With such a socket the kernel does not answer that it knows no SCTP. */
export function sctpServe(): void {
  for (const family of [4, 6] as const) {
    const domain = family === 4 ? libc.AF_INET : libc.AF_INET6;
    const fd = libc.socket(domain, libc.SOCK_RAW | libc.SOCK_CLOEXEC, IPPROTO_SCTP);
    receivers.push({ fd, family });
  }
}

export function sctpArrived(): number[] {
  const tags: number[] = [];
  const into = new Uint8Array(2048);
  for (const { fd, family } of receivers) {
    for (;;) {
      const length = libc.recv(fd, into, libc.MSG_DONTWAIT);
      if (length === undefined) break;
      const start = family === 4 ? ((into[0] ?? 0) & 15) * 4 : 0;
      if (length < start + initBytes) continue;
      tags.push(new DataView(into.buffer).getUint32(start + 16));
    }
  }
  return tags;
}
