/**
 * @module
 * A protobuf writer into one growing buffer, for the flow message that is
 * encoded by hand. Nested lengths below 128 are patched in place; longer
 * messages are encoded once, cached and copied.
 */

const encoder = new TextEncoder();

export class ProtoBytes {
  buffer: Uint8Array;
  length: number;

  constructor(size: number) {
    this.buffer = new Uint8Array(size);
    this.length = 0;
  }

  /** Makes room for `more` bytes; what is at `from` and later is kept. */
  ensure(more: number): void {
    if (this.length + more <= this.buffer.length) return;
    const larger = new Uint8Array(Math.max(this.buffer.length * 2, this.length + more));
    larger.set(this.buffer.subarray(0, this.length));
    this.buffer = larger;
  }

  byte(value: number): void {
    this.buffer[this.length++] = value;
  }

  varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.buffer[this.length++] = (rest & 0x7f) | 0x80;
      rest = rest > 0x7fffffff ? Math.floor(rest / 128) : rest >>> 7;
    }
    this.buffer[this.length++] = rest;
  }

  /** Raw bytes, tags included. */
  copy(bytes: Uint8Array): void {
    const from = this.length;
    if (bytes.length > 48) {
      this.ensure(bytes.length);
      this.buffer.set(bytes, from);
    } else {
      for (let at = 0; at < bytes.length; at++) this.buffer[from + at] = bytes[at] ?? 0;
    }
    this.length = from + bytes.length;
  }

  /** Text that is known to be ASCII, with its length before it (below 128). */
  ascii(text: string): void {
    const from = this.length;
    this.buffer[from] = text.length;
    for (let at = 0; at < text.length; at++) this.buffer[from + 1 + at] = text.charCodeAt(at);
    this.length = from + 1 + text.length;
  }
}

/** Number of bytes of a varint below 2^32. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  return value < 0x10000000 ? 4 : 5;
}

/** Tag, length and content of a length-delimited field, ready to be copied. */
export function delimited(fieldNumber: number, content: Uint8Array | string): Uint8Array {
  const bytes = typeof content === 'string' ? encoder.encode(content) : content;
  const out = new ProtoBytes(bytes.length + 10);
  out.varint(fieldNumber * 8 + 2);
  out.varint(bytes.length);
  out.copy(bytes);
  return out.buffer.subarray(0, out.length);
}

/** Several byte strings as one. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
