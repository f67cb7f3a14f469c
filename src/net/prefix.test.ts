import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { addressFromBytes, addressToBigInt, formatAddress, requireAddress } from './address.ts';
import {
  addressAt,
  comparePrefixes,
  familyBits,
  formatPrefix,
  hostPrefix,
  hostsOf,
  mappedLength,
  parsePrefix,
  prefixContains,
  prefixCovers,
  prefixFromMapped,
  prefixOf,
  prefixSize,
  requirePrefix,
} from './prefix.ts';

const anyAddress = fc
  .oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  )
  .map(addressFromBytes);
const anyPrefix = fc
  .tuple(anyAddress, fc.nat(128))
  .map(([address, length]) => prefixOf(address, length % (familyBits(address.family) + 1)));

test.each([
  ['10.1.2.3/8', '10.0.0.0/8'],
  ['10.1.2.3/32', '10.1.2.3/32'],
  ['1.2.3.4/0', '0.0.0.0/0'],
  ['192.0.2.255/25', '192.0.2.128/25'],
  ['FD00::1/64', 'fd00::/64'],
  ['::1/0', '::/0'],
  ['::ffff:10.1.2.3/104', '10.0.0.0/8'],
  ['::ffff:10.1.2.3/90', '::ffc0:0:0/90'],
])('%s is %s', (text, canonical) => {
  expect(formatPrefix(requirePrefix(text))).toBe(canonical);
});

test.each(['', '/', '10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/08', '10.0.0.0/-1'])(
  'refuses %p',
  (text) => expect(parsePrefix(text)).toBeUndefined(),
);
test.each(['::/129', '::/1/2', '::/1 ', '::/+1', '::/1e1'])('refuses %p', (text) =>
  expect(parsePrefix(text)).toBeUndefined(),
);

test('survives any text', () => {
  const text = fc.tuple(fc.string(), fc.string({ unit: fc.constantFrom(...'0123456789./:') }));
  fc.assert(
    fc.property(text, ([garbage, likely]) => {
      for (const each of [garbage, likely, `10.0.0.0/${garbage}`, `${likely}/8`]) {
        const prefix = parsePrefix(each);
        if (prefix !== undefined) expect(requirePrefix(formatPrefix(prefix))).toEqual(prefix);
      }
    }),
  );
});

test('text and trie keys round trip', () => {
  fc.assert(
    fc.property(anyPrefix, (prefix) => {
      expect(requirePrefix(formatPrefix(prefix))).toEqual(prefix);
      expect(prefixFromMapped(prefix.address.bytes, mappedLength(prefix))).toEqual(prefix);
      expect(comparePrefixes(prefix, prefix)).toBe(0);
    }),
  );
});

test('containment agrees with arithmetic', () => {
  fc.assert(
    fc.property(anyPrefix, anyAddress, (prefix, other) => {
      const first = addressToBigInt(prefix.address);
      const value = addressToBigInt(other);
      const isInside =
        other.family === prefix.family && value >= first && value < first + prefixSize(prefix);
      expect(prefixContains(prefix, other)).toBe(isInside);
      expect(prefixCovers(prefix, hostPrefix(other))).toBe(isInside);
      expect(prefixContains(prefix, prefix.address)).toBe(true);
      const last = addressAt(prefix, prefixSize(prefix) - 1n);
      expect(prefixContains(prefix, last)).toBe(true);
    }),
  );
});

test('hosts of a prefix', () => {
  const hosts = (text: string) => Array.from(hostsOf(requirePrefix(text)), formatAddress);
  expect(hosts('10.0.0.0/30')).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(hosts('10.0.0.0/31')).toEqual(['10.0.0.0', '10.0.0.1']);
  expect(hosts('10.0.0.9/32')).toEqual(['10.0.0.9']);
  expect(hosts('fd00::/126')).toEqual(['fd00::1', 'fd00::2', 'fd00::3']);
  expect(hosts('10.0.0.0/16').length).toBe(65534);
  // A large prefix is walked, never built.
  expect(formatAddress(hostsOf(requirePrefix('fd00::/8')).next().value)).toBe('fd00::1');
  expect(() => addressAt(requirePrefix('10.0.0.0/24'), 256n)).toThrow('address 256 of 10.0.0.0/24');
  expect(() => prefixOf(requireAddress('10.0.0.0'), 33)).toThrow('outside 0..32');
});
