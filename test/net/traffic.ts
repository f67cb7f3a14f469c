/**
 * @module Traffic inside a namespace, as a process of its own: requests arrive as JSON lines on
 * standard input (`{id, call, with}`), answers leave as JSON lines. Servers echo; streams number
 * what they send and report losses, gaps and resets; probes say what became of one connection.
 */
import { createSocket, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { ping, sendFrame } from './traffic-raw.ts';
import { reach, sctpArrived, sctpServe } from './traffic-reach.ts';
import type {
  ConnectLoopReport,
  ConnectOutcome,
  StreamReport,
  StreamSpec,
  Target,
  TrafficCalls,
} from './traffic-types.ts';

const receiveBufferBytes = 4 << 20;
const records = 16;

/** TCP and UDP echo on a port, both families. Counts what arrives at the UDP port. */
const udpArrived = new Map<number, number>();
let lastPeer = '';

function tcpServe(port: number): number {
  type Rest = { rest: Buffer };
  const flush = (socket: import('bun').Socket<Rest>) => {
    const { rest } = socket.data;
    const written = socket.write(rest);
    socket.data.rest = rest.subarray(Math.max(0, written));
  };
  const server = Bun.listen<Rest>({
    hostname: '::',
    port,
    socket: {
      open: (socket) => {
        socket.data = { rest: Buffer.alloc(0) };
        lastPeer = socket.remoteAddress.replace('::ffff:', '');
        socket.setNoDelay(true);
      },
      data: (socket, bytes) => {
        socket.data.rest = Buffer.concat([socket.data.rest, bytes]);
        flush(socket);
      },
      drain: flush,
      error: () => {},
    },
  });
  return server.port;
}

/** `silent` servers only count. */
async function udpServe(port: number, silent: boolean): Promise<number> {
  const socket = await udpSocket(port);
  const bound = socket.address().port;
  udpArrived.set(bound, 0);
  socket.on('message', (bytes, from) => {
    udpArrived.set(bound, (udpArrived.get(bound) ?? 0) + 1);
    if (!silent) socket.send(bytes, from.port, from.address);
  });
  return bound;
}

function udpSocket(port = 0, host = '::'): Promise<Socket> {
  const socket = createSocket('udp6');
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, host, () => {
      socket.setRecvBufferSize(receiveBufferBytes);
      socket.removeAllListeners('error');
      // An ICMP error of one packet is not the end of the socket.
      socket.on('error', () => {});
      resolve(socket);
    });
  });
}

/** How udp6 sockets name an address. */
function mapped(host: string): string {
  return host.includes(':') ? host : `::ffff:${host}`;
}

/** Opens a connection, has one message echoed, closes. */
function connect({ host, port, timeoutMs = 1500, bytes = 8 }: Target): Promise<ConnectOutcome> {
  const started = performance.now();
  return new Promise((resolve) => {
    let local = 0;
    let back = 0;
    let isOver = false;
    let opened: import('bun').Socket | undefined;
    const end = (result: ConnectOutcome['result']) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      if (result === 'echo') opened?.end();
      else opened?.terminate();
      resolve({ result, elapsedMs: performance.now() - started, localPort: local });
    };
    const timer = setTimeout(() => end(opened === undefined ? 'timeout' : 'stuck'), timeoutMs);
    const payload = Buffer.alloc(bytes, 'x');
    let sent = 0;
    const pump = (socket: import('bun').Socket) => {
      if (sent < bytes) sent += Math.max(0, socket.write(payload.subarray(sent)));
    };
    Bun.connect({
      hostname: host,
      port,
      socket: {
        open: (socket) => {
          if (isOver) return socket.terminate();
          opened = socket;
          local = socket.localPort ?? 0;
          socket.setNoDelay(true);
          pump(socket);
        },
        drain: pump,
        data: (_, chunk) => {
          back += chunk.length;
          if (back >= bytes) end('echo');
        },
        error: () => end('reset'),
        close: () => end('reset'),
        connectError: (_, error) =>
          end(
            String((error as { code?: string }).code) === 'ECONNREFUSED'
              ? 'refused'
              : 'unreachable',
          ),
      },
    }).catch(() => end('unreachable'));
  });
}

