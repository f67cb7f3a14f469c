/**
 * @module
 * Times as the command line takes and prints them: durations (`1h30m`), RFC 3339, and
 * the named formats of `--time-format`.
 */
import type { Timestamp } from '../../api/gen/google/protobuf/timestamp.ts';
import { UsageError } from './usage-error.ts';

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const unitNanos: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** `1h2m3.5s` in nanoseconds, or undefined. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    sum += Number(number) * (unitNanos[unit ?? ''] ?? 0);
  }
  return sum;
}

/** A moment: a duration ago, or RFC 3339, or a date and perhaps a time of this place. */
export function parseMoment(text: string, flag: string, nowMs: number): Timestamp {
  const ago = parseDuration(text);
  if (ago !== undefined) return fromMillis(nowMs - ago / 1e6);
  const match =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?)?$/i.exec(
      text,
    );
  const millis =
    match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2] ?? '00:00'}${match[4] ?? ''}`);
  if (Number.isNaN(millis)) {
    throw new UsageError(
      `--${flag} ${text}: neither a duration (5m) nor a time (2006-01-02T15:04:05Z)`,
    );
  }
  const time = fromMillis(millis);
  return { seconds: time.seconds, nanos: Number((match?.[3] ?? '').padEnd(9, '0')) };
}

function fromMillis(millis: number): Timestamp {
  const seconds = Math.floor(millis / 1000);
  return { seconds: BigInt(seconds), nanos: Math.floor((millis - seconds * 1000) * 1e6) };
}

/** The names that `--time-format` takes. */
export const timeFormats = [
  'StampMilli',
  'RFC3339',
  'RFC3339Milli',
  'RFC3339Micro',
  'RFC3339Nano',
  'RFC1123Z',
] as const;

export type TimeFormat = (typeof timeFormats)[number];

const two = (value: number) => String(value).padStart(2, '0');

/** The time here, in the named format; empty for none. */
export function formatTime(time: Timestamp | undefined, format: TimeFormat): string {
  if (time === undefined) return '';
  const date = new Date(Number(time.seconds) * 1000);
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const nanos = String(time.nanos).padStart(9, '0');
  const month = months[date.getMonth()];
  if (format === 'StampMilli') {
    return `${month} ${String(date.getDate()).padStart(2, ' ')} ${clock}.${nanos.slice(0, 3)}`;
  }
  if (format === 'RFC1123Z') {
    const day = `${weekdays[date.getDay()]}, ${two(date.getDate())} ${month} ${date.getFullYear()}`;
    return `${day} ${clock} ${zone(date, '')}`;
  }
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const offset = date.getTimezoneOffset() === 0 ? 'Z' : zone(date, ':');
  return `${day}T${clock}${fraction(format, nanos)}${offset}`;
}

function fraction(format: TimeFormat, nanos: string): string {
  if (format === 'RFC3339Milli') return `.${nanos.slice(0, 3)}`;
  if (format === 'RFC3339Micro') return `.${nanos.slice(0, 6)}`;
  if (format !== 'RFC3339Nano') return '';
  const trimmed = nanos.replace(/0+$/, '');
  return trimmed === '' ? '' : `.${trimmed}`;
}

function zone(date: Date, separator: string): string {
  const minutes = -date.getTimezoneOffset();
  const absolute = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(absolute / 60))}${separator}${two(absolute % 60)}`;
}

/** Nanoseconds as `1h2m3.5s`. */
export function formatDuration(nanos: bigint): string {
  if (nanos < 1_000_000_000n) {
    if (nanos === 0n) return '0s';
    if (nanos < 1000n) return `${nanos}ns`;
    const [divisor, unit] = nanos < 1_000_000n ? [1000, 'µs'] : [1e6, 'ms'];
    return `${Number(nanos) / Number(divisor)}${unit}`;
  }
  const seconds = nanos / 1_000_000_000n;
  const rest = String(nanos % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  const hours = seconds / 3600n;
  const minutes = (seconds % 3600n) / 60n;
  const tail = `${seconds % 60n}${rest === '' ? '' : `.${rest}`}s`;
  if (hours > 0n) return `${hours}h${minutes}m${tail}`;
  return minutes > 0n ? `${minutes}m${tail}` : tail;
}
