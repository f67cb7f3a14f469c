/**
 * @module
 * cil_ct_sweep frees what has expired and nothing else, in slices; and the clock that entries are
 * stamped by. Needs root.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { closeSync, readSync } from 'node:fs';
import { ctFlags } from '../../src/bpf/gen/constants.ts';
import type { CtEntry, CtKey } from '../../src/bpf/gen/layouts.ts';
import { BpfLink } from '../../src/bpf/libbpf/link.ts';
import { withClockProgram } from '../../src/bpf/loader/objects.ts';
import { deriveHz, measureHz, readClock } from '../../src/daemon/conntrack/clock.ts';
import { ConntrackSweeper } from '../../src/daemon/conntrack/sweeper.ts';
import { Fixture } from './fixture.ts';
import { proto } from './packet.ts';

const entries = 200_000;
let fixture: Fixture;
beforeAll(() => {
  // Half full: an LRU table evicts from a CPU's share long before all of it is used.
  fixture = new Fixture({ conntrack: 2 * entries });
});
afterAll(() => fixture[Symbol.asyncDispose]());

const leg = { ifindex: 1, endpointId: 1, kind: 1, tcpFlags: 0 };

function key(index: number, protocol: number): CtKey {
  const [low, high] = [new Uint8Array(16), new Uint8Array(16)];
  new DataView(low.buffer).setUint32(12, index);
  high[0] = 1;
  return { addr: [low, high], port: [1, 2], proto: protocol, zone: 0 };
}

function row(lastSeen: number, flags = 0): CtEntry {
  const both = { identity: [1, 2], cookie: [0, 0] } as const;
  const stamps = { epoch: 0, lastSeen: lastSeen >>> 0, created: 0 };
  return { leg: [leg, leg], ...both, ...stamps, flags, natPort: 0 };
}

const clock = () => withClockProgram((program) => readClock(program));

describe('sweep', () => {
  const states = {
    'UDP, fresh': { age: 5000, protocol: proto.udp, flags: 0, expired: false },
    'UDP, old': { age: 7000, protocol: proto.udp, flags: 0, expired: true },
    'a tick ahead of us': { age: -10_000, protocol: proto.udp, flags: 0, expired: false },
    'TCP, established': {
      ...{ age: 90_000, protocol: proto.tcp, expired: false },
      flags: ctFlags.CT_SEEN_REPLY | ctFlags.CT_SEEN_NON_SYN,
    },
    'TCP, established, old': {
      ...{ age: 110_000, protocol: proto.tcp, expired: true },
      flags: ctFlags.CT_SEEN_REPLY | ctFlags.CT_SEEN_NON_SYN,
    },
    'TCP, unanswered': { age: 7000, protocol: proto.tcp, flags: 0, expired: true },
    'TCP, reset': { age: 2000, protocol: proto.tcp, flags: ctFlags.CT_RESET, expired: true },
    'TCP, half closed': {
      ...{ age: 2000, protocol: proto.tcp, expired: false },
      flags: ctFlags.CT_SEEN_REPLY | ctFlags.CT_SEEN_NON_SYN | ctFlags.CT_CLOSING_0,
    },
  };

  test('each state by its own lifetime', async () => {
    const { conntrack } = fixture.maps;
    const now = clock().jiffies;
    const rows = Object.values(states).map((state, at) => {
      return [key(at, state.protocol), row(now - state.age, state.flags)] as const;
    });
    conntrack.updateAll(rows);
    const result = await sweep();
    const isLeft = rows.map(([at]) => conntrack.lookup(at) !== undefined);
    expect(isLeft).toEqual(Object.values(states).map(({ expired }) => !expired));
    expect(result).toMatchObject({ live: 4, expired: 4 });
    expect(await sweep()).toMatchObject({ live: 4, expired: 0 });
    conntrack.deleteAll(rows.map(([at]) => at));
  });

  test('a large table', async () => {
    const { conntrack } = fixture.maps;
    const now = clock().jiffies;
    const isOld = (at: number) => at % 4 === 0;
    conntrack.updateAll(
      (function* () {
        for (let at = 0; at < entries; at++) {
          yield [key(at, proto.udp), row(now - (isOld(at) ? 7000 : 0))] as const;
        }
      })(),
    );
    const before = [...conntrack.map.entries()].length;
    const first = await sweep();
    // Deleting in a bucket where a slice ends may hide a neighbour until the next walk.
    expect(before - (first?.live ?? 0) - (first?.expired ?? 0)).toBeWithin(0, 200);
    const second = await sweep();
    expect((first?.expired ?? 0) + (second?.expired ?? 0)).toBe(entries / 4);
    expect(second?.live).toBe(before - entries / 4);
    for (let at = 0; at < entries; at += 997) {
      expect(conntrack.lookup(key(at, proto.udp)) === undefined).toBe(isOld(at));
    }
    const slices = readSlices(4096);
    expect(slices.visited).toBe(before - entries / 4);
    console.log(
      `    sweep of ${slices.visited}: ${slices.times.length} slices, ` +
        `median ${slices.median.toFixed(2)} ms, longest ${slices.longest.toFixed(2)} ms`,
    );
  });
});

async function sweep() {
  using sweeper = new ConntrackSweeper({
    ...{ program: () => fixture.programs.ctSweep, map: fixture.maps.conntrack.map },
    ...{ intervalMs: 3_600_000, onPass: () => {} },
    onError: (error) => {
      throw error;
    },
  });
  return await sweeper.sweep();
}

/** How long each system call of a walk over the table takes. */
function readSlices(size: number) {
  using link = BpfLink.attachMapIterator(fixture.programs.ctSweep, fixture.maps.conntrack.map);
  const fd = link.startIterator();
  const times: number[] = [];
  let visited = 0;
  try {
    const buffer = new Uint8Array(size);
    for (;;) {
      const start = performance.now();
      const length = readSync(fd, buffer);
      times.push(performance.now() - start);
      visited += length;
      if (length === 0) break;
    }
  } finally {
    closeSync(fd);
  }
  const sorted = times.toSorted((a, b) => a - b);
  return { visited, times, median: sorted[sorted.length >> 1]!, longest: sorted.at(-1)! };
}

describe('clock', () => {
  test('jiffies grow at the rate that was derived', async () => {
    const hz = withClockProgram((program) => measureHz(() => readClock(program)));
    const first = clock();
    await Bun.sleep(200);
    const second = clock();
    const rate = (second.jiffies - first.jiffies) / (second.uptimeSeconds - first.uptimeSeconds);
    // Two readings are each within one tick.
    expect(Math.abs(rate - hz)).toBeLessThan(hz * 0.05 + 10);
    expect(deriveHz(first.jiffies, first.uptimeSeconds)).toBe(hz);
  });

  test('every rate is told from one reading, at any uptime', () => {
    for (const hz of [100, 250, 300, 1000]) {
      for (const uptime of [0, 60, 290, 310, 3600, 86_400 * 30]) {
        const jiffies = Math.round(2 ** 32 + hz * (uptime - 300));
        expect(deriveHz(jiffies, uptime)).toBe(hz);
      }
      expect(deriveHz(2 ** 32, 300)).toBeUndefined();
    }
  });
});
