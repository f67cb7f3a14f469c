import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { Observer } from '../observer/observer.ts';
import { encodeEvent, smallWorld } from '../parser/event-fixture.ts';
import { measureClockOffset } from './clock.ts';
import { EventReader, type EventSource } from './event-reader.ts';

const observer = () =>
  new Observer(smallWorld(), {
    nodeName: 'n',
    clusterName: 'default',
    capacity: 4095,
    version: '',
  });

/** Hands out the same event `count` times, from one view, behind a header as in the real ring. */
function source(count: number): EventSource {
  const event = encodeEvent();
  const memory = new Uint8Array(8 + event.length);
  memory.set(event, 8);
  const view = new DataView(memory.buffer);
  let left = count;
  return {
    drain(onRecord, budget) {
      const now = Math.min(left, budget);
      for (let at = 0; at < now; at++) onRecord(view, 8, event.length);
      left -= now;
      return now;
    },
  };
}

test('a tick takes a bounded number of events, in batches that wake followers', () => {
  const one = observer();
  using reader = new EventReader(
    source(10_000),
    () => [],
    one,
    () => {},
  );
  let woken = 0;
  one.follow(() => woken++);
  expect(reader.tick()).toBe(8192);
  expect(woken).toBe(16);
  expect(reader.tick()).toBe(10_000 - 8192);
  expect(one.ring.head).toBe(30_000);
});

test('losses before the start are not told, later ones are, with their CPU', () => {
  const one = observer();
  const counts = [100, 7];
  using reader = new EventReader(
    source(0),
    () => counts,
    one,
    () => {},
  );
  reader.start();
  counts[1] = 12;
  reader.tick();
  expect(one.losses.totals.get(1)).toBe(5);
  expect(one.ring.lost.find((record) => record !== undefined)).toMatchObject({ count: 5, cpu: 1 });
});

test('the clock offset turns uptime into the time of day', () => {
  const { seconds, nanos } = measureClockOffset();
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  expect(Math.abs(seconds + nanos / 1e9 + uptime - Date.now() / 1000)).toBeLessThan(1);
});
