/**
 * @module Text to standard output and standard error by plain writes: `process.stdout` costs 12 ms to
 * load. A reader that went away (`| head`) ends the process quietly, as it would a C program.
 */
import { writeSync } from 'node:fs';

/**
 * What is printed holds names of files, labels and containers that anybody may have chosen: but for
 * tab and newline nothing in it speaks to a terminal.
 */
export function printOut(text: string): void {
  writeAll(1, harmless(text));
}

/** One or more lines for people; adds the newline. Harmless as standard output is. */
export function printError(text: string): void {
  writeAll(2, harmless(text.endsWith('\n') ? text : `${text}\n`));
}

/** Text of our own alone, with its colours and movements, to standard output or standard error. */
export function printStyled(text: string, fd: 1 | 2 = 1): void {
  writeAll(fd, text);
}

function harmless(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|[\p{Cf}\u2028\u2029]/gu, '?');
}

const brokenPipeExit = 141;

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EPIPE') process.exit(brokenPipeExit);
      // A terminal or pipe that another process made non-blocking: wait for it to drain.
      if (code !== 'EAGAIN') throw error;
      Bun.sleepSync(1);
    }
  }
}

/** First lines of an error: its message and, indented by layers, what caused it. */
export function errorText(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  while (current !== undefined && parts.length < causesMax) {
    const text = current instanceof Error ? current.message : String(current);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(': ');
}

const causesMax = 8;
