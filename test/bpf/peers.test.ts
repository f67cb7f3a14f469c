/**
 * @module
 * How policy tells peers apart: class, group and wildcard in their order, address sets by bank and
 * by longest prefix, identities that only name a CIDR, and what is not known yet. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { GROUP_BASE, policyConfigFlags, runtimeFlags } from '../../src/bpf/gen/constants.ts';
import { type PolicyMapEntry, policyConfigOf } from '../../src/bpf/map/policy.ts';
import {
  addresses,
  entry,
  Fixture,
  families,
  podA,
  podB,
  policy,
  worldClass,
  worldIdentity,
} from './fixture.ts';
import { proto, tcp, udp } from './packet.ts';

let fixture: Fixture;
beforeAll(() => {
  fixture = new Fixture();
});
afterAll(() => fixture[Symbol.asyncDispose]());
beforeEach(() => fixture.reset());

const group = GROUP_BASE + 7;
const otherGroup = GROUP_BASE + 8;
const ports = { sport: 40000, dport: 80 };
const tcp80 = { proto: proto.tcp, port: 80 };

/** Enforces egress of pod A with these entries in both banks. */
const enforceA = (entries: readonly PolicyMapEntry[]) =>
  fixture.setPolicies(new Map([[podA.policyId, policy('egress', entries)]]));
const enforceB = (entries: readonly PolicyMapEntry[]) =>
  fixture.setPolicies(new Map([[podB.policyId, policy('ingress', entries)]]));

