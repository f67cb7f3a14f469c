/**
 * @module
 * The latest agent events (start, policy changes, endpoints come and go), told by
 * the main thread, and queries over them.
 */
import type { AgentEvent } from '../../api/gen/flow/flow.ts';
import {
  type GetAgentEventsRequest,
  GetAgentEventsResponse,
} from '../../api/gen/observer/observer.ts';
import type { FlowTime } from './loss-window.ts';
import { checkWindow, isAfter, isBefore, startOf, type Window } from './window.ts';

/** Events that are kept. */
export const agentEventsMax = 1023;

interface Entry {
  readonly time: FlowTime;
  readonly event: AgentEvent;
}

export class AgentEventLog {
  readonly #entries: Entry[] = [];
  head = 0;

  push(event: AgentEvent, time: FlowTime): void {
    this.#entries[this.head % agentEventsMax] = { time, event };
    this.head++;
  }

  get tail(): number {
    return Math.max(0, this.head - agentEventsMax);
  }

  at(sequence: number): Entry | undefined {
    return this.#entries[sequence % agentEventsMax];
  }
}

export class AgentEventQuery {
  readonly #log: AgentEventLog;
  readonly #nodeName: string;
  readonly #window: Window;
  readonly #end: number;
  #cursor: number;
  #sent = 0;

  /** Throws FilterError for a request that cannot be answered. */
  constructor(log: AgentEventLog, nodeName: string, request: GetAgentEventsRequest) {
    this.#log = log;
    this.#nodeName = nodeName;
    this.#window = checkWindow(request);
    this.#end = this.#window.follow ? Number.POSITIVE_INFINITY : log.head;
    this.#cursor = startOf(this.#window, log.tail, log.head, (sequence) => {
      const time = log.at(sequence)?.time;
      return { second: time?.seconds ?? 0, nanos: time?.nanos ?? 0, matches: () => true };
    });
  }

  next(): Uint8Array | 'wait' | 'end' {
    for (;;) {
      this.#cursor = Math.max(this.#cursor, this.#log.tail);
      const { number, follow } = this.#window;
      if (!follow && number > 0 && this.#sent >= number) return 'end';
      if (this.#cursor >= this.#end) return 'end';
      const entry = this.#cursor < this.#log.head ? this.#log.at(this.#cursor) : undefined;
      if (entry === undefined) return follow ? 'wait' : 'end';
      this.#cursor++;
      const { seconds, nanos } = entry.time;
      if (isBefore(this.#window, seconds, nanos)) continue;
      if (isAfter(this.#window, seconds, nanos)) return 'end';
      this.#sent++;
      return GetAgentEventsResponse.encode({
        agent_event: entry.event,
        node_name: this.#nodeName,
        time: { seconds: BigInt(seconds), nanos },
      }).finish();
    }
  }
}
