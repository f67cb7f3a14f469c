import { describe, expect, test } from 'bun:test';
import { FlowFilter } from '../../api/gen/flow/flow.ts';
import { GetFlowsRequest, GetFlowsResponse } from '../../api/gen/observer/observer.ts';
import { type EventFields, encodeEvent, smallWorld } from '../parser/event-fixture.ts';
import { eventOffset } from '../parser/event-layout.ts';
import { FlowRate } from './flow-rate.ts';
import { FlowRing, type LostRecord } from './flow-ring.ts';
import { LossWindow } from './loss-window.ts';
import { Observer } from './observer.ts';

function world(capacity: number) {
  const clock = { seconds: 1000, nanos: 0 };
  const observer = new Observer(smallWorld(), {
    nodeName: 'node-1',
    clusterName: 'default',
    capacity,
    version: 'cilium v1',
    now: () => ({ ...clock }),
  });
  let count = 0;
  /** One flow per event, its time one second after the one before. */
  const feed = (times = 1, changes: Partial<EventFields> = {}) => {
    for (let at = 0; at < times; at++) {
      const bytes = encodeEvent({
        type: 2,
        flags: 0,
        timeNs: BigInt(++count) * 1_000_000_000n,
        ...changes,
      });
      observer.parser.record(new Uint32Array(bytes.buffer), 0, bytes.length);
    }
    observer.settle();
  };
  const open = (request: Partial<GetFlowsRequest>) =>
    observer.queryFlows(GetFlowsRequest.fromPartial(request));
  const read = (request: Partial<GetFlowsRequest> | ReturnType<typeof open>) => {
    const query = 'next' in request ? request : open(request);
    const responses: GetFlowsResponse[] = [];
    for (let one = query.next(); one instanceof Uint8Array; one = query.next()) {
      responses.push(GetFlowsResponse.decode(one));
    }
    return responses;
  };
  const seconds = (responses: readonly GetFlowsResponse[]) =>
    responses.map((one) => Number(one.flow?.time?.seconds ?? -1));
  return { observer, clock, feed, open, read, seconds };
}

const at = (seconds: number) => ({ seconds: BigInt(seconds), nanos: 0 });

describe('flow ring', () => {
  test('takes the capacities that upstream takes', () => {
    for (const capacity of [1, 3, 4095, 65535]) new FlowRing(capacity);
    for (const capacity of [0, 2, 4096, 131071, -1, 1.5, Number.NaN]) {
      expect(() => new FlowRing(capacity)).toThrow(RangeError);
    }
  });

  test('keeps the latest, however often it went round', () => {
    const { feed, read, seconds, observer } = world(7);
    feed(3);
    expect(seconds(read({}))).toEqual([1, 2, 3]);
    feed(100);
    expect(seconds(read({}))).toEqual([97, 98, 99, 100, 101, 102, 103]);
    expect(observer.status()).toMatchObject({ num_flows: 7n, max_flows: 7n, seen_flows: 103n });
  });

  test('events with several flows wrap as well', () => {
    const { feed, read } = world(7);
    for (let at = 0; at < 50; at++) {
      feed(1, { type: 1, flags: 3, destinationPort: 1000 + at });
      feed(1, { destinationPort: 1000 + at });
      const ports = read({}).map((one) => one.flow?.l4?.TCP?.destination_port ?? 0);
      expect(ports).toEqual(ports.toSorted((a, b) => a - b));
      expect(ports.at(-1)).toBe(1000 + at);
    }
  });
});

