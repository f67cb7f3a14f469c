/**
 * @module
 * ICMP "fragmentation needed" and "packet too big", which path MTU discovery lives by: they pass
 * whatever policy says, unless the option is off. Of pods, translated, and of the node. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { requireAddress } from '../../src/net/address.ts';
import { addresses, Fixture, families, host, podA, podB, policy } from './fixture.ts';
import { icmp, icmpError, type icmpErrors, udp } from './packet.ts';

let fixture: Fixture;
/** Where the option is off. */
let strict: Fixture;
beforeAll(() => {
  fixture = new Fixture({ constants: { hostFirewall: 1 } });
  strict = new Fixture({ constants: { hostFirewall: 1, allowFragNeeded: 0 } });
});
afterAll(async () => {
  await fixture[Symbol.asyncDispose]();
  await strict[Symbol.asyncDispose]();
});
beforeEach(async () => {
  for (const one of [fixture, strict]) {
    await one.reset();
    one.config.hostPolicyId = host.policyId;
  }
});

const ports = { sport: 40000, dport: 80 };
const close = (of: Fixture) =>
  of.setPolicies(new Map([podA, podB, host].map((one) => [one.policyId, policy('both')])));
const others = ['unreachable', 'time-exceeded', 'parameter'] as const;

for (const family of families) {
  const { a, b, world, node, router } = addresses[family];
  const asked = udp({ from: a, to: b }, ports);
  type Kind = keyof typeof icmpErrors;

  /** By the way that an error takes: the connection that it is about, and the error. */
  const ways: Record<string, (of: Fixture) => (kind: Kind) => string> = {
    'from pod to pod': (of) => {
      of.run('from-a', asked);
      return (kind) => of.run('from-b', icmpError({ from: b, to: a }, kind, asked)).verdict;
    },
    'from a router, through the stack': (of) => {
      const answer = udp({ from: a, to: world }, { sport: 80, dport: 40000 });
      of.run('to-a', udp({ from: world, to: a }, ports));
      of.run('from-a', answer);
      return (kind) => of.run('to-a', icmpError({ from: world, to: a }, kind, answer)).verdict;
    },
    'about what was translated': (of) => {
      const { packet } = of.run('from-a', udp({ from: a, to: world }, ports));
      return (kind) =>
        of.run('from-native', icmpError({ from: router, to: node }, kind, packet)).verdict;
    },
    'to the node': (of) => {
      const own = udp({ from: node, to: world }, ports);
      of.run('to-native', own);
      return (kind) =>
        of.run('from-native', icmpError({ from: router, to: node }, kind, own)).verdict;
    },
    'from the node': (of) => {
      const heard = udp({ from: world, to: node }, ports);
      of.run('from-native', heard);
      return (kind) =>
        of.run('to-native', icmpError({ from: node, to: world }, kind, heard)).verdict;
    },
  };

  describe.each(Object.entries(ways))(`IPv${family} %s`, (_, open) => {
    test('passes after the policy changed, and nothing else does', async () => {
      const error = open(fixture);
      const before = error('too-big');
      expect(before).not.toBe('drop');
      await close(fixture);
      expect(error('too-big')).toBe(before);
      expect(others.map(error)).toEqual(others.map(() => 'drop'));
    });

    test('with the option off it is an error like any other', async () => {
      const error = open(strict);
      expect(error('too-big')).not.toBe('drop');
      await close(strict);
      expect(error('too-big')).toBe('drop');
    });
  });

  describe(`IPv${family} about no connection`, () => {
    const errors = (of: Fixture, kind: Kind) => [
      of.run('from-b', icmpError({ from: b, to: a }, kind, asked)),
      of.run(
        'from-native',
        icmpError({ from: router, to: node }, kind, udp({ from: node, to: world }, ports)),
      ),
    ];

    test('it passes too, unless the option is off', async () => {
      await close(fixture);
      const passed = errors(fixture, 'too-big').map(({ verdict }) => verdict);
      expect(passed).toEqual(['redirect', 'pass']);
      for (const { reason } of errors(fixture, 'unreachable')) expect(reason).toBe('DROP_POLICY');
      await close(strict);
      for (const { reason } of errors(strict, 'too-big')) expect(reason).toBe('DROP_POLICY');
    });

    test('under an address that is not its sender’s, or to nobody', async () => {
      const error = icmpError({ from: world, to: a }, 'too-big', asked);
      expect(fixture.run('from-b', error).reason).toBe('DROP_INVALID_SIP');
      fixture.run('from-a', asked);
      fixture.maps.lxc.delete(requireAddress(a).bytes);
      fixture.config.epoch += 2;
      const late = icmpError({ from: b, to: a }, 'too-big', asked);
      expect(fixture.run('from-b', late).reason).toBe('DROP_UNROUTABLE');
    });

    test('another code of its type, and its code of another type', async () => {
      await close(fixture);
      const quote = new Uint8Array([0, 0, 0, 0, ...asked.subarray(14)]);
      const near =
        family === 4
          ? [
              [3, 3],
              [11, 4],
            ]
          : [
              [1, 0],
              [3, 0],
            ];
      for (const [otherType, otherCode] of near) {
        const error = icmp({ from: b, to: a }, otherType!, otherCode!, quote);
        expect(fixture.run('from-b', error).verdict).toBe('drop');
      }
    });
  });
}
