/**
 * @module
 * Everything that is wrong with a document, each with the full path of its field. The parser
 * collects all of it before it gives up, so that a person fixes a file once.
 */

/** Problems kept for one file; what is beyond is counted. */
const problemsMax = 50;

/** Collects; never throws. */
export class Problems {
  readonly #texts: string[] = [];
  #more = 0;

  get count(): number {
    return this.#texts.length + this.#more;
  }

  /** One line a problem. */
  get texts(): readonly string[] {
    return this.#more === 0 ? this.#texts : [...this.#texts, `and ${this.#more} more`];
  }

  add(path: string, message: string): void {
    if (this.#texts.length >= problemsMax) this.#more++;
    else this.#texts.push(`${path}: ${message}`);
  }
}

/** A value as text in a message: short, on one line, without control bytes. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** ` (did you mean x?)` for the nearest name, if one is near enough. */
export function suggest(wrong: string, names: Iterable<string>): string {
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.floor(wrong.length / 2)) + 1;
  if (wrong.length > 64) return '';
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
