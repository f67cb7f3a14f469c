/**
 * @module
 * Policy audit mode: what a policy denies goes on, and is told of. By endpoint and for all of them,
 * for either end and both. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { endpointFlags } from '../../src/bpf/gen/constants.ts';
import { addresses, entry, Fixture, families, podA, podB, policy } from './fixture.ts';
import { icmpError, tcp, udp } from './packet.ts';

let fixture: Fixture;
beforeAll(() => {
  fixture = new Fixture();
});
afterAll(() => fixture[Symbol.asyncDispose]());
beforeEach(() => fixture.reset());

const ports = { sport: 40000, dport: 80 };
const back = { sport: 80, dport: 40000 };
const auditA = () => fixture.setEndpoint(podA, fixture.ifindex.a, endpointFlags.ENDPOINT_AUDIT);
const auditB = () => fixture.setEndpoint(podB, fixture.ifindex.b, endpointFlags.ENDPOINT_AUDIT);
const denyEgress = [podA.policyId, policy('egress')] as const;
const denyIngress = [
  podB.policyId,
  policy('ingress', [entry('ingress', { deny: true, cookie: 77 })]),
] as const;

for (const family of families) {
  describe(`IPv${family}`, () => {
    const { a, b, world, gateway } = addresses[family];
    const web = (flags = 'S') =>
      fixture.run('from-a', tcp({ from: a, to: b }, { ...ports, flags }));
    const answer = (flags = 'SA') =>
      fixture.run('from-b', tcp({ from: b, to: a }, { ...back, flags }));

    test('of the sender: a connection like any other, and its denial told of', async () => {
      auditA();
      await fixture.setPolicies(new Map([denyEgress]));
      const first = web();
      expect(first).toMatchObject({ verdict: 'redirect', reason: undefined });
      expect(first.events).toMatchObject([
        {
          type: 'NEW',
          flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'],
          cookie: { ingress: 0, egress: 901 },
          matchType: { egress: 0 },
        },
      ]);
      expect(answer().events).toMatchObject([{ type: 'REPLY' }]);
      expect(web('A')).toMatchObject({ verdict: 'redirect', events: [] });
      expect(answer('A')).toMatchObject({ verdict: 'redirect', events: [] });
      expect(fixture.connection(a, b)).toMatchObject({ entry: { cookie: [0, 901] } });
    });

    test('of the sender: an ICMP error about nothing, and its denial told of', async () => {
      auditA();
      await fixture.setPolicies(new Map([denyEgress]));
      const error = icmpError({ from: a, to: b }, 'unreachable', udp({ from: b, to: a }, ports));
      const outcome = fixture.run('from-a', error);
      expect(outcome.verdict).toBe('redirect');
      expect(outcome.events).toMatchObject([
        {
          type: 'NEW',
          flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'],
          cookie: { ingress: 0, egress: 901 },
        },
      ]);
    });

    test('of the sender: the receiver is asked as ever', async () => {
      auditA();
      await fixture.setPolicies(new Map([denyEgress, denyIngress]));
      const outcome = web();
      expect(outcome).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY_DENY' });
      expect(outcome.events).toMatchObject([
        {
          flags: ['EGRESS_JUDGED', 'INGRESS_JUDGED', 'EGRESS_DENIED', 'INGRESS_DENIED'],
          cookie: { ingress: 77, egress: 901 },
          direction: 1,
        },
      ]);
      expect(fixture.connection(a, b)).toBeUndefined();
    });

    test('of the receiver: a denying entry, with its cookie', async () => {
      auditB();
      await fixture.setPolicies(new Map([denyIngress]));
      expect(web()).toMatchObject({
        verdict: 'redirect',
        events: [
          {
            type: 'NEW',
            flags: ['INGRESS_JUDGED', 'INGRESS_DENIED'],
            cookie: { ingress: 77, egress: 0 },
            matchType: { ingress: 1 },
          },
        ],
      });
    });

    test('of the receiver only: the sender’s denial ends it', async () => {
      auditB();
      await fixture.setPolicies(new Map([denyEgress, denyIngress]));
      expect(web()).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'], direction: 2 }],
      });
    });

    test('of both, and of all', async () => {
      await fixture.setPolicies(new Map([denyEgress, denyIngress]));
      expect(web().reason).toBe('DROP_POLICY');
      auditA();
      auditB();
      const both = ['EGRESS_JUDGED', 'INGRESS_JUDGED', 'EGRESS_DENIED', 'INGRESS_DENIED'];
      expect(web()).toMatchObject({ verdict: 'redirect', events: [{ type: 'NEW', flags: both }] });
      await fixture.reset();
      fixture.config.policyAudit = true;
      await fixture.setPolicies(new Map([denyEgress, denyIngress]));
      expect(web()).toMatchObject({ verdict: 'redirect', events: [{ type: 'NEW', flags: both }] });
    });

    test('switched off, what was let through is judged with the next epoch', async () => {
      auditA();
      await fixture.setPolicies(new Map([denyEgress]));
      web();
      answer();
      expect(web('A').events).toEqual([]);
      fixture.setEndpoint(podA, fixture.ifindex.a);
      fixture.config.epoch += 2;
      expect(web('A')).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
      auditA();
      expect(web('A')).toMatchObject({
        verdict: 'redirect',
        events: [{ type: 'NEW', flags: ['EGRESS_JUDGED', 'REEVALUATED', 'EGRESS_DENIED'] }],
      });
      expect(web('A').events).toEqual([]);
    });

    test('to the world, with translation', async () => {
      auditA();
      await fixture.setPolicies(new Map([denyEgress]));
      expect(fixture.run('from-a', udp({ from: a, to: world }, ports))).toMatchObject({
        verdict: 'redirect',
        events: [{ type: 'NEW', flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'], tracePoint: 11 }],
      });
    });

    test('what comes through the stack', async () => {
      auditB();
      await fixture.setPolicies(new Map([denyIngress]));
      expect(fixture.run('to-b', udp({ from: gateway, to: b }, ports))).toMatchObject({
        verdict: 'pass',
        events: [{ type: 'NEW', flags: ['INGRESS_JUDGED', 'INGRESS_DENIED'] }],
      });
    });

    test('an error about nothing', async () => {
      auditB();
      await fixture.setPolicies(new Map([denyIngress]));
      const quoted = udp({ from: b, to: a }, { sport: 1, dport: 2 });
      const error = icmpError({ from: a, to: b }, 'unreachable', quoted);
      expect(fixture.run('from-a', error).verdict).toBe('redirect');
    });

    test('a policy that is not there yet is no denial', async () => {
      fixture.config.policyAudit = true;
      await fixture.setPolicies(new Map([[podA.policyId, undefined]]));
      expect(web()).toMatchObject({ verdict: 'drop', reason: 'DROP_EP_NOT_READY' });
    });
  });
}
