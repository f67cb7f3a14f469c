/**
 * @module
 * Where a hubble command writes: buffered bytes to standard output, lines to standard
 * error. A reader that went away (`| head`) ends the command quietly.
 */
import { writeSync } from 'node:fs';

const bufferBytes = 64 * 1024;
const retryMs = 1;

/** The reader of our output is gone: nobody's mistake, nothing to say. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed';
}

export interface CommandIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly isTerminal: boolean;
  out(bytes: Uint8Array): void;
  err(text: string): void;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Writes all bytes, waiting for a slow reader. Throws OutputClosed. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at, bytes.length - at);
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === 'EPIPE') throw new OutputClosed('write: EPIPE');
      if (code !== 'EAGAIN') throw error;
      Bun.sleepSync(retryMs);
    }
  }
}

/** Text and bytes collected into few writes. */
export class BufferedOutput {
  readonly #write: (bytes: Uint8Array) => void;
  #buffer = new Uint8Array(bufferBytes);
  #length = 0;

  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  text(text: string): void {
    // Three bytes at most for a UTF-16 unit.
    if (this.#length + text.length * 3 > this.#buffer.length) this.flush();
    if (text.length * 3 > this.#buffer.length) {
      this.#write(new TextEncoder().encode(text));
      return;
    }
    const target = this.#buffer.subarray(this.#length);
    this.#length += new TextEncoder().encodeInto(text, target).written;
  }

  bytes(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#buffer.length) this.flush();
    if (bytes.length > this.#buffer.length) {
      this.#write(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  flush(): void {
    if (this.#length === 0) return;
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    this.#write(bytes);
  }
}

/** Remote strings must not steer the terminal: control characters are shown as `\x1b`. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are escaped
  const control = /[\u0000-\u001f\u007f-\u009f]/;
  if (!control.test(text)) return text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are escaped
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (char) => {
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
