/**
 * @module `dbg monitor`: events of the datapath as they happen, in upstream's lines. Input: the flow stream
 * of the agent's Hubble server, to which every event of the datapath goes.
 */
import { existsSync } from 'node:fs';
import type { Flow } from '../../api/gen/flow/flow.ts';
import type { Command, Invocation } from '../command.ts';
import type { Flag, Flags } from '../flags.ts';
import { printError, printOut } from '../terminal.ts';
import type { ObserverStream } from './monitor-stream.ts';
import { type EventKind, eventKind, formatEvent } from './monitor-text.ts';
import { findHubbleSocket } from './session.ts';

const unreachableExit = 3;

const endpointFlags: readonly Flag[] = [
  { name: 'from', kind: 'strings', help: 'filter by source endpoint id' },
  { name: 'to', kind: 'strings', help: 'filter by destination endpoint id' },
  { name: 'related-to', kind: 'strings', help: 'filter by either endpoint id' },
];

export const monitorCommand: Command = {
  name: 'monitor',
  summary: 'Display BPF program events',
  flags: [
    ...endpointFlags,
    { name: 'type', short: 't', kind: 'strings', help: 'drop, trace, policy-verdict' },
    { name: 'json', short: 'j', kind: 'boolean', help: 'one JSON document for each event' },
    { name: 'numeric', short: 'n', kind: 'boolean', help: 'identities as numbers' },
    { name: 'verbose', short: 'v', kind: 'boolean', help: 'accepted for compatibility' },
  ],
  examples: [
    ['cilium dbg monitor', 'every event of the datapath'],
    ['cilium dbg monitor --type drop --related-to 335', 'what one endpoint lost'],
  ],
  run: monitor,
};

async function monitor(invocation: Invocation): Promise<number> {
  const { flags } = invocation;
  const wanted = flagSets(invocation);
  const { observerStream } = await import('./monitor-stream.ts');
  const socket = await findHubbleSocket(invocation);
  if (!existsSync(socket)) {
    printError(
      `Error: no Hubble socket ${socket}: is the agent running? --host names another's socket`,
    );
    return unreachableExit;
  }
  const stream = observerStream(socket);
  printError('Press Ctrl-C to quit');
  process.on('SIGINT', () => stream.cancel());
  try {
    await printEvents(stream, flags, wanted);
    return 0;
  } catch (error) {
    printError(`Error: ${error instanceof Error ? error.message : String(error)}`);
    return unreachableExit;
  }
}

async function printEvents(
  stream: ObserverStream,
  flags: Flags,
  wanted: (flow: Flow) => boolean,
): Promise<void> {
  const numeric = flags.boolean('numeric');
  for await (const event of stream.events) {
    if (event.lost > 0) printOut(`Lost ${event.lost} events\n`);
    const { flow } = event;
    if (flow === undefined || !wanted(flow)) continue;
    if (flags.boolean('json')) printOut(`${JSON.stringify(flow, jsonNumber)}\n`);
    else printOut(`${formatEvent(flow, numeric)}\n`);
  }
}

function jsonNumber(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

/** The filter that the flags describe. */
function flagSets({ flags }: Invocation): (flow: Flow) => boolean {
  const numbers = (name: string) => new Set(flags.strings(name).map(Number));
  const [from, to, related] = [numbers('from'), numbers('to'), numbers('related-to')];
  const kinds = new Set(flags.strings('type') as readonly EventKind[]);
  return (flow) => {
    const source = flow.source?.ID ?? 0;
    const destination = flow.destination?.ID ?? 0;
    if (kinds.size > 0 && !kinds.has(eventKind(flow))) return false;
    if (from.size > 0 && !from.has(source)) return false;
    if (to.size > 0 && !to.has(destination)) return false;
    return related.size === 0 || related.has(source) || related.has(destination);
  };
}
