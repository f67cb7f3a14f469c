/**
 * @module
 * Packets off the plain path: ICMP errors, fragments, options, extension headers, neighbour
 * discovery, multicast. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { dropReason } from '../../src/bpf/gen/constants.ts';
import { addresses, entry, Fixture, families, type Hook, podA, podB, policy } from './fixture.ts';
import {
  arp,
  concat,
  discovery,
  type Extension,
  echo,
  ethernet,
  fragments,
  type Ip,
  icmpError,
  nodeMac,
  podMac,
  proto,
  routerMessage,
  tcp,
  udp,
} from './packet.ts';
import { parsePacket } from './packet-parse.ts';

let fixture: Fixture;
beforeAll(() => {
  fixture = new Fixture();
});
afterAll(() => fixture[Symbol.asyncDispose]());
beforeEach(() => fixture.reset());

const closed = () =>
  fixture.setPolicies(new Map([podA, podB].map((pod) => [pod.policyId, policy('both')])));
const rows = () => [...fixture.maps.conntrack.entries()].length;
const ports = { sport: 40000, dport: 80 };
const verdictOf = (hook: Hook) => (packet: Uint8Array) => fixture.run(hook, packet).verdict;

for (const family of families) {
  const { a, b, gateway, world, multicast } = addresses[family];
  const aToB = { from: a, to: b };
  const bToA = { from: b, to: a };
  const big = new Uint8Array(200).fill(7);

  describe(`IPv${family} ICMP errors`, () => {
    const connection = udp(aToB, ports);

    test('about a connection: delivered without asking policy of ICMP', async () => {
      const onlyUdp = [
        entry('egress', { proto: proto.udp }),
        entry('ingress', { proto: proto.udp }),
      ];
      await fixture.setPolicies(
        new Map([podA, podB].map((pod) => [pod.policyId, policy('both', onlyUdp)])),
      );
      fixture.run('from-a', connection);
      for (const kind of ['unreachable', 'time-exceeded', 'too-big', 'parameter'] as const) {
        const error = fixture.run(
          'from-b',
          icmpError(bToA, kind, connection, family === 4 ? 28 : 48),
        );
        expect(error).toMatchObject({ verdict: 'redirect', events: [] });
      }
      expect(rows()).toBe(1);
    });

    test('from a router on the way, through the stack', () => {
      fixture.run('from-a', connection);
      const error = icmpError({ from: world, to: a }, 'time-exceeded', connection);
      expect(fixture.run('to-a', error)).toMatchObject({ verdict: 'pass' });
    });

    test('about nothing: judged as any packet', async () => {
      const error = icmpError(bToA, 'unreachable', connection);
      expect(fixture.run('from-b', error).verdict).toBe('redirect');
      expect(rows()).toBe(0);
      await closed();
      expect(fixture.run('from-b', error)).toMatchObject({
        verdict: 'drop',
        reason: 'DROP_POLICY',
      });
    });

    test('about a connection that policy has cut', async () => {
      fixture.run('from-a', connection);
      await closed();
      expect(fixture.run('from-b', icmpError(bToA, 'unreachable', connection))).toMatchObject({
        reason: 'DROP_POLICY',
        events: [
          { flags: ['EGRESS_JUDGED', 'IS_REPLY', 'EGRESS_DENIED'], cookie: { egress: 901 } },
        ],
      });
      const fromRouter = icmpError({ from: world, to: a }, 'unreachable', connection);
      expect(fixture.run('to-a', fromRouter)).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ from: world, to: a, cookie: { egress: 901 } }],
      });
    });

    test('about an answer of a connection that policy has cut: of its opener, no answer', async () => {
      fixture.run('from-a', connection);
      const answer = udp(bToA, { sport: 80, dport: 40000 });
      fixture.run('from-b', answer);
      await closed();
      const outcome = fixture.run('from-a', icmpError({ from: a, to: b }, 'unreachable', answer));
      expect(outcome).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'], cookie: { egress: 901 } }],
      });
    });

    test('about a connection that was not judged since a change, and is still allowed', async () => {
      fixture.run('from-a', connection);
      const { entry: before } = fixture.connection(a, b)!;
      fixture.config.epoch += 2;
      const error = icmpError(bToA, 'unreachable', connection);
      expect(fixture.run('from-b', error)).toMatchObject({ verdict: 'redirect', events: [] });
      const onlyUdp = [
        entry('egress', { proto: proto.udp }),
        entry('ingress', { proto: proto.udp }),
      ];
      await fixture.setPolicies(
        new Map([podA, podB].map((pod) => [pod.policyId, policy('both', onlyUdp)])),
      );
      expect(fixture.run('from-b', error)).toMatchObject({ verdict: 'redirect', events: [] });
      expect(fixture.connection(a, b)!.entry).toEqual(before);
    });

    test('for somebody who did not send what is quoted', () => {
      fixture.run('from-a', connection);
      const quotesItself = icmpError(bToA, 'unreachable', udp(bToA, { sport: 80, dport: 40000 }));
      expect(fixture.run('from-b', quotesItself)).toMatchObject({ reason: 'DROP_INVALID' });
      const toWorld = icmpError({ from: b, to: world }, 'unreachable', connection);
      expect(fixture.run('from-b', toWorld)).toMatchObject({ reason: 'DROP_INVALID' });
    });

    test("about a connection of others, or under somebody else's address", () => {
      fixture.run('from-a', udp({ from: a, to: gateway }, ports));
      const foreign = icmpError(bToA, 'unreachable', udp({ from: a, to: gateway }, ports));
      expect(fixture.run('from-b', foreign)).toMatchObject({ reason: 'DROP_INVALID' });
      const spoofed = icmpError({ from: gateway, to: a }, 'unreachable', connection);
      expect(fixture.run('from-b', spoofed)).toMatchObject({ reason: 'DROP_INVALID_SIP' });
      fixture.run('from-a', connection);
      const fromStack = icmpError(bToA, 'unreachable', connection);
      expect(fixture.run('to-a', fromStack)).toMatchObject({ reason: 'DROP_INVALID_SIP' });
    });

    test('about nothing, to the world: never under its own address', async () => {
      const error = icmpError(
        { from: a, to: world },
        'unreachable',
        udp({ from: world, to: a }, ports),
      );
      expect(fixture.run('from-a', error)).toMatchObject({ reason: 'DROP_NAT_NO_MAPPING' });
      await using plain = new Fixture({ constants: { masqueradeIpv4: 0, masqueradeIpv6: 0 } });
      await plain.reset();
      expect(plain.run('from-a', error)).toMatchObject({ verdict: 'pass', packet: error });
      // Of a connection that came in through the stack, it goes back that way.
      fixture.run('to-a', udp({ from: world, to: a }, ports));
      expect(fixture.run('from-a', error)).toMatchObject({ verdict: 'pass', packet: error });
    });

    test('quoting too little', () => {
      fixture.run('from-a', connection);
      for (const length of [0, 8, family === 4 ? 20 : 40]) {
        const error = fixture.run('from-b', icmpError(bToA, 'unreachable', connection, length));
        expect(error).toMatchObject({ verdict: 'drop', reason: 'DROP_CT_INVALID_HDR' });
      }
    });

    test('a quoted fragment leaves no ports behind for later ones', () => {
      const [first, later] = fragments(udp(bToA, { ...ports, payload: big }), 5, [64]);
      fixture.run('from-a', icmpError(aToB, 'unreachable', first!));
      expect(fixture.run('from-b', later!)).toMatchObject({ reason: 'DROP_FRAG_NOT_FOUND' });
    });
  });

  describe(`IPv${family} fragments`, () => {
    const datagram = udp(aToB, { ...ports, payload: big });
    const parts = fragments(datagram, 1234, [64, 128]);

    test('in order, as one connection', () => {
      expect(parts.map(verdictOf('from-a'))).toEqual(['redirect', 'redirect', 'redirect']);
      expect(rows()).toBe(1);
      expect(fixture.run('from-b', udp(bToA, { sport: 80, dport: 40000 })).events[0]!.type).toBe(
        'REPLY',
      );
    });

    test('a later one before the first is dropped, and passes after it', () => {
      const [first, second, third] = parts as [Uint8Array, Uint8Array, Uint8Array];
      expect(fixture.run('from-a', third)).toMatchObject({ reason: 'DROP_FRAG_NOT_FOUND' });
      expect([first, third, second].map(verdictOf('from-a'))).toEqual([
        'redirect',
        'redirect',
        'redirect',
      ]);
    });

    test('of a datagram that is denied', async () => {
      await fixture.setPolicies(
        new Map([
          [podA.policyId, policy('egress', [entry('egress', { proto: proto.udp, port: 53 })])],
        ]),
      );
      expect(parts.map(verdictOf('from-a'))).toEqual(['drop', 'drop', 'drop']);
    });

    test('of another id are unknown', () => {
      fixture.run('from-a', parts[0]!);
      const [, other] = fragments(datagram, 1235, [64]);
      expect(fixture.run('from-a', other!)).toMatchObject({ reason: 'DROP_FRAG_NOT_FOUND' });
    });

    test("a pod cannot answer for another one's datagrams", () => {
      const [claimed] = fragments(udp(aToB, { sport: 1, dport: 22, payload: big }), 1234, [64]);
      fixture.run('from-a', parts[0]!);
      expect(fixture.run('from-b', claimed!)).toMatchObject({ reason: 'DROP_INVALID_SIP' });
      expect(verdictOf('from-a')(parts[1]!)).toBe('redirect');
      expect(fixture.connection(a, b)!.key.port).toContain(80);
    });

    test('of an echo', () => {
      const pieces = fragments(echo(aToB, { kind: 'request', id: 3, payload: big }), 9, [64]);
      expect(pieces.map(verdictOf('from-a'))).toEqual(['redirect', 'redirect']);
      expect(rows()).toBe(1);
    });

    test('a first one without ports', () => {
      const [first] = fragments(datagram, 77, [8]);
      const cut = first!.subarray(0, first!.length - 6);
      expect(fixture.run('from-a', cut)).toMatchObject({ reason: 'DROP_CT_INVALID_HDR' });
    });
  });

  describe(`IPv${family} multicast`, () => {
    test('is dropped without an event, and counted', () => {
      const before = fixture.counted(dropReason.DROP_MULTICAST_HANDLED, 2);
      const targets = [multicast, ...(family === 4 ? ['255.255.255.255'] : [])];
      for (const target of targets) {
        const packet = udp({ from: a, to: target }, { sport: 5353, dport: 5353 });
        expect(fixture.run('from-a', packet)).toMatchObject({ verdict: 'drop', events: [] });
      }
      expect(fixture.counted(dropReason.DROP_MULTICAST_HANDLED, 2) - before).toBe(targets.length);
    });

    test('does not come in through the stack either', () => {
      const packet = udp({ from: world, to: multicast }, { sport: 5353, dport: 5353 });
      expect(fixture.run('to-a', packet)).toMatchObject({ verdict: 'drop', events: [] });
    });
  });
}

describe('headers', () => {
  test('IPv4 options, up to the longest', () => {
    const { a, b } = addresses[4];
    for (const length of [4, 8, 40]) {
      const options = new Uint8Array(length).fill(1);
      const packet = tcp({ from: a, to: b, options }, { ...ports, flags: 'S' });
      expect(fixture.run('from-a', packet).verdict).toBe('redirect');
    }
    expect(rows()).toBe(1);
    expect(fixture.run('from-a', tcp({ from: a, to: b }, ports)).events).toEqual([]);
  });

  const { a, b } = addresses[6];
  /** Extension headers that are looked through. */
  const longestChain = 8;
  const chains: readonly (readonly Extension[])[] = [
    [{ header: 'hop-by-hop' }],
    [{ header: 'destination', bytes: 24 }],
    [{ header: 'hop-by-hop' }, { header: 'routing', bytes: 24 }, { header: 'destination' }],
    new Array<Extension>(longestChain).fill({ header: 'destination' }),
  ];
  for (const extensions of chains) {
    const named = extensions.map(({ header }) => header).join(', ');
    test(`IPv6 extension headers: ${named}`, () => {
      fixture.run('from-a', tcp({ from: a, to: b }, { ...ports, flags: 'S' }));
      const packet = tcp({ from: a, to: b, extensions }, ports);
      expect(fixture.run('from-a', packet)).toMatchObject({ verdict: 'redirect', events: [] });
      expect(rows()).toBe(1);
    });
  }

  test('a chain of too many extension headers', () => {
    const extensions = new Array<Extension>(longestChain + 1).fill({ header: 'destination' });
    const packet = tcp({ from: a, to: b, extensions }, ports);
    expect(fixture.run('from-a', packet)).toMatchObject({ reason: 'DROP_INVALID_EXTHDR' });
    expect(fixture.run('to-b', packet)).toMatchObject({ reason: 'DROP_INVALID_EXTHDR' });
    expect(rows()).toBe(0);
  });

  test('policy sees through extension headers', async () => {
    await fixture.setPolicies(
      new Map([
        [podA.policyId, policy('egress', [entry('egress', { proto: proto.tcp, port: 81 })])],
      ]),
    );
    const packet = tcp({ from: a, to: b, extensions: [{ header: 'hop-by-hop' }] }, ports);
    expect(fixture.run('from-a', packet)).toMatchObject({ reason: 'DROP_POLICY' });
  });

  test('neither IP nor ARP', () => {
    const frame = ethernet(0x88cc, new Uint8Array(50));
    expect(fixture.run('from-a', frame)).toMatchObject({
      verdict: 'drop',
      reason: 'DROP_UNKNOWN_L3',
    });
    expect(fixture.run('from-a', frame).events[0]).toMatchObject({ from: '::', to: '::' });
  });
});