/** One datagram there and back, from a port of its own. */
async function udp({
  host,
  port,
  timeoutMs = 500,
  bytes = 8,
  from,
}: Target): Promise<ConnectOutcome> {
  const started = performance.now();
  const socket = await udpSocket(0, from === undefined ? '::' : mapped(from));
  const localPort = socket.address().port;
  const payload = Buffer.alloc(bytes, 'u');
  const result = await new Promise<ConnectOutcome['result']>((resolve) => {
    const timer = setTimeout(() => resolve('timeout'), timeoutMs);
    socket.on('message', (back) => {
      clearTimeout(timer);
      resolve(back.equals(payload) ? 'echo' : 'stuck');
    });
    socket.send(payload, port, mapped(host));
  });
  socket.close();
  return { result, elapsedMs: performance.now() - started, localPort };
}

interface Running {
  stop(): Promise<StreamReport | ConnectLoopReport>;
}
const running = new Map<string, Running>();

/** What a stream of numbered records has seen so far. */
class Ledger {
  sent = 0;
  received = 0;
  reordered = 0;
  resets = 0;
  maxGapMs = 0;
  readonly missing = new Set<number>();
  #last = performance.now();
  #highest = -1;

  take(sequence: number): void {
    const now = performance.now();
    this.maxGapMs = Math.max(this.maxGapMs, now - this.#last);
    this.#last = now;
    this.received++;
    if (sequence < this.#highest) this.reordered++;
    this.#highest = Math.max(this.#highest, sequence);
    this.missing.delete(sequence);
  }

  next(): number {
    this.missing.add(this.sent);
    return this.sent++;
  }

  async report(): Promise<StreamReport> {
    const deadline = performance.now() + 2500;
    while (this.missing.size > 0 && this.resets === 0 && performance.now() < deadline) {
      await Bun.sleep(5);
    }
    const { sent, received, reordered, resets, maxGapMs } = this;
    return {
      sent,
      received,
      lost: this.missing.size,
      firstLost: [...this.missing].slice(0, records),
      reordered,
      resets,
      maxGapMs: Math.round(maxGapMs),
    };
  }
}

/** Paces by the clock, not by ticks: a late tick sends what was due. */
function pace(perSecond: number, send: () => void): { stop(): void } {
  const started = performance.now();
  let done = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - started) * perSecond) / 1000);
    // After a stall of the machine the missed ones are not sent in a burst.
    if (due - done > 50) done = due - 50;
    for (; done < due; done++) send();
  }, 1);
  return { stop: () => clearInterval(timer) };
}

async function udpStream(spec: StreamSpec): Promise<Running> {
  const ledger = new Ledger();
  const socket = await udpSocket();
  socket.on('message', (bytes) => ledger.take(bytes.readUInt32BE(0)));
  const host = mapped(spec.host);
  const pacer = pace(spec.perSecond, () => {
    const bytes = Buffer.alloc(spec.bytes ?? 32);
    bytes.writeUInt32BE(ledger.next(), 0);
    socket.send(bytes, spec.port, host);
  });
  return {
    async stop() {
      pacer.stop();
      const report = await ledger.report();
      socket.close();
      return report;
    },
  };
}

async function tcpStream(spec: StreamSpec): Promise<Running> {
  const ledger = new Ledger();
  let rest: Buffer = Buffer.alloc(0);
  let out: Buffer = Buffer.alloc(0);
  let isClosing = false;
  const reset = () => {
    if (!isClosing) ledger.resets++;
  };
  const flush = (to: import('bun').Socket) => {
    if (out.length > 0) out = out.subarray(Math.max(0, to.write(out)));
  };
  const socket = await Bun.connect({
    hostname: spec.host,
    port: spec.port,
    socket: {
      open: (opened) => void opened.setNoDelay(true),
      drain: flush,
      data: (_, bytes) => {
        rest = Buffer.concat([rest, bytes]);
        for (; rest.length >= records; rest = rest.subarray(records)) {
          ledger.take(rest.readUInt32BE(0));
        }
      },
      error: reset,
      close: reset,
    },
  });
  const pacer = pace(spec.perSecond, () => {
    const bytes = Buffer.alloc(records);
    bytes.writeUInt32BE(ledger.next(), 0);
    out = Buffer.concat([out, bytes]);
    flush(socket);
  });
  return {
    async stop() {
      pacer.stop();
      const report = await ledger.report();
      isClosing = true;
      socket.end();
      return report;
    },
  };
}

