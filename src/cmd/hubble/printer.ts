/**
 * @module
 * Prints what the server answers, in the form that was asked for. JSON goes from bytes
 * to text directly; the text forms decode.
 */
import { type LostEvent, LostEventSource } from '../../api/gen/flow/flow.ts';
import type { Timestamp } from '../../api/gen/google/protobuf/timestamp.ts';
import { GetAgentEventsResponse, GetFlowsResponse } from '../../api/gen/observer/observer.ts';
import { NodeState, type NodeStatusEvent } from '../../api/gen/relay/relay.ts';
import { type MessageSchema, messageSchema } from '../../api/json/schema.ts';
import { JsonWriter } from '../../api/json/write.ts';
import { agentEventDetails, agentEventName } from './agent-event-text.ts';
import { endText, summaryText, type TextOptions, typeText, verdictText } from './flow-text.ts';
import { BufferedOutput, type CommandIo, printable } from './output.ts';
import { TextTable } from './table-text.ts';
import { formatTime, type TimeFormat } from './time.ts';

export const outputForms = ['compact', 'dict', 'json', 'jsonpb', 'table'] as const;
export type OutputForm = (typeof outputForms)[number];

export interface PrinterOptions extends TextOptions {
  readonly form: OutputForm;
  readonly nodeName: boolean;
  readonly timeFormat: TimeFormat;
  /** Do not tell about losses and nodes. */
  readonly silent: boolean;
}

const separator = '------------';
const jsonFlushBytes = 48 * 1024;
const lossNames = new Map<number, string>(
  Object.entries(LostEventSource).map(([name, number]) => [number, name]),
);

export class FlowPrinter {
  readonly #options: PrinterOptions;
  readonly #io: CommandIo;
  readonly #out: BufferedOutput;
  readonly #json = new JsonWriter();
  readonly #table = new TextTable();
  readonly #flowSchema: MessageSchema = messageSchema('observer.GetFlowsResponse');
  #printed = 0;
  #headed = false;

  constructor(options: PrinterOptions, io: CommandIo) {
    this.#options = options;
    this.#io = io;
    this.#out = new BufferedOutput(io.out);
  }

  get isJson(): boolean {
    return this.#options.form === 'json' || this.#options.form === 'jsonpb';
  }

  /** An encoded GetFlowsResponse, as it came from the server. */
  flowBytes(bytes: Uint8Array): void {
    if (this.isJson) this.#jsonLine(this.#flowSchema, bytes);
    else this.flow(GetFlowsResponse.decode(bytes));
  }

  flow(response: GetFlowsResponse): void {
    if (this.isJson) {
      this.#jsonLine(this.#flowSchema, GetFlowsResponse.encode(response).finish());
      return;
    }
    if (response.node_status !== undefined) this.#nodeStatus(response.node_status, response);
    else if (response.lost_events !== undefined)
      this.#lost(response.lost_events, response.node_name);
    else if (response.flow !== undefined) this.#flowText(response);
  }

