/**
 * @module What one packet costs in the programs, by BPF_PROG_TEST_RUN, with 100,000 other flows in
 * the table: established, first of a connection, spoofed, translated. Also what the verifier walked.
 * `bun test/bench/program.ts [rounds]`, as root.
 *
 * Rounds go through all cases in turn, so that a change of the machine's mood meets them alike. For
 * first packets fresh_connection.c gives every run ports of its own and tail calls the program; what
 * that costs by itself is measured with the bare redirect behind it, and taken off.
 */
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import type { CtEntry, CtKey } from '../../src/bpf/gen/layouts.ts';
import { BpfObject } from '../../src/bpf/libbpf/object.ts';
import type { BpfProgram } from '../../src/bpf/libbpf/program.ts';
import { withNetns } from '../../src/net/netns.ts';
import {
  addresses,
  deviceContext,
  entry,
  Fixture,
  families,
  type Hook,
  podA,
  podB,
  policy,
} from '../bpf/fixture.ts';
import { proto, tcp, udp } from '../bpf/packet.ts';
import { type Figure, median, spreadOf, tableOf } from './figures.ts';

const otherFlows = 100_000;
const tableSize = 524_288;
const establishedRuns = 100_000;
/** Each tells of itself, and the ring holds 37,000 events: a full one would be cheaper. */
const spoofedRuns = 30_000;
/** New entries of all rounds must fit beside the others: an eviction costs more than an insertion. */
const freshRuns = 4000;

interface Case {
  readonly name: string;
  readonly bar?: number;
  readonly prepare?: () => Promise<void> | void;
  readonly measure: () => number;
  /** Name of the case that stands for what measuring costs. */
  readonly overhead?: string;
}

/** Measures in the given number of rounds, at least 15 for a figure to be quoted. */
export async function program(rounds = 21): Promise<Figure[]> {
  const started = performance.now();
  await using fixture = new Fixture({ conntrack: tableSize });
  const setUpMs = performance.now() - started;
  await fixture.reset();
  fillTable(fixture);
  using bare = load('bare_redirect');
  using fresh = load('fresh_connection');
  const cases = casesOf(fixture, bare, fresh);
  const samples = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const { name, prepare, measure } of cases) {
      await open(fixture);
      await prepare?.();
      fixture.drain();
      const ns = measure();
      // The first round warms caches.
      if (round >= 0) samples.get(name)?.push(ns);
    }
  }
  return [...timings(cases, samples), ...programFigures(fixture, setUpMs)];
}

function casesOf(fixture: Fixture, bare: BpfObject, fresh: BpfObject): Case[] {
  const bareProgram = bare.program('bare_redirect');
  const freshProgram = fresh.program('fresh_connection');
  const next = fresh.map('fresh_next');
  const put = (program: BpfProgram) =>
    next.update(new Uint8Array(4), new Uint8Array(new Uint32Array([program.fd]).buffer));
  const context = deviceContext(fixture.ifindex.a);
  const run = (program: BpfProgram, packet: Uint8Array, repeat: number) =>
    withNetns(fixture.netns.fd, () => program.testRun({ packet, context, repeat })).durationNs;
  const hook =
    (name: Hook, packet: Uint8Array, runs = establishedRuns) =>
    () =>
      fixture.testRun(name, packet, runs).durationNs;
  const ports = { sport: 40000, dport: 80 };
  const [{ a, b }] = [addresses[4]];
  const packet = tcp({ from: a, to: b }, ports);
  return [
    { name: 'bare redirect', measure: () => run(bareProgram, packet, establishedRuns) },
    {
      name: 'bare redirect, one by one',
      measure: () => oneByOne(() => run(bareProgram, packet, 1)),
    },
    {
      name: 'bare redirect, fresh ports',
      measure: () => {
        put(bareProgram);
        return run(freshProgram, packet, establishedRuns);
      },
    },
    ...families.flatMap((family) => {
      const ends = addresses[family];
      const segment = tcp({ from: ends.a, to: ends.b }, ports);
      const out = udp({ from: ends.a, to: ends.world }, ports);
      const tiny = udp({ from: ends.a, to: ends.b }, { ...ports, payload: new Uint8Array(1) });
      const first = (): number => {
        put(fixture.programs.fromContainer);
        return run(freshProgram, segment, freshRuns);
      };
      const overhead = 'bare redirect, fresh ports';
      return [
        {
          name: `IPv${family} established`,
          bar: 110,
          prepare: () => establish(fixture, family),
          measure: hook('from-a', segment),
        },
        {
          name: `IPv${family} established, a datagram of one byte`,
          bar: 110,
          prepare: () => {
            fixture.run('from-a', tiny);
          },
          measure: hook('from-a', tiny),
        },
        {
          name: `IPv${family} established, as delivered by the stack`,
          prepare: () => {
            const question = tcp({ from: ends.gateway, to: ends.a }, ports);
            fixture.run('to-a', question);
            fixture.run(
              'from-a',
              tcp({ from: ends.a, to: ends.gateway }, { sport: 80, dport: 40000 }),
            );
          },
          measure: hook('to-a', tcp({ from: ends.gateway, to: ends.a }, ports)),
        },
        {
          name: `IPv${family} first, no policy`,
          measure: first,
          overhead,
        },
        {
          name: `IPv${family} first, both policies`,
          bar: 1100,
          prepare: () => enforce(fixture),
          measure: first,
          overhead,
        },
        {
          name: `IPv${family} spoofed`,
          measure: hook('from-a', tcp({ from: ends.unallocated, to: ends.b }, ports), spoofedRuns),
        },
        {
          name: `IPv${family} translated, going on`,
          prepare: () => {
            fixture.run('from-a', out);
          },
          // The packet is rewritten in place, so that only its first run would be of the connection.
          overhead: 'bare redirect, one by one',
          measure: () => oneByOne(() => fixture.testRun('from-a', out).durationNs),
        },
      ];
    }),
  ];
}

