/**
 * @module
 * All that one Hubble server knows: the flow ring with its parser, agent events,
 * counters. Records come in by `take`, clients come for queries and are woken after
 * every batch. No sockets here: server/ is one user, tests are another.
 */
import { type AgentEvent, LostEventSource } from '../../api/gen/flow/flow.ts';
import type {
  GetAgentEventsRequest,
  GetFlowsRequest,
  ServerStatusResponse,
} from '../../api/gen/observer/observer.ts';
import { type FlowTables, ParserContext } from '../parser/context.ts';
import { FlowEncoder } from '../parser/flow-encoder.ts';
import { FlowRecord } from '../parser/flow-record.ts';
import { FlowParser } from '../parser/parser.ts';
import { FlowUuids } from '../parser/text.ts';
import { AgentEventLog, AgentEventQuery } from './agent-events.ts';
import { FlowQuery } from './flow-query.ts';
import { FlowRate } from './flow-rate.ts';
import { FlowRing } from './flow-ring.ts';
import { type FlowTime, LossWindow } from './loss-window.ts';

const namespaceWindowSeconds = 3600;

export interface ObserverOptions {
  readonly nodeName: string;
  readonly clusterName: string;
  readonly capacity: number;
  readonly version: string;
  readonly now?: () => FlowTime;
}

/** Wall time to the millisecond. */
export function wallTime(): FlowTime {
  const millis = Date.now();
  const seconds = Math.floor(millis / 1000);
  return { seconds, nanos: (millis - seconds * 1000) * 1e6 };
}

export class Observer {
  readonly nodeName: string;
  readonly version: string;
  readonly context: ParserContext;
  readonly ring: FlowRing;
  readonly parser: FlowParser;
  readonly losses: LossWindow;
  readonly agentEvents = new AgentEventLog();
  readonly now: () => FlowTime;
  readonly #uuids = new FlowUuids();
  readonly #rate: FlowRate;
  readonly #startedAt: number;
  readonly #clusterName: string;
  readonly #followers = new Set<() => void>();
  #head = 0;

  constructor(tables: FlowTables, options: ObserverOptions) {
    this.now = options.now ?? wallTime;
    const isDefault = options.clusterName === '' || options.clusterName === 'default';
    this.nodeName = isDefault ? options.nodeName : `${options.clusterName}/${options.nodeName}`;
    this.version = options.version;
    this.#clusterName = isDefault ? '' : options.clusterName;
    this.context = new ParserContext(tables, options.clusterName || 'default');
    this.ring = new FlowRing(options.capacity);
    this.parser = new FlowParser(this.ring, this.context);
    this.losses = new LossWindow((record) => this.ring.pushLost(record));
    this.#rate = new FlowRate(this.now().seconds);
    this.#startedAt = performance.now();
  }

  /** Tells a loss before the ring; told to clients at most once per window. */
  lose(count: number, cpu: number | undefined): void {
    this.losses.add(LostEventSource.PERF_EVENT_RING_BUFFER, count, cpu, this.now());
  }

  addAgentEvent(event: AgentEvent, time: FlowTime = this.now()): void {
    this.agentEvents.push(event, time);
    this.#wake();
  }

  /** Call after a batch of records: counts it and wakes who waits. */
  settle(): void {
    const now = this.now();
    this.losses.flush(now);
    const made = this.ring.head - this.#head;
    if (made === 0) return;
    this.#head = this.ring.head;
    this.#rate.add(made, now.seconds);
    this.#wake();
  }

  /** Calls back after every batch until disposed. */
  follow(listener: () => void): Disposable {
    this.#followers.add(listener);
    return { [Symbol.dispose]: () => this.#followers.delete(listener) };
  }

  get followers(): number {
    return this.#followers.size;
  }

  queryFlows(request: GetFlowsRequest): FlowQuery {
    const { ring, context, nodeName } = this;
    const source = {
      ring,
      nodeName,
      record: new FlowRecord(ring, context, this.#uuids, nodeName),
      encoder: new FlowEncoder(ring, context, this.#uuids, nodeName),
      now: this.now,
    };
    return new FlowQuery(source, request);
  }

  queryAgentEvents(request: GetAgentEventsRequest): AgentEventQuery {
    return new AgentEventQuery(this.agentEvents, this.nodeName, request);
  }

  namespaces(): { cluster: string; namespace: string }[] {
    const since = this.now().seconds - namespaceWindowSeconds;
    const names = this.context.namespacesSince(since);
    return names.map((namespace) => ({ cluster: this.#clusterName, namespace }));
  }

  status(): ServerStatusResponse {
    const now = this.now();
    return {
      num_flows: BigInt(this.ring.size),
      max_flows: BigInt(this.ring.capacity),
      seen_flows: BigInt(this.ring.head),
      uptime_ns: BigInt(Math.floor((performance.now() - this.#startedAt) * 1e6)),
      num_connected_nodes: undefined,
      num_unavailable_nodes: undefined,
      unavailable_nodes: [],
      version: this.version,
      flows_rate: this.#rate.perSecond(now.seconds + now.nanos / 1e9),
    };
  }

  #wake(): void {
    for (const listener of [...this.#followers]) listener();
  }
}