for (const family of families) {
  const { a, b, world, otherWorld } = addresses[family];
  const web = () => fixture.run('from-a', tcp({ from: a, to: b }, { ...ports, flags: 'S' }));
  const toWorld = (to: string = world) => fixture.run('from-a', udp({ from: a, to }, ports));
  const fromWorld = (from: string = world) =>
    fixture.run('to-b', tcp({ from, to: b }, { ...ports, flags: 'S' }));

  describe(`IPv${family} class, group, wildcard`, () => {
    beforeEach(() => fixture.setClass(podB.identity, podB.classId, { groupId: group }));
    const of = (classId: number, cookie: number, deny = false) =>
      entry('egress', { classId, cookie, deny, ...tcp80 });

    test('the class is asked first', async () => {
      await enforceA([of(podB.classId, 1), of(group, 2, true), of(0, 3, true)]);
      expect(web()).toMatchObject({ verdict: 'redirect', events: [{ cookie: { egress: 1 } }] });
    });

    test('a denial of the class is final', async () => {
      await enforceA([of(podB.classId, 1, true), of(group, 2), of(0, 3)]);
      expect(web()).toMatchObject({
        reason: 'DROP_POLICY_DENY',
        events: [{ cookie: { egress: 1 } }],
      });
    });

    test('the group is asked where the class has no entry for the port', async () => {
      await enforceA([
        entry('egress', { classId: podB.classId, proto: proto.tcp, port: 443 }),
        of(group, 2),
        of(0, 3, true),
      ]);
      expect(web()).toMatchObject({ verdict: 'redirect', events: [{ cookie: { egress: 2 } }] });
    });

    test('a denial of the group is final', async () => {
      await enforceA([of(group, 2, true), of(0, 3)]);
      expect(web()).toMatchObject({
        reason: 'DROP_POLICY_DENY',
        events: [{ cookie: { egress: 2 } }],
      });
    });

    test('the wildcard is asked last', async () => {
      await enforceA([of(worldClass, 1, true), of(otherGroup, 2, true), of(0, 3)]);
      expect(web()).toMatchObject({ verdict: 'redirect', events: [{ cookie: { egress: 3 } }] });
    });

    test('another group, and no wildcard: default deny', async () => {
      await enforceA([of(otherGroup, 2)]);
      expect(web()).toMatchObject({ reason: 'DROP_POLICY', events: [{ cookie: { egress: 901 } }] });
    });

    test('a peer in no group is met by no entry of group 1', async () => {
      fixture.setClass(podB.identity, podB.classId);
      await enforceA([of(group, 2), of(1, 3)]);
      expect(web()).toMatchObject({ reason: 'DROP_POLICY' });
    });

    test('the receiver’s policy goes by groups as well', async () => {
      fixture.setClass(podA.identity, podA.classId, { groupId: otherGroup });
      await enforceB([entry('ingress', { classId: otherGroup, cookie: 4, matchType: 2 })]);
      expect(web()).toMatchObject({
        verdict: 'redirect',
        events: [{ cookie: { ingress: 4 }, matchType: { ingress: 2 } }],
      });
      await enforceB([entry('ingress', { classId: group })]);
      expect(web()).toMatchObject({ reason: 'DROP_POLICY', events: [{ direction: 1 }] });
    });

    test('a group differs between the banks', async () => {
      await enforceA([of(group, 2)]);
      const bank = fixture.config.epoch & 1;
      fixture.maps.identityClass.update(
        { identity: podB.identity, addressSet: 0 },
        { classId: [1, 1], groupId: bank === 0 ? [1, group] : [group, 1] },
      );
      expect(web().reason).toBe('DROP_POLICY');
      fixture.config.epoch += 1;
      expect(web().verdict).toBe('redirect');
    });

    test('an entry of the default deny: its cookie, no match', async () => {
      for (const classId of [podB.classId, group, 0]) {
        await enforceA([
          entry('egress', { classId, isDefault: true, cookie: 44, matchType: 3, ...tcp80 }),
          entry('egress', { cookie: 45 }),
        ]);
        const outcome = web();
        expect(outcome).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
        expect(outcome.events).toMatchObject([
          {
            cookie: { egress: 44 },
            matchType: { egress: 0 },
            flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'],
          },
        ]);
      }
    });
  });

  describe(`IPv${family} what is not known yet`, () => {
    const forget = (identity: number) =>
      fixture.maps.identityClass.delete({ identity, addressSet: 0 });

    test('a peer without a class is dropped, whatever the wildcard says', async () => {
      forget(podB.identity);
      for (const classId of [podA.classId, group]) {
        await enforceA([entry('egress', { classId }), entry('egress')]);
        const outcome = web();
        expect(outcome).toMatchObject({ verdict: 'drop', reason: 'DROP_EP_NOT_READY' });
        expect(outcome.events).toMatchObject([{ cookie: { egress: 0 } }]);
      }
      expect([...fixture.maps.conntrack.entries()]).toHaveLength(0);
    });

    test('at the receiver too', async () => {
      forget(podA.identity);
      await enforceB([entry('ingress', { classId: podB.classId }), entry('ingress')]);
      expect(web()).toMatchObject({ reason: 'DROP_EP_NOT_READY', events: [{ direction: 1 }] });
    });

    test('it makes no difference where nobody is told apart', async () => {
      forget(podB.identity);
      await enforceA([entry('egress')]);
      expect(web().verdict).toBe('redirect');
      await enforceA([]);
      expect(web().reason).toBe('DROP_POLICY');
    });

    test('nor is audit a way around it', async () => {
      forget(podB.identity);
      fixture.config.policyAudit = true;
      await enforceA([entry('egress', { classId: podA.classId })]);
      expect(web().reason).toBe('DROP_EP_NOT_READY');
    });

    test('a set that has no class yet', async () => {
      fixture.setAddressSet(`${world}/${family === 4 ? 32 : 128}`, [5, 5]);
      fixture.config.addressSets = [true, true];
      await enforceA([entry('egress', { classId: worldClass })]);
      expect(toWorld().reason).toBe('DROP_EP_NOT_READY');
      expect(toWorld(otherWorld).verdict).toBe('redirect');
    });
  });

  describe(`IPv${family} address sets`, () => {
    const [wide, narrow, single] =
      family === 4
        ? ['198.51.100.0/24', '198.51.100.0/29', '198.51.100.7/32']
        : ['2001:db8::/32', '2001:db8::/125', '2001:db8::7/128'];
    const classOf = (set: number) => 200 + set;
    const onlySet = (set: number) => [entry('egress', { classId: classOf(set), cookie: set })];
    beforeEach(() => {
      fixture.config.addressSets = [true, true];
      for (const set of [1, 2, 3]) {
        fixture.setClass(worldIdentity[family], classOf(set), { addressSet: set });
      }
    });

    test('the longest prefix says which set an address is in', async () => {
      const blocks = [
        [wide!, 1],
        [narrow!, 2],
        [single!, 3],
      ] as const;
      for (const [prefix, set] of blocks) {
        fixture.setAddressSet(prefix, [set, set]);
        await enforceA(onlySet(set));
        expect(toWorld()).toMatchObject({ verdict: 'redirect' });
      }
      // The neighbour is in the wide one only.
      expect(toWorld(otherWorld).reason).toBe('DROP_POLICY');
      await enforceA(onlySet(1));
      expect(toWorld(otherWorld).verdict).toBe('redirect');
      expect(toWorld().reason).toBe('DROP_POLICY');
    });

    test('an address in none of them is in set 0', async () => {
      fixture.setAddressSet(single!, [3, 3]);
      await enforceA([entry('egress', { classId: worldClass })]);
      expect(toWorld(otherWorld).verdict).toBe('redirect');
      expect(toWorld().reason).toBe('DROP_POLICY');
    });

    test('a set differs between the banks', async () => {
      const bank = (fixture.config.epoch & 1) as 0 | 1;
      fixture.setAddressSet(wide!, bank === 0 ? [1, 2] : [2, 1]);
      await enforceA(onlySet(1));
      expect(toWorld().verdict).toBe('redirect');
      fixture.config.epoch += 1;
      expect(toWorld().reason).toBe('DROP_POLICY');
      fixture.config.epoch += 1;
      expect(toWorld().verdict).toBe('redirect');
    });

    test('a bank that does not use them finds everybody in set 0', async () => {
      fixture.setAddressSet(wide!, [1, 1]);
      await enforceA(onlySet(1));
      for (let round = 0; round < 2; round++) {
        const bank = fixture.config.epoch & 1;
        fixture.config.addressSets = bank === 0 ? [false, true] : [true, false];
        expect(toWorld().reason).toBe('DROP_POLICY');
        fixture.config.addressSets = bank === 0 ? [true, false] : [false, true];
        expect(toWorld().verdict).toBe('redirect');
        fixture.config.epoch += 1;
      }
    });

    test('of whoever comes in, too', async () => {
      fixture.setAddressSet(single!, [3, 3]);
      await enforceB([entry('ingress', { classId: classOf(3) })]);
      expect(fromWorld().verdict).toBe('pass');
      expect(fromWorld(otherWorld).reason).toBe('DROP_POLICY');
    });

    test('a pod’s address may be in one as well', async () => {
      fixture.setAddressSet(`${b}/${family === 4 ? 32 : 128}`, [3, 3]);
      fixture.setClass(podB.identity, 303, { addressSet: 3 });
      await enforceA([entry('egress', { classId: 303 })]);
      expect(web().verdict).toBe('redirect');
      await enforceA([entry('egress', { classId: podB.classId })]);
      expect(web().reason).toBe('DROP_POLICY');
    });
  });

  describe(`IPv${family} identities that only name a CIDR`, () => {
    const local = 0x0100_0005;
    const prefix = `${world}/${family === 4 ? 32 : 128}`;
    beforeEach(() => fixture.setIpcache(prefix, local));
    afterAll(() => fixture.setIpcache(prefix, worldIdentity[family]));

    test('are the world of their family for policy, and themselves in events', async () => {
      fixture.setClass(worldIdentity[family === 4 ? 6 : 4], 999);
      await enforceA([entry('egress', { classId: worldClass })]);
      expect(toWorld()).toMatchObject({
        verdict: 'redirect',
        events: [{ identities: [podA.identity, local] }],
      });
      await enforceB([entry('ingress', { classId: worldClass })]);
      expect(fromWorld()).toMatchObject({
        verdict: 'pass',
        events: [{ identities: [local, podB.identity] }],
      });
    });

    test('identities of other scopes are themselves', async () => {
      for (const identity of [0x0200_0005, 0x00ff_ffff]) {
        fixture.setIpcache(prefix, identity);
        fixture.config.epoch += 2;
        await enforceA([entry('egress', { classId: worldClass })]);
        expect(toWorld().reason).toBe('DROP_EP_NOT_READY');
        fixture.setClass(identity, worldClass);
        expect(toWorld().verdict).toBe('redirect');
        fixture.maps.identityClass.delete({ identity, addressSet: 0 });
      }
    });
  });

  test(`IPv${family} a pod is not asked about itself`, async () => {
    await fixture.setPolicies(new Map([[podA.policyId, policy('both')]]));
    const own = fixture.run('from-a', tcp({ from: a, to: a }, { ...ports, flags: 'S' }));
    expect(own).toMatchObject({ verdict: 'redirect', events: [{ type: 'NEW', flags: [] }] });
    const answer = tcp({ from: a, to: a }, { sport: 80, dport: 40000, flags: 'SA' });
    expect(fixture.run('from-a', answer)).toMatchObject({ verdict: 'redirect' });
    // But the other pod is, and may not say that it is this one.
    expect(web().reason).toBe('DROP_POLICY');
    const spoofed = fixture.run('from-b', tcp({ from: a, to: a }, { sport: 1, dport: 2 }));
    expect(spoofed.reason).toBe('DROP_INVALID_SIP');
  });
}

