/**
 * @module Rows to standard output in pieces, whatever their number, and progress on a terminal.
 */
import { isatty } from 'node:tty';
import { printOut, printStyled } from '../terminal.ts';

const pieceBytes = 64 * 1024;

/** Lines, or with `asList` the entries of one JSON list. Disposing writes the rest. */
export class RowWriter implements Disposable {
  readonly #asList: boolean;
  #piece = '';
  #rows = 0;

  constructor(asList: boolean) {
    this.#asList = asList;
    if (asList) this.#piece = '[';
  }

  row(text: string): void {
    const before = !this.#asList ? '' : this.#rows === 0 ? '\n' : ',\n';
    this.#rows++;
    this.#piece += this.#asList ? `${before}${text}` : `${text}\n`;
    if (this.#piece.length < pieceBytes) return;
    printOut(this.#piece);
    this.#piece = '';
  }

  [Symbol.dispose](): void {
    if (this.#asList) this.#piece += '\n]\n';
    if (this.#piece !== '') printOut(this.#piece);
  }
}

const progressIntervalMs = 500;
/** The line above, emptied. */
const lineUp = '\u001b[1A\u001b[2K';

/** One line on standard error that replaces itself; nothing without a terminal. */
export class Progress implements Disposable {
  readonly #what: string;
  readonly #total: number;
  readonly #shown = isatty(2) && !isatty(1);
  #last = Date.now();
  #dirty = false;

  constructor(what: string, total: number) {
    this.#what = what;
    this.#total = total;
  }

  at(done: number): void {
    if (!this.#shown || Date.now() - this.#last < progressIntervalMs) return;
    this.#last = Date.now();
    printStyled(`${this.#dirty ? lineUp : ''}${done} of ${this.#total} ${this.#what}\n`, 2);
    this.#dirty = true;
  }

  [Symbol.dispose](): void {
    if (this.#dirty) printStyled(`${lineUp}${this.#total} ${this.#what}\n`, 2);
  }
}
