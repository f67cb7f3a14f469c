/**
 * @module
 * Filters by what is above IP: protocol, source_port, destination_port, tcp_flags.
 */
import type { FlowFilter, TCPFlags } from '../../api/gen/flow/flow.ts';
import type { FlowFields } from '../parser/flow-fields.ts';
import { addEach, FilterError, type Predicate } from './predicate.ts';

const protocols = new Set([
  'icmp',
  'icmpv4',
  'icmpv6',
  'tcp',
  'udp',
  'sctp',
  'vrrp',
  'igmp',
  'dns',
  'http',
  'kafka',
]);

/** The names of TCP flags and their bits, as `FlowFields.tcpFlags` has them. */
export const tcpFlagBits = {
  FIN: 0x01,
  SYN: 0x02,
  RST: 0x04,
  PSH: 0x08,
  ACK: 0x10,
  URG: 0x20,
  ECE: 0x40,
  CWR: 0x80,
  NS: 0x100,
} as const satisfies Record<keyof TCPFlags, number>;

export function transportFilters(filter: FlowFilter): Predicate[] {
  const tests: Predicate[] = [];
  addEach(tests, filter.protocol, protocolTest);
  addEach(tests, filter.source_port, (text) => portTest(text, (flow) => flow.sourcePort()));
  addEach(tests, filter.destination_port, (text) =>
    portTest(text, (flow) => flow.destinationPort()),
  );
  addEach(tests, filter.tcp_flags, (flags) => {
    const wanted = tcpFlagMask(flags);
    return (flow) => {
      const actual = flow.tcpFlags();
      return actual >= 0 && (actual & wanted) === wanted;
    };
  });
  return tests;
}

/** Flags of a message as bits. */
export function tcpFlagMask(flags: TCPFlags): number {
  let mask = 0;
  for (const [name, bit] of Object.entries(tcpFlagBits)) {
    if (flags[name as keyof TCPFlags]) mask |= bit;
  }
  return mask;
}

function protocolTest(text: string): Predicate {
  const name = text.toLowerCase();
  if (!protocols.has(name)) throw new FilterError(`unknown protocol ${JSON.stringify(text)}`);
  return (flow) => flow.protocols().includes(name);
}

function portTest(text: string, read: (flow: FlowFields) => number): Predicate {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65535)) throw new FilterError(`parse port ${JSON.stringify(text)}`);
  return (flow) => read(flow) === port;
}