/** Runs of one packet each: the median, with what reading the clock around each costs. */
function oneByOne(measure: () => number): number {
  return median(Array.from({ length: 300 }, measure));
}

function establish(fixture: Fixture, family: 4 | 6): void {
  const { a, b } = addresses[family];
  for (const flags of ['S', 'A']) {
    fixture.run('from-a', tcp({ from: a, to: b }, { sport: 40000, dport: 80, flags }));
    fixture.run('from-b', tcp({ from: b, to: a }, { sport: 80, dport: 40000, flags: `${flags}A` }));
  }
}

/** Nothing is enforced, and every older connection would be judged again. */
const open = (fixture: Fixture) =>
  fixture.setPolicies(
    new Map(
      [podA, podB].map(({ policyId }) => [
        policyId,
        { ...policy('both'), ingressEnforced: false, egressEnforced: false },
      ]),
    ),
  );

/** 100 entries a direction, as a namespace with some policies has; any port, since all come by. */
async function enforce(fixture: Fixture): Promise<void> {
  const entries = (direction: 'ingress' | 'egress', classId: number) => [
    entry(direction, { classId, proto: proto.tcp }),
    ...Array.from({ length: 99 }, (_, at) =>
      entry(direction, { classId: 200 + at, proto: proto.tcp, port: 1000 + at }),
    ),
  ];
  await fixture.setPolicies(
    new Map([
      [podA.policyId, policy('egress', entries('egress', podB.classId))],
      [podB.policyId, policy('ingress', entries('ingress', podA.classId))],
    ]),
  );
}

function fillTable(fixture: Fixture): void {
  const leg = { ifindex: 1, endpointId: 1, kind: 1, tcpFlags: 0 };
  const value: CtEntry = {
    ...{ leg: [leg, leg], identity: [1, 2], cookie: [0, 0], flags: 0, natPort: 0 },
    ...{ epoch: 0, lastSeen: 0, created: 0 },
  };
  fixture.maps.conntrack.updateAll(
    (function* (): Generator<[CtKey, CtEntry]> {
      for (let at = 0; at < otherFlows; at++) {
        const [low, high] = [new Uint8Array(16), new Uint8Array(16)];
        new DataView(low.buffer).setUint32(12, at);
        high[0] = 1;
        yield [{ addr: [low, high], port: [at & 0xffff, 80], proto: proto.tcp, zone: 0 }, value];
      }
    })(),
  );
}

function load(name: string): BpfObject {
  const path = join(import.meta.dir, `../../dist/bpf/test/${name}.o`);
  const object = BpfObject.open(name, readFileSync(path));
  object.load();
  return object;
}

function timings(
  cases: readonly Case[],
  samples: ReadonlyMap<string, readonly number[]>,
): Figure[] {
  const floor = (name: string) => Math.min(...(samples.get(name) ?? []));
  const bare = floor('bare redirect');
  return cases.map(({ name, bar, overhead }) => {
    const off = overhead === undefined ? 0 : floor(overhead) - bare;
    const values = (samples.get(name) ?? []).map((value) => value - off);
    const least = Math.min(...values);
    return {
      name,
      value: `${least} / ${median(values)} ns`,
      baseline: `${bare} ns`,
      spread: spreadOf(values, 0),
      ...(bar !== undefined && { bar: `≤ ${bar} ns`, met: least <= bar }),
    };
  });
}

function programFigures(fixture: Fixture, setUpMs: number): Figure[] {
  const programs = Object.values(fixture.programs).map((each: BpfProgram) => {
    const { verifiedInstructions, translatedBytes, jitedBytes } = each.query();
    const size = `${translatedBytes / 8} instructions, ${jitedBytes} bytes of machine code`;
    return { name: each.name, value: `${verifiedInstructions} verified`, spread: size };
  });
  return [...programs, { name: 'load, maps, devices', value: `${setUpMs.toFixed(0)} ms`, bar: '' }];
}

if (import.meta.main) {
  const rounds = Number(process.argv[2] ?? 21);
  const load = () =>
    loadavg()
      .map((value) => value.toFixed(1))
      .join(' ');
  console.log(`least / median of ${rounds} rounds, ${otherFlows} other flows; load ${load()}`);
  console.log(tableOf(await program(rounds)));
  console.log(`load ${load()}`);
}
