import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  formatDuration,
  nearestName,
  parseDuration,
  parseInteger,
  parseList,
  parseListenAddress,
  parseMap,
  parseValue,
} from './config-parse.ts';

describe('durations', () => {
  const cases: [string, number, string][] = [
    ['0', 0, '0s'],
    ['5s', 5000, '5s'],
    ['1m0s', 60_000, '1m0s'],
    ['2h13m20s', 8_000_000, '2h13m20s'],
    ['1.5h', 5_400_000, '1h30m0s'],
    ['100ms', 100, '100ms'],
    ['90s', 90_000, '1m30s'],
    ['1500us', 1.5, '1.5ms'],
    ['7ns', 7e-6, '7ns'],
    ['.5s', 500, '500ms'],
    ['+1.25s', 1250, '1.25s'],
  ];
  for (const [text, ms, printed] of cases) {
    test(text, () => {
      expect(parseDuration(text)).toBe(ms);
      expect(formatDuration(ms)).toBe(printed);
    });
  }

  test('refused', () => {
    for (const text of ['', '5', 's', '-5s', '5 s', '5s ', '5d', '1e3s', '9999999h', '+', '.s']) {
      expect(() => parseDuration(text)).toThrow(SyntaxError);
    }
  });

  test('what is printed reads back', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 40 }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
  });
});

test('integers as Go reads them', () => {
  expect(parseInteger('0x10', 0, 100)).toBe(16);
  expect(parseInteger('+7', 0, 100)).toBe(7);
  expect(Object.is(parseInteger('-0', 0, 100), 0)).toBe(true);
  for (const text of ['', ' 1', '1.0', '1e3', '0b1', '99999999999999999999']) {
    expect(() => parseInteger(text, 0, 1000)).toThrow(SyntaxError);
  }
});

test('lists and maps', () => {
  expect(parseList(' a, b ,,c')).toEqual(['a', 'b', 'c']);
  expect(parseList('a b\n c')).toEqual(['a', 'b', 'c']);
  expect(parseMap('a=1, b=x=y')).toEqual({ a: '1', b: 'x=y' });
  expect(parseMap('{"a":"1"}')).toEqual({ a: '1' });
  expect(Object.keys(parseMap('__proto__=x'))).toEqual(['__proto__']);
  for (const text of ['a', '=x', '{', '{"a":1}', 'a=1,']) {
    expect(() => parseMap(text)).toThrow(SyntaxError);
  }
});

test('listen addresses', () => {
  expect(parseListenAddress(':9962')).toEqual({ hostname: undefined, port: 9962 });
  expect(parseListenAddress('127.0.0.1:0')).toEqual({ hostname: '127.0.0.1', port: 0 });
  expect(parseListenAddress('[::1]:80')).toEqual({ hostname: '::1', port: 80 });
  for (const text of ['', '9962', ':', ':65536', '::1:80', '[x]:80', 'a b:80', ':-1']) {
    expect(() => parseListenAddress(text)).toThrow(SyntaxError);
  }
});

test('the nearest name', () => {
  const names = ['enable-ipv4', 'enable-ipv6', 'devices'];
  expect(nearestName('enable_ipv6', names)).toBe('enable-ipv6');
  expect(nearestName('device', names)).toBe('devices');
  expect(nearestName('completely-else', names)).toBeUndefined();
});

test('any text is a value or a SyntaxError', () => {
  const types = [
    'string',
    'bool',
    'int',
    'uint',
    'uint16',
    'uint32',
    'float',
    'duration',
    'strings',
    'map',
  ] as const;
  const pieces = fc.constantFrom('1', '.', 's', 'ms', 'h', '=', ',', '{', '"', '-', 'e', ' ', 'x');
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(pieces, { maxLength: 3000, size: 'max' }).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(fc.constantFrom(...types), text, (type, value) => {
      try {
        parseValue(type, value);
      } catch (error) {
        expect(error).toBeInstanceOf(SyntaxError);
        expect((error as Error).message.length).toBeLessThan(400);
      }
    }),
    { numRuns: 500 },
  );
}, 60_000);
