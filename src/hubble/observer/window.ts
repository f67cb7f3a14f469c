/**
 * @module
 * The part of a request that says how much of a ring is wanted: the same five
 * fields for flows, agent events and debug events.
 */
import type { Timestamp } from '../../api/gen/google/protobuf/timestamp.ts';
import { FilterError } from '../filters/predicate.ts';

export interface WindowRequest {
  readonly number: bigint;
  readonly first: boolean;
  readonly follow: boolean;
  readonly since: Timestamp | undefined;
  readonly until: Timestamp | undefined;
}

export interface Window {
  readonly number: number; // 0: no limit
  readonly first: boolean;
  readonly follow: boolean;
  readonly since: number; // nanoseconds are beyond double precision: seconds with fraction
  readonly sinceNanos: number;
  readonly until: number;
  readonly untilNanos: number;
}

/** Throws FilterError for what cannot be combined. */
export function checkWindow(request: WindowRequest): Window {
  if (request.first && request.follow)
    throw new FilterError('first cannot be combined with follow');
  return {
    number: Number(request.number),
    first: request.first,
    follow: request.follow,
    since: seconds(request.since, Number.NEGATIVE_INFINITY),
    sinceNanos: request.since?.nanos ?? 0,
    until: seconds(request.until, Number.POSITIVE_INFINITY),
    untilNanos: request.until?.nanos ?? 0,
  };
}

export function isBefore(window: Window, second: number, nanos: number): boolean {
  return second < window.since || (second === window.since && nanos < window.sinceNanos);
}

export function isAfter(window: Window, second: number, nanos: number): boolean {
  return second > window.until || (second === window.until && nanos > window.untilNanos);
}

/**
 * Where reading starts. `matches` is asked from the newest backwards and only as
 * long as more are wanted.
 */
export function startOf(
  window: Window,
  tail: number,
  head: number,
  look: (sequence: number) => {
    readonly second: number;
    readonly nanos: number;
    matches(): boolean;
  },
): number {
  const hasSince = window.since !== Number.NEGATIVE_INFINITY;
  if (window.first && !hasSince) return tail;
  if (window.follow && window.number === 0 && !hasSince) return head;
  let found = 0;
  for (let at = head - 1; at >= tail; at--) {
    const one = look(at);
    if (hasSince) {
      if (isBefore(window, one.second, one.nanos)) return at + 1;
    } else if (window.number > 0 && !isAfter(window, one.second, one.nanos) && one.matches()) {
      if (++found === window.number) return at;
    }
  }
  return tail;
}

function seconds(time: Timestamp | undefined, otherwise: number): number {
  return time === undefined ? otherwise : Number(time.seconds);
}
