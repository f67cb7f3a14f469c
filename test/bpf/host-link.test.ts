/**
 * @module
 * The node's own policy and what is not plain traffic between two addresses: broadcast, multicast and
 * anycast, neighbour and listener discovery, protocols without ports, and what cannot be read. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import type { PolicySummary } from '../../src/bpf/map/policy.ts';
import {
  addresses,
  entry,
  Fixture,
  families,
  type Hook,
  host,
  type Outcome,
  podA,
  policy,
  worldClass,
  worldIdentity,
} from './fixture.ts';
import {
  arp,
  discovery,
  type Extension,
  fragments,
  type Ip,
  icmp,
  icmpError,
  proto,
  routerMessage,
  tcp,
  transport,
  udp,
} from './packet.ts';

let fixture: Fixture;
/** Where what pods send is not translated. */
let plain: Fixture;
beforeAll(() => {
  fixture = new Fixture({ constants: { hostFirewall: 1 } });
  plain = new Fixture({ constants: { hostFirewall: 1, masqueradeIpv4: 0, masqueradeIpv6: 0 } });
});
afterAll(async () => {
  await fixture[Symbol.asyncDispose]();
  await plain[Symbol.asyncDispose]();
});
beforeEach(async () => {
  for (const one of [fixture, plain]) {
    await one.reset();
    one.config.hostPolicyId = host.policyId;
  }
});

const setHost = (summary: PolicySummary, of = fixture) =>
  of.setPolicies(new Map([[host.policyId, summary]]));
const ports = { sport: 40000, dport: 5353 };
const group = { proto: proto.udp, port: 5353 };
const rows = () => [...fixture.maps.conntrack.entries()].length;
const payload = new Uint8Array(600);

/** Destinations that reach the node, or leave it, without being an address of anybody. */
const everybody = {
  4: ['255.255.255.255', '172.20.0.255', '224.0.0.251', '239.1.2.3'],
  6: ['ff02::fb', 'ff02::1', 'ff05::1:3', 'fd20::'],
} as const;
const unspecified = { 4: '0.0.0.0', 6: '::' } as const;

