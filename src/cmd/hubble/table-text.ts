/**
 * @module
 * Aligned columns: each as wide as its widest cell, three spaces between. Widths only
 * grow, so that a stream of batches stays readable.
 */

const gap = 3;
// Colours take no room on the screen.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they begin with escape
const colorCodes = /\u001b\[[0-9;]*m/g;

function width(cell: string): number {
  return cell.includes('\u001b') ? cell.replace(colorCodes, '').length : cell.length;
}

export class TextTable {
  readonly #widths: number[] = [];
  #rows: (readonly string[])[] = [];

  add(row: readonly string[]): void {
    this.#rows.push(row);
    row.forEach((cell, column) => {
      this.#widths[column] = Math.max(this.#widths[column] ?? 0, width(cell));
    });
  }

  get size(): number {
    return this.#rows.length;
  }

  /** The rows so far as text, which are then forgotten. */
  take(): string {
    const rows = this.#rows;
    this.#rows = [];
    return rows.map((row) => `${this.#line(row)}\n`).join('');
  }

  #line(row: readonly string[]): string {
    let text = '';
    row.forEach((cell, column) => {
      text += cell;
      if (column === row.length - 1) return;
      text += ' '.repeat((this.#widths[column] ?? 0) - width(cell) + gap);
    });
    return text;
  }
}
