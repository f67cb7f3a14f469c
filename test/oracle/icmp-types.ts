/**
 * @module The names of ICMP types that the Cilium kinds accept, with the numbers that IANA gave
 * them. A name can be a different number in each family.
 */

const v4: Readonly<Record<string, number>> = {
  EchoReply: 0,
  DestinationUnreachable: 3,
  Redirect: 5,
  Echo: 8,
  EchoRequest: 8,
  RouterAdvertisement: 9,
  RouterSelection: 10,
  TimeExceeded: 11,
  ParameterProblem: 12,
  Timestamp: 13,
  TimestampReply: 14,
  Photuris: 40,
  ExtendedEchoRequest: 42,
};

const v6: Readonly<Record<string, number>> = {
  DestinationUnreachable: 1,
  PacketTooBig: 2,
  TimeExceeded: 3,
  ParameterProblem: 4,
  EchoRequest: 128,
  EchoReply: 129,
  MulticastListenerQuery: 130,
  MulticastListenerReport: 131,
  MulticastListenerDone: 132,
  RouterSolicitation: 133,
  RouterAdvertisement: 134,
  NeighborSolicitation: 135,
  NeighborAdvertisement: 136,
  RedirectMessage: 137,
  RouterRenumbering: 138,
};

/** Throws for a name that the family does not have. */
export function icmpType(family: 'IPv4' | 'IPv6', type: number | string): number {
  if (typeof type === 'number') return type;
  const number = /^\d+$/.test(type) ? Number(type) : (family === 'IPv4' ? v4 : v6)[type];
  if (number === undefined) throw new Error(`icmps: "${type}" is no ${family} type`);
  return number;
}
