/**
 * @module
 * What policy does to the first packet of a connection, case by case, in both families: verdict,
 * reason, event and conntrack row. Needs root.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { PolicySummary } from '../../src/bpf/map/policy.ts';
import {
  addresses,
  type DropName,
  entry,
  type Family,
  Fixture,
  families,
  type Hook,
  openPolicy,
  podA,
  podB,
  policy,
  worldClass,
} from './fixture.ts';
import { echo, type Ip, icmp, nodeMac, podMac, proto, tcp, transport, udp } from './packet.ts';

let fixture: Fixture;
beforeAll(() => {
  fixture = new Fixture();
});
afterAll(() => fixture[Symbol.asyncDispose]());

type Expected =
  | { readonly verdict: 'redirect' | 'pass'; readonly cookie?: readonly [number, number] }
  | {
      readonly verdict: 'drop';
      readonly reason: DropName;
      readonly by?: 'ingress' | 'egress';
      readonly cookie?: number;
    };

interface Case {
  readonly name: string;
  readonly a?: PolicySummary | undefined;
  readonly b?: PolicySummary | undefined;
  readonly hook?: Hook;
  readonly packet: (family: Family) => Uint8Array;
  readonly expect: Expected;
}

const ports = { sport: 40000, dport: 80 };
const aToB = (family: Family): Ip => ({ from: addresses[family].a, to: addresses[family].b });
const web = (family: Family) => tcp(aToB(family), { ...ports, flags: 'S' });
const to = (dport: number) => (family: Family) =>
  tcp(aToB(family), { sport: 40000, dport, flags: 'S' });
const allowed = { verdict: 'redirect' } as const;
const refused = { verdict: 'drop', reason: 'DROP_POLICY' } as const;
const denied = { verdict: 'drop', reason: 'DROP_POLICY_DENY' } as const;
const classB = podB.classId;
const classA = podA.classId;
const tcp80 = { proto: proto.tcp, port: 80 };

const cases: readonly Case[] = [
  { name: 'no policy: allowed', packet: web, expect: { ...allowed, cookie: [0, 0] } },
  {
    name: 'egress default deny',
    a: policy('egress'),
    packet: web,
    expect: { ...refused, by: 'egress', cookie: 901 },
  },
  {
    name: 'ingress default deny',
    b: policy('ingress'),
    packet: web,
    expect: { ...refused, by: 'ingress', cookie: 900 },
  },
  {
    name: 'both allow: both cookies',
    a: policy('egress', [entry('egress', { classId: classB, ...tcp80, cookie: 51 })]),
    b: policy('ingress', [entry('ingress', { classId: classA, ...tcp80, cookie: 52 })]),
    packet: web,
    expect: { ...allowed, cookie: [52, 51] },
  },
  {
    name: 'egress allows, ingress refuses',
    a: policy('egress', [entry('egress')]),
    b: policy('both'),
    packet: web,
    expect: { ...refused, by: 'ingress', cookie: 900 },
  },
  {
    name: 'ingress allows, egress refuses first',
    a: policy('both'),
    b: policy('ingress', [entry('ingress')]),
    packet: web,
    expect: { ...refused, by: 'egress', cookie: 901 },
  },
  {
    name: 'an entry of the other direction does not count',
    a: policy('egress', [entry('ingress')]),
    packet: web,
    expect: { ...refused, by: 'egress' },
  },
  {
    name: 'the class decides over the wildcard: deny',
    a: policy('egress', [entry('egress'), entry('egress', { classId: classB, deny: true })]),
    packet: web,
    expect: { ...denied, by: 'egress', cookie: 500 },
  },
  {
    name: 'the class decides over the wildcard: allow',
    a: policy('egress', [entry('egress', { deny: true }), entry('egress', { classId: classB })]),
    packet: web,
    expect: allowed,
  },
  {
    name: 'no entry of the class for the port: the wildcard is asked',
    a: policy('egress', [
      entry('egress', { proto: proto.tcp, port: 80, cookie: 7 }),
      entry('egress', { classId: classB, proto: proto.tcp, port: 443 }),
    ]),
    packet: web,
    expect: { ...allowed, cookie: [0, 7] },
  },
  {
    name: 'neither class nor wildcard has the port',
    a: policy('egress', [
      entry('egress', { proto: proto.tcp, port: 81 }),
      entry('egress', { classId: classB, proto: proto.tcp, port: 443 }),
    ]),
    packet: web,
    expect: { ...refused, by: 'egress' },
  },
  {
    name: 'entries of another class only',
    a: policy('egress', [entry('egress', { classId: worldClass })]),
    packet: web,
    expect: { ...refused, by: 'egress' },
  },
  {
    name: 'the longest port prefix decides: the port itself',
    a: policy('egress', [
      entry('egress', { proto: proto.tcp, port: 80, portPrefix: 12, deny: true }),
      entry('egress', { proto: proto.tcp, port: 80, cookie: 8 }),
    ]),
    packet: web,
    expect: { ...allowed, cookie: [0, 8] },
  },
  {
    name: 'a port prefix, its last port',
    a: policy('egress', [entry('egress', { proto: proto.tcp, port: 80, portPrefix: 12 })]),
    packet: to(95),
    expect: allowed,
  },
  {
    name: 'a port prefix, the port after it',
    a: policy('egress', [entry('egress', { proto: proto.tcp, port: 80, portPrefix: 12 })]),
    packet: to(96),
    expect: refused,
  },
  {
    name: 'a port prefix, the port before it',
    a: policy('egress', [entry('egress', { proto: proto.tcp, port: 80, portPrefix: 12 })]),
    packet: to(79),
    expect: refused,
  },
  {
    name: 'a port prefix of one bit',
    a: policy('egress', [entry('egress', { proto: proto.tcp, port: 32768, portPrefix: 1 })]),
    packet: to(65535),
    expect: allowed,
  },
  {
    name: 'any port of a protocol',
    a: policy('egress', [entry('egress', { proto: proto.tcp })]),
    packet: to(5),
    expect: allowed,
  },
  {
    name: 'any port of another protocol',
    a: policy('egress', [entry('egress', { proto: proto.udp })]),
    packet: web,
    expect: refused,
  },
  {
    name: 'UDP by its port',
    a: policy('egress', [entry('egress', { proto: proto.udp, port: 53 })]),
    packet: (family) => udp(aToB(family), { sport: 53, dport: 53 }),
    expect: allowed,
  },
  {
    name: 'TCP is not UDP',
    a: policy('egress', [entry('egress', { proto: proto.udp, port: 80 })]),
    packet: web,
    expect: refused,
  },
  {
    name: 'the source port does not count',
    a: policy('egress', [entry('egress', { proto: proto.tcp, port: 40000 })]),
    packet: web,
    expect: refused,
  },
  {
    name: 'a policy that is not there yet',
    a: undefined,
    packet: web,
    expect: { verdict: 'drop', reason: 'DROP_EP_NOT_READY' },
  },
  {
    name: "the receiver's policy is not there yet",
    b: undefined,
    packet: web,
    expect: { verdict: 'drop', reason: 'DROP_EP_NOT_READY' },
  },
  {
    name: 'an address of the pod range that nobody has',
    packet: (family) =>
      tcp({ from: addresses[family].a, to: addresses[family].unallocated }, ports),
    expect: { verdict: 'drop', reason: 'DROP_UNROUTABLE' },
  },
  {
    name: 'an echo, by its type',
    a: policy('egress', [
      entry('egress', { proto: proto.icmp, port: 8 }),
      entry('egress', { proto: proto.icmpv6, port: 128 }),
    ]),
    packet: (family) => echo(aToB(family), { kind: 'request', id: 9 }),
    expect: allowed,
  },
  {
    name: 'an echo with the id of nothing, by its type',
    a: policy('egress', [
      entry('egress', { proto: proto.icmp, port: 8 }),
      entry('egress', { proto: proto.icmpv6, port: 128 }),
    ]),
    packet: (family) => echo(aToB(family), { kind: 'request', id: 0 }),
    expect: allowed,
  },
  {
    name: 'another type of ICMP',
    a: policy('egress', [
      entry('egress', { proto: proto.icmp, port: 8 }),
      entry('egress', { proto: proto.icmpv6, port: 128 }),
    ]),
    packet: (family) => icmp(aToB(family), family === 4 ? 13 : 139, 0, new Uint8Array(16)),
    expect: { ...refused, by: 'egress' },
  },
  {
    name: 'an unknown transport, even where all is allowed',
    packet: (family) => transport(aToB(family), proto.gre, new Uint8Array(32)),
    expect: { verdict: 'drop', reason: 'DROP_CT_UNKNOWN_PROTO' },
  },
  {
    name: "ICMP of the other family's number",
    packet: (family) =>
      transport(aToB(family), family === 4 ? proto.icmpv6 : proto.icmp, new Uint8Array(32)),
    expect: { verdict: 'drop', reason: 'DROP_CT_UNKNOWN_PROTO' },
  },
  {
    name: 'a source address that is no pod',
    packet: (family) =>
      tcp({ from: addresses[family].unallocated, to: addresses[family].b }, ports),
    expect: { verdict: 'drop', reason: 'DROP_INVALID_SIP' },
  },
  {
    name: "the other pod's source address",
    packet: (family) => tcp({ from: addresses[family].b, to: addresses[family].world }, ports),
    expect: { verdict: 'drop', reason: 'DROP_INVALID_SIP' },
  },
  {
    name: 'to the host: up the stack',
    packet: (family) => tcp({ from: addresses[family].a, to: addresses[family].gateway }, ports),
    expect: { verdict: 'pass' },
  },
  {
    name: 'to the host, refused',
    a: policy('egress', [entry('egress', { classId: classB })]),
    packet: (family) => tcp({ from: addresses[family].a, to: addresses[family].gateway }, ports),
    expect: { ...refused, by: 'egress' },
  },
  {
    name: 'from the host, no policy',
    hook: 'to-b',
    packet: (family) => tcp({ from: addresses[family].gateway, to: addresses[family].b }, ports),
    expect: { verdict: 'pass' },
  },
  {
    name: 'from the host, refused by ingress policy',
    b: policy('ingress', [entry('ingress', { classId: classA })]),
    hook: 'to-b',
    packet: (family) => tcp({ from: addresses[family].gateway, to: addresses[family].b }, ports),
    expect: { ...refused, by: 'ingress', cookie: 900 },
  },
  {
    name: 'from the world, allowed by ingress policy',
    b: policy('ingress', [entry('ingress', { classId: worldClass, ...tcp80, cookie: 53 })]),
    hook: 'to-b',
    packet: (family) => tcp({ from: addresses[family].world, to: addresses[family].b }, ports),
    expect: { verdict: 'pass', cookie: [53, 0] },
  },
  {
    name: "from the stack, with a pod's source address",
    hook: 'to-b',
    packet: web,
    expect: { verdict: 'drop', reason: 'DROP_INVALID_SIP' },
  },
  {
    name: 'from the stack, for another pod',
    hook: 'to-b',
    packet: (family) => tcp({ from: addresses[family].gateway, to: addresses[family].a }, ports),
    expect: { verdict: 'drop', reason: 'DROP_UNROUTABLE' },
  },
];

async function settle(row: Case): Promise<void> {
  await fixture.reset();
  const policies = new Map<number, PolicySummary | undefined>();
  if ('a' in row) policies.set(podA.policyId, row.a);
  if ('b' in row) policies.set(podB.policyId, row.b);
  if (policies.size > 0) await fixture.setPolicies(policies);
}

function expectDrop(row: Case, outcome: ReturnType<Fixture['run']>): void {
  if (row.expect.verdict !== 'drop') return;
  const { reason, by, cookie } = row.expect;
  expect(outcome.reason).toBe(reason);
  expect(outcome.events.map(({ type }) => type)).toEqual(['DROP']);
  const [event] = outcome.events;
  const sides = event!.flags.filter((flag) => flag.endsWith('DENIED'));
  if (by !== undefined) {
    expect(sides).toEqual([`${by.toUpperCase()}_DENIED`]);
    expect(event!.direction).toBe(by === 'ingress' ? 1 : 2);
  }
  if (by !== undefined && cookie !== undefined) expect(event!.cookie[by]).toBe(cookie);
}

for (const family of families) {
  describe(`IPv${family}`, () => {
    for (const row of cases) {
      test(row.name, async () => {
        await settle(row);
        const packet = row.packet(family);
        const outcome = fixture.run(row.hook ?? 'from-a', packet);
        expect(outcome.verdict).toBe(row.expect.verdict);
        // Whatever is dropped leaves nothing behind that could let the next one pass.
        expect([...fixture.maps.conntrack.entries()]).toHaveLength(
          outcome.verdict === 'drop' ? 0 : 1,
        );
        expectDrop(row, outcome);
        if (row.expect.verdict === 'drop') {
          expect(fixture.run(row.hook ?? 'from-a', packet).verdict).toBe('drop');
          return;
        }
        expect(outcome.events.map(({ type }) => type)).toEqual(['NEW']);
        const [ingress, egress] = row.expect.cookie ?? [undefined, undefined];
        if (ingress !== undefined) expect(outcome.events[0]!.cookie).toEqual({ ingress, egress });
      });
    }

    test('an allowed connection in events and conntrack', async () => {
      await fixture.reset();
      const { a, b } = addresses[family];
      const { events } = fixture.run('from-a', web(family));
      expect(events).toEqual([
        {
          ...{ type: 'NEW', reason: undefined, from: a, to: b, ...ports, proto: proto.tcp },
          identities: [podA.identity, podB.identity],
          endpoints: [podA.id, podB.id],
          ...{ flags: [], cookie: { ingress: 0, egress: 0 }, direction: 2, tracePoint: 0 },
          ...{ matchType: { ingress: 0, egress: 0 }, file: 2 },
          macs: [podMac, nodeMac],
        },
      ]);
      const pod = (of: typeof podA | typeof podB, ifindex: number, initiator: boolean) => ({
        ...{ kind: 'POD', ifindex, endpoint: of.id, identity: of.identity, initiator },
      });
      expect(fixture.connection(a, b)).toMatchObject({
        from: pod(podA, fixture.ifindex.a, true),
        to: pod(podB, fixture.ifindex.b, false),
      });
    });
  });
}

test('the bank of the epoch decides, and the other one does not', async () => {
  await fixture.reset();
  const family = 4;
  const refuse = new Map([[podA.policyId, policy('egress')]]);
  const inForce = (fixture.config.epoch & 1) as 0 | 1;
  await fixture.setBank(inForce === 0 ? 1 : 0, refuse);
  expect(fixture.run('from-a', web(family)).verdict).toBe('redirect');
  fixture.config.epoch += 1;
  expect(fixture.run('from-a', web(family))).toMatchObject({
    verdict: 'drop',
    reason: 'DROP_POLICY',
  });
  fixture.config.epoch += 1;
  expect(fixture.run('from-a', web(family)).verdict).toBe('redirect');
});

test('an identity has its own class in each bank', async () => {
  await fixture.reset();
  const allowClass = new Map([
    [podA.policyId, policy('egress', [entry('egress', { classId: 300 })])],
  ]);
  await fixture.setPolicies(allowClass);
  const bank = fixture.config.epoch & 1;
  const classId: [number, number] = bank === 0 ? [301, 300] : [300, 301];
  fixture.maps.identityClass.update(
    { identity: podB.identity, addressSet: 0 },
    { classId, groupId: [1, 1] },
  );
  expect(fixture.run('from-a', web(4)).verdict).toBe('drop');
  fixture.config.epoch += 1;
  expect(fixture.run('from-a', web(4)).verdict).toBe('redirect');
  fixture.config.epoch += 1;
  fixture.setClass(podB.identity, podB.classId);
});

test('a peer that no selector names is met by wildcards only', async () => {
  await fixture.reset();
  fixture.setClass(podB.identity, 1);
  const none = entry('egress', { classId: 1, deny: true });
  await fixture.setPolicies(new Map([[podA.policyId, policy('egress', [none, entry('egress')])]]));
  expect(fixture.run('from-a', web(6)).verdict).toBe('redirect');
});

test('events are sent as far as they are wanted', async () => {
  await fixture.reset();
  fixture.config.events = { drop: false, trace: false, verdict: false };
  expect(fixture.run('from-a', web(4)).events).toEqual([]);
  await fixture.setPolicies(new Map([[podA.policyId, policy('both')]]));
  expect(fixture.run('from-a', to(81)(4))).toMatchObject({ verdict: 'drop', events: [] });
  fixture.config.events = { drop: true, trace: true, verdict: true };
  await fixture.setPolicies(new Map([[podA.policyId, openPolicy]]));
});
