/**
 * @module
 * One client's way through the flow ring: where it starts, what it lets through,
 * where it ends. It has its own cursor; when the ring overtakes it, it alone loses
 * flows and is told how many.
 */

import { LostEvent, LostEventSource } from '../../api/gen/flow/flow.ts';
import { type GetFlowsRequest, GetFlowsResponse } from '../../api/gen/observer/observer.ts';
import { buildFilter } from '../filters/build.ts';
import type { Predicate } from '../filters/predicate.ts';
import type { FlowEncoder } from '../parser/flow-encoder.ts';
import type { FlowRecord } from '../parser/flow-record.ts';
import { buildFieldMask, type FieldMask } from './field-mask.ts';
import type { FlowRing, LostRecord } from './flow-ring.ts';
import { type FlowTime, LossWindow } from './loss-window.ts';
import { checkWindow, isAfter, isBefore, startOf, type Window } from './window.ts';

/** What a query reads from; the record is the query's own. */
export interface QuerySource {
  readonly ring: FlowRing;
  readonly record: FlowRecord;
  readonly encoder: FlowEncoder;
  readonly nodeName: string;
  now(): FlowTime;
}

export class FlowQuery {
  readonly #source: QuerySource;
  readonly #window: Window;
  readonly #filter: Predicate;
  readonly #mask: FieldMask | undefined;
  readonly #end: number;
  readonly #losses: LossWindow;
  readonly #untold: LostRecord[] = [];
  #cursor: number;
  #sent = 0;
  /** Flows that this client missed. */
  lost = 0;

  /** Throws FilterError for a request that cannot be answered. */
  constructor(source: QuerySource, request: GetFlowsRequest) {
    const { ring, record } = source;
    this.#source = source;
    this.#window = checkWindow(request);
    this.#filter = buildFilter(request.whitelist, request.blacklist);
    const paths = request.field_mask ?? request.experimental?.field_mask ?? [];
    this.#mask = paths.length > 0 ? buildFieldMask(paths) : undefined;
    this.#losses = new LossWindow((lost) => this.#untold.push(lost));
    this.#end = this.#window.follow ? Number.POSITIVE_INFINITY : ring.head;
    this.#cursor = startOf(this.#window, ring.tail, ring.head, (sequence) => {
      record.seek(sequence);
      return {
        second: record.seconds(),
        nanos: record.nanos(),
        matches: () => !record.isLost && this.#filter(record),
      };
    });
  }

  /** The next response, encoded; `wait` until there are more flows; or `end`. */
  next(): Uint8Array | 'wait' | 'end' {
    const { ring, record } = this.#source;
    for (;;) {
      if (this.#cursor < ring.tail) this.#fallBehind();
      const untold = this.#untold.shift();
      if (untold !== undefined) return this.#encodeLost(untold);
      if (!this.#window.follow && this.#window.number > 0 && this.#sent >= this.#window.number) {
        return this.#finish();
      }
      if (this.#cursor >= this.#end) return this.#finish();
      if (this.#cursor >= ring.head) {
        this.#losses.flush(this.#source.now());
        if (this.#untold.length > 0) continue;
        return this.#window.follow ? 'wait' : this.#finish();
      }
      record.seek(this.#cursor++);
      const seconds = record.seconds();
      const nanos = record.nanos();
      if (record.isLost) return this.#source.encoder.encode(record);
      if (isBefore(this.#window, seconds, nanos)) continue;
      if (isAfter(this.#window, seconds, nanos)) return this.#finish();
      if (!this.#filter(record)) continue;
      this.#sent++;
      return this.#encode();
    }
  }

  #encode(): Uint8Array {
    const bytes = this.#source.encoder.encode(this.#source.record);
    if (this.#mask === undefined) return bytes;
    const response = GetFlowsResponse.decode(bytes);
    if (response.flow !== undefined) response.flow = this.#mask(response.flow);
    return GetFlowsResponse.encode(response).finish();
  }

  /** Jumps well ahead of the writer, so that the next flow is not lost as well. */
  #fallBehind(): void {
    const { ring } = this.#source;
    const target = Math.min(this.#end, ring.tail + (ring.capacity >> 3), ring.head);
    const missed = target - this.#cursor;
    this.lost += missed;
    this.#cursor = target;
    this.#losses.add(LostEventSource.HUBBLE_RING_BUFFER, missed, undefined, this.#source.now());
  }

  #finish(): Uint8Array | 'end' {
    this.#losses.flush({ seconds: Number.MAX_SAFE_INTEGER, nanos: 0 });
    const untold = this.#untold.shift();
    return untold === undefined ? 'end' : this.#encodeLost(untold);
  }

  #encodeLost(lost: LostRecord): Uint8Array {
    const now = this.#source.now();
    return GetFlowsResponse.encode(
      GetFlowsResponse.fromPartial({
        lost_events: LostEvent.fromPartial({
          source: LostEventSource.HUBBLE_RING_BUFFER,
          num_events_lost: BigInt(lost.count),
          first: { seconds: BigInt(lost.firstSeconds), nanos: lost.firstNanos },
          last: { seconds: BigInt(lost.lastSeconds), nanos: lost.lastNanos },
        }),
        node_name: this.#source.nodeName,
        time: { seconds: BigInt(now.seconds), nanos: now.nanos },
      }),
    ).finish();
  }
}
