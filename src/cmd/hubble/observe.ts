/**
 * @module
 * `hubble observe [flows | agent-events]`: asks the server, or reads a
 * capture, and prints until the end, Ctrl-C, or until nobody reads any more.
 */
import { type ClientReadableStream, type ServiceError, status } from '@grpc/grpc-js';
import { FlowFilter } from '../../api/gen/flow/flow.ts';
import { GetAgentEventsRequest, type GetFlowsRequest } from '../../api/gen/observer/observer.ts';
import { messageSchema } from '../../api/json/schema.ts';
import { JsonWriter } from '../../api/json/write.ts';
import { callError, HubbleClient } from './client.ts';
import { parseLine } from './flags.ts';
import { helpText } from './help.ts';
import { replayAgentEvents, replayFlows } from './input-file.ts';
import { agentEventFlags, observeFlags } from './observe-flags.ts';
import { FlagValues, flowsRequest, printerOptions, windowOptions } from './observe-options.ts';
import type { CommandIo } from './output.ts';
import { FlowPrinter } from './printer.ts';
import { defaultHubbleServer, parseServerAddress } from './server-address.ts';
import { parseDuration } from './time.ts';
import { exitCode, UsageError } from './usage-error.ts';

const connectMsDefault = 5_000;
const requestMsDefault = 12_000;

/** Returns the exit code. Throws UsageError, FilterError, UnreachableError, RefusedError. */
export async function observe(argv: readonly string[], io: CommandIo): Promise<number> {
  const [topic = 'flows', rest] = splitTopic(argv);
  if (topic === 'agent-events') return await observeEvents(rest, io);
  if (topic === 'debug-events') {
    throw new UsageError('debug-events: not supported, and this datapath writes none');
  }
  const { flags, words } = parseLine(rest, observeFlags);
  if (words.length > 0) throw new UsageError(`unknown argument ${JSON.stringify(words[0])}`);
  const values = new FlagValues(flags);
  if (values.isSet('help')) {
    io.out(new TextEncoder().encode(helpText('observe')));
    return exitCode.ok;
  }
  const request = flowsRequest(flags, values);
  if (values.isSet('print-raw-filters')) {
    printRawFilters(request, io);
    return exitCode.ok;
  }
  const printer = new FlowPrinter(printerOptions(values, io), io);
  const path = values.text('input-file');
  if (path !== undefined) {
    await replayFlows(path, request, (response) => printer.flow(response));
    printer.flush();
    return exitCode.ok;
  }
  using client = await openClient(values, io);
  await client.connected();
  await printStream(client.flows(request), (bytes) => printer.flowBytes(bytes), printer, io.signal);
  return exitCode.ok;
}

async function observeEvents(argv: readonly string[], io: CommandIo): Promise<number> {
  const { flags } = parseLine(argv, agentEventFlags);
  const values = new FlagValues(flags);
  if (values.isSet('help')) {
    io.out(new TextEncoder().encode(helpText('observe agent-events')));
    return exitCode.ok;
  }
  const path = values.text('input-file');
  const window = windowOptions(values, path !== undefined);
  const printer = new FlowPrinter(printerOptions(values, io), io);
  const print = (bytes: Uint8Array): void => printer.agentEventBytes(bytes);
  if (path !== undefined) {
    await replayAgentEvents(path, window, print);
    printer.flush();
    return exitCode.ok;
  }
  using client = await openClient(values, io);
  await client.connected();
  const stream = client.agentEvents(GetAgentEventsRequest.fromPartial(window));
  await printStream(stream, print, printer, io.signal);
  return exitCode.ok;
}

function splitTopic(argv: readonly string[]): [string | undefined, readonly string[]] {
  const [first] = argv;
  const topics = ['flows', 'agent-events', 'debug-events'];
  if (first === undefined || !topics.includes(first)) return [undefined, argv];
  return [first, argv.slice(1)];
}

/** A client for the flags that name a server. */
export async function openClient(values: FlagValues, io: CommandIo): Promise<HubbleClient> {
  const address = parseServerAddress(values.text('server') ?? (await defaultHubbleServer(io.env)));
  return new HubbleClient(
    address,
    durationMs(values, 'timeout', connectMsDefault),
    durationMs(values, 'request-timeout', requestMsDefault),
  );
}

function durationMs(values: FlagValues, name: string, otherwise: number): number {
  const text = values.text(name);
  if (text === undefined) return otherwise;
  const nanos = parseDuration(text);
  if (nanos === undefined)
    throw new UsageError(`--${name} ${text}: a duration such as 5s is needed`);
  return nanos / 1e6;
}

/** Resolves when the stream ends or the signal says so; what was printed is out by then. */
async function printStream(
  stream: ClientReadableStream<Uint8Array>,
  print: (bytes: Uint8Array) => void,
  printer: FlowPrinter,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let flushing = false;
  const fail = (error: unknown): void => {
    stream.cancel();
    reject(error);
  };
  const flush = (): void => {
    flushing = false;
    try {
      printer.flush();
    } catch (error) {
      fail(error);
    }
  };
  stream.on('data', (bytes: Uint8Array) => {
    try {
      print(bytes);
    } catch (error) {
      fail(error);
      return;
    }
    // What arrives together is written together.
    if (flushing) return;
    flushing = true;
    setImmediate(flush);
  });
  stream.on('error', (error: ServiceError) => {
    if (error.code === status.CANCELLED) resolve();
    else reject(callError(error));
  });
  stream.on('end', resolve);
  const cancel = (): void => stream.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    await promise;
    printer.flush();
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/** One line per list, as arguments for the next call. */
function printRawFilters(request: GetFlowsRequest, io: CommandIo): void {
  const json = (filter: FlowFilter): string => {
    const writer = new JsonWriter();
    writer.writeMessage(messageSchema('flow.FlowFilter'), FlowFilter.encode(filter).finish());
    return new TextDecoder().decode(writer.bytes());
  };
  let text = '';
  const lists = [
    ['allowlist', request.whitelist],
    ['denylist', request.blacklist],
  ] as const;
  for (const [name, filters] of lists) {
    if (filters.length === 0) continue;
    text += `${name}:\n${filters.map((filter) => `    - '${json(filter)}'\n`).join('')}`;
  }
  io.out(new TextEncoder().encode(text));
}
