/**
 * @module Columns of text, laid out as people's scripts expect them from upstream's commands: a cell
 * is as wide as the widest in the unbroken run of lines that have it, plus three spaces; what follows
 * the last cell of a line is not a cell and gets no padding.
 */

import { printable } from '../k8s/problem.ts';

/** A line: its cells and the text after the last of them (`''` when every column is a cell). */
export type Line = readonly string[];

const paddingColumns = 3;
const minimumColumns = 5;

/**
 * Lays out lines; the last element of each is the text after the cells. Ends with a newline unless
 * there are no lines. Names of files and labels are in cells: no cell speaks to a terminal or looks
 * like a line.
 */
export function formatLines(given: readonly Line[]): string {
  const lines = given.map((line) => line.map(printable));
  const out = lines.map(() => '');
  layOut(lines, out, 0, lines.length, 0);
  return out.map((line, index) => `${line}${lines[index]?.at(-1) ?? ''}\n`).join('');
}

/** A table whose every column is padded, also the last one. */
export function formatTable(header: Line, rows: readonly Line[]): string {
  return formatLines([header, ...rows].map((line) => [...line, '']));
}

/** Pads column `column` of lines `from..to` and, run by run, the columns after it. */
function layOut(
  lines: readonly Line[],
  out: string[],
  from: number,
  to: number,
  column: number,
): void {
  let start = from;
  while (start < to) {
    if (!hasCell(lines[start], column)) {
      start++;
      continue;
    }
    let end = start;
    while (end < to && hasCell(lines[end], column)) end++;
    padRun(lines, out, start, end, column);
    layOut(lines, out, start, end, column + 1);
    start = end;
  }
}

function hasCell(line: Line | undefined, column: number): boolean {
  return line !== undefined && column < line.length - 1;
}

function padRun(lines: readonly Line[], out: string[], from: number, to: number, column: number) {
  let width = minimumColumns;
  for (let index = from; index < to; index++) {
    width = Math.max(width, columnsOf(lines[index]?.[column]) + paddingColumns);
  }
  for (let index = from; index < to; index++) {
    const cell = lines[index]?.[column] ?? '';
    out[index] += cell + ' '.repeat(width - columnsOf(cell));
  }
}

/** Characters, not UTF-16 units. */
function columnsOf(cell: string | undefined): number {
  return cell === undefined ? 0 : [...cell].length;
}
