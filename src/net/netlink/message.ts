/**
 * @module Netlink messages as bytes: `struct nlmsghdr` with a family header and attributes behind
 * it. Requests are encoded once and get their sequence number when they are sent; what the kernel
 * sends is split into messages and attributes without ever reading past the received bytes. Both ends are
 * the same machine, so integers are in host order, which is little endian on all that we build for.
 */
import { NLA_F_NESTED, NLA_TYPE_MASK, NLM_F_REQUEST } from './constants.ts';

/** sizeof(struct nlmsghdr). */
export const headerBytes = 16;
const attributeHeaderBytes = 4;
/** The attribute length field has 16 bits. */
const attributeBytesMax = 0xffff;

// Not Buffer, whose first use costs a CNI call a third of a millisecond.
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const align = (length: number) => (length + 3) & ~3;

/** One encoded message with what the socket must know about it. Immutable, may be sent many times. */
export interface Request {
  readonly type: number;
  /** What it does, for errors: `create veth lxc1`. */
  readonly doing: string;
  readonly bytes: Uint8Array;
  /** Names of errno that mean that the wanted state already holds (a deletion of what is absent). */
  readonly settled: readonly string[];
}

/** Builds one message front to back. */
export class MessageWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = headerBytes;

  #reserve(length: number): number {
    const at = this.#length;
    const end = at + align(length);
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = end;
    return at;
  }

  /** Zeroed room for a family header, filled through the view that `fill` gets. */
  struct(length: number, fill: (view: DataView) => void): this {
    const at = this.#reserve(length);
    fill(new DataView(this.#bytes.buffer, at, length));
    return this;
  }

  bytes(type: number, value: Uint8Array): this {
    // Reserved first: that may replace the buffer.
    const at = this.#attribute(type, value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Header of an attribute and zeroed room for its value; returns where that is. */
  #attribute(type: number, valueLength: number): number {
    const length = attributeHeaderBytes + valueLength;
    if (length > attributeBytesMax) throw new RangeError(`attribute ${type} of ${length} bytes`);
    const at = this.#reserve(length);
    this.#view.setUint16(at, length, true);
    this.#view.setUint16(at + 2, type, true);
    return at + attributeHeaderBytes;
  }

  flag(type: number): this {
    this.#attribute(type, 0);
    return this;
  }

  u8(type: number, value: number): this {
    const at = this.#attribute(type, 1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(type: number, value: number): this {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32(type: number, value: number): this {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  /** NUL-terminated text. Throws on an embedded NUL. */
  text(type: number, value: string): this {
    if (value.includes('\0')) throw new RangeError(`attribute ${type} contains NUL`);
    return this.bytes(type, encoder.encode(`${value}\0`));
  }

  /** Attributes inside an attribute. */
  nested(type: number, fill: (writer: this) => void): this {
    const at = this.#reserve(attributeHeaderBytes);
    fill(this);
    const length = this.#length - at;
    if (length > attributeBytesMax) throw new RangeError(`attribute ${type} of ${length} bytes`);
    this.#view.setUint16(at, length, true);
    this.#view.setUint16(at + 2, type | NLA_F_NESTED, true);
    return this;
  }

  /** The message with its header; the sequence number is the sender's to fill in. */
  finish(type: number, flags: number): Uint8Array {
    this.#view.setUint32(0, this.#length, true);
    this.#view.setUint16(4, type, true);
    this.#view.setUint16(6, flags | NLM_F_REQUEST, true);
    return this.#bytes.slice(0, this.#length);
  }
}

/** Encodes a request. */
export function request(
  type: number,
  flags: number,
  doing: string,
  fill: (writer: MessageWriter) => void,
  settled: readonly string[] = [],
): Request {
  const writer = new MessageWriter();
  fill(writer);
  return { type, doing, bytes: writer.finish(type, flags), settled };
}

/** One message from the kernel. `payload` is a view of the receive buffer: decode before receiving again. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** Splits a datagram. Stops at the first message whose length does not fit: the rest is no message. */
export function splitMessages(datagram: Uint8Array): Message[] {
  const messages: Message[] = [];
  const view = viewOf(datagram);
  let at = 0;
  while (at + headerBytes <= datagram.length) {
    const length = view.getUint32(at, true);
    if (length < headerBytes || at + length > datagram.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      payload: datagram.subarray(at + headerBytes, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** The attributes of a payload by type; a repeated type keeps its last value, as in the kernel. */
export class Attributes {
  readonly #values = new Map<number, Uint8Array>();

  /** Reads the attributes behind a family header of `skip` bytes. */
  constructor(payload: Uint8Array, skip = 0) {
    const view = viewOf(payload);
    let at = align(skip);
    while (at + attributeHeaderBytes <= payload.length) {
      const length = view.getUint16(at, true);
      if (length < attributeHeaderBytes || at + length > payload.length) return;
      const type = view.getUint16(at + 2, true) & NLA_TYPE_MASK;
      this.#values.set(type, payload.subarray(at + attributeHeaderBytes, at + length));
      at += align(length);
    }
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#values.get(type);
  }

  u8(type: number): number | undefined {
    return this.#values.get(type)?.[0];
  }

  u16(type: number): number | undefined {
    const value = this.#values.get(type);
    return value === undefined || value.length < 2 ? undefined : viewOf(value).getUint16(0, true);
  }

  u32(type: number): number | undefined {
    const value = this.#values.get(type);
    return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true);
  }

  text(type: number): string | undefined {
    const value = this.#values.get(type);
    if (value === undefined) return undefined;
    const end = value.indexOf(0);
    return decoder.decode(end < 0 ? value : value.subarray(0, end));
  }

  nested(type: number): Attributes | undefined {
    const value = this.#values.get(type);
    return value === undefined ? undefined : new Attributes(value);
  }
}

/** View of exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
