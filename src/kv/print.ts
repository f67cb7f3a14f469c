/**
 * @module
 * Tables as text: aligned columns for people, JSON for programs. Rows hold names that come from
 * outside, so what a terminal would obey is escaped.
 */

import type { Column } from './table.ts';

const gap = '   ';

/** Header and one line per row, columns padded to their widest cell. Ends with a newline. */
export function formatTable<Row>(
  columns: readonly Column<Row>[],
  rows: Iterable<Row>,
  options: { readonly header?: boolean } = {},
): string {
  const lines: string[][] = [];
  if (options.header !== false) lines.push(columns.map((column) => column.name.toUpperCase()));
  for (const row of rows) lines.push(columns.map((column) => escapeControl(column.value(row))));
  const widths = columns.map((_, at) => {
    let width = 0;
    for (const line of lines) width = Math.max(width, displayWidth(line[at] ?? ''));
    return width;
  });
  return lines.map((line) => `${formatLine(line, widths)}\n`).join('');
}

/** An indented JSON array of whole rows, not of the columns. Ends with a newline. */
export function formatJson(rows: Iterable<unknown>): string {
  return `${JSON.stringify([...rows], jsonValue, 2)}\n`;
}

/** C0, DEL, C1, line separators and bidirectional overrides as \xNN or \uNNNN. */
export function escapeControl(text: string): string {
  return text.replace(controlCharacters, (char) => {
    const code = char.charCodeAt(0);
    if (code === 0x0a) return '\\n';
    if (code === 0x0d) return '\\r';
    if (code === 0x09) return '\\t';
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
    return `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

const controlCharacters = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

function formatLine(cells: readonly string[], widths: readonly number[]): string {
  let line = '';
  cells.forEach((cell, at) => {
    const pad = (widths[at] ?? 0) - displayWidth(cell);
    line += at === cells.length - 1 ? cell : cell + ' '.repeat(Math.max(0, pad)) + gap;
  });
  return line.trimEnd();
}

function displayWidth(text: string): number {
  return Bun.stringWidth(text);
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return value;
}
