/**
 * @module `dbg bpf endpoint list` and `dbg bpf ipcache list|get`: the pinned maps cilium_lxc and
 * cilium_ipcache_v2 as they are in the kernel.
 */
import { endpointFlags, ipcacheFlags } from '../../bpf/gen/constants.ts';
import {
  type Endpoint,
  endpointLayout,
  type IpcacheEntry,
  type IpcacheKey,
  ipcacheEntryLayout,
  ipcacheKeyLayout,
} from '../../bpf/gen/layouts.ts';
import { parseAddress } from '../../net/address.ts';
import { formatMac } from '../../net/mac.ts';
import { parsePrefix, prefixContains } from '../../net/prefix.ts';
import type { Command } from '../command.ts';
import { outputFlag } from '../rendering.ts';
import { printOut } from '../terminal.ts';
import { formatTable } from '../text-table.ts';
import { addressText, hex, prefixText } from './address-text.ts';
import { decodeRows, readPinned, viewOf } from './pinned.ts';
import { openSession, printValue, type Session } from './session.ts';

/** A map as upstream's `-o json` shows it: key → list of values, all text. */
type TextMap = Readonly<Record<string, readonly string[]>>;

export const bpfEndpointCommand: Command = {
  name: 'endpoint',
  summary: 'Local endpoint map',
  commands: [
    {
      name: 'list',
      summary: 'List local endpoint entries',
      flags: [outputFlag],
      run: (invocation) => {
        const rows = readEndpoints(openSession(invocation));
        return printTextMap(invocation, ['IP ADDRESS', 'LOCAL ENDPOINT INFO'], rows);
      },
    },
  ],
};

export const bpfIpcacheCommand: Command = {
  name: 'ipcache',
  summary: 'Manage the IPCache mappings for IP/CIDR <-> Identity',
  commands: [
    {
      name: 'list',
      summary: 'List endpoint IPs (local and remote) and their corresponding security identities',
      flags: [outputFlag],
      run: (invocation) => {
        const rows = readIpcache(openSession(invocation)).map(
          ([prefix, entry]) => [prefix, ipcacheText(entry)] as const,
        );
        return printTextMap(invocation, ['IP PREFIX/ADDRESS', 'IDENTITY'], rows);
      },
    },
    {
      name: 'get',
      summary: 'Retrieve identity for an ip',
      arguments: '<ip>',
      count: [1, 1],
      run: (invocation) => {
        const text = invocation.args[0] ?? '';
        const found = longestMatch(text, readIpcache(openSession(invocation)));
        printOut(`${text} maps to identity ${found}\n`);
        return 0;
      },
    },
  ],
};

/** Address and description of every endpoint that packets can be delivered to. */
function readEndpoints(session: Session): (readonly [string, string])[] {
  const rows = readPinned(session.agent.bpfRoot, 'cilium_lxc');
  return decodeRows(rows, endpointLayout).map(({ key, value }) => [
    `${addressText(key)}:0`,
    endpointText(value),
  ]);
}

/** An endpoint row on one line. */
export function endpointText(value: Endpoint): string {
  if ((value.flags & endpointFlags.ENDPOINT_HOST) !== 0) return '(localhost)';
  return (
    `id=${pad(value.id, 5)} sec_id=${pad(value.identity, 5)} flags=${hex(value.flags, 4)} ` +
    `ifindex=${pad(value.ifindex, 3)} mac=${macText(value.mac)} nodemac=${macText(value.nodeMac)} ` +
    `parent_ifindex=0  `
  );
}

function pad(value: number, columns: number): string {
  return String(value).padEnd(columns);
}

function macText(bytes: Uint8Array): string {
  return formatMac(bytes).toUpperCase();
}

function readIpcache(session: Session): (readonly [string, IpcacheEntry])[] {
  const rows = readPinned(session.agent.bpfRoot, 'cilium_ipcache_v2');
  return decodeRows(rows, ipcacheEntryLayout).map(({ key, value }) => {
    const decoded: IpcacheKey = ipcacheKeyLayout.decode(viewOf(key));
    return [prefixText(decoded.addr, decoded.prefixlen), value] as const;
  });
}

/** An ipcache entry on one line. */
export function ipcacheText(entry: IpcacheEntry): string {
  const tunnel = addressText(entry.tunnelEndpoint);
  const endpoint = tunnel === '::' ? '0.0.0.0' : tunnel;
  const names = [
    (entry.flags & ipcacheFlags.IPCACHE_HOST) !== 0 ? 'host' : '',
    (entry.flags & ipcacheFlags.IPCACHE_UNROUTABLE) !== 0 ? 'unroutable' : '',
  ].filter((name) => name !== '');
  const flags = names.length === 0 ? '<none>' : names.join(',');
  return `identity=${entry.identity} encryptkey=0 tunnelendpoint=${endpoint} flags=${flags}`;
}

function longestMatch(text: string, rows: readonly (readonly [string, IpcacheEntry])[]): string {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`Invalid IP address: ${text}`);
  let best: IpcacheEntry | undefined;
  let bestLength = -1;
  for (const [prefixTextual, entry] of rows) {
    const prefix = parsePrefix(prefixTextual);
    if (prefix === undefined || !prefixContains(prefix, address)) continue;
    if (prefix.length > bestLength) [best, bestLength] = [entry, prefix.length];
  }
  if (best === undefined) throw new Error(`${text} does not map to any identity`);
  return ipcacheText(best);
}

async function printTextMap(
  invocation: Parameters<typeof printValue>[0],
  header: readonly [string, string],
  rows: readonly (readonly [string, string])[],
): Promise<number> {
  const sorted = [...rows].sort(([a], [b]) => (a < b ? -1 : 1));
  const value: TextMap = Object.fromEntries(sorted.map(([key, text]) => [key, [text]]));
  return printValue(invocation, value, () => formatTextMap(header, rows));
}

/** Key and value columns; the values are cells, the header's last word is not. */
export function formatTextMap(
  header: readonly [string, string],
  rows: readonly (readonly [string, string])[],
): string {
  return formatTable(header, rows).replace(/^(.*?) +$/m, '$1');
}
