/**
 * @module Text to standard output and standard error by plain writes: `process.stdout` costs 12 ms to
 * load. A reader that went away (`| head`) ends the process quietly, as it would a C program.
 */
import { writeSync } from 'node:fs';

export function printOut(text: string): void {
  writeAll(1, text);
}

/** One or more lines for people; adds the newline. */
export function printError(text: string): void {
  writeAll(2, text.endsWith('\n') ? text : `${text}\n`);
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
