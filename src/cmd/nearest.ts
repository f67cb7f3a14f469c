/**
 * @module What somebody may have meant: the known word that is fewest letters away. Nothing else, as
 * main.ts needs it before anything is loaded.
 */

/** The nearest word, if it is near enough to be worth a hint. */
export function nearest(wrong: string, words: readonly string[]): string | undefined {
  let best: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  if (wrong.length > lettersMax) return undefined;
  for (const word of words) {
    const steps = distance(wrong, word);
    if (steps > Math.max(1, word.length / 3) || steps >= fewest) continue;
    [best, fewest] = [word, steps];
  }
  return best;
}

const lettersMax = 64;

/** Letters to insert, delete or change to get from one word to the other. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const changed = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
