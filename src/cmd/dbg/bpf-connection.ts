/**
 * @module `dbg bpf ct list global` and `dbg bpf nat list`: connections in the pinned maps
 * cilium_ct_global and cilium_snat. One entry holds both directions of a connection, so each prints
 * once, from the side that began it.
 */
import { ctFlags, legKind } from '../../bpf/gen/constants.ts';
import {
  type CtEntry,
  type CtKey,
  ctEntryLayout,
  ctKeyLayout,
  deviceLayout,
  type NatEntry,
  natEntryLayout,
} from '../../bpf/gen/layouts.ts';
import type { Command } from '../command.ts';
import { outputFlag } from '../rendering.ts';
import { addressText, hex, protocolText, socketText } from './address-text.ts';
import { type JiffiesClock, jiffiesClock } from './jiffies.ts';
import { decodeRows, readPinned, viewOf } from './pinned.ts';
import { openSession, printValue } from './session.ts';

export const bpfCtCommand: Command = {
  name: 'ct',
  summary: 'Connection tracking tables',
  commands: [
    {
      name: 'list',
      summary: 'List connection tracking entries',
      arguments: 'global',
      count: [1, 1],
      flags: [
        outputFlag,
        { name: 'time-diff', short: 'd', kind: 'boolean', help: 'add time difference to entries' },
      ],
      run: (invocation) => {
        if (invocation.args[0] !== 'global')
          throw new Error(`no connection table "${invocation.args[0]}": global`);
        const rows = readPinned(openSession(invocation).agent.bpfRoot, 'cilium_ct_global');
        const entries = rows.map(({ key, value }) => ({
          key: ctKeyLayout.decode(viewOf(key)),
          value: ctEntryLayout.decode(viewOf(value)),
        }));
        const clock = jiffiesClock();
        const diff = invocation.flags.boolean('time-diff');
        return printValue(invocation, entries.map(ctJson), () =>
          entries.map(({ key, value }) => ctText(key, value, clock, diff)).join(''),
        );
      },
    },
  ],
};

export const bpfNatCommand: Command = {
  name: 'nat',
  summary: 'NAT mapping tables',
  commands: [
    {
      name: 'list',
      summary: 'List all NAT mapping entries',
      flags: [outputFlag],
      run: (invocation) => {
        const { bpfRoot } = openSession(invocation).agent;
        const nodeAddresses = readNodeAddresses(bpfRoot);
        const entries = readPinned(bpfRoot, 'cilium_snat').map(({ key, value }) => ({
          key: ctKeyLayout.decode(viewOf(key)),
          value: natEntryLayout.decode(viewOf(value)),
        }));
        const clock = jiffiesClock();
        const json = entries.map(({ key, value }) => natJson(key, value, nodeAddresses));
        return printValue(invocation, json, () =>
          entries.map(({ key, value }) => natText(key, value, nodeAddresses, clock)).join(''),
        );
      },
    },
  ],
};

