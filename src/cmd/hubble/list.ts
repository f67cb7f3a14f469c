/**
 * @module
 * `hubble list nodes|namespaces`.
 */
import type { Namespace, Node } from '../../api/gen/observer/observer.ts';
import {
  Namespace as NamespaceMessage,
  Node as NodeMessage,
} from '../../api/gen/observer/observer.ts';
import { NodeState } from '../../api/gen/relay/relay.ts';
import { messageSchema } from '../../api/json/schema.ts';
import { JsonWriter } from '../../api/json/write.ts';
import { parseLine } from './flags.ts';
import { helpText, listFlags } from './help.ts';
import { openClient } from './observe.ts';
import { FlagValues } from './observe-options.ts';
import { type CommandIo, printable } from './output.ts';
import { TextTable } from './table-text.ts';
import { formatDuration } from './time.ts';
import { exitCode, UsageError } from './usage-error.ts';

const forms = ['table', 'wide', 'json'] as const;
type ListForm = (typeof forms)[number];

export async function list(argv: readonly string[], io: CommandIo): Promise<number> {
  const { flags, words } = parseLine(argv, listFlags);
  const values = new FlagValues(flags);
  const [what = ''] = words;
  const known = {
    node: 'nodes',
    nodes: 'nodes',
    ns: 'namespaces',
    namespace: 'namespaces',
    namespaces: 'namespaces',
  };
  const topic = (known as Readonly<Record<string, string>>)[what];
  const print = (text: string): void => io.out(new TextEncoder().encode(text));
  if (values.isSet('help')) {
    print(helpText(topic === undefined ? '' : `list ${topic}`));
    return exitCode.ok;
  }
  if (topic === undefined) throw new UsageError('list what? nodes or namespaces');
  const form = values.choice<ListForm>('output', forms, 'table');
  using client = await openClient(values, io);
  await client.connected();
  if (topic === 'nodes') print(formatNodes((await client.nodes()).nodes, form));
  else print(formatNamespaces((await client.namespaces()).namespaces, form));
  return exitCode.ok;
}

export function formatNamespaces(namespaces: readonly Namespace[], form: ListForm): string {
  if (form === 'json') {
    return jsonList(
      'observer.Namespace',
      namespaces.map((one) => NamespaceMessage.encode(one).finish()),
    );
  }
  const table = new TextTable();
  table.add(form === 'wide' ? ['NAMESPACE', 'CLUSTER'] : ['NAMESPACE']);
  for (const one of namespaces) {
    const name = printable(one.namespace);
    table.add(form === 'wide' ? [name, printable(one.cluster)] : [name]);
  }
  return trimmedLines(table.take());
}

const stateTexts: Readonly<Record<number, string>> = {
  [NodeState.NODE_CONNECTED]: 'Connected',
  [NodeState.NODE_UNAVAILABLE]: 'Unavailable',
  [NodeState.NODE_GONE]: 'Gone',
  [NodeState.NODE_ERROR]: 'Error',
};

export function formatNodes(nodes: readonly Node[], form: ListForm): string {
  if (form === 'json') {
    return jsonList(
      'observer.Node',
      nodes.map((one) => NodeMessage.encode(one).finish()),
    );
  }
  const isWide = form === 'wide';
  const table = new TextTable();
  const basic = ['NAME', 'STATUS', 'AGE', 'FLOWS/S', 'CURRENT/MAX-FLOWS'];
  table.add(isWide ? [...basic, 'VERSION', 'ADDRESS', 'TLS'] : basic);
  for (const node of nodes) {
    const cells = [printable(node.name), stateTexts[node.state] ?? 'Unknown', ...nodeFigures(node)];
    const more = [
      printable(node.version) || 'N/A',
      printable(node.address) || 'N/A',
      node.tls?.enabled === true ? 'Enabled' : 'Disabled',
    ];
    table.add(isWide ? [...cells, ...more] : cells);
  }
  return trimmedLines(table.take());
}

/** Age, rate and fill; not available from a node that is not connected. */
function nodeFigures(node: Node): readonly string[] {
  if (node.uptime_ns === 0n) return ['N/A', 'N/A', 'N/A'];
  const seconds = node.uptime_ns / 1_000_000_000n;
  const rate = (Number(node.seen_flows) * 1e9) / Number(node.uptime_ns);
  const percent = (Number(node.num_flows) / Math.max(1, Number(node.max_flows))) * 100;
  const fill = `${node.num_flows}/${node.max_flows} (${percent.toFixed(2).padStart(6)}%)`;
  return [formatDuration(seconds * 1_000_000_000n), rate.toFixed(2), fill];
}

function trimmedLines(text: string): string {
  return text.replace(/ +$/gm, '');
}

/** A list with two spaces of indentation. */
function jsonList(name: string, messages: readonly Uint8Array[]): string {
  const schema = messageSchema(name);
  const values = messages.map((bytes): unknown => {
    const writer = new JsonWriter();
    writer.writeMessage(schema, bytes);
    return JSON.parse(new TextDecoder().decode(writer.bytes()));
  });
  return `${JSON.stringify(values, null, 2)}\n`;
}
