import { expect, test } from 'bun:test';
import { Linger } from './linger.ts';

test('what is held goes after the duration, in the order of its time', () => {
  let now = 0;
  const gone: string[] = [];
  const linger = new Linger<string>(100, () => now);
  linger.hold('a', () => gone.push('a'));
  now = 50;
  linger.hold('b', () => gone.push('b'));
  expect(linger.nextMs).toBe(50);
  now = 99;
  linger.expire();
  expect(gone).toEqual([]);
  now = 100;
  linger.expire();
  expect(gone).toEqual(['a']);
  now = 200;
  linger.expire();
  expect([gone, linger.nextMs]).toEqual([['a', 'b'], undefined]);
});

test('what comes back is not dropped, and begins anew when it goes again', () => {
  let now = 0;
  const gone: string[] = [];
  const linger = new Linger<string>(100, () => now);
  linger.hold('a', () => gone.push('first'));
  now = 60;
  linger.release('a');
  linger.hold('a', () => gone.push('second'));
  now = 120;
  linger.expire();
  expect(gone).toEqual([]);
  now = 160;
  linger.expire();
  expect(gone).toEqual(['second']);
});
