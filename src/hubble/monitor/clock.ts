/**
 * @module
 * The distance between CLOCK_MONOTONIC, which stamps kernel events, and wall time.
 * The kernel prints its monotonic clock in /proc/timer_list; without the right to read
 * that, uptime is nearly the same.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import type { ClockOffset } from '../parser/parser.ts';

const headBytes = 256;
const nanosPerSecond = 1_000_000_000n;
const samples = 5;

/** Measures the offset; good to a fraction of a millisecond. */
export function measureClockOffset(): ClockOffset {
  let best = 0n;
  for (let sample = 0; sample < samples; sample++) {
    // Date counts whole milliseconds: the largest difference saw one just begin.
    const difference = BigInt(nextMillisecond()) * 1_000_000n - monotonicNanos();
    if (sample === 0 || difference > best) best = difference;
  }
  return { seconds: Number(best / nanosPerSecond), nanos: Number(best % nanosPerSecond) };
}

function nextMillisecond(): number {
  const start = Date.now();
  let now = start;
  while (now === start) now = Date.now();
  return now;
}

function monotonicNanos(): bigint {
  return timerListNanos() ?? uptimeNanos();
}

function timerListNanos(): bigint | undefined {
  try {
    const fd = openSync('/proc/timer_list', 'r');
    try {
      const head = Buffer.alloc(headBytes);
      const length = readSync(fd, head, 0, headBytes, 0);
      const now = /now at (\d+) nsecs/.exec(head.toString('latin1', 0, length))?.[1];
      return now === undefined ? undefined : BigInt(now);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined; // not allowed, or not in this kernel: uptime will do
  }
}

function uptimeNanos(): bigint {
  const text = readFileSync('/proc/uptime', 'utf8').split(' ')[0] ?? '0';
  return BigInt(Math.round(Number(text) * 1000)) * 1_000_000n;
}
