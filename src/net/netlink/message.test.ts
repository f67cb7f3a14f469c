import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { NLM_F_ACK } from './constants.ts';
import { Attributes, headerBytes, MessageWriter, splitMessages } from './message.ts';
import { decodeEvent } from './subscribe.ts';

test('a message is read back as it was written', () => {
  const writer = new MessageWriter()
    .struct(6, (view) => view.setUint32(0, 7, true))
    .u8(1, 200)
    .u16(2, 60000)
    .u32(3, 4_000_000_000)
    .text(4, 'eth0')
    .flag(5)
    .nested(6, (inner) => inner.bytes(1, new Uint8Array(1000).fill(9)));
  const [message, ...rest] = splitMessages(writer.finish(16, NLM_F_ACK));
  expect(rest).toEqual([]);
  expect(message).toMatchObject({ type: 16, flags: 5, sequence: 0 });
  const attributes = new Attributes(message!.payload, 6);
  expect(attributes.u8(1)).toBe(200);
  expect(attributes.u16(2)).toBe(60000);
  expect(attributes.u32(3)).toBe(4_000_000_000);
  expect(attributes.text(4)).toBe('eth0');
  expect(attributes.bytes(5)).toEqual(new Uint8Array(0));
  expect(attributes.nested(6)?.bytes(1)).toEqual(new Uint8Array(1000).fill(9));
  expect(attributes.u32(1)).toBeUndefined();
  expect(attributes.u32(99)).toBeUndefined();
});

test('attributes at every place survive the growth of the buffer', () => {
  const writer = new MessageWriter();
  for (let type = 1; type <= 400; type++)
    writer
      .u32(type, type * 7)
      .u16(1000, 1)
      .u8(1001, 1);
  const attributes = new Attributes(splitMessages(writer.finish(16, 0))[0]!.payload);
  for (let type = 1; type <= 400; type++) expect(attributes.u32(type)).toBe(type * 7);
});

test('what cannot be encoded is refused', () => {
  expect(() => new MessageWriter().text(1, 'a\0b')).toThrow('contains NUL');
  expect(() => new MessageWriter().bytes(1, new Uint8Array(70000))).toThrow('70004 bytes');
});

test('any bytes can be split and decoded', () => {
  const types = fc.constantFrom(16, 17, 20, 21, 24, 25, 28, 29, 32, 33, 0, 999);
  // Lengths and attribute types that are nearly right get further than noise.
  const words = fc.array(fc.constantFrom(0, 1, 2, 4, 8, 12, 16, 20, 64, 128, 255), {
    maxLength: 120,
  });
  const payloads = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    words.map((bytes) => Uint8Array.from(bytes)),
  );
  fc.assert(
    fc.property(types, payloads, fc.nat(300), (type, payload, length) => {
      const datagram = new Uint8Array(headerBytes + payload.length);
      const view = new DataView(datagram.buffer);
      view.setUint32(0, length > 250 ? datagram.length : length, true);
      view.setUint16(4, type, true);
      datagram.set(payload, headerBytes);
      for (const message of splitMessages(datagram)) decodeEvent(message);
      for (const message of splitMessages(payload)) decodeEvent(message);
    }),
    { numRuns: 5000 },
  );
});
