/**
 * @module
 * Connections and translations as text, as upstream's commands print them. One entry holds both
 * directions of a connection, so each prints once, from the side that began it.
 */
import { ctFlags, legKind } from '../gen/constants.ts';
import type { CtEntry, CtKey, NatEntry } from '../gen/layouts.ts';
import { addressText, hex, protocolText, socketText } from './address-text.ts';
import type { JiffiesClock } from './jiffies.ts';

/** Side that sent the first packet, and the other one. */
export function connectionSides(value: CtEntry): [from: 0 | 1, to: 0 | 1] {
  return (value.flags & ctFlags.CT_INITIATOR) !== 0 ? [1, 0] : [0, 1];
}

const flagNames = (value: CtEntry, from: 0 | 1): string[] => {
  const closing = [ctFlags.CT_CLOSING_0, ctFlags.CT_CLOSING_1] as const;
  const names: [number, string][] = [
    [closing[from === 0 ? 1 : 0], 'RxClosing'],
    [closing[from], 'TxClosing'],
    [ctFlags.CT_SEEN_NON_SYN, 'SeenNonSyn'],
    [ctFlags.CT_SEEN_REPLY, 'SeenReply'],
    [ctFlags.CT_RESET, 'Reset'],
  ];
  return names.filter(([bit]) => (value.flags & bit) !== 0).map(([, name]) => name);
};

/** Protocol, direction and both ends. */
export function ctKeyText(key: CtKey, value: CtEntry): string {
  const [from, to] = connectionSides(value);
  const [asks, answers] = [value.leg[from].kind, value.leg[to].kind];
  // What the node asks of a pod comes in to the pod.
  const leaves =
    asks === legKind.LEG_POD || (asks === legKind.LEG_HOST && answers !== legKind.LEG_POD);
  return (
    `${protocolText(key.proto)} ${leaves ? 'OUT' : 'IN'} ` +
    `${socketText(key.addr[from], key.port[from])} -> ${socketText(key.addr[to], key.port[to])}`
  );
}

/** State and verdicts. Times are seconds since boot, as the kernel's. */
export function ctValueText(
  value: CtEntry,
  clock: JiffiesClock | undefined,
  timeDiff = false,
): string {
  const [from, to] = connectionSides(value);
  const seen = clock?.seconds(value.lastSeen) ?? 0;
  const created = clock?.seconds(value.created) ?? 0;
  const ago = timeDiff && clock !== undefined ? ` (${clock.nowSeconds - seen}s ago)` : '';
  const names = flagNames(value, from);
  return (
    `created=${created} Packets=0 Bytes=0 ` +
    `RxFlagsSeen=${hex(value.leg[to].tcpFlags, 2)} LastRxReport=${seen}${ago} ` +
    `TxFlagsSeen=${hex(value.leg[from].tcpFlags, 2)} LastTxReport=${seen}${ago} ` +
    `Flags=${hex(value.flags, 4)} [ ${names.map((name) => `${name} `).join('')}] ` +
    `RevNAT=0 SourceSecurityID=${value.identity[from]} BackendID=0 ` +
    `DestinationSecurityID=${value.identity[to]} IngressRules=${hex(value.cookie[0], 8)} ` +
    `EgressRules=${hex(value.cookie[1], 8)} Epoch=${value.epoch} NatPort=${value.natPort} `
  );
}

/** Which end of a translated connection is the node: the one with an address of a native device. */
export function natSides(
  key: CtKey,
  nodeAddresses: ReadonlySet<string>,
): [node: 0 | 1, remote: 0 | 1] {
  return nodeAddresses.has(addressText(key.addr[1])) ? [1, 0] : [0, 1];
}

/** One direction of a translation. */
export interface NatText {
  readonly key: string;
  readonly value: string;
}

/** A translation on the way out, and for what comes back. */
export function natText(
  key: CtKey,
  value: NatEntry,
  nodeAddresses: ReadonlySet<string>,
  clock: JiffiesClock | undefined,
): [out: NatText, back: NatText] {
  const [node, remote] = natSides(key, nodeAddresses);
  const age = clock === undefined ? 0 : clock.nowSeconds - clock.seconds(value.lastSeen);
  const protocol = protocolText(key.proto);
  const pod = socketText(value.addr, value.port);
  const outside = socketText(key.addr[node], key.port[node]);
  const peer = socketText(key.addr[remote], key.port[remote]);
  const end = `Created=${age}sec ago NeedsCT=0`;
  return [
    { key: `${protocol} OUT ${pod} -> ${peer}`, value: `XLATE_SRC ${outside} ${end}` },
    { key: `${protocol} IN ${peer} -> ${outside}`, value: `XLATE_DST ${pod} ${end}` },
  ];
}
