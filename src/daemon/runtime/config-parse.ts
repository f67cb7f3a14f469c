/**
 * @module
 * Text → option values, as Go's flag parsers read it: booleans, numbers, durations, lists, maps,
 * listen addresses. Pure. Reasons of refusal are thrown as SyntaxError; who knows the option's name
 * makes a ConfigError of them.
 */

import type { OptionType } from './config-options.ts';

export type OptionValue =
  | string
  | boolean
  | number
  | readonly string[]
  | Readonly<Record<string, string>>;

/** The value of one option. Durations become milliseconds. */
export function parseValue(type: OptionType, text: string): OptionValue {
  switch (type) {
    case 'string':
      return text;
    case 'bool':
      return parseBool(text);
    case 'int':
      return parseInteger(text, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    case 'uint':
      return parseInteger(text, 0, Number.MAX_SAFE_INTEGER);
    case 'uint16':
      return parseInteger(text, 0, 0xffff);
    case 'uint32':
      return parseInteger(text, 0, 0xffff_ffff);
    case 'float':
      return parseFloatingPoint(text);
    case 'duration':
      return parseDuration(text);
    case 'strings':
      return parseList(text);
    case 'map':
      return parseMap(text);
  }
}

const yes = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const no = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

export function parseBool(text: string): boolean {
  if (yes.has(text)) return true;
  if (no.has(text)) return false;
  throw new SyntaxError(`${quote(text)} is neither true nor false`);
}

export function parseInteger(text: string, min: number, max: number): number {
  if (!/^[+-]?(\d{1,20}|0[xX][0-9a-fA-F]{1,16})$/.test(text)) {
    throw new SyntaxError(`${quote(text)} is not a whole number`);
  }
  const digits = text.replace(/^[+-]/, '');
  const value = text.startsWith('-') ? 0 - Number(digits) : Number(digits);
  if (value < min || value > max) {
    throw new SyntaxError(`${text} is not between ${min} and ${max}`);
  }
  return value;
}

function parseFloatingPoint(text: string): number {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$/.test(text) || text.length > 64) {
    throw new SyntaxError(`${quote(text)} is not a number`);
  }
  const value = Number(text);
  if (!Number.isFinite(value)) throw new SyntaxError(`${quote(text)} is too large`);
  return value;
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
/** Go counts nanoseconds in 63 bits. */
const durationMsMax = 2 ** 63 / 1e6;

/** A Go duration (`2h13m20s`, `1.5h`, `100ms`, `0`) in milliseconds. Negative ones are refused. */
export function parseDuration(text: string): number {
  if (text === '0' || text === '+0') return 0;
  const part = /(\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(ns|us|µs|μs|ms|s|m|h)/y;
  part.lastIndex = text.startsWith('+') ? 1 : 0;
  let ms = 0;
  let end = part.lastIndex;
  for (let match = part.exec(text); match !== null; match = part.exec(text)) {
    ms += Number(match[1]) * (unitMs[match[2] ?? ''] ?? 0);
    end = part.lastIndex;
  }
  if (end !== text.length || end < 2) {
    throw new SyntaxError(`${quote(text)} is not a duration such as 5s, 1m30s or 2h`);
  }
  if (ms > durationMsMax) throw new SyntaxError(`${quote(text)} is too long`);
  return ms;
}

/** As Go prints it: `2h13m20s`, `1m0s`, `100ms`, `0s`. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  const totalSeconds = Math.floor(ms / 1000);
  const ns = Math.round((ms - totalSeconds * 1000) * 1e6);
  if (ns >= 1e9) return formatDuration((totalSeconds + 1) * 1000);
  if (totalSeconds === 0) {
    if (ns === 0) return '0s';
    if (ns < 1000) return `${ns}ns`;
    return ns < 1e6 ? `${ns / 1000}µs` : `${ns / 1e6}ms`;
  }
  const fraction = ns === 0 ? '' : `.${String(ns).padStart(9, '0').replace(/0+$/, '')}`;
  const hours = Math.floor(totalSeconds / 3600);
  const minutes = Math.floor((totalSeconds % 3600) / 60);
  const seconds = `${totalSeconds % 60}${fraction}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

/** Separated by commas, or, where there is none, by white space. */
export function parseList(text: string): readonly string[] {
  const items = text.includes(',') ? text.split(',') : text.split(/\s+/);
  return items.map((item) => item.trim()).filter((item) => item !== '');
}

/** `key=value,…` or a JSON object of strings. */
export function parseMap(text: string): Readonly<Record<string, string>> {
  const trimmed = text.trim();
  if (trimmed === '') return {};
  if (trimmed.startsWith('{')) return parseJsonMap(trimmed);
  const entries: [string, string][] = [];
  for (const item of trimmed.split(',')) {
    const at = item.indexOf('=');
    const key = item.slice(0, at).trim();
    if (at < 0 || key === '') throw new SyntaxError(`${quote(item)} is not key=value`);
    entries.push([key, item.slice(at + 1).trim()]);
  }
  return Object.fromEntries(entries);
}

function parseJsonMap(text: string): Readonly<Record<string, string>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SyntaxError(`${quote(text)} is not JSON`, { cause });
  }
  const entries = Object.entries(value as object);
  for (const [key, item] of entries) {
    if (typeof item !== 'string')
      throw new SyntaxError(`the value of ${quote(key)} is not a string`);
  }
  return Object.fromEntries(entries);
}

/** `hostname` is undefined for all addresses, as in `:9962`. */
export interface ListenAddress {
  readonly hostname: string | undefined;
  readonly port: number;
}

/** `:9962`, `127.0.0.1:9962`, `[::1]:9962`, `localhost:9962`. Port 0 lets the kernel choose. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([^:[\]\s]{0,253})):(\d{1,5})$/.exec(text);
  if (match === null) throw new SyntaxError(`${quote(text)} is not an address such as :9962`);
  const hostname = match[1] ?? match[2] ?? '';
  return {
    hostname: hostname === '' ? undefined : hostname,
    port: parseInteger(match[3] ?? '', 0, 0xffff),
  };
}

/** The known name nearest to a mistyped one, if any is near enough to be meant. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const limit = Math.max(2, Math.floor(name.length / 4));
  let best: string | undefined;
  let bestDistance = limit + 1;
  if (name.length > 80) return undefined;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replace, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}

const quotedCharactersMax = 64;

/** Text from outside, short enough and harmless in a message. */
export function quote(text: string): string {
  const shown = text.length > quotedCharactersMax ? `${text.slice(0, quotedCharactersMax)}…` : text;
  return escapeControls(JSON.stringify(shown));
}

/** Control characters as JSON writes them, those beyond ASCII too, which JSON leaves. */
export function escapeControls(text: string): string {
  return text.replace(
    /\p{Cc}/gu,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
