/**
 * @module
 * Protobuf bytes → JSON text, without building messages in between: field names
 * as in the .proto, enums by name, 64-bit numbers as strings, timestamps with
 * nanoseconds. Control characters never get through to a terminal.
 */
import { type FieldSchema, fieldType, lowerCamel, type MessageSchema } from './schema.ts';

const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const comma = 0x2c;
const quote = 0x22;
const backslash = 0x5c;
const hexDigits = new TextEncoder().encode('0123456789abcdef');
const encoder = new TextEncoder();
const initialBytes = 64 * 1024;

/** Wrappers and other types that JSON writes as something else than an object. */
const wrapperNames = /^google\.protobuf\.(Double|Float|U?Int64|U?Int32|Bool|String|Bytes)Value$/;

/** Collects JSON text in one growing buffer. Feed it messages, take the bytes, `clear` it. */
export class JsonWriter {
  #out = new Uint8Array(initialBytes);
  #length = 0;
  #in: Uint8Array = new Uint8Array(0);
  #pos = 0;
  #lastSeconds = -1;
  #lastSecondsText: Uint8Array = new Uint8Array(0);

  get length(): number {
    return this.#length;
  }

  /** A view of what was written; valid until the next call. */
  bytes(): Uint8Array {
    return this.#out.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  writeText(text: string): void {
    this.#ensure(text.length * 3);
    this.#length += encoder.encodeInto(text, this.#out.subarray(this.#length)).written;
  }

  writeByte(byte: number): void {
    this.#ensure(1);
    this.#out[this.#length++] = byte;
  }

  /** Appends one encoded message as a JSON value. Throws a RangeError for truncated input. */
  writeMessage(schema: MessageSchema, input: Uint8Array): void {
    this.#in = input;
    this.#pos = 0;
    this.#message(schema, input.length);
  }

  #message(schema: MessageSchema, end: number): void {
    if (end > this.#in.length) throw new RangeError(`decode ${schema.name}: truncated`);
    if (schema.name.startsWith('google.protobuf.') && this.#wellKnown(schema, end)) return;
    const start = this.#pos;
    const outStart = this.#length;
    if (this.#inOrder(schema, end)) return;
    this.#length = outStart;
    this.#pos = start;
    this.#sorted(schema, end);
  }

  /** Writes the fields as they come; gives up (false) when they are not in declaration order. */
  #inOrder(schema: MessageSchema, end: number): boolean {
    this.writeByte(openBrace);
    let last: FieldSchema | undefined;
    while (this.#pos < end) {
      const tag = this.#varint();
      const field = lookUp(schema, tag >>> 3);
      if (field === undefined) {
        this.#skip(tag & 7);
        continue;
      }
      if (last !== undefined && (field.index < last.index || (field === last && !field.repeated))) {
        return false;
      }
      this.#separate(last, field);
      last = field;
      this.#value(field, tag & 7);
    }
    this.#close(last);
    if (this.#pos > end) throw new RangeError(`decode ${schema.name}: truncated`);
    return true;
  }

  /** The slow way: any order, the last of a repeated singular field wins. */
  #sorted(schema: MessageSchema, end: number): void {
    const found: { field: FieldSchema; wire: number; pos: number }[] = [];
    while (this.#pos < end) {
      const tag = this.#varint();
      const field = lookUp(schema, tag >>> 3);
      if (field !== undefined) found.push({ field, wire: tag & 7, pos: this.#pos });
      this.#skip(tag & 7);
    }
    found.sort((a, b) => a.field.index - b.field.index || a.pos - b.pos);
    this.writeByte(openBrace);
    let last: FieldSchema | undefined;
    found.forEach((entry, index) => {
      if (!entry.field.repeated && found[index + 1]?.field === entry.field) return;
      this.#separate(last, entry.field);
      last = entry.field;
      this.#pos = entry.pos;
      this.#value(entry.field, entry.wire);
    });
    this.#close(last);
    this.#pos = end;
  }

  #separate(last: FieldSchema | undefined, field: FieldSchema): void {
    if (last !== undefined) {
      if (last.repeated && last !== field) this.writeByte(closeBracket);
      this.writeByte(comma);
    }
    if (last === field) return;
    this.#ascii(field.quotedKey);
    if (field.repeated) this.writeByte(openBracket);
  }

  #close(last: FieldSchema | undefined): void {
    if (last?.repeated === true) this.writeByte(closeBracket);
    this.writeByte(closeBrace);
  }

  #value(field: FieldSchema, wire: number): void {
    if (field.message !== undefined) {
      const end = this.#lengthPrefix();
      this.#message(field.message, end);
      return;
    }
    if (field.type === fieldType.string) {
      this.#string(this.#lengthPrefix());
      return;
    }
    if (field.type === fieldType.bytes) {
      const end = this.#lengthPrefix();
      this.writeText(`"${Buffer.from(this.#in.subarray(this.#pos, end)).toString('base64')}"`);
      this.#pos = end;
      return;
    }
    if (wire !== 2) {
      this.#scalar(field);
      return;
    }
    const end = this.#lengthPrefix();
    for (let first = true; this.#pos < end; first = false) {
      if (!first) this.writeByte(comma);
      this.#scalar(field);
    }
  }

