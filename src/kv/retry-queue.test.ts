import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { backoffMs, RetryQueue } from './retry-queue.ts';

test('the wait doubles up to its bound, and forgetting starts it over', () => {
  const queue = new RetryQueue<string>({ minMs: 10, maxMs: 50 });
  for (const wait of [10, 20, 40, 50, 50]) {
    queue.fail('a', 100);
    expect(queue.nextMs()).toBe(100 + wait);
  }
  expect(queue.take(149, 10)).toEqual([]);
  expect(queue.take(150, 10)).toEqual(['a']);
  expect(queue.nextMs()).toBeUndefined();
  expect(queue.size).toBe(1);
  queue.forget('a');
  expect(queue.size).toBe(0);
  expect(queue.fail('a', 0)).toBe(1);
  expect(backoffMs({ minMs: 10, maxMs: 50 }, 1000)).toBe(50);
});

test('agrees with a plain list of due times', () => {
  const step = fc.record({
    kind: fc.constantFrom('fail', 'forget', 'take'),
    key: fc.nat(5),
    passMs: fc.nat(60),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const options = { minMs: 10, maxMs: 100 };
      const queue = new RetryQueue<number>(options);
      const model = new Map<number, { failures: number; due: number }>();
      let now = 0;
      for (const { kind, key, passMs } of steps) {
        now += passMs;
        if (kind === 'fail') {
          const failures = (model.get(key)?.failures ?? 0) + 1;
          expect(queue.fail(key, now)).toBe(failures);
          model.set(key, { failures, due: now + backoffMs(options, failures) });
        } else if (kind === 'forget') {
          queue.forget(key);
          model.delete(key);
        } else {
          const due = [...model].filter(([, entry]) => entry.due <= now).map(([each]) => each);
          expect(queue.take(now, 100).sort()).toEqual(due.sort());
          for (const each of due) model.get(each)!.due = Number.POSITIVE_INFINITY;
        }
        const next = Math.min(...[...model.values()].map((entry) => entry.due));
        expect(queue.nextMs() ?? Number.POSITIVE_INFINITY).toBe(next);
      }
    }),
  );
});
