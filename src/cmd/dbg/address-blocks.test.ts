import { expect, test } from 'bun:test';
import { addressSetLayout, ipcacheKeyLayout } from '../../bpf/gen/layouts.ts';
import { mappedLength, requirePrefix } from '../../net/prefix.ts';
import { addressBlocks } from './address-blocks.ts';

/** An entry whose sets are in bank 1; bank 0 has others. */
function row(cidr: string, outside: number, inside: number) {
  const prefix = requirePrefix(cidr);
  const key = new Uint8Array(ipcacheKeyLayout.size);
  const value = new Uint8Array(addressSetLayout.size);
  ipcacheKeyLayout.encode(
    { prefixlen: mappedLength(prefix), addr: prefix.address.bytes },
    new DataView(key.buffer),
    0,
  );
  addressSetLayout.encode(
    { outside: [99, outside], inside: [98, inside] },
    new DataView(value.buffer),
    0,
  );
  return { key, value };
}

const [node, pod, world] = [1, 5000, 9];
const blocks = addressBlocks(
  [
    row('10.1.0.0/16', 2, 1),
    row('10.1.2.0/24', 1, 1),
    row('::/0', 5, 5),
    row('10.0.0.0/8', 1, 1),
    row('192.0.2.0/24', 3, 0),
    row('2001:db8::/32', 6, 5),
    row('fd00::5/128', 5, 7),
  ],
  1,
);

test('a set is the blocks that have it, but for those within that have another', () => {
  expect(blocks(world, 1)).toEqual({ in: ['10.0.0.0/8', '10.1.2.0/24'], except: ['10.1.0.0/16'] });
  expect(blocks(world, 2)).toEqual({ in: ['10.1.0.0/16'], except: ['10.1.2.0/24'] });
  expect(blocks(world, 99)).toBeUndefined();
});

test('pods have the sets of those who are inside', () => {
  expect(blocks(pod, 1)).toEqual({ in: ['10.0.0.0/8'], except: [] });
  expect(blocks(pod, 7)).toEqual({ in: ['fd00::5/128'], except: [] });
  expect(blocks(node, 3)).toEqual({ in: ['192.0.2.0/24'], except: [] });
});

test('IPv4 is no part of IPv6', () => {
  expect(blocks(world, 5)).toEqual({ in: ['::/0'], except: ['2001:db8::/32'] });
});
