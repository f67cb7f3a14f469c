import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  addressFromBigInt,
  addressFromBytes,
  addressToBigInt,
  compareAddresses,
  equalAddresses,
  formatAddress,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
  parseAddress,
  requireAddress,
  wireBytes,
} from './address.ts';

const anyBytes = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  // Many zeros, so that every way to shorten is met.
  fc
    .array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 })
    .map((bytes) => Uint8Array.from(bytes)),
);

describe('parseAddress', () => {
  test.each([
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
  ])('%s is %s', (text, canonical) => {
    expect(formatAddress(requireAddress(text))).toBe(canonical);
  });

  test.each([
    '',
    '.',
    ':',
    ':::',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.-4',
    ' 1.2.3.4',
    '1.2.3.4/32',
    '0x1.2.3.4',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '1::2::3',
    ':1::2',
    '12345::',
    'g::',
    'fe80::1%eth0',
    '[::1]',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '::01.2.3.4',
    '1:2:3:4:5:6:7:1.2.3.4',
  ])('refuses %p', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test('survives any text', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom(...'0123456789abcf:.%/ ') }),
      fc.stringMatching(/^[0-9a-f:.]{0,46}$/),
    );
    fc.assert(
      fc.property(text, (garbage) => {
        const address = parseAddress(garbage);
        // What is accepted means the same after printing.
        if (address !== undefined) {
          expect(requireAddress(formatAddress(address))).toEqual(address);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

test('bytes, text and numbers round trip', () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const address = addressFromBytes(bytes);
      expect(requireAddress(formatAddress(address))).toEqual(address);
      expect(addressFromBytes(wireBytes(address))).toEqual(address);
      expect(addressFromBigInt(addressToBigInt(address))).toEqual(address);
      expect(formatAddress(address)).toBe(formatAddress(address).toLowerCase());
    }),
  );
});

test('IPv6 text agrees with URL', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const address = addressFromBytes(bytes);
      fc.pre(address.family === 6);
      expect(`[${formatAddress(address)}]`).toBe(
        new URL(`http://[${formatAddress(address)}]`).hostname,
      );
    }),
  );
});

test('order is total and agrees with equality', () => {
  fc.assert(
    fc.property(anyBytes, anyBytes, (a, b) => {
      const [x, y] = [addressFromBytes(a), addressFromBytes(b)];
      expect(Math.sign(compareAddresses(x, y))).toBe(-Math.sign(compareAddresses(y, x)) + 0);
      expect(equalAddresses(x, y)).toBe(formatAddress(x) === formatAddress(y));
    }),
  );
  expect(compareAddresses(requireAddress('255.0.0.0'), requireAddress('::1'))).toBeLessThan(0);
});

test('kinds of addresses', () => {
  const is = (predicate: (address: ReturnType<typeof requireAddress>) => boolean) =>
    [
      '0.0.0.0',
      '::',
      '127.1.2.3',
      '::1',
      '169.254.1.1',
      'fe80::1',
      'febf::1',
      'fec0::1',
      '224.0.0.1',
      'ff02::1',
    ].filter((text) => predicate(requireAddress(text)));
  expect(is(isUnspecified)).toEqual(['0.0.0.0', '::']);
  expect(is(isLoopback)).toEqual(['127.1.2.3', '::1']);
  expect(is(isLinkLocal)).toEqual(['169.254.1.1', 'fe80::1', 'febf::1']);
  expect(is(isMulticast)).toEqual(['224.0.0.1', 'ff02::1']);
});
