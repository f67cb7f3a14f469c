/**
 * @module `dbg bpf endpoint list` and `dbg bpf ipcache list|get`: the pinned maps cilium_lxc and
 * cilium_ipcache_v2 as they are in the kernel.
 */
import {
  endpointLayout,
  type IpcacheEntry,
  ipcacheEntryLayout,
  ipcacheKeyLayout,
} from '../../bpf/gen/layouts.ts';
import { endpointText, ipcacheKeyText, ipcacheText, lxcKeyText } from '../../bpf/map/entry-text.ts';
import { parseAddress } from '../../net/address.ts';
import { parsePrefix, prefixContains } from '../../net/prefix.ts';
import type { Command } from '../command.ts';
import { outputFlag } from '../rendering.ts';
import { printOut } from '../terminal.ts';
import { formatTable } from '../text-table.ts';
import { decodeRows, readPinned, viewOf } from './pinned.ts';
import { findBpfRoot, printValue } from './session.ts';

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
      examples: [['cilium dbg bpf endpoint list', 'addresses that packets are delivered to']],
      run: async (invocation) => {
        const rows = readEndpoints(await findBpfRoot(invocation));
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
      examples: [['cilium dbg bpf ipcache list', 'which identity each address has']],
      run: async (invocation) => {
        const rows = readIpcache(await findBpfRoot(invocation)).map(
          ([prefix, entry]) => [prefix, ipcacheText(entry)] as const,
        );
        return printTextMap(invocation, ['IP PREFIX/ADDRESS', 'IDENTITY'], rows);
      },
    },
    {
      name: 'get',
      summary: 'Retrieve identity for an ip',
      positionals: [{ name: 'ip', help: 'an address' }],
      examples: [['cilium dbg bpf ipcache get 10.244.0.2', 'the identity of one address']],
      run: async (invocation) => {
        const text = invocation.args[0] ?? '';
        const found = longestMatch(text, readIpcache(await findBpfRoot(invocation)));
        printOut(`${text} maps to identity ${found}\n`);
        return 0;
      },
    },
  ],
};

/** Address and description of every endpoint that packets can be delivered to. */
function readEndpoints(bpfRoot: string): (readonly [string, string])[] {
  const rows = readPinned(bpfRoot, 'cilium_lxc');
  return decodeRows(rows, endpointLayout).map(({ key, value }) => [
    lxcKeyText(key),
    endpointText(value),
  ]);
}

function readIpcache(bpfRoot: string): (readonly [string, IpcacheEntry])[] {
  const rows = readPinned(bpfRoot, 'cilium_ipcache_v2');
  return decodeRows(rows, ipcacheEntryLayout).map(
    ({ key, value }) => [ipcacheKeyText(ipcacheKeyLayout.decode(viewOf(key))), value] as const,
  );
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