test('one world in a single stack', async () => {
  await using single = new Fixture({
    constants: { worldIdentityIpv4: 2, worldIdentityIpv6: 2 },
  });
  await single.reset();
  single.setClass(2, 150);
  const { a, world } = addresses[4];
  single.setIpcache(`${world}/32`, 0x0100_0001);
  await single.setPolicies(
    new Map([[podA.policyId, policy('egress', [entry('egress', { classId: 150 })])]]),
  );
  expect(single.run('from-a', udp({ from: a, to: world }, ports)).verdict).toBe('redirect');
});

test('the flags of a policy name the kinds of entries that it has', () => {
  const flags = policyConfigFlags;
  const of = (direction: 'ingress' | 'egress', classId: number) =>
    policyConfigOf(policy(direction, [entry(direction, { classId })]), false).flags &
    ~(flags.POLICY_VALID | flags.POLICY_ENFORCE_EGRESS | flags.POLICY_ENFORCE_INGRESS);
  expect([0, 5, group].map((classId) => of('ingress', classId))).toEqual([
    flags.POLICY_WILDCARD_INGRESS,
    flags.POLICY_CLASSES_INGRESS,
    flags.POLICY_GROUPS_INGRESS,
  ]);
  expect([0, 5, group].map((classId) => of('egress', classId))).toEqual([
    flags.POLICY_WILDCARD_EGRESS,
    flags.POLICY_CLASSES_EGRESS,
    flags.POLICY_GROUPS_EGRESS,
  ]);
});

test('the switches of the runtime configuration leave each other alone', () => {
  const { config } = fixture;
  const word = () => fixture.maps.runtimeConfig.lookup(0)!.flags;
  config.events = { drop: true, trace: false, verdict: false };
  config.addressSets = [false, true];
  config.policyAudit = true;
  expect(word()).toBe(
    runtimeFlags.RUNTIME_EVENTS_DROP |
      runtimeFlags.RUNTIME_ADDRESS_SETS_1 |
      runtimeFlags.RUNTIME_POLICY_AUDIT,
  );
  expect([config.addressSets, config.policyAudit]).toEqual([[false, true], true]);
  config.events = { drop: true, trace: true, verdict: true };
  config.policyAudit = false;
  config.addressSets = [true, false];
  expect(word()).toBe(
    runtimeFlags.RUNTIME_EVENTS_DROP |
      runtimeFlags.RUNTIME_EVENTS_TRACE |
      runtimeFlags.RUNTIME_EVENTS_VERDICT |
      runtimeFlags.RUNTIME_ADDRESS_SETS_0,
  );
  config.hostPolicyId = 3;
  expect(fixture.maps.runtimeConfig.lookup(0)!.hostPolicyId).toBe(3);
  config.hostPolicyId = 0;
});
