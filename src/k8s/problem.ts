/**
 * @module
 * Everything that is wrong with a file, each with the path and the line of its field. The parsers
 * collect all of it before they give up, so that a person fixes a file once.
 */

import type { Place } from './place.ts';

/** Problems kept for one file unless it is said otherwise; what is beyond is counted. */
const problemsMax = 50;

export interface Problem {
  /** The file's name, if the reader was told. */
  readonly source: string | undefined;
  /** Document and field: `default/web: spec.ingress[0]`. */
  readonly path: string;
  readonly message: string;
  /** Both from 1: of the field or of what it should be in; undefined if it is the whole file. */
  readonly line: number | undefined;
  readonly column: number | undefined;
  /** True if what is written is right and only cannot be carried out by this version. */
  readonly unsupported: boolean;
}

/** One line: `line 12: default/web: spec.ingress[0].fromEndpoint: unknown field`. */
export function formatProblem({ source, line, path, message }: Problem): string {
  return `${source === undefined ? '' : `${source}: `}${line === undefined ? '' : `line ${line}: `}${path}: ${message}`;
}

/** Collects; never throws. No text in it has control characters, whatever the file has. */
export class Problems {
  readonly #list: Problem[] = [];
  readonly #source: string | undefined;
  readonly #max: number;
  #more = 0;

  constructor(source?: string, max: number = problemsMax) {
    this.#max = max;
    this.#source = source === undefined ? undefined : printable(source);
  }

  get count(): number {
    return this.#list.length + this.#more;
  }

  /** In the order of the file; what concerns all of it is last. */
  get list(): readonly Problem[] {
    const sorted = this.#list.toSorted((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity) || 0);
    if (this.#more === 0) return sorted;
    return [...sorted, this.#wholeFile(`and ${this.#more} more problems`)];
  }

  add(place: Place, message: string, unsupported = false): void {
    if (this.#list.length >= this.#max) this.#more++;
    else {
      const { line, column } = place.position ?? { line: undefined, column: undefined };
      const path = printable(place.text);
      this.#list.push({
        source: this.#source,
        path,
        message: printable(message),
        line,
        column,
        unsupported,
      });
    }
  }

  /** What is wrong with the file as a whole. */
  addToFile(message: string): void {
    if (this.#list.length >= this.#max) this.#more++;
    else this.#list.push(this.#wholeFile(printable(message)));
  }

  #wholeFile(message: string): Problem {
    const nowhere = { line: undefined, column: undefined };
    return { source: this.#source, path: 'file', message, ...nowhere, unsupported: false };
  }
}

/** Terminals obey control characters, and a line must stay one. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?');
}

/** A value as text in a message: short, on one line. */
export function quote(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // A value that contains itself has no JSON text.
  }
  const shown = text ?? String(value);
  return shown.length > 60 ? `${shown.slice(0, 57)}...` : shown;
}

/** Characters of a text that can stand for a longer name. */
const abbreviationMin = 3;

/** ` (did you mean x?)` for the only name that begins so, or the nearest one, if it is near enough. */
export function suggest(wrong: string, among: Iterable<string>): string {
  if (wrong.length > 64) return '';
  const names = [...among];
  const longer = names.filter((name) => name.toLowerCase().startsWith(wrong.toLowerCase()));
  if (wrong.length >= abbreviationMin && longer.length === 1)
    return ` (did you mean ${longer[0]}?)`;
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.floor(wrong.length / 2)) + 1;
  for (const name of names) {
    const distance = editDistance(wrong.toLowerCase(), name.toLowerCase());
    if (distance >= bestDistance) continue;
    best = name;
    bestDistance = distance;
  }
  return best === undefined ? '' : ` (did you mean ${best}?)`;
}

/** Insertions, deletions, replacements and swaps of neighbours between two short texts. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped =
        row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) cost = Math.min(cost, (beforeLast[column - 2] ?? 0) + 1);
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