describe('ARP', () => {
  const { a, b, gateway } = addresses[4];
  const ask = { operation: 'request', senderMac: podMac, sender: a, target: gateway } as const;

  test('for the gateway is answered', () => {
    const answer = { operation: 'reply', senderMac: nodeMac, sender: gateway } as const;
    const outcome = fixture.run('from-a', arp(ask));
    expect(outcome).toMatchObject({ verdict: 'redirect', events: [] });
    expect(outcome.packet).toEqual(arp({ ...answer, targetMac: podMac, target: a }));
  });

  test('a probe for a duplicate is answered too', () => {
    const outcome = fixture.run('from-a', arp({ ...ask, sender: '0.0.0.0' }));
    expect(outcome.verdict).toBe('redirect');
  });

  const reply = {
    operation: 'reply',
    senderMac: podMac,
    targetMac: nodeMac,
    target: gateway,
  } as const;
  const dropped = {
    "for another pod's address": arp({ ...ask, target: b }),
    "from another pod's address": arp({ ...ask, sender: b }),
    "an answer with another pod's address": arp({ ...reply, sender: b }),
    'of another hardware': arp(ask).with(18, 8),
    'cut short': arp(ask).slice(0, 40),
  };
  for (const [name, frame] of Object.entries(dropped)) {
    test(`${name}: dropped and counted, no event`, () => {
      const before = fixture.counted(dropReason.DROP_UNSUPPORTED_L2, 2);
      expect(fixture.run('from-a', frame)).toMatchObject({ verdict: 'drop', events: [] });
      expect(fixture.counted(dropReason.DROP_UNSUPPORTED_L2, 2) - before).toBe(1);
    });
  }

  test('answers of the pod to the node go up, and the questions of the node down', () => {
    expect(fixture.run('from-a', arp({ ...reply, sender: a })).verdict).toBe('pass');
    const question = arp({ ...ask, senderMac: nodeMac, sender: gateway, target: a });
    expect(fixture.run('to-a', question).verdict).toBe('pass');
  });
});

