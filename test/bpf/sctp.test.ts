/**
 * @module
 * SCTP: policy by port, replies, fragments, errors, and translation that keeps the port, since the
 * checksum covers it. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { addresses, entry, Fixture, families, podA, podB, policy } from './fixture.ts';
import { fragments, icmpError, proto, sctp, tcp, transport, udp } from './packet.ts';
import { parsePacket } from './packet-parse.ts';

let fixture: Fixture;
beforeAll(() => {
  fixture = new Fixture();
});
afterAll(() => fixture[Symbol.asyncDispose]());
beforeEach(() => fixture.reset());

const ports = { sport: 40000, dport: 2905 };
const answering = { sport: 2905, dport: 40000 };
const types = (events: readonly { readonly type: string }[]) => events.map(({ type }) => type);
const large = new Uint8Array(600).map((_, at) => at);

for (const family of families) {
  const { a, b, world, otherWorld, node, router, gateway } = addresses[family];
  const ask = (dport = 2905) =>
    fixture.run('from-a', sctp({ from: a, to: b }, { ...ports, dport }));
  const answer = () => fixture.run('from-b', sctp({ from: b, to: a }, answering));
  const enforce = (...entries: Parameters<typeof entry>[1][]) =>
    fixture.setPolicies(
      new Map([
        [
          podA.policyId,
          policy(
            'both',
            entries.map((spec) => entry('egress', spec)),
          ),
        ],
        [
          podB.policyId,
          policy(
            'both',
            entries.map((spec) => entry('ingress', spec)),
          ),
        ],
      ]),
    );

  describe(`IPv${family} between pods`, () => {
    test('an association: one event each way, then silence', () => {
      const first = ask();
      expect(first).toMatchObject({
        verdict: 'redirect',
        events: [{ type: 'NEW', proto: proto.sctp, ...ports }],
      });
      expect(types(answer().events)).toEqual(['REPLY']);
      for (let round = 0; round < 2; round++) {
        expect(ask()).toMatchObject({ verdict: 'redirect', events: [] });
        expect(answer()).toMatchObject({ verdict: 'redirect', events: [] });
      }
      expect([...fixture.maps.conntrack.entries()]).toHaveLength(1);
    });

    test('allowed by its port, replies along with it', async () => {
      await enforce({ proto: proto.sctp, port: 2905 });
      expect(ask().verdict).toBe('redirect');
      expect(answer().verdict).toBe('redirect');
      await fixture.reset();
      await enforce({ proto: proto.sctp, port: 2905 });
      expect(answer()).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
    });

    test('denied by its port', async () => {
      await enforce({ proto: proto.sctp, port: 2905, deny: true }, { proto: proto.sctp });
      expect(ask()).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY_DENY' });
      expect(ask(2906).verdict).toBe('redirect');
    });

    test('a range of ports', async () => {
      await enforce({ proto: proto.sctp, port: 2896, portPrefix: 12 });
      const allowed = (port: number) => ask(port).verdict === 'redirect';
      expect([2895, 2896, 2911, 2912].map(allowed)).toEqual([false, true, true, false]);
    });

    test('neither TCP nor UDP allows it, and it allows neither', async () => {
      await enforce({ proto: proto.tcp }, { proto: proto.udp });
      expect(ask().reason).toBe('DROP_POLICY');
      await enforce({ proto: proto.sctp });
      const ends = { from: a, to: b };
      expect(fixture.run('from-a', tcp(ends, ports)).reason).toBe('DROP_POLICY');
      expect(fixture.run('from-a', udp(ends, ports)).reason).toBe('DROP_POLICY');
    });

    test('fragments', async () => {
      await enforce({ proto: proto.sctp, port: 2905 });
      const whole = sctp({ from: a, to: b }, { ...ports, payload: large });
      const [first, ...later] = fragments(whole, 77, [256, 512]);
      expect(fixture.run('from-a', later[0]!)).toMatchObject({ reason: 'DROP_FRAG_NOT_FOUND' });
      expect(fixture.run('from-a', first!).verdict).toBe('redirect');
      for (const part of later) {
        expect(fixture.run('from-a', part)).toMatchObject({ verdict: 'redirect', events: [] });
      }
    });

    test('an error about it', async () => {
      await enforce({ proto: proto.sctp, port: 2905 });
      const question = sctp({ from: a, to: b }, ports);
      expect(fixture.run('from-a', question).verdict).toBe('redirect');
      const error = icmpError({ from: b, to: a }, 'unreachable', question);
      expect(fixture.run('from-b', error).verdict).toBe('redirect');
    });

    test('a header that is cut short', () => {
      const cut = transport({ from: a, to: b }, proto.sctp, new Uint8Array(3));
      expect(fixture.run('from-a', cut)).toMatchObject({ reason: 'DROP_CT_INVALID_HDR' });
    });

    test('with the node', () => {
      expect(fixture.run('from-a', sctp({ from: a, to: gateway }, ports)).verdict).toBe('pass');
      const reply = fixture.run('to-a', sctp({ from: gateway, to: a }, answering));
      expect(types(reply.events)).toEqual(['REPLY']);
    });
  });

  describe(`IPv${family} translation`, () => {
    const out = { from: a, to: world };
    const back = { from: world, to: node };

    test('keeps the port and a right checksum, out and back', () => {
      for (const payload of [undefined, large]) {
        const request = sctp(out, { ...ports, ...(payload && { payload }) });
        const sent = fixture.run('from-a', request);
        expect(sent.verdict).toBe('redirect');
        expect(parsePacket(sent.packet)).toMatchObject({
          from: node,
          to: world,
          ttl: 63,
          wrong: [],
        });
        expect(parsePacket(sent.packet)).toMatchObject(ports);
        const received = fixture.run('from-native', sctp(back, answering));
        expect(received.verdict).toBe('redirect');
        expect(parsePacket(received.packet)).toMatchObject({ from: world, to: a, wrong: [] });
        expect(parsePacket(received.packet)).toMatchObject(answering);
      }
      expect(fixture.connection(a, world)).toMatchObject({ to: { kind: 'WORLD' } });
    });

    test('the port is another pod’s: no mapping', () => {
      expect(fixture.run('from-a', sctp(out, ports)).verdict).toBe('redirect');
      const other = fixture.run('from-b', sctp({ from: b, to: world }, ports));
      expect(other).toMatchObject({ verdict: 'drop', reason: 'DROP_NAT_NO_MAPPING' });
      expect(fixture.connection(b, world)).toBeUndefined();
      // Answers go on to the first.
      const received = fixture.run('from-native', sctp(back, answering));
      expect(parsePacket(received.packet).to).toBe(a);
      // It is free with another port, or to another remote end.
      const next = { ...ports, sport: 40001 };
      expect(fixture.run('from-b', sctp({ from: b, to: world }, next)).verdict).toBe('redirect');
      const elsewhere = sctp({ from: b, to: otherWorld }, ports);
      expect(fixture.run('from-b', elsewhere).verdict).toBe('redirect');
    });

    test('the port of an association that is over', () => {
      fixture.run('from-a', sctp(out, ports));
      const { entry: row } = fixture.connection(a, world)!;
      fixture.changeConnection(a, world, { lastSeen: row.lastSeen - 7000 });
      const other = fixture.run('from-b', sctp({ from: b, to: world }, ports));
      expect(other.verdict).toBe('redirect');
      const received = fixture.run('from-native', sctp(back, answering));
      expect(parsePacket(received.packet).to).toBe(b);
    });

    test('an error about it comes back to the pod', () => {
      const { packet } = fixture.run('from-a', sctp(out, ports));
      const error = icmpError({ from: router, to: node }, 'unreachable', packet);
      const received = fixture.run('from-native', error);
      expect(received.verdict).toBe('redirect');
      expect(parsePacket(received.packet)).toMatchObject({
        ...{ to: a, wrong: [] },
        quoted: { from: a, to: world, ...ports },
      });
    });

    test('fragments', () => {
      const whole = sctp(out, { ...ports, payload: large });
      for (const part of fragments(whole, 99, [256, 512])) {
        const sent = fixture.run('from-a', part);
        expect(sent.verdict).toBe('redirect');
        expect(parsePacket(sent.packet)).toMatchObject({ from: node, wrong: [] });
      }
    });
  });
}
