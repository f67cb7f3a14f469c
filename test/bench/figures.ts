/**
 * @module What a benchmark says: figures with the baseline of the same run, their spread and the bar,
 * and the statistics behind them. Nothing here fails a run: figures are read, not asserted.
 */

/** One line of the table. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  /** What it is compared with, measured in the same run. */
  readonly baseline?: string;
  readonly ratio?: string;
  readonly spread?: string;
  readonly bar?: string;
  readonly met?: boolean;
}

/** The value below which the given share of the samples lies. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1));
  return sorted[at] ?? Number.NaN;
}

export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[half] ?? Number.NaN;
  return ((sorted[half - 1] ?? Number.NaN) + (sorted[half] ?? Number.NaN)) / 2;
}

/** 95 % interval of the median, by drawing the samples again and again. */
export function medianInterval(samples: readonly number[], draws = 4000): [number, number] {
  // A generator of our own, so that the same samples give the same interval.
  let state = 0x9e3779b9;
  const next = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const medians = Array.from({ length: draws }, () =>
    median(samples.map(() => samples[next(samples.length)] ?? Number.NaN)),
  );
  return [percentile(medians, 0.025), percentile(medians, 0.975)];
}

/** The interval of the median, then lowest and highest. */
export function intervalOf(samples: readonly number[], digits = 1, scale = 1): string {
  const [low, high] = medianInterval(samples).map((value) => (value * scale).toFixed(digits));
  return `${low}–${high} (${spreadOf(samples, digits, scale)})`;
}

/** Lowest and highest. */
export function spreadOf(samples: readonly number[], digits = 1, scale = 1): string {
  const show = (value: number) => (value * scale).toFixed(digits);
  return `${show(Math.min(...samples))}..${show(Math.max(...samples))} (n=${samples.length})`;
}

export function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(1)} %`;
}

/** The table, as Markdown: for the terminal and for docs/figures.md. */
export function tableOf(figures: readonly Figure[]): string {
  const head = ['figure', 'value', 'baseline', 'ratio', 'spread', 'bar', 'met'];
  const rows = figures.map((figure) => [
    figure.name,
    figure.value,
    figure.baseline ?? '',
    figure.ratio ?? '',
    figure.spread ?? '',
    figure.bar ?? '',
    figure.met === undefined ? '' : figure.met ? 'yes' : 'NO',
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}