describe('windows', () => {
  const { feed, read, seconds } = world(15);
  feed(10);
  const cases: readonly (readonly [Partial<GetFlowsRequest>, readonly number[]])[] = [
    [{ number: 3n }, [8, 9, 10]],
    [{ number: 100n }, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
    [{ number: 2n, first: true }, [1, 2]],
    [{ since: at(8) }, [8, 9, 10]],
    [{ since: at(8), until: at(9) }, [8, 9]],
    [{ until: at(2) }, [1, 2]],
    [{ since: at(3), number: 2n }, [3, 4]],
    [{ since: at(3), number: 2n, first: true }, [3, 4]],
    [{ until: at(4), number: 2n }, [3, 4]],
    [{ since: at(11) }, []],
  ];
  for (const [request, expected] of cases) {
    test(
      JSON.stringify(request, (_, value) => (typeof value === 'bigint' ? Number(value) : value)),
      () => {
        expect(seconds(read(request))).toEqual([...expected]);
      },
    );
  }
});

describe('followers', () => {
  test('start at the newest, or as far back as asked', () => {
    const { feed, open, read, seconds } = world(15);
    feed(5);
    const fresh = open({ follow: true });
    const back = open({ follow: true, number: 2n });
    expect(fresh.next()).toBe('wait');
    feed(1);
    expect(seconds(read(fresh))).toEqual([6]);
    expect(seconds(read(back))).toEqual([4, 5, 6]);
    feed(1);
    expect(seconds(read(back))).toEqual([7]);
  });

  test('one that sleeps loses alone, and is told how much', () => {
    const { feed, open, read, seconds } = world(15);
    const slow = open({ follow: true });
    const quick = open({ follow: true });
    for (let round = 0; round < 10; round++) {
      feed(10);
      expect(seconds(read(quick))).toHaveLength(10);
    }
    const responses = read(slow);
    const lost = responses[0]?.lost_events;
    expect(lost?.source).toBe(3);
    expect(lost?.cpu).toBeUndefined();
    expect(Number(lost?.num_events_lost) + responses.length - 1).toBe(100);
    expect(quick.lost).toBe(0);
  });

  test('a flood of losses is told once per second, and adds up', () => {
    const { feed, open, read, clock } = world(15);
    const slow = open({ follow: true });
    let lost = 0;
    let records = 0;
    let flows = 0;
    const look = () => {
      for (const one of read(slow)) {
        if (one.lost_events === undefined) flows++;
        else {
          records++;
          lost += Number(one.lost_events.num_events_lost);
        }
      }
    };
    for (let round = 0; round < 300; round++) {
      feed(40);
      clock.nanos += 10_000_000;
      if (clock.nanos >= 1e9) {
        clock.nanos -= 1e9;
        clock.seconds++;
      }
      look();
    }
    clock.seconds += 2;
    look();
    expect(lost + flows).toBe(12000);
    expect(records).toBeLessThanOrEqual(5);
  });

  test('are woken after a batch and not when they left', () => {
    const { feed, observer } = world(15);
    let woken = 0;
    const follower = observer.follow(() => woken++);
    feed(3);
    expect(woken).toBe(1);
    follower[Symbol.dispose]();
    feed(3);
    expect(woken).toBe(1);
  });
});

describe('losses before the ring', () => {
  test('are flows’ neighbours in the ring, whatever the filter', () => {
    const { observer, read } = world(15);
    observer.lose(5, 1);
    observer.settle();
    const whitelist = [FlowFilter.fromPartial({ verdict: [2] })];
    const responses = read({ whitelist, number: 1n });
    expect(responses[0]?.lost_events).toMatchObject({ source: 1, num_events_lost: 5n, cpu: 1 });
  });

  test('are told at once, then once per window', () => {
    const told: LostRecord[] = [];
    const losses = new LossWindow((record) => told.push(record));
    losses.add(1, 5, 0, { seconds: 1, nanos: 0 });
    losses.add(1, 5, 0, { seconds: 1, nanos: 5 });
    losses.add(1, 7, 1, { seconds: 1, nanos: 6 });
    losses.add(1, 1, 0, { seconds: 1, nanos: 9 });
    expect(told.map((record) => record.count)).toEqual([5, 7]);
    losses.flush({ seconds: 2, nanos: 0 });
    expect(told.at(-1)).toMatchObject({ count: 6, cpu: 0, firstNanos: 5, lastNanos: 9 });
    losses.flush({ seconds: 9, nanos: 0 });
    expect(told.length).toBe(3);
    expect(losses.totals.get(1)).toBe(18);
  });
});

describe('figures', () => {
  test('flows per second over the last minute', () => {
    const rate = new FlowRate(100);
    rate.add(10, 100);
    expect(rate.perSecond(101)).toBe(10);
    expect(rate.perSecond(110)).toBe(1);
    rate.add(50, 159);
    expect(rate.perSecond(159.5)).toBeCloseTo(1.0, 1);
    expect(rate.perSecond(400)).toBe(0);
    rate.add(1, 90); // the clock was set back
    expect(rate.perSecond(400)).toBeCloseTo(1 / 60);
  });

  test('namespaces of the last hour', () => {
    const { observer, feed, clock } = world(15);
    feed(1);
    clock.seconds = 3000;
    expect(observer.namespaces()).toEqual([{ cluster: '', namespace: 'shop' }]);
    clock.seconds = 9000;
    expect(observer.namespaces()).toEqual([]);
  });

  test('a named cluster is in the node’s name', () => {
    const observer = new Observer(smallWorld(), {
      nodeName: 'n',
      clusterName: 'blue',
      capacity: 1,
      version: '',
    });
    expect(observer.nodeName).toBe('blue/n');
  });
});

test('offsets of events are those of the C struct', async () => {
  const { flowEventLayout } = await import('../../bpf/gen/layouts.ts');
  const bytes = encodeEvent({ line: 513, file: 2, reason: 133, tracePoint: 11, direction: 2 });
  const event = flowEventLayout.decode(new DataView(bytes.buffer));
  expect(bytes.length).toBe(flowEventLayout.size);
  expect(event).toMatchObject({
    timeNs: 5_000_000_123n,
    sport: 40000,
    dport: 8080,
    proto: 6,
    tcpFlags: 2,
    type: 1,
    reason: 133,
    srcIdentity: 1001,
    dstIdentity: 1002,
    srcEndpoint: 11,
    dstEndpoint: 12,
    ifindex: 7,
    cookie: [501, 500],
    flags: 3,
    tracePoint: 11,
    line: 513,
    file: 2,
    direction: 2,
  });
  expect([...event.smac]).toEqual([2, 0, 0, 0, 0, 1]);
  expect([...event.matchType]).toEqual([2, 1]);
  const marked = new Uint8Array(104);
  const view = new DataView(marked.buffer);
  flowEventLayout.encode({ ...event, length: 0x01020304, epoch: 0x05060708 }, view);
  expect(view.getUint32(eventOffset.length, true)).toBe(0x01020304);
  expect(view.getUint32(eventOffset.epoch, true)).toBe(0x05060708);
});