/** New connections one after another; each target says whether it may come about. */
function connectLoop(targets: readonly (Target & { expect: 'allow' | 'deny' })[], pauseMs: number) {
  let isOver = false;
  const report: ConnectLoopReport = { allowed: 0, denied: 0, wrong: [], slow: [], outcomes: {} };
  const turn = async (target: (typeof targets)[number]) => {
    while (!isOver) {
      const { result, elapsedMs } = await (target.udp === true ? udp(target) : connect(target));
      const passed = !(result === 'timeout' || result === 'unreachable');
      const what = `${target.udp === true ? 'udp' : 'tcp'} ${target.host}:${target.port} ${result}`;
      report.outcomes[what] = (report.outcomes[what] ?? 0) + 1;
      if (passed) report.allowed++;
      else report.denied++;
      const isRight = target.expect === 'allow' ? result === 'echo' : !passed;
      if (!isRight) report.wrong.push(`${what} after ${Math.round(elapsedMs)} ms`);
      // A lost SYN is sent again after a second, and the data after 200 ms.
      else if (target.expect === 'allow' && elapsedMs > 900) report.slow.push(what);
      if (pauseMs > 0) await Bun.sleep(pauseMs);
    }
  };
  const turns = targets.map(turn);
  return {
    async stop() {
      isOver = true;
      await Promise.all(turns);
      return report;
    },
  };
}

/** Datagrams as fast as asked to several ports; who counts is the receiver. */
async function udpBurst(
  host: string,
  ports: readonly number[],
  perTick: number,
  everyMs: number,
): Promise<Running> {
  const socket = await udpSocket();
  const ledger = new Ledger();
  const to = mapped(host);
  const payload = Buffer.alloc(16, 'b');
  const timer = setInterval(() => {
    for (let count = 0; count < perTick; count++) {
      for (const port of ports) {
        ledger.sent++;
        socket.send(payload, port, to);
      }
    }
  }, everyMs);
  return {
    async stop() {
      clearInterval(timer);
      const report = await ledger.report();
      socket.close();
      return report;
    },
  };
}

/** Counters of this namespace's stack, by protocol and name. */
function counters(): Record<string, number> {
  const found: Record<string, number> = {};
  for (const file of ['/proc/self/net/snmp', '/proc/self/net/netstat']) {
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    for (let at = 0; at + 1 < lines.length; at += 2) {
      const names = lines[at]?.split(/\s+/) ?? [];
      const values = lines[at + 1]?.split(/\s+/) ?? [];
      for (let n = 1; n < names.length; n++) found[`${names[0]}${names[n]}`] = Number(values[n]);
    }
  }
  for (const line of readFileSync('/proc/self/net/snmp6', 'utf8').trim().split('\n')) {
    const [name = '', value] = line.split(/\s+/);
    found[name] = Number(value);
  }
  return found;
}

async function start(id: string, starting: Running | Promise<Running>): Promise<void> {
  running.set(id, await starting);
}

const calls: TrafficCalls = {
  tcpServe: ({ port }) => tcpServe(port),
  udpServe: ({ port, silent = false }) => udpServe(port, silent),
  udpArrived: ({ port }) => udpArrived.get(port) ?? 0,
  connect,
  udp,
  connectMany: ({ targets }) =>
    Promise.all(targets.map((one) => (one.udp ? udp(one) : connect(one)))),
  stream: ({ id, spec }) => start(id, spec.kind === 'udp' ? udpStream(spec) : tcpStream(spec)),
  connectLoop: ({ id, targets, pauseMs = 0 }) => start(id, connectLoop(targets, pauseMs)),
  udpBurst: ({ id, host, ports, perTick, everyMs = 1 }) =>
    start(id, udpBurst(host, ports, perTick, everyMs)),
  stop: async ({ id }) => {
    const one = running.get(id);
    running.delete(id);
    if (one === undefined) throw new Error(`nothing runs as ${id}`);
    return await one.stop();
  },
  lastPeer: () => lastPeer,
  ping,
  sendFrame,
  reach,
  sctpServe,
  sctpArrived,
  counters: () => counters(),
};

async function answer(line: string): Promise<void> {
  const { id, call, with: argument } = JSON.parse(line);
  let reply: object;
  try {
    const run = calls[call as keyof TrafficCalls] as (argument: unknown) => unknown;
    reply = { id, result: (await run(argument)) ?? null };
  } catch (error) {
    reply = { id, error: error instanceof Error ? error.message : String(error) };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

if (import.meta.main) {
  process.stdout.write('{"id":0,"result":"ready"}\n');
  for await (const line of console) if (line !== '') void answer(line);
  process.exit(0);
}
