import { afterEach, expect, test } from 'bun:test';
import { requireAddress } from '../../net/address.ts';
import { requirePrefix } from '../../net/prefix.ts';
import { IpamAllocator } from './allocator.ts';
import { type AddressRow, addresses, isRefusal } from './table.ts';

const opened: IpamAllocator[] = [];

function allocator(ipv4 = '10.0.0.0/29', ipv6?: string, expirationMs = 60_000) {
  const table = addresses();
  const ipam = new IpamAllocator({
    table,
    ipv4: { range: requirePrefix(ipv4) },
    ...(ipv6 === undefined ? {} : { ipv6: { range: requirePrefix(ipv6) } }),
    expirationMs,
  });
  opened.push(ipam);
  return { ipam, table };
}

afterEach(() => {
  for (const ipam of opened.splice(0)) ipam[Symbol.dispose]();
});

function ipv4Of(ipam: IpamAllocator, owner: string, expiration = false): AddressRow {
  const result = ipam.allocateNext({ family: 4, owner, expiration });
  if (isRefusal(result) || result.ipv4 === undefined) throw new Error(JSON.stringify(result));
  return result.ipv4;
}

test('the router has the first address, pods the next ones, in order with wrap', () => {
  const { ipam } = allocator();
  expect(ipam.router(4)).toBe('10.0.0.1');
  expect(ipv4Of(ipam, 'a').address).toBe('10.0.0.2');
  expect(ipv4Of(ipam, 'b').address).toBe('10.0.0.3');
  ipam.release('10.0.0.2');
  // Not the one that has just been released.
  expect(ipv4Of(ipam, 'c').address).toBe('10.0.0.4');
  expect([ipv4Of(ipam, 'd'), ipv4Of(ipam, 'e')].map((row) => row.address)).toEqual([
    '10.0.0.5',
    '10.0.0.6',
  ]);
  expect(ipv4Of(ipam, 'f').address).toBe('10.0.0.2');
  expect(ipam.allocateNext({ family: 4, owner: 'g', expiration: false })).toEqual({
    refused: 'exhausted',
    message: 'no more IPv4 addresses: all 6 of 10.0.0.0/29 are in use',
  });
});

test('when one family is used up, the other gives its address back', () => {
  const { ipam, table } = allocator('10.0.0.0/30', 'fd00::/120');
  ipam.allocateNext({ owner: 'a', expiration: false });
  const before = table.size;
  expect(isRefusal(ipam.allocateNext({ owner: 'b', expiration: false }))).toBe(true);
  expect(table.size).toBe(before);
});

test('a configured router inside of the range is not given out, one outside is nobody', () => {
  const range = requirePrefix('10.0.0.0/29');
  const inside = new IpamAllocator({
    table: addresses(),
    ipv4: { range, router: requireAddress('10.0.0.2') },
  });
  expect(ipv4Of(inside, 'a').address).toBe('10.0.0.1');
  expect(ipv4Of(inside, 'b').address).toBe('10.0.0.3');
  const outside = new IpamAllocator({
    table: addresses(),
    ipv4: { range, router: requireAddress('169.254.0.1') },
  });
  expect(outside.router(4)).toBe('169.254.0.1');
  expect(ipv4Of(outside, 'a').address).toBe('10.0.0.1');
});

test('an address that nobody claims comes back, a claimed one stays', async () => {
  const { ipam, table } = allocator('10.0.0.0/24', undefined, 20);
  const lost = ipv4Of(ipam, 'a', true);
  const kept = ipv4Of(ipam, 'b', true);
  expect(ipam.claim(kept.address, 'b', kept.expirationUuid)).toBeUndefined();
  for (let tries = 0; table.get(lost.address) !== undefined && tries < 500; tries++) {
    await Bun.sleep(2);
  }
  expect(table.get(lost.address)).toBeUndefined();
  expect(table.get(kept.address)?.expirationUuid).toBeUndefined();
  expect(ipam.claim(lost.address, 'a', lost.expirationUuid)?.message).toContain('has expired');
});

test('claims: the router never, a free address of the range is taken, others are not ours', () => {
  const { ipam, table } = allocator();
  expect(ipam.claim('10.0.0.1', 'a', undefined)?.refused).toBe('conflict');
  expect(ipam.claim('10.0.0.5', 'a', undefined)).toBeUndefined();
  expect(table.get('10.0.0.5')?.owner).toBe('a');
  expect(ipam.claim('192.0.2.1', 'a', undefined)).toBeUndefined();
  expect(table.get('192.0.2.1')).toBeUndefined();
  expect(ipam.release('10.0.0.1')?.refused).toBe('conflict');
});

test('restored addresses are taken and the next one comes after them', () => {
  const { ipam, table } = allocator('10.0.0.0/24');
  ipam.restore('10.0.0.40', 'a');
  ipam.restore('10.0.0.7', 'b');
  ipam.restore('198.51.100.1', 'c');
  expect(ipv4Of(ipam, 'd').address).toBe('10.0.0.41');
  expect([...table.all()].map((row) => row.owner)).toEqual(['router', 'a', 'b', 'd']);
});

test('a disabled family is a refusal', () => {
  const { ipam } = allocator();
  expect(ipam.allocateNext({ family: 6, owner: 'a', expiration: false })).toMatchObject({
    refused: 'failed',
  });
  expect(ipam.range(6)).toBeUndefined();
});
