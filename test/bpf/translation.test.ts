/**
 * @module
 * Source translation of what pods send to the world, and its reverse on the native device: every
 * transport, fragments and ICMP errors, with all checksums worked out anew. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { dropReason } from '../../src/bpf/gen/constants.ts';
import { requireAddress } from '../../src/net/address.ts';
import { addresses, entry, Fixture, families, podA, policy } from './fixture.ts';
import { echo, fragments, icmp, icmpError, tcp, udp } from './packet.ts';
import { type ParsedPacket, parsePacket } from './packet-parse.ts';

let fixture: Fixture;
beforeAll(() => {
  fixture = new Fixture({ constants: { natPortMin: 61000, natPortMax: 61999 } });
});
afterAll(() => fixture[Symbol.asyncDispose]());
beforeEach(() => fixture.reset());

const types = (events: readonly { readonly type: string }[]) => events.map(({ type }) => type);
const payload = new Uint8Array(200).map((_, at) => at);
const translations = () => [...fixture.maps.snat.entries()].length;

for (const family of families) {
  const { a, b, world, otherWorld, node, router } = addresses[family];
  const out = { from: a, to: world };
  const back = { from: world, to: node };

  /** Sends a frame of pod A out, and returns it as it leaves. */
  function send(frame: Uint8Array): ParsedPacket {
    const outcome = fixture.run('from-a', frame);
    expect(outcome.verdict).toBe('redirect');
    const sent = parsePacket(outcome.packet);
    expect(sent.wrong).toEqual([]);
    return sent;
  }

  /** Receives a frame on the native device, and returns what the pod gets of it. */
  function receive(frame: Uint8Array): ParsedPacket {
    const outcome = fixture.run('from-native', frame);
    expect(outcome.verdict).toBe('redirect');
    const received = parsePacket(outcome.packet);
    expect(received.wrong).toEqual([]);
    return received;
  }

  describe(`IPv${family}`, () => {
    const ports = { sport: 40000, dport: 443 };
    const transports = {
      TCP: {
        request: tcp(out, { ...ports, flags: 'S', payload }),
        answer: (id: number) => tcp(back, { sport: 443, dport: id, flags: 'SA', payload }),
      },
      UDP: {
        request: udp(out, { ...ports, payload }),
        answer: (id: number) => udp(back, { sport: 443, dport: id, payload }),
      },
      'UDP of odd length': {
        request: udp(out, { ...ports, payload: payload.subarray(0, 33) }),
        answer: (id: number) =>
          udp(back, { sport: 443, dport: id, payload: payload.subarray(0, 33) }),
      },
      ...(family === 4 && {
        'UDP without a checksum': {
          request: udp(out, { ...ports, payload, unsummed: true }),
          answer: (id: number) => udp(back, { sport: 443, dport: id, payload, unsummed: true }),
        },
      }),
      'an echo': {
        request: echo(out, { kind: 'request', id: 40000, payload }),
        answer: (id: number) => echo(back, { kind: 'reply', id, payload }),
      },
    };
    for (const [name, { request, answer }] of Object.entries(transports)) {
      test(`${name}, out and back`, () => {
        const sent = send(request);
        expect(sent).toMatchObject({ from: node, to: world, ttl: 63 });
        expect(sent.sport).toBeWithin(61000, 62000);
        expect(sent.payload).toEqual(parsePacket(request).payload);
        const received = receive(answer(sent.sport));
        expect(received).toMatchObject({ from: world, to: a, ttl: 64, dport: 40000 });
        expect(received.payload).toEqual(parsePacket(answer(sent.sport)).payload);
        expect(fixture.connection(a, world)).toMatchObject({
          from: { kind: 'POD', ifindex: fixture.ifindex.a, initiator: true },
          to: { kind: 'WORLD', ifindex: fixture.ifindex.native },
        });
        // The next one has the same port, and no event.
        const again = fixture.run('from-a', request);
        expect(parsePacket(again.packet)).toMatchObject({ sport: sent.sport, ttl: 63, wrong: [] });
        expect(again.events).toEqual([]);
        expect(translations()).toBe(1);
      });
    }

    test("events have the pod's view", () => {
      const request = fixture.run('from-a', udp(out, ports));
      expect(request.events[0]).toMatchObject({
        type: 'NEW',
        from: a,
        to: world,
        ...ports,
        tracePoint: 11,
      });
      const { sport } = parsePacket(request.packet);
      const answer = fixture.run('from-native', udp(back, { sport: 443, dport: sport }));
      expect(types(answer.events)).toEqual(['REPLY']);
      expect(answer.events[0]).toMatchObject({ from: world, to: a, sport: 443, dport: 40000 });
    });

    test('the last hop ends here', () => {
      const dying = udp({ ...out, ttl: 1 }, ports);
      expect(fixture.run('from-a', dying)).toMatchObject({ reason: 'DROP_TTL_EXCEEDED' });
      expect(send(udp({ ...out, ttl: 2 }, ports)).ttl).toBe(1);
    });

    test('fragments, out and back', () => {
      const parts = fragments(udp(out, { ...ports, payload }), 5, [64, 128]);
      const sent = parts.map(send);
      expect(sent.map(({ from, to }) => [from, to])).toEqual(parts.map(() => [node, world]));
      const whole = Buffer.concat(
        sent.map(({ transportOffset }, at) => {
          // What is behind the network header of each, put together again.
          const frame = fixture.run('from-a', parts[at]!).packet;
          return frame.subarray(transportOffset);
        }),
      );
      const datagram = udp(
        { from: node, to: world },
        { sport: sent[0]!.sport, dport: 443, payload },
      );
      expect(whole.toString('hex')).toBe(datagram.subarray(family === 4 ? 34 : 54).toHex());
      const answers = fragments(
        udp(back, { sport: 443, dport: sent[0]!.sport, payload }),
        6,
        [64, 128],
      );
      expect(answers.map(receive).map(({ to }) => to)).toEqual([a, a, a]);
    });

    test('both pods by the same port and id: two translations', () => {
      const first = send(udp(out, ports));
      const second = parsePacket(fixture.run('from-b', udp({ from: b, to: world }, ports)).packet);
      expect(second).toMatchObject({ from: node, wrong: [] });
      expect(second.sport).not.toBe(first.sport);
      expect(receive(udp(back, { sport: 443, dport: first.sport })).to).toBe(a);
      expect(receive(udp(back, { sport: 443, dport: second.sport })).to).toBe(b);
      // Another remote end leaves the port free.
      expect(send(udp({ from: a, to: otherWorld }, ports)).sport).toBe(first.sport);
    });

    test('ICMP that does not ask cannot be translated', () => {
      const types = family === 4 ? [0, 13, 5] : [129, 139, 160];
      for (const type of types) {
        const message = fixture.run('from-a', icmp(out, type, 0, new Uint8Array(16)));
        expect(message).toMatchObject({ verdict: 'drop', reason: 'DROP_NAT_NO_MAPPING' });
      }
      expect([...fixture.maps.conntrack.entries()]).toHaveLength(0);
    });

    test('egress policy comes before translation', async () => {
      await fixture.setPolicies(new Map([[podA.policyId, policy('egress')]]));
      expect(fixture.run('from-a', udp(out, ports))).toMatchObject({ reason: 'DROP_POLICY' });
      expect(translations()).toBe(0);
    });

    test('a policy that cuts the connection cuts its answers', async () => {
      const { sport } = send(udp(out, ports));
      const answer = udp(back, { sport: 443, dport: sport });
      receive(answer);
      await fixture.setPolicies(new Map([[podA.policyId, policy('egress')]]));
      expect(fixture.run('from-native', answer)).toMatchObject({ reason: 'DROP_POLICY' });
      expect(fixture.run('from-a', udp(out, ports))).toMatchObject({ reason: 'DROP_POLICY' });
    });

    test('a SYN from the other end, after the connection is over, asks the ingress policy', async () => {
      const open = (flags: string) => fixture.run('from-a', tcp(out, { ...ports, flags }));
      const { sport } = parsePacket(open('S').packet);
      const hear = (flags: string) =>
        fixture.run('from-native', tcp(back, { sport: 443, dport: sport, flags }));
      for (const step of [hear('SA'), open('A'), open('FA'), hear('FA'), open('A')]) {
        expect(step.verdict).toBe('redirect');
      }
      await fixture.setPolicies(new Map([[podA.policyId, policy('ingress')]]));
      expect(hear('S')).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ flags: ['INGRESS_JUDGED', 'INGRESS_DENIED'], direction: 1 }],
      });
      await fixture.setPolicies(new Map([[podA.policyId, policy('ingress', [entry('ingress')])]]));
      expect(hear('S')).toMatchObject({
        verdict: 'redirect',
        events: [{ type: 'NEW', flags: ['INGRESS_JUDGED'] }],
      });
      const answer = parsePacket(open('SA').packet);
      expect(answer).toMatchObject({ from: node, to: world, sport, wrong: [] });
    });

    test('answers find the pod after the conntrack entry was evicted, and it its port', () => {
      const { sport } = send(udp(out, ports));
      fixture.maps.conntrack.delete(fixture.connection(a, world)!.key);
      expect(receive(udp(back, { sport: 443, dport: sport })).to).toBe(a);
      expect(send(udp(out, ports)).sport).toBe(sport);
    });

    test('a connection goes on after its translation was evicted', () => {
      const { sport } = send(udp(out, ports));
      for (const [key] of [...fixture.maps.snat.entries()]) fixture.maps.snat.delete(key);
      expect(send(udp(out, ports)).sport).toBe(sport);
      expect(receive(udp(back, { sport: 443, dport: sport })).to).toBe(a);
    });

    test("a mapping that is somebody else's by now is not used, and another one found", () => {
      const other = udp({ from: b, to: world }, ports);
      fixture.run('from-b', other);
      const { sport } = send(udp(out, ports));
      const rows = [...fixture.maps.snat.entries()];
      const pair = [a, b].map((ip) => requireAddress(ip).bytes.toHex());
      const own = rows.find(([, { addr }]) => addr.toHex() === pair[0])!;
      const others = rows.find(([, { addr }]) => addr.toHex() === pair[1])!;
      const stolen = { ...others[1], lastSeen: 5 };
      fixture.maps.snat.update(own[0], stolen);
      const cut = fixture.run('from-a', udp(out, ports));
      expect(cut).toMatchObject({ verdict: 'drop', reason: 'DROP_NAT_NO_MAPPING' });
      expect(fixture.maps.snat.lookup(own[0])).toEqual(stolen);
      expect(fixture.connection(a, world)).toBeUndefined();
      const again = send(udp(out, ports)).sport;
      expect([sport, parsePacket(fixture.run('from-b', other).packet).sport]).not.toContain(again);
      expect(receive(udp(back, { sport: 443, dport: again })).to).toBe(a);
    });

    test('an error about a connection that is gone, expired, moved or not judged since', async () => {
      const { sport } = send(udp(out, ports));
      const quoted = udp({ from: node, to: world }, { sport, dport: 443 });
      const error = icmpError({ from: router, to: node }, 'unreachable', quoted);
      const outcome = () => fixture.run('from-native', error);
      const isLost = () => {
        const before = fixture.counted(dropReason.DROP_NAT_NO_MAPPING, 1);
        expect(outcome()).toMatchObject({
          reason: 'DROP_NAT_NO_MAPPING',
          events: [{ from: router, to: node, cookie: { ingress: 0, egress: 0 } }],
        });
        expect(fixture.counted(dropReason.DROP_NAT_NO_MAPPING, 1) - before).toBe(1);
      };
      expect(receive(error).to).toBe(a);
      fixture.config.epoch += 2;
      expect(receive(error).to).toBe(a);
      await fixture.setPolicies(new Map([[podA.policyId, policy('both')]]));
      expect(outcome()).toMatchObject({
        reason: 'DROP_POLICY',
        events: [
          {
            from: router,
            to: node,
            flags: ['EGRESS_JUDGED', 'IS_REPLY', 'EGRESS_DENIED'],
            cookie: { ingress: 0, egress: 901 },
            direction: 1,
          },
        ],
      });
      await fixture.reset();
      expect(send(udp(out, ports)).sport).toBe(sport);
      expect(receive(error).to).toBe(a);
      const { entry, side } = fixture.connection(a, world)!;
      fixture.changeConnection(a, world, { lastSeen: entry.lastSeen - 7000 });
      isLost();
      const leg = entry.leg.map((each, at) => (at === side ? { ...each, ifindex: 1 } : each));
      fixture.changeConnection(a, world, { ...entry, leg: [leg[0]!, leg[1]!] });
      isLost();
      fixture.maps.conntrack.delete(fixture.connection(a, world)!.key);
      isLost();
      send(udp(out, ports));
      expect(receive(error).to).toBe(a);
    });

    test('what nobody asked for is the stack’s', () => {
      const { sport } = send(udp(out, ports));
      const strangers = [
        udp(back, { sport: 443, dport: sport + 1 }),
        udp(back, { sport: 444, dport: sport }),
        udp({ from: otherWorld, to: node }, { sport: 443, dport: sport }),
        tcp(back, { sport: 443, dport: sport }),
        icmpError(back, 'unreachable', udp({ from: node, to: world }, { sport: 9, dport: 443 })),
      ];
      for (const frame of strangers) {
        const outcome = fixture.run('from-native', frame);
        expect(outcome).toMatchObject({ verdict: 'pass', packet: frame, events: [] });
      }
    });

    for (const kind of ['unreachable', 'time-exceeded', 'too-big'] as const) {
      test(`an error, ${kind}, about each transport`, () => {
        for (const request of Object.values(transports).map((each) => each.request)) {
          const outcome = fixture.run('from-a', request);
          const { sport } = parsePacket(outcome.packet);
          const error = icmpError({ from: router, to: node }, kind, outcome.packet);
          expect(parsePacket(error)).toMatchObject({ wrong: [], quoted: { from: node, sport } });
          const received = receive(error);
          expect(received).toMatchObject({ from: router, to: a });
          expect(received.quoted).toMatchObject({ from: a, to: world, sport: 40000 });
        }
      });
    }

    test('an error quoting no more than eight bytes of the transport', () => {
      const { packet } = fixture.run('from-a', udp(out, ports));
      const length = (family === 4 ? 20 : 40) + 8;
      const received = receive(
        icmpError({ from: router, to: node }, 'unreachable', packet, length),
      );
      expect(received.quoted).toMatchObject({ from: a, to: world, sport: 40000, dport: 443 });
    });

    test('an error for an address other than that of what it quotes', () => {
      const { packet } = fixture.run('from-a', udp(out, ports));
      const error = icmpError({ from: router, to: a }, 'unreachable', packet);
      expect(fixture.run('from-native', error)).toMatchObject({ verdict: 'pass', packet: error });
    });

    test('ports that are taken: a bounded search, then a drop', async () => {
      await using narrow = new Fixture({ constants: { natPortMin: 61000, natPortMax: 61003 } });
      await narrow.reset();
      const outcomes = Array.from({ length: 8 }, (_, at) =>
        narrow.run('from-a', udp(out, { sport: 1000 + at, dport: 443 })),
      );
      const passed = outcomes.filter(({ verdict }) => verdict === 'redirect');
      const used = new Set(passed.map(({ packet }) => parsePacket(packet).sport));
      expect(used.size).toBe(passed.length);
      expect(passed.length).toBe(4);
      for (const { verdict, reason } of outcomes.slice(4)) {
        expect({ verdict, reason }).toEqual({ verdict: 'drop', reason: 'DROP_NAT_NO_MAPPING' });
      }
      // Nothing of those that failed is left, so that the next packet asks again.
      expect([...narrow.maps.conntrack.entries()]).toHaveLength(4);
      // A connection that is over gives its port back.
      const [key, value] = [...narrow.maps.conntrack.entries()][0]!;
      narrow.maps.conntrack.update(key, { ...value, lastSeen: value.lastSeen - 7000 });
      expect(narrow.run('from-a', udp(out, { sport: 2000, dport: 443 })).verdict).toBe('redirect');
    });

    test('translation that is off leaves packets to the stack', async () => {
      await using plain = new Fixture({ constants: { masqueradeIpv4: 0, masqueradeIpv6: 0 } });
      await plain.reset();
      const request = udp(out, ports);
      expect(plain.run('from-a', request)).toMatchObject({ verdict: 'pass', packet: request });
      expect(plain.connection(a, world)).toMatchObject({ to: { kind: 'STACK' } });
    });
  });
}
