import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { formatPrefix, type Prefix, requirePrefix } from '../../net/prefix.ts';
import { chooseRange, prefixesOverlap } from './range.ts';
import { isRefusal } from './table.ts';

const used = (...texts: string[]) =>
  texts.map((text) => ({ prefix: requirePrefix(text), what: `route ${text}` }));

function text(result: ReturnType<typeof chooseRange>): string {
  return isRefusal(result) ? result.message : formatPrefix(result);
}

test('auto takes the first candidate that is free', () => {
  expect(text(chooseRange(4, 'auto', used('0.0.0.0/0')))).toBe('10.0.0.0/24');
  expect(text(chooseRange(4, 'auto', used('10.0.0.0/16', '10.1.0.128/25')))).toBe('10.2.0.0/24');
  expect(text(chooseRange(4, 'auto', used('10.0.0.0/8')))).toBe('172.16.0.0/24');
  expect(text(chooseRange(6, 'auto', used('fd00:c111::1/128')))).toBe('fd00:c111:1::/112');
  const all = used('10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16');
  expect(chooseRange(4, 'auto', all)).toMatchObject({ refused: 'exhausted' });
});

test('a configured range is refused by name when the host uses it', () => {
  expect(text(chooseRange(4, '10.5.0.0/24', used('10.0.0.0/24')))).toBe('10.5.0.0/24');
  expect(text(chooseRange(4, '10.0.0.0/16', used('10.0.3.0/24')))).toBe(
    'ipv4-range: 10.0.0.0/16 overlaps route 10.0.3.0/24 of this host',
  );
  for (const wrong of ['nonsense', 'fd00::/64', '10.0.0.0/7', '10.0.0.0/31', '10.0.0.1']) {
    expect(chooseRange(4, wrong, [])).toMatchObject({ refused: 'invalid' });
  }
});

test('what auto picks never overlaps what is used', () => {
  const prefix: fc.Arbitrary<Prefix> = fc
    .tuple(
      fc.constantFrom('10', '172', '192', '100'),
      fc.nat(255),
      fc.nat(255),
      fc.integer({ min: 8, max: 32 }),
    )
    .map(([a, b, c, length]) => requirePrefix(`${a}.${b}.${c}.0/${length}`));
  fc.assert(
    fc.property(fc.array(prefix), (prefixes) => {
      const result = chooseRange(
        4,
        'auto',
        prefixes.map((one) => ({ prefix: one, what: '' })),
      );
      if (isRefusal(result)) return;
      expect(prefixes.some((one) => prefixesOverlap(one, result))).toBe(false);
    }),
  );
});
