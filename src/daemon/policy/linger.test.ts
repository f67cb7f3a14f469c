import { expect, test } from 'bun:test';
import { Linger } from './linger.ts';

test('what goes stays for the duration, and comes back as it is wanted', () => {
  let now = 0;
  const linger = new Linger<string, number>(100, () => now);
  const before = new Map([
    ['a', 1],
    ['b', 2],
  ]);
  expect(linger.extend(new Map([['a', 1]]), before)).toEqual(before);
  expect(linger.nextMs).toBe(100);
  now = 99;
  expect(linger.extend(new Map([['a', 1]]), before)).toEqual(before);
  now = 100;
  expect(linger.extend(new Map([['a', 1]]), before)).toEqual(new Map([['a', 1]]));
  expect(linger.extend(new Map([['a', 1]]), new Map([['a', 1]]))).toEqual(new Map([['a', 1]]));
  expect(linger.nextMs).toBeUndefined();
  expect(linger.extend(new Map([['b', 3]]), new Map([['a', 1]])).get('b')).toBe(3);
});

test('a key that is wanted again begins anew when it goes again', () => {
  let now = 0;
  const linger = new Linger<string, number>(100, () => now);
  linger.extend(new Map(), new Map([['a', 1]]));
  now = 50;
  linger.extend(new Map([['a', 2]]), new Map([['a', 1]]));
  now = 120;
  expect(linger.extend(new Map(), new Map([['a', 2]])).get('a')).toBe(2);
});