  #scalar(field: FieldSchema): void {
    switch (field.type) {
      case fieldType.enum: {
        const value = this.#varint();
        const name = field.enumeration?.names.get(value);
        this.writeText(name === undefined ? String(value) : `"${name}"`);
        return;
      }
      case fieldType.bool:
        this.writeText(this.#varint() === 0 ? 'false' : 'true');
        return;
      case fieldType.uint32:
        this.#decimal(this.#varint());
        return;
      case fieldType.int32:
        this.#decimal(Number(BigInt.asIntN(32, this.#varint64())));
        return;
      case fieldType.uint64:
        this.writeText(`"${this.#varint64()}"`);
        return;
      case fieldType.int64:
        this.writeText(`"${BigInt.asIntN(64, this.#varint64())}"`);
        return;
      case fieldType.double:
        this.writeText(formatDouble(this.#view(8).getFloat64(0, true)));
        return;
      case fieldType.float:
        this.writeText(formatDouble(this.#view(4).getFloat32(0, true)));
        return;
      default:
        throw new RangeError(`decode ${field.name}: type ${field.type} is not supported`);
    }
  }

  #wellKnown(schema: MessageSchema, end: number): boolean {
    if (schema.name === 'google.protobuf.Timestamp') {
      this.#timestamp(end);
      return true;
    }
    if (schema.name === 'google.protobuf.FieldMask') {
      const paths: string[] = [];
      while (this.#pos < end) {
        this.#varint();
        const stop = this.#lengthPrefix();
        paths.push(lowerCamel(Buffer.from(this.#in.subarray(this.#pos, stop)).toString('utf8')));
        this.#pos = stop;
      }
      this.writeText(JSON.stringify(paths.join(',')));
      return true;
    }
    if (!wrapperNames.test(schema.name)) return false;
    const value = schema.fields[0];
    if (value === undefined) return false;
    if (this.#pos >= end) {
      this.writeText(emptyWrapper(value.type));
      return true;
    }
    while (this.#pos < end) {
      const tag = this.#varint();
      if (tag >>> 3 === 1) this.#value(value, tag & 7);
      else this.#skip(tag & 7);
    }
    return true;
  }

  #timestamp(end: number): void {
    let seconds = 0;
    let nanos = 0;
    while (this.#pos < end) {
      const tag = this.#varint();
      if (tag === 8) seconds = Number(BigInt.asIntN(64, this.#varint64()));
      else if (tag === 16) nanos = this.#varint();
      else this.#skip(tag & 7);
    }
    this.writeByte(quote);
    if (seconds !== this.#lastSeconds) {
      const date = new Date(seconds * 1000);
      const text = Number.isNaN(date.getTime())
        ? '0001-01-01T00:00:00'
        : date.toISOString().slice(0, 19);
      this.#lastSecondsText = encoder.encode(text);
      this.#lastSeconds = seconds;
    }
    this.#ascii(this.#lastSecondsText);
    if (nanos > 0) this.#fraction(nanos);
    this.writeText('Z"');
  }

  /** Three, six or nine digits, as many as the value needs. */
  #fraction(nanos: number): void {
    let digits = 9;
    let rest = nanos;
    while (digits > 3 && rest % 1000 === 0) {
      rest = rest / 1000;
      digits -= 3;
    }
    this.#ensure(digits + 1);
    this.#out[this.#length++] = 0x2e;
    for (let at = digits - 1; at >= 0; at--) {
      this.#out[this.#length + at] = 0x30 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    this.#length += digits;
  }

  #string(end: number): void {
    const input = this.#in;
    this.#ensure((end - this.#pos) * 6 + 2);
    const out = this.#out;
    let at = this.#length;
    out[at++] = quote;
    for (let pos = this.#pos; pos < end; pos++) {
      const byte = input[pos] ?? 0;
      if (byte >= 0x20 && byte !== quote && byte !== backslash && byte < 0x7f) {
        out[at++] = byte;
      } else if (byte === quote || byte === backslash) {
        out[at++] = backslash;
        out[at++] = byte;
      } else if (byte === 0xc2 && (input[pos + 1] ?? 0) < 0xa0) {
        // U+0080 to U+009F: terminals act on these too.
        at = escapeUnit(out, at, input[++pos] ?? 0);
      } else if (byte > 0x7f) {
        out[at++] = byte;
      } else {
        at = escapeUnit(out, at, byte);
      }
    }
    out[at++] = quote;
    this.#length = at;
    this.#pos = end;
  }

  #decimal(value: number): void {
    if (value < 0 || value > 99999) {
      this.writeText(String(value));
      return;
    }
    this.#ensure(5);
    let divisor = 10000;
    while (divisor > 1 && value < divisor) divisor /= 10;
    for (; divisor >= 1; divisor /= 10) {
      this.#out[this.#length++] = 0x30 + (Math.floor(value / divisor) % 10);
    }
  }

  #ascii(bytes: Uint8Array): void {
    this.#ensure(bytes.length);
    const out = this.#out;
    let at = this.#length;
    for (let index = 0; index < bytes.length; index++) out[at++] = bytes[index] ?? 0;
    this.#length = at;
  }

  #lengthPrefix(): number {
    const length = this.#varint();
    const end = this.#pos + length;
    if (end > this.#in.length) throw new RangeError('decode message: truncated');
    return end;
  }

  /** An unsigned varint that fits 32 bits; higher bits are dropped. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#in[this.#pos++];
      if (byte === undefined) throw new RangeError('decode message: truncated');
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new RangeError('decode message: varint too long');
  }

  #varint64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#in[this.#pos++];
      if (byte === undefined) throw new RangeError('decode message: truncated');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new RangeError('decode message: varint too long');
  }

  #skip(wire: number): void {
    if (wire === 0) this.#varint();
    else if (wire === 1) this.#pos += 8;
    else if (wire === 5) this.#pos += 4;
    else if (wire === 2) this.#pos = this.#lengthPrefix();
    else throw new RangeError(`decode message: wire type ${wire}`);
  }

  #view(size: number): DataView {
    if (this.#pos + size > this.#in.length) throw new RangeError('decode message: truncated');
    const view = new DataView(this.#in.buffer, this.#in.byteOffset + this.#pos, size);
    this.#pos += size;
    return view;
  }

  #ensure(more: number): void {
    if (this.#length + more <= this.#out.length) return;
    const larger = new Uint8Array(Math.max(this.#out.length * 2, this.#length + more));
    larger.set(this.#out.subarray(0, this.#length));
    this.#out = larger;
  }
}

function lookUp(schema: MessageSchema, number: number): FieldSchema | undefined {
  return number < 64 ? schema.byNumber[number] : schema.byLargeNumber.get(number);
}

function escapeUnit(out: Uint8Array, start: number, code: number): number {
  let at = start;
  out[at++] = backslash;
  const short = code === 10 ? 0x6e : code === 13 ? 0x72 : code === 9 ? 0x74 : 0;
  if (short !== 0) {
    out[at++] = short;
    return at;
  }
  out[at++] = 0x75;
  out[at++] = 0x30;
  out[at++] = 0x30;
  out[at++] = hexDigits[code >> 4] ?? 0x30;
  out[at++] = hexDigits[code & 15] ?? 0x30;
  return at;
}

function emptyWrapper(type: number): string {
  if (type === fieldType.bool) return 'false';
  if (type === fieldType.string || type === fieldType.bytes) return '""';
  return type === fieldType.int64 || type === fieldType.uint64 ? '"0"' : '0';
}

function formatDouble(value: number): string {
  return Number.isFinite(value) ? String(value) : `"${value}"`;
}
