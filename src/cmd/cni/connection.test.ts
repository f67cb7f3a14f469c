import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { parseAnswer } from './connection.ts';

const parse = (text: string) => parseAnswer(Buffer.from(text));

test('a sized and a chunked body, with what follows left alone', () => {
  const sized = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP';
  expect(parse(sized)).toEqual({ answer: { status: 200, body: 'abc' }, length: sized.length - 4 });
  const chunked =
    'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nX';
  expect(parse(chunked)).toEqual({
    answer: { status: 201, body: 'abcde' },
    length: chunked.length - 1,
  });
  const empty = 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n';
  expect(parse(`HTTP/1.1 100 Continue\r\n\r\n${empty}`)?.answer).toEqual({ status: 404, body: '' });
});

test('every beginning of an answer waits for the rest', () => {
  const whole = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n';
  for (let length = 0; length < whole.length; length++) {
    expect(parse(whole.slice(0, length))).toBeUndefined();
  }
});

test('no bytes do anything but parse, wait or throw', () => {
  const head = fc.constantFrom(
    '',
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  fc.assert(
    fc.property(head, fc.uint8Array({ maxLength: 200 }), (start, bytes) => {
      try {
        parseAnswer(Buffer.concat([Buffer.from(start), bytes]));
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }),
  );
});
