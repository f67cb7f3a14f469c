/**
 * @module
 * The ICMP type that policy is asked about: an echo's own, also that of a reply which nobody asked
 * for, and the request's for the reply that somebody did. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { addresses, entry, Fixture, families, podA, podB, policy } from './fixture.ts';
import { echo, proto } from './packet.ts';

let fixture: Fixture;
beforeAll(() => {
  fixture = new Fixture();
});
afterAll(() => fixture[Symbol.asyncDispose]());
beforeEach(() => fixture.reset());

for (const family of families) {
  const { a, b } = addresses[family];
  const protocol = family === 4 ? proto.icmp : proto.icmpv6;
  const types = family === 4 ? { request: 8, reply: 0 } : { request: 128, reply: 129 };
  const only = (kind: keyof typeof types) => {
    const allowed = entry('egress', { proto: protocol, port: types[kind], portPrefix: 16 });
    const policies = [
      [podA.policyId, policy('egress', [allowed])],
      [podB.policyId, policy('egress')],
    ] as const;
    return fixture.setPolicies(new Map(policies));
  };
  const fromA = (kind: keyof typeof types, id = 7) =>
    fixture.run('from-a', echo({ from: a, to: b }, { kind, id }));
  const fromB = (kind: keyof typeof types, id = 7) =>
    fixture.run('from-b', echo({ from: b, to: a }, { kind, id }));
  const refused = { verdict: 'drop', reason: 'DROP_POLICY' } as const;

  describe(`IPv${family}`, () => {
    test('who may ask may not answer what nobody asked', async () => {
      await only('request');
      expect(fromA('reply')).toMatchObject(refused);
      expect(fromA('request').verdict).toBe('redirect');
      expect(fromB('reply').verdict).toBe('redirect');
    });

    test('who may answer unasked may not ask', async () => {
      await only('reply');
      expect(fromA('request')).toMatchObject(refused);
      expect(fromA('reply')).toMatchObject({ verdict: 'redirect', events: [{ type: 'NEW' }] });
      expect(fromA('reply')).toMatchObject({ verdict: 'redirect', events: [] });
      // What it opened is nothing that either of them could ask in.
      expect(fromA('request')).toMatchObject(refused);
      expect(fromB('request')).toMatchObject(refused);
      expect(fromB('reply')).toMatchObject(refused);
    });

    test('judged again, each by what it began with', async () => {
      await only('reply');
      fromA('reply');
      fixture.config.epoch += 2;
      expect(fromA('reply').verdict).toBe('redirect');
      await only('request');
      expect(fromA('reply')).toMatchObject(refused);
      fromA('request', 8);
      fixture.config.epoch += 2;
      expect(fromB('reply', 8).verdict).toBe('redirect');
    });

    test('with the id of nothing it counts as asking', async () => {
      await only('reply');
      expect(fromA('reply', 0)).toMatchObject(refused);
      await only('request');
      expect(fromA('request', 0).verdict).toBe('redirect');
    });
  });
}