for (const family of families) {
  const { a, b, world, otherWorld, node, router } = addresses[family];

  describe.each([...everybody[family]])('to %s', (to) => {
    const heard = () => fixture.run('from-native', udp({ from: world, to }, ports));
    const sent = () => fixture.run('to-native', udp({ from: node, to }, ports));

    test('heard: judged by the node’s ingress policy', async () => {
      await setHost(policy('ingress'));
      expect(heard()).toMatchObject({
        ...{ verdict: 'drop', reason: 'DROP_POLICY' },
        events: [
          {
            ...{ from: world, to, identities: [worldIdentity[family], host.identity] },
            ...{ flags: ['INGRESS_JUDGED', 'INGRESS_DENIED'], direction: 1, file: 1 },
          },
        ],
      });
      expect(rows()).toBe(0);
      expect(sent().verdict).toBe('pass');
      await setHost(policy('ingress', [entry('ingress', { ...group, classId: worldClass })]));
      expect(heard()).toMatchObject({ verdict: 'pass', events: [{ flags: ['INGRESS_JUDGED'] }] });
      expect(heard()).toMatchObject({ verdict: 'pass', events: [] });
    });

    test('sent: judged by the node’s egress policy', async () => {
      await setHost(policy('egress'));
      expect(sent()).toMatchObject({
        ...{ verdict: 'drop', reason: 'DROP_POLICY' },
        events: [
          {
            ...{ identities: [host.identity, worldIdentity[family]] },
            ...{ flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'], direction: 2, file: 1 },
          },
        ],
      });
      expect(heard().verdict).toBe('pass');
      await setHost(policy('egress', [entry('egress', { ...group, classId: worldClass })]));
      expect(sent()).toMatchObject({ verdict: 'pass', events: [{ flags: ['EGRESS_JUDGED'] }] });
    });

    test('heard from the node itself, or from a pod', () => {
      for (const from of [node, a]) {
        const claimed = fixture.run('from-native', udp({ from, to }, ports));
        expect(claimed.reason).toBe('DROP_INVALID_SIP');
      }
    });

    test('what runs is judged again', async () => {
      expect([heard().verdict, sent().verdict]).toEqual(['pass', 'pass']);
      await setHost(policy('both'));
      expect([heard().reason, sent().reason]).toEqual(['DROP_POLICY', 'DROP_POLICY']);
    });
  });

  describe(`IPv${family} on the link`, () => {
    test('what has no source yet is the node’s when it is sent, and anybody’s when heard', async () => {
      const [from, to] = [unspecified[family], family === 4 ? '255.255.255.255' : 'ff02::1:2'];
      const asks = udp({ from, to }, ports);
      await setHost(policy('egress'));
      expect(fixture.run('to-native', asks).reason).toBe('DROP_POLICY');
      expect(fixture.run('from-native', asks).verdict).toBe('pass');
      // That it was heard opens nothing.
      expect(fixture.run('to-native', asks).reason).toBe('DROP_POLICY');
      await setHost(policy('ingress'));
      expect(fixture.run('from-native', asks).reason).toBe('DROP_POLICY');
      expect(fixture.run('to-native', asks).verdict).toBe('pass');
    });

    test('others’ groups, on their way out', async () => {
      await setHost(policy('both'));
      const [, , to] = everybody[family];
      const passing = fixture.run('to-native', udp({ from: otherWorld, to }, ports));
      expect(passing).toMatchObject({ verdict: 'pass', events: [] });
    });

    test('a pod that reaches the node by a broadcast or anycast address', async () => {
      const to = family === 4 ? '172.20.0.255' : 'fd20::';
      const ask = () => plain.run('from-a', udp({ from: a, to }, ports));
      await setHost(policy('ingress'), plain);
      expect(ask()).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ flags: ['INGRESS_JUDGED', 'INGRESS_DENIED'], file: 1 }],
      });
      await setHost(policy('ingress', [entry('ingress', { classId: podA.classId })]), plain);
      expect(ask()).toMatchObject({ verdict: 'pass', events: [{ flags: ['INGRESS_JUDGED'] }] });
      // What it sends beyond the node is not the node's to judge.
      await setHost(policy('ingress'), plain);
      expect(plain.run('from-a', udp({ from: a, to: world }, ports)).verdict).toBe('pass');
    });
  });

  describe(`IPv${family} protocols without ports`, () => {
    const esp = 50;
    const packet = (from: string, to: string, number: number = proto.gre) =>
      transport({ from, to }, number, new Uint8Array(32));
    const into = (number?: number) => fixture.run('from-native', packet(world, node, number));
    const out = (number?: number) => fixture.run('to-native', packet(node, world, number));

    test('pass where nothing is enforced, one direction by itself', async () => {
      expect([into().verdict, out().verdict]).toEqual(['pass', 'pass']);
      await setHost(policy('ingress'));
      fixture.maps.conntrack.deleteAll([...fixture.maps.conntrack.entries()].map(([key]) => key));
      expect(into()).toMatchObject({
        ...{ verdict: 'drop', reason: 'DROP_POLICY' },
        events: [{ from: world, to: node, proto: proto.gre, sport: 0, dport: 0, direction: 1 }],
      });
      expect(out().verdict).toBe('pass');
    });

    test('as one connection a protocol: answers need no policy', async () => {
      await setHost(policy('both', [entry('egress', { classId: worldClass })]));
      expect(into().reason).toBe('DROP_POLICY');
      expect(out()).toMatchObject({ verdict: 'pass', events: [{ flags: ['EGRESS_JUDGED'] }] });
      expect(into()).toMatchObject({ verdict: 'pass', events: [{ type: 'REPLY' }] });
      expect(into(esp).reason).toBe('DROP_POLICY');
    });

    test('allowed by a rule about the peer, not by one about ports', async () => {
      await setHost(policy('ingress', [entry('ingress', { proto: proto.tcp })]));
      expect(into().reason).toBe('DROP_POLICY');
      await setHost(policy('ingress', [entry('ingress', { classId: worldClass })]));
      expect(into().verdict).toBe('pass');
    });

    test('in fragments', async () => {
      const parts = fragments(transport({ from: world, to: node }, esp, payload), 9, [256]);
      const each = () => parts.map((part) => fixture.run('from-native', part));
      expect(each().map(({ verdict }) => verdict)).toEqual(['pass', 'pass']);
      await setHost(policy('ingress'));
      expect(each().map(({ reason }) => reason)).toEqual(['DROP_POLICY', 'DROP_POLICY']);
    });

    test('an error about what was allowed', async () => {
      await setHost(policy('both', [entry('egress', { classId: worldClass })]));
      const error = (number: number) =>
        fixture.run(
          'from-native',
          icmpError({ from: router, to: node }, 'unreachable', packet(node, world, number)),
        );
      out(esp);
      expect(error(esp).verdict).toBe('pass');
      expect(error(proto.gre).reason).toBe('DROP_POLICY');
    });

    test('of others, the stack’s', async () => {
      await setHost(policy('both'));
      for (const to of [b, otherWorld]) {
        const passing = fixture.run('from-native', packet(world, to));
        expect(passing).toMatchObject({ verdict: 'pass', events: [] });
      }
    });
  });

  describe(`IPv${family} what cannot be read`, () => {
    const datagram = (from: string, to: string) => udp({ from, to }, { ...ports, payload });
    const later = (from: string, to: string) => fragments(datagram(from, to), 6, [256])[1]!;
    const cut = (from: string, to: string) => datagram(from, to).slice(0, family === 4 ? 36 : 56);
    const unread = (hook: Hook, from: string, to: string) =>
      [later(from, to), cut(from, to)].map((frame) => fixture.run(hook, frame));
    const reasons = ['DROP_FRAG_NOT_FOUND', 'DROP_CT_INVALID_HDR'];
    const pass: Outcome['verdict'][] = ['pass', 'pass'];

    test('is dropped in the direction that is enforced, and passes in the other', async () => {
      const into = () => unread('from-native', world, node);
      const out = () => unread('to-native', node, world);
      const verdicts = (outcomes: Outcome[]) => outcomes.map((one) => one.verdict);
      expect([verdicts(into()), verdicts(out())]).toEqual([pass, pass]);
      expect(rows()).toBe(0);
      await setHost(policy('ingress'));
      expect(into().map(({ reason }) => reason)).toEqual(reasons);
      expect(verdicts(out())).toEqual(pass);
      // Whatever is allowed: a denied port may be in it.
      await setHost(policy('egress', [entry('egress')]));
      expect(out()).toMatchObject(
        reasons.map((reason) => ({ reason, events: [{ direction: 2, file: 1 }] })),
      );
      expect(verdicts(into())).toEqual(pass);
    });

    test('to a group as well', async () => {
      await setHost(policy('ingress'));
      for (const to of everybody[family]) {
        expect(unread('from-native', world, to).map(({ reason }) => reason)).toEqual(reasons);
      }
    });

    test('of others, the stack’s', async () => {
      await setHost(policy('both'));
      for (const to of [b, otherWorld]) {
        for (const outcome of unread('from-native', world, to)) {
          expect(outcome).toMatchObject({ verdict: 'pass', events: [] });
        }
      }
    });

    test('audited, it goes on and is told of', async () => {
      fixture.config.policyAudit = true;
      await setHost(policy('ingress'));
      for (const outcome of unread('from-native', world, node)) {
        expect(outcome).toMatchObject({
          verdict: 'pass',
          events: [{ flags: ['INGRESS_JUDGED', 'INGRESS_DENIED'], cookie: { ingress: 900 } }],
        });
      }
    });

    test('an error that quotes too little', async () => {
      const asked = udp({ from: node, to: world }, ports);
      const error = () =>
        fixture.run('from-native', icmpError({ from: router, to: node }, 'unreachable', asked, 8));
      expect(error()).toMatchObject({ verdict: 'pass', events: [] });
      await setHost(policy('ingress'));
      expect(error().reason).toBe('DROP_CT_INVALID_HDR');
    });
  });
}

