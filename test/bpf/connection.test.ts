/**
 * @module
 * Connections over time: the established path, replies, changes of policy under way, the states of
 * TCP, expiry, spoofing on a tuple that exists, and echoes. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { ctFlags, dropReason } from '../../src/bpf/gen/constants.ts';
import { withClockProgram } from '../../src/bpf/loader/objects.ts';
import { readClock } from '../../src/daemon/conntrack/clock.ts';
import { addresses, entry, Fixture, families, openPolicy, podA, podB, policy } from './fixture.ts';
import { echo, icmp, proto, tcp, tcpFlags, udp } from './packet.ts';

let fixture: Fixture;
beforeAll(() => {
  fixture = new Fixture();
});
afterAll(() => fixture[Symbol.asyncDispose]());

const types = (events: readonly { readonly type: string }[]) => events.map(({ type }) => type);

/** Jiffies now, as the programs stamp them. */
function jiffies(): number {
  return withClockProgram((program) => readClock(program).jiffies) % 2 ** 32;
}

for (const family of families) {
  describe(`IPv${family}`, () => {
    const { a, b, gateway, world } = addresses[family];
    const ports = { sport: 40000, dport: 80 };
    const back = { sport: 80, dport: 40000 };
    const forth = (flags: string) => tcp({ from: a, to: b }, { ...ports, flags });
    const answer = (flags: string) => tcp({ from: b, to: a }, { ...back, flags });
    const fromA = (flags: string) => fixture.run('from-a', forth(flags));
    const fromB = (flags: string) => fixture.run('from-b', answer(flags));
    const handshake = () => [fromA('S'), fromB('SA'), fromA('A')];
    const flagsOf = () => fixture.connection(a, b)!.flags;

    beforeEach(() => fixture.reset());

    test('a handshake: one event each way, then silence', () => {
      const outcomes = handshake();
      expect(outcomes.map(({ verdict }) => verdict)).toEqual(['redirect', 'redirect', 'redirect']);
      expect(outcomes.map(({ events }) => types(events))).toEqual([['NEW'], ['REPLY'], []]);
      expect(outcomes[1]!.events[0]).toMatchObject({
        ...{ from: b, to: a, ...back, flags: ['IS_REPLY'] },
        identities: [podB.identity, podA.identity],
      });
      for (const flags of ['A', 'AP']) {
        expect(fromA(flags)).toMatchObject({ verdict: 'redirect', events: [] });
        expect(fromB(flags)).toMatchObject({ verdict: 'redirect', events: [] });
      }
      expect(flagsOf() & ctFlags.CT_SEEN_REPLY).not.toBe(0);
      expect(fixture.connection(a, b)!.entry.leg.map(({ tcpFlags: seen }) => seen & 2)).toEqual([
        2, 2,
      ]);
    });

    test('an established packet is not changed', () => {
      handshake();
      for (const packet of [forth('A'), forth('AP')]) {
        expect(fixture.run('from-a', packet).packet).toEqual(packet);
      }
    });

    test('replies need no policy of their own', async () => {
      await fixture.setPolicies(
        new Map([
          [podA.policyId, policy('both', [entry('egress', { proto: proto.tcp, port: 80 })])],
          [podB.policyId, policy('both', [entry('ingress', { proto: proto.tcp, port: 80 })])],
        ]),
      );
      expect(handshake().map(({ verdict }) => verdict)).toEqual([
        'redirect',
        'redirect',
        'redirect',
      ]);
      // The same tuple begun by the other pod is a connection that nobody allowed.
      await fixture.reset();
      await fixture.setPolicies(new Map([[podB.policyId, policy('both')]]));
      expect(fromB('SA')).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
    });

    test('what cannot begin a connection is judged as its sender’s, when there is none', async () => {
      const toWeb = { proto: proto.tcp, port: 80 };
      await fixture.setPolicies(
        new Map([
          [podA.policyId, policy('both', [entry('egress', toWeb)])],
          [podB.policyId, policy('both', [entry('ingress', toWeb)])],
        ]),
      );
      for (const flags of ['SA', 'A', 'FA', 'R']) {
        expect(fromB(flags)).toMatchObject({
          ...{ verdict: 'drop', reason: 'DROP_POLICY' },
          events: [{ flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'] }],
        });
      }
      expect(fixture.connection(a, b)).toBeUndefined();
      // A connection whose entry is lost goes on from the end that policy lets ask.
      expect(fromA('A')).toMatchObject({ verdict: 'redirect', events: [{ type: 'NEW' }] });
      expect(fromB('A')).toMatchObject({ verdict: 'redirect', events: [{ type: 'REPLY' }] });
    });

    test('another source on an established tuple', () => {
      handshake();
      for (const flags of ['A', 'S', 'F']) {
        const spoofed = fixture.run('from-b', forth(flags));
        expect(spoofed).toMatchObject({ verdict: 'drop', reason: 'DROP_INVALID_SIP' });
      }
      expect(fromA('A')).toMatchObject({ verdict: 'redirect', events: [] });
    });

    test("from the stack, with a pod's address, on an established tuple", () => {
      handshake();
      for (const flags of ['A', 'F', 'R']) {
        const spoofed = fixture.run('to-b', forth(flags));
        expect(spoofed).toMatchObject({ verdict: 'drop', reason: 'DROP_INVALID_SIP' });
      }
      expect(flagsOf() & (ctFlags.CT_RESET | ctFlags.CT_CLOSING_0 | ctFlags.CT_CLOSING_1)).toBe(0);
    });

    test('the policy changes under way: still allowed', async () => {
      handshake();
      await fixture.setPolicies(
        new Map([[podA.policyId, policy('both', [entry('egress', { cookie: 77 })])]]),
      );
      const judged = fromA('A');
      expect(judged).toMatchObject({ verdict: 'redirect' });
      expect(types(judged.events)).toEqual(['NEW']);
      expect(judged.events[0]).toMatchObject({
        flags: ['EGRESS_JUDGED', 'REEVALUATED'],
        cookie: { egress: 77 },
      });
      expect(fromA('A').events).toEqual([]);
      expect(fromB('A')).toMatchObject({ verdict: 'redirect', events: [] });
    });

    test('the policy changes under way: cut, both ways, until it is allowed again', async () => {
      handshake();
      await fixture.setPolicies(new Map([[podB.policyId, policy('ingress')]]));
      for (const run of [fromA, fromB, fromA, fromB]) {
        const cut = run('A');
        expect(cut).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
        // What the other end began is told of as its reply, not as a question of its own.
        const reply = run === fromB ? ['IS_REPLY'] : [];
        expect(cut.events[0]).toMatchObject({
          flags: ['INGRESS_JUDGED', ...reply, 'INGRESS_DENIED'],
        });
      }
      await fixture.setPolicies(new Map([[podB.policyId, openPolicy]]));
      expect(fromB('A')).toMatchObject({ verdict: 'redirect' });
      expect(fromA('A')).toMatchObject({ verdict: 'redirect', events: [] });
      expect(fixture.connection(a, b)!.from.initiator).toBe(true);
    });

    test('a pod that moved to another device is somebody else', () => {
      handshake();
      fixture.setEndpoint(podB, fixture.ifindex.native);
      fixture.config.epoch += 2;
      expect(fromA('A').verdict).toBe('redirect');
      expect(fixture.connection(a, b)!.to.ifindex).toBe(fixture.ifindex.native);
      expect(fromB('A')).toMatchObject({ verdict: 'drop', reason: 'DROP_INVALID_SIP' });
      fixture.setEndpoint(podB, fixture.ifindex.b);
    });

    test('FIN from each side is told once', () => {
      handshake();
      expect(types(fromA('FA').events)).toEqual(['CLOSE']);
      expect(types(fromA('FA').events)).toEqual([]);
      expect(types(fromB('A').events)).toEqual([]);
      const [closed] = fromB('FA').events;
      expect(closed).toMatchObject({ type: 'CLOSE', flags: ['IS_REPLY'], from: b });
      const both = ctFlags.CT_CLOSING_0 | ctFlags.CT_CLOSING_1;
      expect(flagsOf() & both).toBe(both);
      expect(fromA('A')).toMatchObject({ verdict: 'redirect', events: [] });
    });

    test('RST is told, and marks the entry', () => {
      handshake();
      expect(types(fromB('RA').events)).toEqual(['CLOSE']);
      expect(flagsOf() & ctFlags.CT_RESET).not.toBe(0);
      expect(
        fixture
          .connection(a, b)!
          .entry.leg.some(({ tcpFlags: seen }) => (seen & tcpFlags('R')) !== 0),
      ).toBe(true);
    });

    test('a RST that was not taken: the connection goes on, for as long as any', () => {
      handshake();
      fromB('RA');
      expect(flagsOf() & ctFlags.CT_RESET).not.toBe(0);
      fromA('FA');
      expect(flagsOf() & ctFlags.CT_RESET).not.toBe(0);
      expect(fromA('A')).toMatchObject({ verdict: 'redirect', events: [] });
      expect(flagsOf() & ctFlags.CT_RESET).toBe(0);
      fixture.changeConnection(a, b, { lastSeen: jiffies() - 90_000 });
      expect(fromB('A')).toMatchObject({ verdict: 'redirect', events: [] });
    });

    test('a SYN on what is closing begins anew, and is judged', async () => {
      for (const end of ['FA', 'RA']) {
        await fixture.reset();
        handshake();
        fromA(end);
        expect(types(fromA('S').events)).toEqual(['NEW']);
        expect(flagsOf() & ~ctFlags.CT_INITIATOR).toBe(0);
        // Begun from the other side, the roles change.
        handshake();
        fromB(end);
        expect(types(fromB('S').events)).toEqual(['NEW']);
        expect(fixture.connection(a, b)!.to.initiator).toBe(true);
      }
    });

    test('a SYN on what is open changes nothing', () => {
      handshake();
      expect(types(fromA('S').events)).toEqual([]);
      expect(types(fromB('S').events)).toEqual([]);
      expect(fixture.connection(a, b)!.from.initiator).toBe(true);
    });

    test('expiry is judged when an entry is asked for', async () => {
      const age = (by: number) => fixture.changeConnection(a, b, { lastSeen: jiffies() - by });
      handshake();
      // Established: long lived.
      age(90_000);
      expect(types(fromA('A').events)).toEqual([]);
      expect(jiffies() - fixture.connection(a, b)!.entry.lastSeen).toBeLessThan(5000);
      age(110_000);
      expect(types(fromB('A').events)).toEqual(['NEW']);
      expect(fixture.connection(a, b)!.to.initiator).toBe(true);
      // Without an answer: short lived.
      await fixture.reset();
      fromA('S');
      age(7000);
      expect(types(fromA('S').events)).toEqual(['NEW']);
      // Closed from both sides: shorter.
      await fixture.reset();
      handshake();
      fromA('FA');
      fromB('FA');
      age(1500);
      expect(types(fromA('FA').events)).toEqual(['NEW']);
    });

    test('an expired entry is no way around policy', async () => {
      await fixture.setPolicies(
        new Map([[podB.policyId, policy('both', [entry('ingress', { proto: proto.tcp })])]]),
      );
      handshake();
      fixture.changeConnection(a, b, { lastSeen: jiffies() - 110_000 });
      expect(fromB('A')).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
    });

    test('a stamp of another CPU that is a tick ahead is not expiry', () => {
      handshake();
      for (const flags of ['A', 'P', 'F']) {
        fixture.changeConnection(a, b, { lastSeen: jiffies() + 1000 });
        expect(types(fromA(flags).events).filter((type) => type === 'NEW')).toEqual([]);
      }
    });

    test('UDP: an answer, then the plain path both ways, small datagrams too', () => {
      const query = (payload: Uint8Array) =>
        udp({ from: a, to: b }, { sport: 5000, dport: 53, payload });
      const reply = udp({ from: b, to: a }, { sport: 53, dport: 5000 });
      const small = query(new Uint8Array(1));
      expect(types(fixture.run('from-a', small).events)).toEqual(['NEW']);
      expect(types(fixture.run('from-b', reply).events)).toEqual(['REPLY']);
      for (let size = 0; size < 20; size++) {
        expect(fixture.run('from-a', query(new Uint8Array(size)))).toMatchObject({
          verdict: 'redirect',
          events: [],
        });
      }
    });

    test('echoes with the same id from both sides are two connections', () => {
      const ends = { forth: { from: a, to: b }, back: { from: b, to: a } };
      const ask = fixture.run('from-a', echo(ends.forth, { kind: 'request', id: 7 }));
      const askBack = fixture.run('from-b', echo(ends.back, { kind: 'request', id: 7 }));
      expect([ask, askBack].map(({ events }) => types(events))).toEqual([['NEW'], ['NEW']]);
      expect(ask.events[0]!.dport).toBe(7);
      const reply = fixture.run('from-b', echo(ends.back, { kind: 'reply', id: 7 }));
      const replyBack = fixture.run('from-a', echo(ends.forth, { kind: 'reply', id: 7 }));
      expect([reply, replyBack].map(({ events }) => types(events))).toEqual([['REPLY'], ['REPLY']]);
      expect([...fixture.maps.conntrack.entries()]).toHaveLength(2);
    });

    test('an unasked echo reply is judged', async () => {
      await fixture.setPolicies(new Map([[podA.policyId, policy('both')]]));
      const reply = fixture.run('from-a', echo({ from: a, to: b }, { kind: 'reply', id: 7 }));
      expect(reply).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
    });

    test('one allowed type of ICMP allows no other', async () => {
      const [echoType, protocol] = family === 4 ? [8, proto.icmp] : [128, proto.icmpv6];
      const allowEcho = entry('egress', { proto: protocol, port: echoType });
      await fixture.setPolicies(new Map([[podA.policyId, policy('egress', [allowEcho])]]));
      const ping = echo({ from: a, to: b }, { kind: 'request', id: 0 });
      expect(fixture.run('from-a', ping).verdict).toBe('redirect');
      for (const type of family === 4 ? [5, 13, 17] : [139, 140, 160]) {
        const other = fixture.run('from-a', icmp({ from: a, to: b }, type, 0, new Uint8Array(16)));
        expect(other).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
      }
    });

    test('ICMP that one side may send opens nothing for the other', async () => {
      const protocol = family === 4 ? proto.icmp : proto.icmpv6;
      await fixture.setPolicies(
        new Map([[podA.policyId, policy('both', [entry('egress', { proto: protocol })])]]),
      );
      for (const type of family === 4 ? [5, 13, 17] : [139, 140, 160]) {
        const rest = new Uint8Array(16);
        const forthOf = () => fixture.run('from-a', icmp({ from: a, to: b }, type, 0, rest));
        const backOf = () => fixture.run('from-b', icmp({ from: b, to: a }, type, 0, rest));
        expect(types(forthOf().events)).toEqual(['NEW']);
        expect(backOf()).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
        expect(forthOf()).toMatchObject({ verdict: 'redirect', events: [] });
      }
      // Nor does an echo whose id is 0, where both ends look alike.
      const ends = { forth: { from: a, to: b }, back: { from: b, to: a } };
      const ask = echo(ends.forth, { kind: 'request', id: 0 });
      const reply = echo(ends.back, { kind: 'reply', id: 0 });
      expect(types(fixture.run('from-a', ask).events)).toEqual(['NEW']);
      expect(types(fixture.run('from-b', reply).events)).toEqual(['REPLY']);
      const other = fixture.run('from-b', echo(ends.back, { kind: 'request', id: 0 }));
      expect(other).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
      expect(fixture.run('from-b', reply)).toMatchObject({ verdict: 'redirect', events: [] });
    });

    test('ICMP that both may send is judged for each', () => {
      const [type, rest] = [family === 4 ? 13 : 139, new Uint8Array(16)];
      for (const [hook, from, to] of [
        ['from-a', a, b],
        ['from-b', b, a],
      ] as const) {
        const { events } = fixture.run(hook, icmp({ from, to }, type, 0, rest));
        expect(types(events)).toEqual(['NEW']);
        expect(fixture.connection(from, to)!.from.initiator).toBe(true);
      }
    });

    test('a pod and the host', () => {
      const out = tcp({ from: a, to: gateway }, { ...ports, flags: 'S' });
      const back1 = tcp({ from: gateway, to: a }, { ...back, flags: 'SA' });
      expect(fixture.run('from-a', out)).toMatchObject({ verdict: 'pass' });
      expect(types(fixture.run('to-a', back1).events)).toEqual(['REPLY']);
      for (let round = 0; round < 2; round++) {
        const ack = tcp({ from: a, to: gateway }, { ...ports, flags: 'A' });
        expect(fixture.run('from-a', ack)).toMatchObject({ verdict: 'pass', events: [] });
      }
      expect(fixture.connection(a, gateway)).toMatchObject({ to: { kind: 'HOST', identity: 1 } });
    });

    test('the world comes in through the stack, and is answered through it', () => {
      const inbound = tcp({ from: world, to: b }, { sport: 9999, dport: 80, flags: 'S' });
      const outbound = tcp({ from: b, to: world }, { sport: 80, dport: 9999, flags: 'SA' });
      expect(fixture.run('to-b', inbound)).toMatchObject({ verdict: 'pass' });
      const reply = fixture.run('from-b', outbound);
      expect(reply).toMatchObject({ verdict: 'pass', packet: outbound });
      expect(types(reply.events)).toEqual(['REPLY']);
    });

    test('forwarded and dropped packets are counted', async () => {
      const before = [0, dropReason.DROP_POLICY].map((reason) => fixture.counted(reason, 2));
      handshake();
      await fixture.setPolicies(new Map([[podA.policyId, policy('egress')]]));
      fromA('A');
      const after = [0, dropReason.DROP_POLICY].map((reason) => fixture.counted(reason, 2));
      expect(after.map((count, at) => count - before[at]!)).toEqual([3, 1]);
    });
  });
}

test('a full table still takes new connections', async () => {
  await using small = new Fixture({ conntrack: 256 });
  await small.reset();
  const { a, b } = addresses[4];
  for (let sport = 1; sport <= 2000; sport++) {
    const outcome = small.run('from-a', udp({ from: a, to: b }, { sport, dport: 53 }));
    expect(outcome.verdict).toBe('redirect');
  }
  expect([...small.maps.conntrack.entries()].length).toBeLessThanOrEqual(256);
});

test('events that find the ring full are counted', async () => {
  await fixture.reset();
  await fixture.setPolicies(new Map([[podA.policyId, policy('egress')]]));
  const { a, b } = addresses[6];
  const packet = udp({ from: a, to: b }, { sport: 1, dport: 2 });
  const lost = () =>
    fixture.maps.eventsLost.lookupPerCpu(0).reduce((sum, count) => sum + Number(count), 0);
  const before = lost();
  const runs = 50_000;
  fixture.testRun('from-a', packet, runs);
  expect(lost() - before + fixture.drain().length).toBe(runs);
  expect(lost() - before).toBeGreaterThan(0);
});
