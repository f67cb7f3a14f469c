/**
 * @module
 * `icmps`: ICMP types by number or by name → ranges whose port is the type.
 */

import { FieldReader } from '../../../k8s/field.ts';
import { quote, suggest } from '../../../k8s/problem.ts';
import type { PortRange } from '../rule.ts';

const icmpsMax = 1000;
const icmpFieldsMax = 40;

/** Registered by IANA for ICMP. */
const types4: Readonly<Record<string, number>> = {
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
  ExtendedEchoReply: 43,
  // The published schema spells it so.
  'ExtendedEcho Reply': 43,
};

/** Registered by IANA for ICMPv6. */
const types6: Readonly<Record<string, number>> = {
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
  ICMPNodeInformationQuery: 139,
  ICMPNodeInformationResponse: 140,
  InverseNeighborDiscoverySolicitation: 141,
  InverseNeighborDiscoveryAdvertisement: 142,
  HomeAgentAddressDiscoveryRequest: 144,
  HomeAgentAddressDiscoveryReply: 145,
  MobilePrefixSolicitation: 146,
  MobilePrefixAdvertisement: 147,
  DuplicateAddressRequestCodeSuffix: 157,
  DuplicateAddressConfirmationCodeSuffix: 158,
  ExtendedEchoRequest: 160,
  ExtendedEchoReply: 161,
  'ExtendedEcho Reply': 161,
};

const families = ['IPv4', 'IPv6'] as const;
type IcmpFamily = (typeof families)[number];

function typesOf(family: IcmpFamily): Readonly<Record<string, number>> {
  return family === 'IPv4' ? types4 : types6;
}

/** The number of a type's name, in whichever case; else the problem. */
export function icmpTypeOf(name: string, family: IcmpFamily): number | string {
  const wanted = name.toLowerCase();
  const found = Object.entries(typesOf(family)).find(([each]) => each.toLowerCase() === wanted);
  return found?.[1] ?? problemOf(name, family);
}

function problemOf(name: string, family: IcmpFamily): string {
  return `not a type of ${family}: ${quote(name)}${hintFor(name, family)}`;
}

export interface ParsedIcmps {
  readonly ranges: readonly PortRange[];
  readonly written: readonly Record<string, unknown>[];
}

/** Undefined where the field is absent. */
export function parseIcmps(item: FieldReader): ParsedIcmps | undefined {
  const ranges: PortRange[] = [];
  const written = item.each('icmps', icmpsMax, (value, place) => {
    const rule = FieldReader.open(value, place, ['fields'], item.problems);
    if (rule === undefined) return undefined;
    const fields = rule.each('fields', icmpFieldsMax, (each, at) => {
      const field = FieldReader.open(each, at, ['family', 'type'], item.problems);
      return field === undefined ? undefined : parseIcmp(field, ranges);
    });
    const message = 'names no type; leave icmps out to mean every protocol';
    if (rule.has('fields')) rule.refuseEmpty('fields', message);
    else rule.refuse('fields', message);
    return { fields: fields ?? [] };
  });
  return written === undefined ? undefined : { ranges, written };
}

function parseIcmp(field: FieldReader, ranges: PortRange[]): Record<string, unknown> | undefined {
  const family = field.has('family') ? field.choice('family', families) : 'IPv4';
  if (!field.require('type') || family === undefined) return undefined;
  const written = field.fields['type'];
  const type = icmpType(field, written, family);
  if (type === undefined) return undefined;
  ranges.push({ proto: family === 'IPv4' ? 1 : 58, first: type, last: type });
  return { family, type: written };
}

function icmpType(field: FieldReader, written: unknown, family: IcmpFamily): number | undefined {
  const names = typesOf(family);
  if (typeof written === 'number') return field.integer('type', 0, 255);
  if (typeof written !== 'string') {
    field.refuse('type', `must be a number or a name, is ${quote(written)}`);
    return undefined;
  }
  if (/^(0|[1-9][0-9]{0,2})$/.test(written) && Number(written) <= 255) return Number(written);
  if (Object.hasOwn(names, written)) return names[written];
  field.refuse('type', problemOf(written, family));
  return undefined;
}

/** The other family's name, or the nearest. */
function hintFor(written: string, family: IcmpFamily): string {
  const other = family === 'IPv4' ? 'IPv6' : 'IPv4';
  if (Object.hasOwn(typesOf(other), written)) {
    return `; it is one of family ${other}`;
  }
  if (written.toLowerCase() === 'ping') return ' (did you mean EchoRequest?)';
  return suggest(written, Object.keys(typesOf(family)));
}
