/**
 * @module
 * The log: one line per event to standard error, as logfmt or JSON, with level, subsystem and
 * fields. Values are cleaned on the way out (redact.ts), so that a secret or a control character
 * that somebody put into a name never gets there.
 */

import { writeSync } from 'node:fs';
import { errorText } from '../../kv/error.ts';
import { cleanText, isSecretName, redacted } from './redact.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface LogOptions {
  readonly level?: LogLevel;
  readonly format?: 'logfmt' | 'json';
  /** Takes one line with its newline. Tests read it here. */
  readonly write?: (line: string) => void;
}

const valueCharactersMax = 1024;
const messageCharactersMax = 2048;
const fieldsMax = 64;
const listItemsMax = 64;
const depthMax = 4;

const severity: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

let levelMin = severity.info;
let format: 'logfmt' | 'json' = 'logfmt';
let write: (line: string) => void = writeStderr;
let onLine: ((level: LogLevel, subsystem: string) => void) | undefined;
let dropped = 0;

/** Changes how all loggers write, those that exist already too. */
export function configureLog(options: LogOptions): void {
  if (options.level !== undefined) levelMin = severity[options.level];
  if (options.format !== undefined) format = options.format;
  if (options.write !== undefined) write = options.write;
}

/** Takes `debug` and `log-opt` of the agent's configuration. */
export function configureLogFrom(config: {
  readonly debug: boolean;
  readonly logOpt: Readonly<Record<string, string>>;
}): void {
  const name = config.logOpt.level?.toLowerCase() ?? 'info';
  const known = name === 'warning' ? 'warn' : name === 'fatal' || name === 'panic' ? 'error' : name;
  const level = config.debug ? 'debug' : known in severity ? (known as LogLevel) : 'info';
  configureLog({
    level,
    format: config.logOpt.format?.startsWith('json') === true ? 'json' : 'logfmt',
  });
}

/** Hears of every line of level warn or error, for the metric that counts them. */
export function countLines(listener: (level: LogLevel, subsystem: string) => void): void {
  onLine = listener;
}

/** Lines that standard error did not take because its reader is too slow. */
export function droppedLines(): number {
  return dropped;
}

/** The logger of a subsystem, named as in `endpoint` or `policy.reconciler`. */
export function logger(subsystem: string): Logger {
  const at = (level: LogLevel) => (message: string, fields?: LogFields) => {
    if (severity[level] >= severity.warn) onLine?.(level, subsystem);
    if (severity[level] < levelMin) return;
    write(`${formatLine(level, subsystem, message, fields)}\n`);
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function formatLine(
  level: LogLevel,
  subsystem: string,
  message: string,
  fields: LogFields = {},
): string {
  const line: [string, unknown][] = [
    ['time', new Date().toISOString()],
    ['level', level],
    ['subsys', cleanText(subsystem, valueCharactersMax)],
    ['msg', cleanText(message, messageCharactersMax)],
  ];
  const taken = new Set(['time', 'level', 'subsys', 'msg']);
  let count = 0;
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (++count > fieldsMax) break;
    const shown = cleanText(name, 64).replace(/[\s="\\]/g, '_');
    line.push([taken.has(shown) ? `field.${shown}` : shown, clean(name, value, 0)]);
  }
  if (format === 'json') return JSON.stringify(Object.fromEntries(line));
  return line.map(([name, value]) => `${name}=${logfmtValue(value)}`).join(' ');
}

/** A value that holds only what may be logged, in types that JSON knows. */
function clean(name: string, value: unknown, depth: number): unknown {
  if (isSecretName(name)) return redacted;
  switch (typeof value) {
    case 'string':
      return cleanText(value, valueCharactersMax);
    case 'number':
    case 'boolean':
      return value;
    case 'object':
      return value === null ? null : cleanObject(value, depth);
    default:
      return cleanText(String(value), valueCharactersMax);
  }
}

function cleanObject(value: object, depth: number): unknown {
  if (value instanceof Error) return cleanText(errorText(value), valueCharactersMax);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `(${value.byteLength} bytes)`;
  if (depth >= depthMax) return '(…)';
  if (Array.isArray(value) || value instanceof Set) {
    const items = [...value];
    const shown = items.slice(0, listItemsMax).map((item) => clean('', item, depth + 1));
    return items.length > listItemsMax ? [...shown, `…(${items.length} items)`] : shown;
  }
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(
    entries
      .slice(0, fieldsMax)
      .map(([key, item]) => [cleanText(String(key), 64), clean(String(key), item, depth + 1)]),
  );
}

function logfmtValue(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  // Control characters are escaped already; a quote would end the value early.
  return /^[^\s="]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`;
}

function writeStderr(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // A full or closed pipe must not stop the agent, and there is nowhere left to complain.
    dropped++;
  }
}
