/**
 * @module Routing policy rules over rtnetlink: which table a packet is looked up in.
 */
import { type Family, wireBytes } from '../address.ts';
import { formatPrefix, type Prefix } from '../prefix.ts';
import { NLM_F_CREATE, NLM_F_EXCL, RTM_DELRULE, RTM_GETRULE, RTM_NEWRULE } from './constants.ts';
import { familyFromNumber, familyNumber, prefixAttribute } from './family.ts';
import { Attributes, type Message, type MessageWriter, type Request, request } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_PROTOCOL = 21;
const FR_ACT_TO_TBL = 1;

/** sizeof(struct fib_rule_hdr). */
const headerLength = 12;

/** A rule "look these packets up in that table". What is absent matches everything. */
export interface Rule {
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  readonly from?: Prefix;
  readonly to?: Prefix;
  readonly mark?: number;
  /** Bits of the mark that count; all when absent. */
  readonly mask?: number;
  /** Name of the interface that the packet came in by. */
  readonly inInterface?: string;
  /** Who made it, as for routes. */
  readonly protocol?: number;
}

/** Adds a rule; `EEXIST` if the same one is there. */
export function addRule(rule: Rule): Request {
  return encode(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, 'add', rule);
}

/** Adds a rule unless the same one is there. */
export function ensureRule(rule: Rule): Request {
  return encode(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, 'ensure', rule, ['EEXIST']);
}

/** Deletes the first rule that agrees with all given fields. Absent is success. */
export function deleteRule(rule: Rule): Request {
  return encode(RTM_DELRULE, 0, 'delete', rule, ['ENOENT', 'EAFNOSUPPORT']);
}

function encode(
  type: number,
  flags: number,
  verb: string,
  rule: Rule,
  settled: readonly string[] = [],
): Request {
  const from = rule.from === undefined ? '' : ` from ${formatPrefix(rule.from)}`;
  const doing = `${verb} ipv${rule.family} rule ${rule.priority}${from} table ${rule.table}`;
  const fill = (writer: MessageWriter) => {
    writer.struct(headerLength, (view) => {
      view.setUint8(0, familyNumber(rule.family));
      view.setUint8(1, rule.to?.length ?? 0);
      view.setUint8(2, rule.from?.length ?? 0);
      view.setUint8(4, rule.table > 255 ? 0 : rule.table);
      view.setUint8(7, FR_ACT_TO_TBL);
    });
    if (rule.to !== undefined) writer.bytes(FRA_DST, wireBytes(rule.to.address));
    if (rule.from !== undefined) writer.bytes(FRA_SRC, wireBytes(rule.from.address));
    if (rule.inInterface !== undefined) writer.text(FRA_IIFNAME, rule.inInterface);
    writer.u32(FRA_PRIORITY, rule.priority);
    if (rule.mark !== undefined) writer.u32(FRA_FWMARK, rule.mark);
    if (rule.mask !== undefined) writer.u32(FRA_FWMASK, rule.mask);
    writer.u32(FRA_TABLE, rule.table);
    if (rule.protocol !== undefined) writer.u8(FRA_PROTOCOL, rule.protocol);
  };
  return request(type, flags, doing, fill, settled);
}

/** All rules of both families, or of one, that look up a table. */
export function dumpRules(socket: NetlinkSocket, family?: Family): Rule[] {
  const families: readonly Family[] = family === undefined ? [4, 6] : [family];
  return families.flatMap((each) => {
    const dump = request(RTM_GETRULE, 0, 'dump rules', (writer) => {
      writer.struct(headerLength, (view) => view.setUint8(0, familyNumber(each)));
    });
    return socket.dump(dump, decodeRule);
  });
}

/** Decodes RTM_NEWRULE and RTM_DELRULE; `undefined` for rules that do something else. */
export function decodeRule(message: Message): Rule | undefined {
  const { payload } = message;
  if (payload.length < headerLength) return undefined;
  const family = familyFromNumber(payload[0]);
  if (family === undefined || payload[7] !== FR_ACT_TO_TBL) return undefined;
  const attributes = new Attributes(payload, headerLength);
  const to = prefixAttribute(attributes, FRA_DST, family, payload[1] ?? 0);
  const from = prefixAttribute(attributes, FRA_SRC, family, payload[2] ?? 0);
  const mark = attributes.u32(FRA_FWMARK);
  const mask = attributes.u32(FRA_FWMASK);
  const inInterface = attributes.text(FRA_IIFNAME);
  const protocol = attributes.u8(FRA_PROTOCOL);
  return {
    family,
    // The kernel leaves the attribute out for priority 0.
    priority: attributes.u32(FRA_PRIORITY) ?? 0,
    table: attributes.u32(FRA_TABLE) ?? payload[4] ?? 0,
    ...(to === undefined ? {} : { to }),
    ...(from === undefined ? {} : { from }),
    ...(mark === undefined ? {} : { mark }),
    ...(mask === undefined ? {} : { mask }),
    ...(inInterface === undefined ? {} : { inInterface }),
    ...(protocol === undefined ? {} : { protocol }),
  };
}
