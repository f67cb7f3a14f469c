/**
 * @module
 * The one-line texts of a flow that upstream's clients expect: TCP flags and
 * ICMP types by name, source files by number. Pure tables.
 */

/** In the order in which a summary names them, with their bit in the TCP header. */
const tcpFlagBits: readonly (readonly [string, number])[] = [
  ['SYN', 0x02],
  ['ACK', 0x10],
  ['RST', 0x04],
  ['FIN', 0x01],
  ['PSH', 0x08],
  ['URG', 0x20],
  ['ECE', 0x40],
  ['CWR', 0x80],
];

const tcpSummaries: string[] = [];

/** `TCP Flags: SYN, ACK` for the flags byte of a TCP header. */
export function tcpSummary(flags: number): string {
  const known = tcpSummaries[flags];
  if (known !== undefined) return known;
  const names = tcpFlagBits.filter(([, bit]) => (flags & bit) !== 0).map(([name]) => name);
  const text = names.length === 0 ? 'TCP' : `TCP Flags: ${names.join(', ')}`;
  tcpSummaries[flags] = text;
  return text;
}

interface IcmpType {
  readonly name: string;
  readonly codes?: readonly string[];
}

const icmpv4Types: Readonly<Record<number, IcmpType>> = {
  0: { name: 'EchoReply' },
  3: {
    name: 'DestinationUnreachable',
    codes: [
      'Net',
      'Host',
      'Protocol',
      'Port',
      'FragmentationNeeded',
      'SourceRoutingFailed',
      'NetUnknown',
      'HostUnknown',
      'SourceIsolated',
      'NetAdminProhibited',
      'HostAdminProhibited',
      'NetTOS',
      'HostTOS',
      'CommAdminProhibited',
      'HostPrecedence',
      'PrecedenceCutoff',
    ],
  },
  4: { name: 'SourceQuench' },
  5: { name: 'Redirect', codes: ['Net', 'Host', 'TOS+Net', 'TOS+Host'] },
  8: { name: 'EchoRequest' },
  9: { name: 'RouterAdvertisement' },
  10: { name: 'RouterSolicitation' },
  11: { name: 'TimeExceeded', codes: ['TTLExceeded', 'FragmentReassemblyTimeExceeded'] },
  12: { name: 'ParameterProblem', codes: ['PointerIndicatesError', 'MissingOption', 'BadLength'] },
  13: { name: 'TimestampRequest' },
  14: { name: 'TimestampReply' },
  15: { name: 'InfoRequest' },
  16: { name: 'InfoReply' },
  17: { name: 'AddressMaskRequest' },
  18: { name: 'AddressMaskReply' },
};

const icmpv6Types: Readonly<Record<number, IcmpType>> = {
  1: {
    name: 'DestinationUnreachable',
    codes: [
      'NoRouteToDst',
      'AdminProhibited',
      'BeyondScopeOfSrc',
      'AddressUnreachable',
      'PortUnreachable',
      'SrcAddressFailedPolicy',
      'RejectRouteToDst',
    ],
  },
  2: { name: 'PacketTooBig' },
  3: { name: 'TimeExceeded', codes: ['HopLimitExceeded', 'FragmentReassemblyTimeExceeded'] },
  4: {
    name: 'ParameterProblem',
    codes: ['ErroneousHeader', 'UnrecognizedNextHeader', 'UnrecognizedIPv6Option'],
  },
  128: { name: 'EchoRequest' },
  129: { name: 'EchoReply' },
  133: { name: 'RouterSolicitation' },
  134: { name: 'RouterAdvertisement' },
  135: { name: 'NeighborSolicitation' },
  136: { name: 'NeighborAdvertisement' },
  137: { name: 'Redirect' },
};

/** `ICMPv4 EchoRequest`, `ICMPv6 143(0)`. */
export function icmpSummary(version: 4 | 6, type: number, code: number): string {
  const family = version === 4 ? 'ICMPv4' : 'ICMPv6';
  const known = (version === 4 ? icmpv4Types : icmpv6Types)[type];
  if (known === undefined) return `${family} ${type}(${code})`;
  if (known.codes === undefined && code === 0) return `${family} ${known.name}`;
  const text = known.codes?.[code];
  return `${family} ${known.name}(${text ?? `Code: ${code}`})`;
}

/** Names of the source files of drops, by the number in the event; numbers are upstream's. */
export const sourceFiles: Readonly<Record<number, string>> = {
  1: 'bpf_host.c',
  2: 'bpf_lxc.c',
  3: 'bpf_overlay.c',
  4: 'bpf_xdp.c',
  5: 'bpf_sock.c',
  6: 'bpf_network.c',
};
