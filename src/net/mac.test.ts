import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { formatMac, parseMac, randomMac, requireMac } from './mac.ts';

test('bytes and text round trip', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      expect(requireMac(formatMac(bytes))).toEqual(bytes);
      expect(parseMac(formatMac(bytes).toUpperCase())).toEqual(bytes);
    }),
  );
});

test('refuses what is none', () => {
  for (const text of [
    '',
    '1:2:3:4:5:6',
    '00-11-22-33-44-55',
    '00:11:22:33:44:5g',
    '00:11:22:33:44',
  ]) {
    expect(parseMac(text)).toBeUndefined();
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      const mac = parseMac(text);
      if (mac !== undefined) expect(formatMac(mac)).toBe(text.toLowerCase());
    }),
  );
});

test('random ones are unicast and locally administered', () => {
  for (let round = 0; round < 100; round++) expect((randomMac()[0] ?? 0) & 3).toBe(2);
  expect(randomMac()).not.toEqual(randomMac());
});
