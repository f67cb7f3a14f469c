import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { requireAddress } from '../../../net/address.ts';
import { formatPrefix, prefixCovers, prefixOf, requirePrefix } from '../../../net/prefix.ts';
import { valuesAround } from './around.ts';

/** Few bits, so that blocks are in one another. */
const block = fc
  .record({ isIpv4: fc.boolean(), bits: fc.nat(15), length: fc.nat(6) })
  .map(({ isIpv4, bits, length }) => {
    const address = isIpv4 ? `${bits << 4}.0.0.0` : `${(bits << 12).toString(16)}::`;
    return formatPrefix(prefixOf(requireAddress(address), length));
  });

/** As it is defined. */
function byDefinition(blocks: ReadonlyMap<string, number>, asked: string): number | undefined {
  const inner = requirePrefix(asked);
  const outer = [...blocks]
    .map(([text, value]) => ({ prefix: requirePrefix(text), value }))
    .filter(({ prefix }) => prefix.length < inner.length && prefixCovers(prefix, inner))
    .sort((a, b) => b.prefix.length - a.prefix.length);
  return outer[0]?.value;
}

test('the next block around another, as it is defined', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(block, { maxLength: 20 }),
      fc.uniqueArray(block, { maxLength: 20 }),
      (present, asked) => {
        const blocks = new Map(present.map((each, index) => [each, index]));
        const expected = asked.flatMap((each) => {
          const value = byDefinition(blocks, each);
          return value === undefined ? [] : [[each, value] as const];
        });
        expect(valuesAround(blocks, asked)).toEqual(new Map(expected));
      },
    ),
    { numRuns: 500 },
  );
});