describe('neighbour discovery', () => {
  const { a, b, gateway, node, world } = addresses[6];
  const solicited = 'ff02::1:ff00:1';
  const solicit = (target: string, from: string = a, to: string = solicited) =>
    discovery({ from, to }, 'solicitation', target, podMac);

  for (const to of [solicited, gateway]) {
    test(`the gateway is found at ${to}`, () => {
      const outcome = fixture.run('from-a', solicit(gateway, a, to));
      expect(outcome).toMatchObject({ verdict: 'redirect', events: [] });
      const answer = parsePacket(outcome.packet);
      expect(answer).toMatchObject({ from: gateway, to: a, icmpType: 136, ttl: 255, wrong: [] });
      expect(answer).toMatchObject({ smac: nodeMac, dmac: podMac });
      const expected = discovery({ from: gateway, to: a }, 'advertisement', gateway, nodeMac);
      // Router, solicited, override.
      expect([...outcome.packet.subarray(58, 62)]).toEqual([0xe0, 0, 0, 0]);
      expect(outcome.packet.subarray(62)).toEqual(expected.subarray(62));
    });
  }

  test('its own advertisement goes to the stack', () => {
    for (const target of [a, 'fe80::a']) {
      const advert = discovery({ from: target, to: gateway }, 'advertisement', target, podMac);
      expect(fixture.run('from-a', advert).verdict).toBe('pass');
    }
  });

  test('it goes to whatever address of the node asked, or to all', () => {
    for (const to of [gateway, node, 'fe80::1', 'ff02::1']) {
      for (const from of [a, 'fe80::a']) {
        const advert = discovery({ from, to }, 'advertisement', a, podMac);
        expect(fixture.run('from-a', advert).verdict).toBe('pass');
      }
    }
  });

  test('the node may ask and answer', () => {
    const question = discovery({ from: gateway, to: a }, 'solicitation', a, nodeMac);
    const answer = discovery({ from: gateway, to: a }, 'advertisement', gateway, nodeMac);
    expect([question, answer].map(verdictOf('to-a'))).toEqual(['pass', 'pass']);
    for (const from of ['fe80::1', node]) {
      const other = discovery({ from, to: 'ff02::1:ff00:11' }, 'solicitation', a, nodeMac);
      expect(fixture.run('to-a', other).verdict).toBe('pass');
    }
  });

  /** An advertisement that is right but for what is given; code is byte 55 of the frame. */
  const advertise = (ip: Partial<Ip>, target: string = a) =>
    discovery({ from: a, to: gateway, ...ip }, 'advertisement', target, podMac);
  const extensions = [{ header: 'hop-by-hop' }] as const;

  const forged = {
    'a question of the world': { from: world },
    'a question of another pod': { from: b },
    'one that was routed': { ttl: 254 },
    'one behind an extension header': { extensions },
  };
  for (const [name, change] of Object.entries(forged)) {
    for (const kind of ['solicitation', 'advertisement'] as const) {
      test(`as if from the node, ${name}, ${kind}: dropped and counted`, () => {
        const frame = discovery({ from: gateway, to: a, ...change }, kind, a, nodeMac);
        const before = fixture.counted(dropReason.DROP_FORBIDDEN_ICMP6, 1);
        expect(fixture.run('to-a', frame)).toMatchObject({ verdict: 'drop', events: [] });
        expect(fixture.counted(dropReason.DROP_FORBIDDEN_ICMP6, 1) - before).toBe(1);
      });
    }
  }

  test('as if from the node, of an unknown code', () => {
    const frame = discovery({ from: gateway, to: a }, 'solicitation', a, nodeMac).with(55, 1);
    expect(fixture.run('to-a', frame)).toMatchObject({ verdict: 'drop', events: [] });
  });

  const all = { from: 'fe80::a', to: 'ff02::2' };
  const dropped = {
    "a solicitation of another pod's address": solicit(b),
    'one without its MAC': discovery({ from: a, to: solicited }, 'solicitation', gateway),
    'one behind an extension header, as long as a plain one': discovery(
      { from: a, to: solicited, extensions: [{ header: 'hop-by-hop' }] },
      'solicitation',
      gateway,
    ),
    "an advertisement of another pod's address": discovery(
      { from: b, to: gateway },
      'advertisement',
      b,
      podMac,
    ),
    'an advertisement to the world, of a link-local address': advertise({ to: world }, 'fe80::a'),
    'an advertisement beyond the link': advertise({ to: 'ff05::1' }),
    "an advertisement from another pod's address": advertise({ from: b }),
    'an advertisement of an unknown code': advertise({}).with(55, 1),
    'an advertisement behind an extension header': advertise({ extensions }),
    'a solicitation of an unknown code': solicit(gateway).with(55, 1),
    "a solicitation from another pod's address": solicit(gateway, b),
    'a solicitation to another pod': solicit(gateway, a, b),
    'a router solicitation': routerMessage(all, 'solicitation'),
    'a router advertisement': routerMessage({ from: 'fe80::a', to: 'ff02::1' }, 'advertisement'),
    'a router advertisement to a pod': routerMessage({ from: a, to: b }, 'advertisement'),
    'a redirect': routerMessage({ from: a, to: b }, 'redirect'),
  };
  for (const [name, frame] of Object.entries(dropped)) {
    test(`${name}: dropped and counted, no event`, () => {
      const before = fixture.counted(dropReason.DROP_FORBIDDEN_ICMP6, 2);
      expect(fixture.run('from-a', frame)).toMatchObject({ verdict: 'drop', events: [] });
      expect(fixture.counted(dropReason.DROP_FORBIDDEN_ICMP6, 2) - before).toBe(1);
    });
  }

  test('no router is announced to a pod', () => {
    for (const kind of ['advertisement', 'redirect'] as const) {
      const frame = routerMessage({ from: 'fe80::1', to: a }, kind);
      expect(fixture.run('to-a', frame)).toMatchObject({ verdict: 'drop', events: [] });
    }
  });

  test('listener reports are multicast like any other', () => {
    const report = concat(new Uint8Array(4));
    const frame = udp({ from: 'fe80::a', to: 'ff02::16' }, { sport: 1, dport: 2, payload: report });
    expect(fixture.run('from-a', frame)).toMatchObject({ verdict: 'drop', events: [] });
  });
});