/** Side that sent the first packet, and the other one. */
function sides(value: CtEntry): [from: 0 | 1, to: 0 | 1] {
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

/** A connection on one line, ending in a newline. Times are seconds since boot, as the kernel's. */
export function ctText(
  key: CtKey,
  value: CtEntry,
  clock: JiffiesClock | undefined,
  timeDiff = false,
): string {
  const [from, to] = sides(value);
  const leaves = value.leg[from].kind === legKind.LEG_POD;
  const seen = clock?.seconds(value.lastSeen) ?? 0;
  const created = clock?.seconds(value.created) ?? 0;
  const ago = timeDiff && clock !== undefined ? ` (${clock.nowSeconds - seen}s ago)` : '';
  const names = flagNames(value, from);
  return (
    `${protocolText(key.proto)} ${leaves ? 'OUT' : 'IN'} ` +
    `${socketText(key.addr[from], key.port[from])} -> ${socketText(key.addr[to], key.port[to])} ` +
    `created=${created} Packets=0 Bytes=0 ` +
    `RxFlagsSeen=${hex(value.leg[to].tcpFlags, 2)} LastRxReport=${seen}${ago} ` +
    `TxFlagsSeen=${hex(value.leg[from].tcpFlags, 2)} LastTxReport=${seen}${ago} ` +
    `Flags=${hex(value.flags, 4)} [ ${names.map((name) => `${name} `).join('')}] ` +
    `RevNAT=0 SourceSecurityID=${value.identity[from]} BackendID=0 ` +
    `DestinationSecurityID=${value.identity[to]} IngressRules=${hex(value.cookie[0], 8)} ` +
    `EgressRules=${hex(value.cookie[1], 8)} Epoch=${value.epoch} NatPort=${value.natPort} \n`
  );
}

function ctJson({ key, value }: { key: CtKey; value: CtEntry }): unknown {
  const [from, to] = sides(value);
  return {
    Key: {
      SourceAddr: addressText(key.addr[from]),
      DestAddr: addressText(key.addr[to]),
      SourcePort: key.port[from],
      DestPort: key.port[to],
      NextHeader: key.proto,
      Flags: value.leg[from].kind === legKind.LEG_POD ? 0 : 1,
    },
    Value: {
      Created: value.created,
      LastSeen: value.lastSeen,
      Flags: value.flags,
      TxFlagsSeen: value.leg[from].tcpFlags,
      RxFlagsSeen: value.leg[to].tcpFlags,
      SourceSecurityID: value.identity[from],
      DestinationSecurityID: value.identity[to],
      IngressRules: value.cookie[0],
      EgressRules: value.cookie[1],
      Epoch: value.epoch,
      NatPort: value.natPort,
      SourceEndpointID: value.leg[from].endpointId,
      DestinationEndpointID: value.leg[to].endpointId,
    },
  };
}

/** Which end of a translated connection is the node: the one with an address of a native device. */
function natSides(key: CtKey, nodeAddresses: ReadonlySet<string>): [node: 0 | 1, remote: 0 | 1] {
  return nodeAddresses.has(addressText(key.addr[1])) ? [1, 0] : [0, 1];
}

/** A translation, as two lines: on the way out, and what comes back. */
export function natText(
  key: CtKey,
  value: NatEntry,
  nodeAddresses: ReadonlySet<string>,
  clock: JiffiesClock | undefined,
): string {
  const [node, remote] = natSides(key, nodeAddresses);
  const age = clock === undefined ? 0 : clock.nowSeconds - clock.seconds(value.lastSeen);
  const protocol = protocolText(key.proto);
  const pod = socketText(value.addr, value.port);
  const outside = socketText(key.addr[node], key.port[node]);
  const peer = socketText(key.addr[remote], key.port[remote]);
  const end = `Created=${age}sec ago NeedsCT=0\n`;
  return (
    `${protocol} OUT ${pod} -> ${peer} XLATE_SRC ${outside} ${end}` +
    `${protocol} IN ${peer} -> ${outside} XLATE_DST ${pod} ${end}`
  );
}

function natJson(key: CtKey, value: NatEntry, nodeAddresses: ReadonlySet<string>): unknown {
  const [node, remote] = natSides(key, nodeAddresses);
  return {
    Key: {
      SourceAddr: addressText(key.addr[remote]),
      DestAddr: addressText(key.addr[node]),
      SourcePort: key.port[remote],
      DestPort: key.port[node],
      NextHeader: key.proto,
      Flags: 1,
    },
    Value: {
      LastSeen: value.lastSeen,
      NeedsCT: 0,
      Addr: addressText(value.addr),
      Port: value.port,
      EndpointID: value.endpointId,
    },
  };
}

/** Addresses that pods' packets leave with. */
function readNodeAddresses(bpfRoot: string): Set<string> {
  const rows = decodeRows(readPinned(bpfRoot, 'cilium_devices'), deviceLayout);
  return new Set(rows.flatMap(({ value }) => [addressText(value.ipv4), addressText(value.ipv6)]));
}
