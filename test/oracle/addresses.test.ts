/**
 * @module The oracle's own address arithmetic.
 */
import { expect, test } from 'bun:test';
import { parseAddress, parsePrefix, prefixContains, prefixIsInside } from './addresses.ts';

const contains = (prefix: string, address: string) =>
  prefixContains(parsePrefix(prefix), parseAddress(address)!);

test('addresses of both families', () => {
  expect(parseAddress('1.2.3.4')).toEqual({ family: 4, value: 0x01020304n });
  expect(parseAddress('::')?.value).toBe(0n);
  expect(parseAddress('::1')?.value).toBe(1n);
  expect(parseAddress('fd00::1:2')?.value).toBe((0xfd00n << 112n) + 0x10002n);
  expect(parseAddress('1:2:3:4:5:6:7:8')?.value).toBe(0x00010002000300040005000600070008n);
});

test('what is no address', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.256',
    'node-a',
    '1::2::3',
    '1:2:3',
    ':1:2:3:4:5:6:7:8',
    'g::',
  ])
    expect([text, parseAddress(text)]).toEqual([text, undefined]);
});

test('a prefix holds its first and last address and not their neighbours', () => {
  expect(contains('10.0.1.8/29', '10.0.1.7')).toBe(false);
  expect(contains('10.0.1.8/29', '10.0.1.8')).toBe(true);
  expect(contains('10.0.1.8/29', '10.0.1.15')).toBe(true);
  expect(contains('10.0.1.8/29', '10.0.1.16')).toBe(false);
  expect(contains('0.0.0.0/0', '255.255.255.255')).toBe(true);
  expect(contains('::/0', '1.1.1.1')).toBe(false);
  expect(contains('2001:db8::/33', '2001:db8:7fff::')).toBe(true);
  expect(contains('2001:db8::/33', '2001:db8:8000::')).toBe(false);
});

test('a bad prefix throws, and only a narrower one is inside', () => {
  for (const text of ['10.0.0.0', '10.0.0.0/33', '::/129', 'x/8', '10.0.0.0/'])
    expect(() => parsePrefix(text)).toThrow('no prefix');
  expect(prefixIsInside(parsePrefix('10.0.0.0/16'), parsePrefix('10.0.0.0/8'))).toBe(true);
  expect(prefixIsInside(parsePrefix('10.0.0.0/8'), parsePrefix('10.0.0.0/8'))).toBe(false);
});