test('ARP on a device', async () => {
  await setHost(policy('both'));
  const asked = arp({
    ...{ operation: 'request', senderMac: '02:00:00:00:00:fe', target: addresses[4].node },
    sender: addresses[4].router,
  });
  for (const hook of ['from-native', 'to-native'] as const) {
    expect(fixture.run(hook, asked)).toMatchObject({ verdict: 'pass', events: [] });
  }
});

describe('discovery on a device', () => {
  const { node, router, world } = addresses[6];
  const extensions: readonly Extension[] = [{ header: 'hop-by-hop' }];
  const native = ['from-native', 'to-native'] as const;
  /** The same frame each way: what is asked of the node, and what the node asks. */
  const both = (frame: (ends: { from: string; to: string }) => Uint8Array) => [
    fixture.run('from-native', frame({ from: router, to: node })),
    fixture.run('to-native', frame({ from: node, to: router })),
  ];
  const solicit =
    (change: Partial<Ip> = {}) =>
    (ends: { from: string; to: string }) =>
      discovery({ ...ends, ...change }, 'solicitation', ends.to, '02:00:00:00:00:fe');
  beforeEach(() => setHost(policy('both')));

  test('of neighbours and routers passes', () => {
    const kinds = ['solicitation', 'advertisement', 'redirect'] as const;
    const outcomes = [
      ...both(solicit()),
      ...both((ends) => discovery(ends, 'advertisement', ends.from, '02:00:00:00:00:01')),
      ...kinds.flatMap((kind) => both((ends) => routerMessage(ends, kind))),
      // To its group, and with no address yet.
      fixture.run('from-native', solicit({ to: 'ff02::1:ff00:1' })({ from: router, to: node })),
      fixture.run(
        'to-native',
        solicit({ from: '::', to: 'ff02::1:ff00:1' })({ from: '::', to: node }),
      ),
    ];
    for (const outcome of outcomes) expect(outcome).toMatchObject({ verdict: 'pass', events: [] });
    expect(rows()).toBe(0);
  });

  const invalid = {
    'from beyond a router': { ttl: 254 },
    'behind an extension header': { extensions },
    'from the world': { ttl: 64 },
  } as const;
  for (const [name, change] of Object.entries(invalid)) {
    test(`${name}, it is ICMP like any other`, async () => {
      const all = () => [
        ...both(solicit(change)),
        ...both((ends) => routerMessage({ ...ends, ...change }, 'advertisement')),
        ...both((ends) => routerMessage({ ...ends, ...change }, 'redirect')),
      ];
      for (const outcome of all()) expect(outcome.reason).toBe('DROP_POLICY');
      await setHost(
        policy('both', [
          entry('ingress', { proto: proto.icmpv6, port: 135 }),
          entry('egress', { proto: proto.icmpv6, port: 135 }),
        ]),
      );
      const verdicts = all().map(({ verdict }) => verdict);
      expect(verdicts).toEqual(['pass', 'pass', 'drop', 'drop', 'drop', 'drop']);
    });
  }

  test('of an unknown code', () => {
    for (const outcome of both((ends) => solicit()(ends).with(55, 1))) {
      expect(outcome.reason).toBe('DROP_POLICY');
    }
  });

  const report = (type: number, ip: Partial<Ip>) =>
    icmp(
      { from: 'fe80::1', to: 'ff02::16', ttl: 1, extensions, ...ip },
      type,
      0,
      new Uint8Array(20),
    );

  test('of listeners passes: switches bring solicitations to who reports', () => {
    for (const type of [130, 131, 132, 143]) {
      for (const from of ['fe80::1', '::']) {
        for (const hook of native) {
          const outcome = fixture.run(hook, report(type, { from }));
          expect(outcome).toMatchObject({ verdict: 'pass', events: [] });
        }
      }
    }
    expect(rows()).toBe(0);
  });

  test('of listeners, but from afar, or by another message', () => {
    const frames = [
      report(143, { ttl: 2 }),
      report(143, { from: world }),
      report(129, {}),
      report(144, {}),
      tcp({ from: 'fe80::1', to: node, ttl: 1 }, { sport: 143, dport: 143 }),
    ];
    for (const frame of frames) {
      expect(fixture.run('from-native', frame).verdict).toBe('drop');
    }
  });
});

describe('the same ends as a translated connection', () => {
  for (const family of families) {
    const { a, world, node } = addresses[family];
    test(`IPv${family}: only what came from the pod is the pod’s`, async () => {
      await setHost(policy('egress'));
      const { packet } = fixture.run('from-a', udp({ from: a, to: world }, ports));
      expect(fixture.run('to-native', packet, fixture.ifindex.a).verdict).toBe('pass');
      for (const cameBy of [0, fixture.ifindex.b]) {
        expect(fixture.run('to-native', packet, cameBy)).toMatchObject({
          ...{ verdict: 'drop', reason: 'DROP_POLICY' },
          events: [{ from: node, to: world, direction: 2 }],
        });
      }
    });
  }
});
