/**
 * @module `dbg bpf ct list global` and `dbg bpf nat list`: connections in the pinned maps
 * cilium_ct_global and cilium_snat.
 */
import { legKind } from '../../bpf/gen/constants.ts';
import {
  type CtEntry,
  type CtKey,
  ctEntryLayout,
  ctKeyLayout,
  deviceLayout,
  type NatEntry,
  natEntryLayout,
} from '../../bpf/gen/layouts.ts';
import { addressText } from '../../bpf/map/address-text.ts';
import {
  connectionSides,
  ctKeyText,
  ctValueText,
  natSides,
  natText,
} from '../../bpf/map/connection-text.ts';
import { jiffiesClock } from '../../bpf/map/jiffies.ts';
import type { Command, Invocation } from '../command.ts';
import { outputFlag } from '../rendering.ts';
import { decodeRows, readPinned, viewOf } from './pinned.ts';
import { findBpfRoot, printValue } from './session.ts';

export const bpfCtCommand: Command = {
  name: 'ct',
  summary: 'Connection tracking tables',
  commands: [
    {
      name: 'list',
      summary: 'List connection tracking entries',
      positionals: [{ name: 'table', help: 'global, the only one', optional: true }],
      flags: [
        outputFlag,
        { name: 'time-diff', short: 'd', kind: 'boolean', help: 'add time difference to entries' },
      ],
      examples: [
        ['cilium dbg bpf ct list', 'every tracked connection'],
        ['cilium dbg bpf ct list global -d', 'with the age of each'],
      ],
      run: listConnections,
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
      examples: [['cilium dbg bpf nat list', 'connections of pods that leave with a node address']],
      run: listTranslations,
    },
  ],
};

async function listConnections(invocation: Invocation): Promise<number> {
  const [table = 'global'] = invocation.args;
  if (table !== 'global') throw new Error(`no connection table "${table}": there is global`);
  const rows = readPinned(await findBpfRoot(invocation), 'cilium_ct_global');
  const entries = rows.map(({ key, value }) => ({
    key: ctKeyLayout.decode(viewOf(key)),
    value: ctEntryLayout.decode(viewOf(value)),
  }));
  const clock = jiffiesClock();
  const diff = invocation.flags.boolean('time-diff');
  return printValue(invocation, entries.map(ctJson), () =>
    entries
      .map(({ key, value }) => `${ctKeyText(key, value)} ${ctValueText(value, clock, diff)}\n`)
      .join(''),
  );
}

async function listTranslations(invocation: Invocation): Promise<number> {
  const bpfRoot = await findBpfRoot(invocation);
  const nodeAddresses = readNodeAddresses(bpfRoot);
  const entries = readPinned(bpfRoot, 'cilium_snat').map(({ key, value }) => ({
    key: ctKeyLayout.decode(viewOf(key)),
    value: natEntryLayout.decode(viewOf(value)),
  }));
  const clock = jiffiesClock();
  const json = entries.flatMap(({ key, value }) => natJson(key, value, nodeAddresses));
  return printValue(invocation, json, () =>
    entries
      .flatMap(({ key, value }) => natText(key, value, nodeAddresses, clock))
      .map((line) => `${line.key} ${line.value}\n`)
      .join(''),
  );
}

function ctJson({ key, value }: { key: CtKey; value: CtEntry }): unknown {
  const [from, to] = connectionSides(value);
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

/** As the text: a row for the way out, `Flags` 0, and one for what comes back, `Flags` 1. */
function natJson(key: CtKey, value: NatEntry, nodeAddresses: ReadonlySet<string>): unknown[] {
  const [node, remote] = natSides(key, nodeAddresses);
  const pod = { address: addressText(value.addr), port: value.port };
  const outside = { address: addressText(key.addr[node]), port: key.port[node] };
  const peer = { address: addressText(key.addr[remote]), port: key.port[remote] };
  const row = (from: typeof peer, to: typeof peer, flags: number, translated: typeof peer) => ({
    Key: {
      SourceAddr: from.address,
      DestAddr: to.address,
      SourcePort: from.port,
      DestPort: to.port,
      NextHeader: key.proto,
      Flags: flags,
    },
    Value: {
      LastSeen: value.lastSeen,
      NeedsCT: 0,
      Addr: translated.address,
      Port: translated.port,
      EndpointID: value.endpointId,
    },
  });
  return [row(pod, peer, 0, outside), row(peer, outside, 1, pod)];
}

/** Addresses that pods' packets leave with. */
function readNodeAddresses(bpfRoot: string): Set<string> {
  const rows = decodeRows(readPinned(bpfRoot, 'cilium_devices'), deviceLayout);
  return new Set(rows.flatMap(({ value }) => [addressText(value.ipv4), addressText(value.ipv6)]));
}
