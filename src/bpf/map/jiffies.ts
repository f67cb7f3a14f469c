/**
 * @module The kernel's jiffies, in which conntrack stamps its entries, as seconds since boot. Read
 * from /proc/timer_list (root only); without it ages are unknown.
 */
import { readFileSync } from 'node:fs';

/** Turns the low 32 bits of a jiffies count into seconds since boot. */
export interface JiffiesClock {
  seconds(stamp: number): number;
  /** Now, in seconds since boot. */
  readonly nowSeconds: number;
}

const ticksPerSecond = [100, 250, 300, 1000] as const;
/** Jiffies start this long before they overflow 32 bits (INITIAL_JIFFIES). */
const startBeforeWrapSeconds = 300;
const wrap = 2 ** 32;

/** Undefined when the file is not readable or does not add up. */
export function jiffiesClock(text = timerList()): JiffiesClock | undefined {
  const now = /^now at (\d+) nsecs/m.exec(text)?.[1];
  const jiffies = /^jiffies: (\d+)/m.exec(text)?.[1];
  if (now === undefined || jiffies === undefined) return undefined;
  const nowSeconds = Number(now) / 1e9;
  const count = Number(jiffies);
  const hz = ticksPerSecond.find((ticks) => {
    const started = wrap - startBeforeWrapSeconds * ticks;
    return Math.abs((count - started) / ticks - nowSeconds) < toleranceSeconds;
  });
  if (hz === undefined) return undefined;
  const low = count % wrap;
  return {
    nowSeconds: Math.floor(nowSeconds),
    seconds: (stamp) => Math.floor(nowSeconds - ((low - stamp + wrap) % wrap) / hz),
  };
}

/** Jiffies lag behind when the tick was off. */
const toleranceSeconds = 5;

function timerList(): string {
  try {
    return readFileSync('/proc/timer_list', 'utf8');
  } catch {
    return '';
  }
}
