import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { formatAddress, requireAddress } from '../../net/address.ts';
import { prefixContains, requirePrefix } from '../../net/prefix.ts';
import { AddressPool } from './pool.ts';

test.each([
  ['10.1.2.0/29', '10.1.2.1', 6n],
  ['fd00::/125', 'fd00::1', 6n],
  ['10.0.0.0/30', '10.0.0.1', 2n],
])('%s starts at %s and has %d addresses', (text, first, capacity) => {
  const pool = new AddressPool(requirePrefix(text));
  expect(formatAddress(pool.firstUsable)).toBe(first);
  expect(pool.capacity).toBe(capacity);
});

test('network, broadcast and strangers cannot be taken', () => {
  const pool = new AddressPool(requirePrefix('10.1.2.0/29'));
  for (const text of ['10.1.2.0', '10.1.2.7', '10.1.3.1', 'fd00::1']) {
    expect(pool.take(requireAddress(text))).toBe('out-of-range');
  }
});

test('no address is held twice, whatever is done', () => {
  const step = fc.oneof(
    fc.constant('allocate' as const),
    fc.nat({ max: 15 }).map((index) => ({ release: index })),
    fc.nat({ max: 15 }).map((index) => ({ take: index })),
  );
  fc.assert(
    fc.property(fc.constantFrom('10.0.0.0/28', 'fd00::/124'), fc.array(step), (range, steps) => {
      const prefix = requirePrefix(range);
      const pool = new AddressPool(prefix);
      const held = new Set<string>();
      const at = (index: number) =>
        requireAddress(range.startsWith('10') ? `10.0.0.${index}` : `fd00::${index.toString(16)}`);
      for (const one of steps) {
        if (one === 'allocate') {
          const address = pool.allocate();
          if (address === undefined) {
            expect(BigInt(held.size)).toBe(pool.capacity);
            continue;
          }
          expect(prefixContains(prefix, address)).toBe(true);
          expect(held.has(formatAddress(address))).toBe(false);
          held.add(formatAddress(address));
        } else if ('release' in one) {
          pool.release(at(one.release));
          held.delete(formatAddress(at(one.release)));
        } else if (pool.take(at(one.take)) === 'taken') {
          expect(held.has(formatAddress(at(one.take)))).toBe(false);
          held.add(formatAddress(at(one.take)));
        }
        expect(pool.size).toBe(held.size);
      }
    }),
  );
});
