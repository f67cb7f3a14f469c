/**
 * @module
 * Replays a capture: lines of JSON as `-o json` prints them (with or without the
 * envelope), through the same filters and selectors as the server would apply.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import {
  GetAgentEventsResponse,
  type GetFlowsRequest,
  GetFlowsResponse,
} from '../../api/gen/observer/observer.ts';
import { JsonFieldError, readMessage } from '../../api/json/read.ts';
import { buildFilter } from '../../hubble/filters/build.ts';
import { buildFieldMask } from '../../hubble/observer/field-mask.ts';
import { checkWindow, isAfter, isBefore, type Window } from '../../hubble/observer/window.ts';
import { MessageFields } from '../../hubble/parser/message-fields.ts';
import type { WindowOptions } from './observe-options.ts';
import { UsageError } from './usage-error.ts';

/** One line may not be longer: it is not a flow then. */
const lineMax = 1024 * 1024;

/** Calls back for each response that the request selects, in order. */
export async function replayFlows(
  path: string,
  request: GetFlowsRequest,
  onResponse: (response: GetFlowsResponse) => void,
): Promise<void> {
  const filter = buildFilter(request.whitelist, request.blacklist);
  const mask = request.field_mask === undefined ? undefined : buildFieldMask(request.field_mask);
  const window = checkWindow({ ...request, follow: false });
  const select = new Selection(window, onResponse);
  for await (const value of jsonLines(path)) {
    const response = GetFlowsResponse.fromPartial(
      readMessage('observer.GetFlowsResponse', envelope(value), true) as Partial<GetFlowsResponse>,
    );
    if (response.flow !== undefined) {
      const time = response.flow.time ?? response.time;
      if (!select.covers(Number(time?.seconds ?? 0), time?.nanos ?? 0)) continue;
      if (!filter(new MessageFields(response.flow))) continue;
      if (mask !== undefined) response.flow = mask(response.flow);
    }
    if (!select.take(response, response.flow !== undefined)) return;
  }
  select.finish();
}

/** The same for agent events, as encoded responses. */
export async function replayAgentEvents(
  path: string,
  options: WindowOptions,
  onResponse: (bytes: Uint8Array) => void,
): Promise<void> {
  const select = new Selection<Uint8Array>(checkWindow({ ...options, follow: false }), onResponse);
  for await (const value of jsonLines(path)) {
    const response = GetAgentEventsResponse.fromPartial(
      readMessage(
        'observer.GetAgentEventsResponse',
        value,
        true,
      ) as Partial<GetAgentEventsResponse>,
    );
    if (response.agent_event === undefined) continue;
    const { seconds = 0n, nanos = 0 } = response.time ?? {};
    if (!select.covers(Number(seconds), nanos)) continue;
    if (!select.take(GetAgentEventsResponse.encode(response).finish(), true)) return;
  }
  select.finish();
}

/** First n, last n, or all of what passes. */
class Selection<Item> {
  readonly #window: Window;
  readonly #emit: (item: Item) => void;
  readonly #latest: Item[] = [];
  #taken = 0;

  constructor(window: Window, emit: (item: Item) => void) {
    this.#window = window;
    this.#emit = emit;
  }

  covers(second: number, nanos: number): boolean {
    return !isBefore(this.#window, second, nanos) && !isAfter(this.#window, second, nanos);
  }

  /** False when nothing further can be wanted. */
  take(item: Item, counts: boolean): boolean {
    const { number, first } = this.#window;
    if (number === 0 || first) {
      this.#emit(item);
      if (counts) this.#taken++;
      return number === 0 || this.#taken < number;
    }
    this.#latest.push(item);
    if (this.#latest.length > number) this.#latest.shift();
    return true;
  }

  finish(): void {
    for (const item of this.#latest) this.#emit(item);
  }
}

/** Older captures have the flow itself on a line. */
function envelope(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const known = ['flow', 'lost_events', 'node_status', 'agent_event', 'debug_event'];
  if (known.some((name) => name in value)) return value;
  return { flow: value };
}

async function* jsonLines(path: string): AsyncGenerator<unknown> {
  const input = path === '-' ? process.stdin : createReadStream(path);
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  let number = 0;
  try {
    for await (const line of lines) {
      number++;
      if (line.trim() === '') continue;
      if (line.length > lineMax) throw new UsageError('the line is too long');
      yield JSON.parse(line);
    }
  } catch (cause) {
    const isInput = cause instanceof SyntaxError || cause instanceof JsonFieldError;
    if (isInput || cause instanceof UsageError || (cause as { code?: string }).code !== undefined) {
      throw new UsageError(`read ${path}, line ${number}: ${(cause as Error).message}`, { cause });
    }
    throw cause;
  } finally {
    lines.close();
  }
}
