/**
 * @module
 * The inside of the flow worker: replicas of the tables, the observer, the reader of
 * the kernel's events, the gRPC server. `worker-hubble.ts` connects it to its thread.
 */

import { LostEventSource } from '../api/gen/flow/flow.ts';
import { ciliumEventsLost } from '../bpf/gen/maps.ts';
import { BpfMap } from '../bpf/libbpf/map.ts';
import { RingBufferReader } from '../bpf/libbpf/ring-buffer.ts';
import { TypedMap } from '../bpf/libbpf/typed-map.ts';
import { type EndpointId, endpoints } from '../daemon/endpoint/table.ts';
import { type IdentityId, identities } from '../daemon/identity/table.ts';
import { ipcache } from '../daemon/ipcache/table.ts';
import { policyCookies } from '../daemon/policy/table.ts';
import { type MirrorMessage, TableReplica } from '../kv/mirror.ts';
import { agentEventOf } from './agent-notice.ts';
import { measureClockOffset } from './monitor/clock.ts';
import { EventReader, type EventSource, type LossCounters } from './monitor/event-reader.ts';
import { Observer } from './observer/observer.ts';
import type { FlowTables } from './parser/context.ts';
import type { AgentNotice, FlowWorkerOptions, FlowWorkerStatus } from './protocol.ts';
import { HubbleServer } from './server/hubble-server.ts';

/** The wall clock may be set at any time. */
const clockIntervalMs = 10_000;

export class FlowService implements Disposable {
  readonly observer: Observer;
  readonly #replicas = {
    endpoints: new TableReplica(endpoints()),
    identities: new TableReplica(identities()),
    ipcache: new TableReplica(ipcache()),
    cookies: new TableReplica(policyCookies()),
  };
  readonly #options: FlowWorkerOptions;
  readonly #onProblem: (message: string) => void;
  readonly #resources = new DisposableStack();
  #reader: EventReader | undefined;
  #server: HubbleServer | undefined;

  constructor(options: FlowWorkerOptions, onProblem: (message: string) => void) {
    this.#options = options;
    this.#onProblem = onProblem;
    this.observer = new Observer(this.#tables(), options);
  }

  /** Resolves when clients can connect and events are read. */
  async start(): Promise<number> {
    const { eventsMapPath, lostMapPath } = this.#options;
    this.observer.parser.setClock(measureClockOffset());
    const clock = setInterval(
      () => this.observer.parser.setClock(measureClockOffset()),
      clockIntervalMs,
    );
    this.#resources.defer(() => clearInterval(clock));
    if (eventsMapPath !== undefined) {
      const losses = lostMapPath === undefined ? () => [] : this.#openLosses(lostMapPath);
      const source = this.#openEvents(eventsMapPath);
      const onError = (error: unknown) => this.#onProblem(`read events: ${String(error)}`);
      this.#reader = this.#resources.use(new EventReader(source, losses, this.observer, onError));
      this.#reader.start();
    }
    this.#server = await HubbleServer.start(this.observer, this.#options);
    this.#resources.defer(() => this.#server?.stop());
    return this.#server.port;
  }

  applyTable(message: MirrorMessage): void {
    const replica = Object.values(this.#replicas).find((one) => one.name === message.table);
    if (replica === undefined) {
      this.#onProblem(`mirror of table ${message.table}: not one that flows need`);
      return;
    }
    replica.apply(message);
    this.observer.context.changed();
  }

  notice(notice: AgentNotice, timeMs: number): void {
    const seconds = Math.floor(timeMs / 1000);
    const time = { seconds, nanos: Math.floor((timeMs - seconds * 1000) * 1e6) };
    this.observer.addAgentEvent(agentEventOf(notice, time), time);
  }

  status(): FlowWorkerStatus {
    const status = this.observer.status();
    const lost: Record<string, number> = {};
    for (const [name, source] of Object.entries(LostEventSource)) {
      const count = this.observer.losses.totals.get(source) ?? 0;
      if (count > 0) lost[name.toLowerCase()] = count;
    }
    return {
      flows: Number(status.num_flows),
      capacity: Number(status.max_flows),
      seenFlows: Number(status.seen_flows),
      flowsPerSecond: status.flows_rate,
      uptimeMs: Number(status.uptime_ns) / 1e6,
      followers: this.observer.followers,
      events: this.observer.parser.events,
      malformedEvents: this.observer.parser.malformed,
      lost,
      port: this.#server?.port ?? 0,
    };
  }

  [Symbol.dispose](): void {
    this.#resources[Symbol.dispose]();
  }

  #openEvents(path: string): EventSource {
    using map = BpfMap.openPinned(path);
    const ring = this.#resources.use(new RingBufferReader(map));
    return { drain: (onRecord, budget) => ring.read(onRecord, budget) };
  }

  #openLosses(path: string): LossCounters {
    const map = this.#resources.use(TypedMap.openPinned(path, ciliumEventsLost));
    return () => map.lookupPerCpu(0).map(Number);
  }

  #tables(): FlowTables {
    const replicas = this.#replicas;
    return {
      endpoint: (id) => replicas.endpoints.get(id as EndpointId),
      identity: (id) => replicas.identities.get(id as IdentityId),
      address: (prefix) => replicas.ipcache.get(prefix),
      cookie: (cookie) => replicas.cookies.get(cookie)?.policies,
      interfaceName: (ifindex) => replicas.endpoints.by('ifindex', ifindex)[0]?.interfaceName,
    };
  }
}
