/**
 * @module
 * `hubble status`: whether the server serves, how full its ring is, how fast it fills.
 */
import { ServerStatusResponse } from '../../api/gen/observer/observer.ts';
import { messageSchema } from '../../api/json/schema.ts';
import { JsonWriter } from '../../api/json/write.ts';
import { parseLine } from './flags.ts';
import { helpText, statusFlags } from './help.ts';
import { openClient } from './observe.ts';
import { FlagValues } from './observe-options.ts';
import { type CommandIo, printable } from './output.ts';
import { defaultHubbleServer, parseServerAddress } from './server-address.ts';
import { TextTable } from './table-text.ts';
import { formatDuration } from './time.ts';
import { exitCode } from './usage-error.ts';

const forms = ['compact', 'dict', 'json', 'table'] as const;

export async function showStatus(argv: readonly string[], io: CommandIo): Promise<number> {
  const { flags } = parseLine(argv, statusFlags);
  const values = new FlagValues(flags);
  const print = (text: string): void => io.out(new TextEncoder().encode(text));
  if (values.isSet('help')) {
    print(helpText('status'));
    return exitCode.ok;
  }
  const form = values.choice('output', forms, 'compact');
  const address = parseServerAddress(values.text('server') ?? (await defaultHubbleServer(io.env)));
  using client = await openClient(values, io);
  await client.connected();
  const healthy = await client.healthy().catch(() => undefined);
  const status = await client.serverStatus();
  if (form === 'compact') {
    const health = healthy === undefined ? 'Unknown' : healthy ? 'Ok' : 'Unavailable';
    print(`Healthcheck (via ${address.shown}): ${health}\n${compactStatus(status)}`);
  } else {
    print(formatStatus(status, form));
  }
  return healthy === false ? exitCode.negative : exitCode.ok;
}

/** The forms without the health check. */
export function formatStatus(
  status: ServerStatusResponse,
  form: 'dict' | 'json' | 'table',
): string {
  if (form === 'json') {
    const writer = new JsonWriter();
    const bytes = ServerStatusResponse.encode(status).finish();
    writer.writeMessage(messageSchema('observer.ServerStatusResponse'), bytes);
    writer.writeByte(0x0a);
    return new TextDecoder().decode(writer.bytes());
  }
  const node = (count: number | undefined): string =>
    count === undefined ? 'N/A' : grouped(count);
  const fields: readonly (readonly [string, string, string])[] = [
    ['NUM FLOWS', 'NUM FLOWS', grouped(status.num_flows)],
    ['MAX FLOWS', 'MAX FLOWS', grouped(status.max_flows)],
    ['SEEN FLOWS', 'SEEN FLOWS', grouped(status.seen_flows)],
    ['FLOWS PER SECOND', 'FLOWS PER SECOND', rate(status)],
    ['UPTIME', 'UPTIME', formatDuration(status.uptime_ns)],
    ['NUM CONNECTED NODES', 'NUM CONNECTED NODES', node(status.num_connected_nodes)],
    ['NUM UNAVAIL. NODES', 'NUM UNAVAILABLE NODES', node(status.num_unavailable_nodes)],
    ['VERSION', 'VERSION', printable(status.version)],
  ];
  if (form === 'dict') {
    return fields.map(([name, , value]) => `${name.padStart(19)}: ${value}\n`).join('');
  }
  const table = new TextTable();
  table.add(fields.map(([, name]) => name));
  table.add(fields.map(([, , value]) => value));
  return table.take();
}

export function compactStatus(status: ServerStatusResponse): string {
  const full = Number(status.num_flows) / Number(status.max_flows);
  const percent = status.max_flows > 0n ? ` (${(full * 100).toFixed(2)}%)` : '';
  let text = `Current/Max Flows: ${grouped(status.num_flows)}/${grouped(status.max_flows)}${percent}\n`;
  text += `Flows/s: ${rate(status)}\n`;
  const { num_connected_nodes: connected, num_unavailable_nodes: unavailable } = status;
  if (connected !== undefined)
    text += `Connected Nodes: ${connected}/${connected + (unavailable ?? 0)}\n`;
  if (unavailable !== undefined && unavailable > 0) {
    text += `Unavailable Nodes: ${unavailable}\n`;
    for (const name of status.unavailable_nodes) text += `  - ${printable(name)}\n`;
  }
  return text;
}

function rate(status: ServerStatusResponse): string {
  if (status.uptime_ns === 0n) return 'N/A';
  return status.flows_rate.toFixed(2);
}

function grouped(value: bigint | number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}
