/**
 * @module What the process of traffic.ts can be asked, and what it answers.
 */

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs?: number;
  /** Of the message that is echoed. */
  readonly bytes?: number;
  /** Source address of a datagram. */
  readonly from?: string;
  /** A datagram in place of a connection. */
  readonly udp?: boolean;
}

export interface ConnectOutcome {
  /** `echo` is success; `stuck`: open, but the echo never came or differs. */
  readonly result: 'echo' | 'refused' | 'reset' | 'timeout' | 'unreachable' | 'stuck';
  readonly elapsedMs: number;
  readonly localPort: number;
}

export interface StreamSpec {
  readonly kind: 'tcp' | 'udp';
  readonly host: string;
  readonly port: number;
  readonly perSecond: number;
  readonly bytes?: number;
}

export interface StreamReport {
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly firstLost: readonly number[];
  readonly reordered: number;
  readonly resets: number;
  readonly maxGapMs: number;
}

export interface ConnectLoopReport {
  allowed: number;
  denied: number;
  /** Connections that came about though they must not, or the other way round. */
  readonly wrong: string[];
  /** Allowed ones that needed a retransmission. */
  readonly slow: string[];
  readonly outcomes: Record<string, number>;
}

export interface PingSpec {
  readonly host: string;
  readonly timeoutMs?: number;
  readonly bytes?: number;
  /** Time to live; the answer may then be an error from the way. */
  readonly ttl?: number;
}

export type PingOutcome =
  | { readonly kind: 'reply'; readonly bytes: number }
  /** `quotedSource`: the source address in the packet that the error quotes. */
  | {
      readonly kind: 'error';
      readonly type: number;
      readonly code: number;
      readonly quotedSource: string;
    }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'refused'; readonly message: string };

/** One thing to reach; `sctp` is a packet that opens an association, and never answered. */
export interface ReachTarget {
  readonly host: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
}

/**
 * Of one target: `y` answered, `n` no answer in time, `r` refused or unreachable, `s` sent (sctp:
 * whether it arrived is asked of the receiver, by its tag).
 */
export type ReachLetter = 'y' | 'n' | 'r' | 's';

export interface ReachSpec {
  readonly targets: readonly ReachTarget[];
  readonly timeoutMs: number;
  /** The tag of the first sctp target; those that follow have the next numbers. */
  readonly firstTag?: number;
}

type Call<Argument, Result> = (argument: Argument) => Result | Promise<Result>;

export interface TrafficCalls {
  readonly tcpServe: Call<{ port: number }, number>;
  readonly udpServe: Call<{ port: number; silent?: boolean }, number>;
  readonly udpArrived: Call<{ port: number }, number>;
  readonly connect: Call<Target, ConnectOutcome>;
  readonly udp: Call<Target, ConnectOutcome>;
  readonly connectMany: Call<{ targets: readonly Target[] }, ConnectOutcome[]>;
  readonly stream: Call<{ id: string; spec: StreamSpec }, void>;
  readonly connectLoop: Call<
    { id: string; targets: readonly (Target & { expect: 'allow' | 'deny' })[]; pauseMs?: number },
    void
  >;
  readonly udpBurst: Call<
    { id: string; host: string; ports: readonly number[]; perTick: number; everyMs?: number },
    void
  >;
  readonly stop: Call<{ id: string }, unknown>;
  /** The address of whoever connected last to a TCP server here. */
  readonly lastPeer: Call<Record<string, never>, string>;
  readonly ping: Call<PingSpec, PingOutcome>;
  /** An Ethernet frame as it is, out of an interface by index. */
  readonly sendFrame: Call<{ device: number; hex: string }, void>;
  /** Reaches for all targets at once. A letter for each, in order. */
  readonly reach: Call<ReachSpec, ReachLetter[]>;
  /** Opens the sockets at which packets of SCTP are seen. */
  readonly sctpServe: Call<Record<string, never>, void>;
  /** Tags of the associations that somebody has tried to open here, since the last time. */
  readonly sctpArrived: Call<Record<string, never>, number[]>;
  readonly counters: Call<Record<string, never>, Record<string, number>>;
}