  agentEventBytes(bytes: Uint8Array): void {
    if (this.isJson) {
      this.#jsonLine(messageSchema('observer.GetAgentEventsResponse'), bytes);
      return;
    }
    const response = GetAgentEventsResponse.decode(bytes);
    const event = response.agent_event;
    if (event === undefined) return;
    const time = formatTime(response.time, this.#options.timeFormat);
    const node = printable(response.node_name);
    const name = agentEventName(event);
    const details = printable(agentEventDetails(event, this.#options.timeFormat));
    switch (this.#options.form) {
      case 'table':
        this.#head(['TIMESTAMP', 'NODE', 'TYPE', 'DETAILS']);
        this.#table.add(this.#withNode([time, node, name, details]));
        return;
      case 'dict':
        // Upstream puts the separator and the next event on one line; scripts know that form.
        if (this.#printed++ > 0) this.#out.text(separator);
        this.#fields([
          ['TIMESTAMP', time],
          ['NODE', node],
          ['TYPE', name],
          ['DETAILS', details],
        ]);
        return;
      default:
        this.#out.text(`${time}${this.#nodePart(node)}: ${name} (${details})\n`);
    }
  }

  /** Ends a batch: what was printed becomes visible. */
  flush(): void {
    if (this.#json.length > 0) {
      this.#out.bytes(this.#json.bytes());
      this.#json.clear();
    }
    if (this.#table.size > 0) this.#out.text(this.#table.take());
    this.#out.flush();
  }

  #jsonLine(schema: MessageSchema, bytes: Uint8Array): void {
    this.#json.writeMessage(schema, bytes);
    this.#json.writeByte(0x0a);
    if (this.#json.length > jsonFlushBytes) this.flush();
  }

  #flowText(response: GetFlowsResponse): void {
    const flow = response.flow;
    if (flow === undefined) return;
    const options = this.#options;
    const time = formatTime(flow.time, options.timeFormat);
    const node = printable(flow.node_name);
    const source = endText(flow, true, options);
    const target = endText(flow, false, options);
    const type = typeText(flow);
    const verdict = verdictText(flow, options);
    const summary = summaryText(flow);
    switch (options.form) {
      case 'table':
        this.#row(time, node, source.name, target.name, type, verdict, summary);
        return;
      case 'dict':
        this.#dict(time, node, source.name, target.name, type, verdict, summary);
        return;
      default: {
        // The side that asked stands on the left, whichever way this packet goes.
        const isReply = flow.is_reply;
        const arrow = isReply === undefined ? '<>' : isReply ? '<-' : '->';
        const [left, right] = isReply === true ? [target, source] : [source, target];
        this.#out.text(
          `${time}${this.#nodePart(node)}: ${left.name} ${left.identity} ${arrow} ${right.name} ${right.identity} ${type} ${verdict} (${summary})\n`,
        );
      }
    }
  }

  #lost(lost: LostEvent, nodeName: string): void {
    if (this.#options.silent) return;
    const source = lossNames.get(lost.source) ?? String(lost.source);
    const cpu = `CPU(${lost.cpu ?? 0})`;
    const node = printable(nodeName);
    switch (this.#options.form) {
      case 'table':
        this.#row('', node, source, '', 'EVENTS LOST', '', `${cpu} - ${lost.num_events_lost}`);
        return;
      case 'dict':
        this.#between();
        this.#fields([
          ['TIMESTAMP', ''],
          ['NODE', node],
          ['SOURCE', source],
          ['TYPE', 'EVENTS LOST'],
          ['VERDICT', ''],
          ['SUMMARY', `${cpu} - ${lost.num_events_lost}`],
        ]);
        return;
      default:
        this.#out.text(`EVENTS LOST: ${source} ${cpu} ${lost.num_events_lost}\n`);
    }
  }

  #nodeStatus(event: NodeStatusEvent, response: GetFlowsResponse): void {
    if (this.#options.silent) return;
    const names = printable(event.node_names.join(', '));
    const count = event.node_names.length;
    const texts: Readonly<Record<number, string>> = {
      [NodeState.NODE_CONNECTED]: `${count} nodes connected: ${names}`,
      [NodeState.NODE_UNAVAILABLE]: `${count} nodes are unavailable: ${names}`,
      [NodeState.NODE_GONE]: `${count} nodes are gone: ${names}`,
      [NodeState.NODE_ERROR]: `${printable(event.message)} on nodes: ${names}`,
    };
    const text = texts[event.state_change];
    if (text === undefined || event.state_change === NodeState.NODE_CONNECTED) return;
    const time = formatTime(response.time as Timestamp | undefined, this.#options.timeFormat);
    this.#io.err(`${time} [${printable(response.node_name)}]: ${text}\n`);
  }

  #row(time: string, node: string, ...cells: readonly string[]): void {
    this.#head(['TIMESTAMP', 'NODE', 'SOURCE', 'DESTINATION', 'TYPE', 'VERDICT', 'SUMMARY']);
    this.#table.add(this.#withNode([time, node, ...cells]));
  }

  #head(names: readonly string[]): void {
    if (this.#headed) return;
    this.#headed = true;
    this.#table.add(this.#withNode(names));
  }

  /** The node is the second cell, if it is wanted at all. */
  #withNode(cells: readonly string[]): readonly string[] {
    return this.#options.nodeName ? cells : cells.filter((_, index) => index !== 1);
  }

  #dict(
    time: string,
    node: string,
    source: string,
    destination: string,
    type: string,
    verdict: string,
    summary: string,
  ): void {
    this.#between();
    this.#fields([
      ['TIMESTAMP', time],
      ['NODE', node],
      ['SOURCE', source],
      ['DESTINATION', destination],
      ['TYPE', type],
      ['VERDICT', verdict],
      ['SUMMARY', summary],
    ]);
  }

  #between(): void {
    if (this.#printed++ > 0) this.#out.text(`${separator}\n`);
  }

  #fields(fields: readonly (readonly [string, string])[]): void {
    for (const [name, value] of fields) {
      if (name === 'NODE' && !this.#options.nodeName) continue;
      this.#out.text(`${name.padStart(11)}: ${value}\n`);
    }
  }

  #nodePart(node: string): string {
    return this.#options.nodeName ? ` [${node}]` : '';
  }
}
