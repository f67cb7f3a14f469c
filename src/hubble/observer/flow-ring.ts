/**
 * @module
 * The ring of the latest flows. A flow is a kind and a reference to the event it
 * comes from; an event is a copy of the kernel's record plus what the parser
 * resolved. Everything is preallocated: a flood of flows makes no garbage.
 */

import type { Peer, PolicyNames } from '../parser/context.ts';
import { eventWords } from '../parser/event-layout.ts';

/** What one flow of an event says. */
export const flowKind = {
  egressVerdict: 0,
  ingressVerdict: 1,
  trace: 2,
  drop: 3,
  lost: 4,
} as const;

export const flowRingCapacityDefault = 4095;
const flowRingCapacityMax = 65535;

/** A loss, told once for a window of time however often it happened. */
export interface LostRecord {
  readonly source: number; // flow.LostEventSource
  readonly count: number;
  readonly cpu: number | undefined;
  readonly firstSeconds: number;
  readonly firstNanos: number;
  readonly lastSeconds: number;
  readonly lastNanos: number;
}

/** Returns why a capacity cannot be used, or undefined. */
export function refuseCapacity(capacity: number): string | undefined {
  const isPower = Number.isInteger(capacity) && ((capacity + 1) & capacity) === 0;
  if (isPower && capacity >= 1 && capacity <= flowRingCapacityMax) return undefined;
  return `flow ring capacity ${capacity}: must be one less than a power of two, from 1 to ${flowRingCapacityMax}`;
}

export class FlowRing {
  readonly capacity: number;
  readonly #mask: number;
  readonly kinds: Uint8Array;
  readonly #eventOf: Uint32Array;
  /** Event records, `eventWords` each, and the same memory as bytes. */
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
  readonly seconds: Uint32Array;
  readonly nanos: Uint32Array;
  readonly sources: (Peer | undefined)[];
  readonly destinations: (Peer | undefined)[];
  readonly ingressPolicies: (PolicyNames | undefined)[];
  readonly egressPolicies: (PolicyNames | undefined)[];
  readonly lost: (LostRecord | undefined)[];
  /** Sequence number of the next flow: also how many there ever were. */
  head = 0;
  #events = 0;

  constructor(capacity: number = flowRingCapacityDefault) {
    const problem = refuseCapacity(capacity);
    if (problem !== undefined) throw new RangeError(problem);
    const slots = capacity + 1;
    this.capacity = capacity;
    this.#mask = capacity;
    this.kinds = new Uint8Array(slots);
    this.#eventOf = new Uint32Array(slots);
    this.words = new Uint32Array(slots * eventWords);
    this.bytes = new Uint8Array(this.words.buffer);
    this.seconds = new Uint32Array(slots);
    this.nanos = new Uint32Array(slots);
    this.sources = new Array<Peer | undefined>(slots).fill(undefined);
    this.destinations = new Array<Peer | undefined>(slots).fill(undefined);
    this.ingressPolicies = new Array<PolicyNames | undefined>(slots).fill(undefined);
    this.egressPolicies = new Array<PolicyNames | undefined>(slots).fill(undefined);
    this.lost = new Array<LostRecord | undefined>(slots).fill(undefined);
  }

  /** Sequence number of the oldest flow that is still there. */
  get tail(): number {
    return Math.max(0, this.head - this.capacity);
  }

  get size(): number {
    return Math.min(this.head, this.capacity);
  }

  /** The slot for a further event. Its fields are the caller's to fill; flows follow by `push`. */
  nextEvent(): number {
    // Each event has at least one flow, so an event slot lives as long as its flows do.
    return this.#events++ & this.#mask;
  }

  push(event: number, kind: number): void {
    const slot = this.head & this.#mask;
    this.kinds[slot] = kind;
    this.#eventOf[slot] = event;
    this.head++;
  }

  /** The event slot of a flow that is in the ring. */
  eventAt(sequence: number): number {
    return this.#eventOf[sequence & this.#mask] ?? 0;
  }

  kindAt(sequence: number): number {
    return this.kinds[sequence & this.#mask] ?? 0;
  }

  pushLost(record: LostRecord): void {
    const event = this.nextEvent();
    this.seconds[event] = record.lastSeconds;
    this.nanos[event] = record.lastNanos;
    this.lost[event] = record;
    this.push(event, flowKind.lost);
  }
}
