/**
 * @module
 * The node's own policy: between it and its pods, for what comes in by a native device, and for what
 * leaves by one. With the host firewall off none of it is asked. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import type { PolicySummary } from '../../src/bpf/map/policy.ts';
import { clusterObjects } from '../../src/daemon/cluster/table.ts';
import { identityHost, reservedIdentities } from '../../src/daemon/identity/table.ts';
import { PolicyCompiler } from '../../src/daemon/policy/compile/compiler.ts';
import { tableReferences } from '../../src/daemon/policy/compile/references.ts';
import { resolveRule } from '../../src/daemon/policy/compile/resolve.ts';
import { ruleRows } from '../../src/daemon/policy/documents/rule-row.ts';
import { parseDocuments } from '../../src/daemon/policy/parse/parse.ts';
import { policySubject } from '../../src/daemon/policy/table.ts';
import {
  addresses,
  entry,
  Fixture,
  families,
  host,
  openPolicy,
  podA,
  podB,
  policy,
  worldClass,
  worldIdentity,
} from './fixture.ts';
import {
  echo,
  etherType,
  fragments,
  icmpError,
  proto,
  sctp,
  tagged,
  tcp,
  transport,
  udp,
} from './packet.ts';

let fixture: Fixture;
let off: Fixture;
beforeAll(() => {
  fixture = new Fixture({ constants: { hostFirewall: 1 } });
  off = new Fixture();
});
afterAll(async () => {
  await fixture[Symbol.asyncDispose]();
  await off[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await fixture.reset();
  fixture.config.hostPolicyId = host.policyId;
});

const ports = { sport: 40000, dport: 22 };
const back = { sport: 22, dport: 40000 };
const ssh = { proto: proto.tcp, port: 22 };
const setHost = (summary: PolicySummary | undefined) =>
  fixture.setPolicies(new Map([[host.policyId, summary]]));
/** The node's policy as the agent makes it from one that only denies telnet. */
function deniesOnly() {
  const telnet = [{ toPorts: [{ ports: [{ port: '23', protocol: 'TCP' }] }] }];
  const enableDefaultDeny = { ingress: false, egress: false };
  const document = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumClusterwideNetworkPolicy',
    metadata: { name: 'no-telnet' },
    spec: { nodeSelector: {}, enableDefaultDeny, ingressDeny: telnet, egressDeny: telnet },
  };
  const parsed = parseDocuments(JSON.stringify(document));
  if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.problems));
  const compiler = new PolicyCompiler({
    ...{ enablePolicy: 'default', allowLocalhost: false, cidrMatchesNodes: false },
    entriesMax: 100,
  });
  const identity = identityHost;
  for (const { id, labels } of reservedIdentities) compiler.upsertIdentity(id, labels);
  const subject = policySubject(identity, '');
  compiler.setLocal({ subject, identity, ports: '', nodeLabels: [] });
  for (const row of parsed.policies.flatMap((each) => ruleRows(each, 'test', 2))) {
    compiler.upsertRule(row, resolveRule(row.rule, tableReferences(clusterObjects())));
  }
  compiler.compile();
  return { compiler, summary: compiler.policy(subject) };
}

/** The same entries, for both directions. */
const enforce = (...specs: Parameters<typeof entry>[1][]) =>
  setHost(
    policy('both', [
      ...specs.map((spec) => entry('ingress', spec)),
      ...specs.map((spec) => entry('egress', spec)),
    ]),
  );
const rows = () => [...fixture.maps.conntrack.entries()].length;

for (const family of families) {
  const { a, b, gateway, node, world, otherWorld, router } = addresses[family];

  describe(`IPv${family} a pod asks the node`, () => {
    const ask = (flags = 'S') =>
      fixture.run('from-a', tcp({ from: a, to: gateway }, { ...ports, flags }));
    const answer = (flags = 'SA') =>
      fixture.run('to-a', tcp({ from: gateway, to: a }, { ...back, flags }));

    test('allowed, and its answers need no policy', async () => {
      await enforce({ ...ssh, classId: podA.classId, cookie: 61 });
      expect(ask()).toMatchObject({
        verdict: 'pass',
        events: [
          {
            ...{ type: 'NEW', flags: ['INGRESS_JUDGED'], tracePoint: 2 },
            ...{ cookie: { ingress: 61, egress: 0 }, identities: [podA.identity, host.identity] },
            endpoints: [podA.id, 0],
          },
        ],
      });
      expect(answer()).toMatchObject({ verdict: 'pass', events: [{ type: 'REPLY' }] });
      expect(ask('A')).toMatchObject({ verdict: 'pass', events: [] });
      expect(answer('A')).toMatchObject({ verdict: 'pass', events: [] });
    });

    test('denied by an entry, and by default', async () => {
      await enforce({ ...ssh, deny: true, cookie: 62 });
      expect(ask()).toMatchObject({
        ...{ verdict: 'drop', reason: 'DROP_POLICY_DENY' },
        events: [
          {
            ...{ flags: ['INGRESS_JUDGED', 'INGRESS_DENIED'], cookie: { ingress: 62 } },
            ...{ direction: 1, file: 1 },
          },
        ],
      });
      await enforce({ proto: proto.udp });
      expect(ask()).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ cookie: { ingress: 900 } }],
      });
      expect(rows()).toBe(0);
    });

    test('its own policy is asked first, and tells of itself', async () => {
      await fixture.setPolicies(
        new Map([
          [podA.policyId, policy('egress')],
          [host.policyId, policy('both')],
        ]),
      );
      expect(ask()).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'], direction: 2, file: 2 }],
      });
      await fixture.setPolicies(
        new Map([[podA.policyId, policy('egress', [entry('egress', { classId: host.classId })])]]),
      );
      expect(ask()).toMatchObject({ reason: 'DROP_POLICY', events: [{ direction: 1, file: 1 }] });
    });

    test('an error about what was allowed', async () => {
      await enforce({ proto: proto.udp, port: 22 });
      const question = udp({ from: a, to: gateway }, ports);
      expect(fixture.run('from-a', question).verdict).toBe('pass');
      const error = icmpError({ from: gateway, to: a }, 'unreachable', question);
      expect(fixture.run('to-a', error).verdict).toBe('pass');
    });

    test('an error about its answer, after a change, is denied by the node', async () => {
      fixture.run('from-a', udp({ from: a, to: gateway }, ports));
      const said = udp({ from: gateway, to: a }, back);
      expect(fixture.run('to-a', said).verdict).toBe('pass');
      await setHost(policy('ingress'));
      const error = icmpError({ from: a, to: gateway }, 'unreachable', said);
      expect(fixture.run('from-a', error)).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ flags: ['INGRESS_JUDGED', 'INGRESS_DENIED'], direction: 1, file: 1 }],
      });
    });

    test('what runs is judged again', async () => {
      ask();
      answer();
      await setHost(policy('ingress'));
      expect(ask('A')).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
      expect(answer('A')).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ flags: ['INGRESS_JUDGED', 'IS_REPLY', 'INGRESS_DENIED'], file: 1 }],
      });
    });
  });

  describe(`IPv${family} the node asks a pod`, () => {
    const ask = () => fixture.run('to-b', tcp({ from: gateway, to: b }, { ...ports, flags: 'S' }));
    const answer = () =>
      fixture.run('from-b', tcp({ from: b, to: gateway }, { ...back, flags: 'SA' }));

    test('both policies are asked, the node’s first', async () => {
      await fixture.setPolicies(
        new Map([
          [
            host.policyId,
            policy('egress', [entry('egress', { classId: podB.classId, cookie: 63 })]),
          ],
          [
            podB.policyId,
            policy('ingress', [entry('ingress', { classId: host.classId, cookie: 64 })]),
          ],
        ]),
      );
      expect(ask()).toMatchObject({
        verdict: 'pass',
        events: [
          { cookie: { ingress: 64, egress: 63 }, identities: [host.identity, podB.identity] },
        ],
      });
      expect(answer()).toMatchObject({ verdict: 'pass', events: [{ type: 'REPLY' }] });
    });

    test('denied by an entry, and by default', async () => {
      await enforce({ ...ssh, deny: true, cookie: 65 });
      expect(ask()).toMatchObject({
        ...{ verdict: 'drop', reason: 'DROP_POLICY_DENY' },
        events: [
          {
            ...{ flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'], cookie: { egress: 65 } },
            ...{ direction: 2, file: 1 },
          },
        ],
      });
      await setHost(policy('egress'));
      expect(ask()).toMatchObject({ reason: 'DROP_POLICY', events: [{ cookie: { egress: 901 } }] });
      expect(rows()).toBe(0);
    });

    test('the pod refuses what the node may', async () => {
      await fixture.setPolicies(
        new Map([
          [host.policyId, policy('egress', [entry('egress')])],
          [podB.policyId, policy('ingress')],
        ]),
      );
      expect(ask()).toMatchObject({ reason: 'DROP_POLICY', events: [{ direction: 1, file: 2 }] });
    });
  });

  describe(`IPv${family} the world asks the node`, () => {
    const ask = (flags = 'S', from: string = world) =>
      fixture.run('from-native', tcp({ from, to: node }, { ...ports, flags }));
    const answer = (flags = 'SA') =>
      fixture.run('to-native', tcp({ from: node, to: world }, { ...back, flags }));

    test('allowed, and its answers need no policy', async () => {
      await enforce({ ...ssh, classId: worldClass, cookie: 66 });
      expect(ask()).toMatchObject({
        verdict: 'pass',
        events: [
          {
            ...{ type: 'NEW', flags: ['INGRESS_JUDGED'], tracePoint: 2, endpoints: [0, 0] },
            ...{ cookie: { ingress: 66 }, identities: [worldIdentity[family], host.identity] },
          },
        ],
      });
      expect(answer()).toMatchObject({
        verdict: 'pass',
        events: [{ type: 'REPLY', flags: ['IS_REPLY'], tracePoint: 11 }],
      });
      expect(ask('A')).toMatchObject({ verdict: 'pass', events: [] });
      expect(answer('A')).toMatchObject({ verdict: 'pass', events: [] });
      expect(fixture.connection(world, node)).toMatchObject({
        from: { kind: 'STACK', initiator: true },
        to: { kind: 'HOST', identity: host.identity },
      });
    });

    test('denied by an entry, and by default', async () => {
      await enforce({ ...ssh, deny: true, cookie: 67 });
      expect(ask()).toMatchObject({
        ...{ verdict: 'drop', reason: 'DROP_POLICY_DENY' },
        events: [
          {
            ...{ flags: ['INGRESS_JUDGED', 'INGRESS_DENIED'], cookie: { ingress: 67 } },
            ...{ direction: 1, file: 1 },
          },
        ],
      });
      await enforce({ ...ssh, classId: podA.classId });
      expect(ask()).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ cookie: { ingress: 900 } }],
      });
      expect(rows()).toBe(0);
    });

    test('the answer to nothing is a question of its own', async () => {
      await setHost(policy('both', [entry('ingress')]));
      expect(answer()).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
    });

    test('by address set', async () => {
      const bits = family === 4 ? 32 : 128;
      fixture.setAddressSet(`${world}/${bits}`, [4, 4]);
      fixture.setClass(worldIdentity[family], 204, { addressSet: 4 });
      fixture.config.addressSets = [true, true];
      await enforce({ ...ssh, classId: 204 });
      expect(ask().verdict).toBe('pass');
      expect(ask('S', otherWorld).reason).toBe('DROP_POLICY');
    });

    test('what runs is judged again, both ways', async () => {
      ask();
      answer();
      await setHost(policy('ingress'));
      expect(ask('A').reason).toBe('DROP_POLICY');
      expect(answer('A').reason).toBe('DROP_POLICY');
      await setHost(openPolicy);
      expect(answer('A').verdict).toBe('pass');
      expect(ask('A')).toMatchObject({ verdict: 'pass', events: [] });
    });

    test('under the address of a pod, or of the node itself', () => {
      for (const from of [a, gateway, node]) {
        expect(ask('S', from)).toMatchObject({ verdict: 'drop', reason: 'DROP_INVALID_SIP' });
      }
      // Nor on a connection that the pod has.
      fixture.run('from-a', tcp({ from: a, to: node }, ports));
      expect(ask('A', a).reason).toBe('DROP_INVALID_SIP');
    });

    test('other transports: UDP, SCTP, an echo, a fragment', async () => {
      const ends = { from: world, to: node };
      const large = udp(ends, { ...ports, payload: new Uint8Array(600) });
      const each = () => [
        fixture.run('from-native', udp(ends, ports)),
        fixture.run('from-native', sctp(ends, ports)),
        fixture.run('from-native', echo(ends, { kind: 'request', id: 5 })),
        ...fragments(large, 5, [256]).map((part) => fixture.run('from-native', part)),
      ];
      expect(each().every(({ verdict }) => verdict === 'pass')).toBe(true);
      await setHost(policy('ingress'));
      expect(each().every(({ reason }) => reason === 'DROP_POLICY')).toBe(true);
    });

    test('a fragment without its first, where nothing is denied by default, says why', async () => {
      const { compiler, summary } = deniesOnly();
      await setHost(summary);
      const out = { from: node, to: world };
      const payload = new Uint8Array(600);
      const [, late] = fragments(udp({ from: world, to: node }, { ...ports, payload }), 6, [256]);
      const [, sent] = fragments(udp(out, { ...ports, payload }), 7, [256]);
      const heard = [fixture.run('from-native', late!), fixture.run('to-native', sent!)];
      const sides = heard.map(({ verdict, reason, events }, at) => {
        const side = at === 0 ? 'ingress' : 'egress';
        const row = compiler.cookies.row(events[0]!.cookie[side]);
        return { verdict, reason, direction: row?.direction, why: row?.policies.at(-1)?.labels };
      });
      const why = ['reserved:io.cilium.policy.derived-from=unreadable-packet'];
      const dropped = { verdict: 'drop', reason: 'DROP_FRAG_NOT_FOUND', why };
      expect(sides).toMatchObject([
        { ...dropped, direction: 'ingress' },
        { ...dropped, direction: 'egress' },
      ]);
      // Whole, it is none of what is denied.
      expect(fixture.run('to-native', udp(out, ports)).verdict).toBe('pass');
    });
  });

  describe(`IPv${family} the node asks the world`, () => {
    const ask = (flags = 'S') =>
      fixture.run('to-native', tcp({ from: node, to: world }, { ...ports, flags }));
    const answer = (flags = 'SA') =>
      fixture.run('from-native', tcp({ from: world, to: node }, { ...back, flags }));

    test('allowed, and its answers need no policy', async () => {
      await enforce({ ...ssh, classId: worldClass, cookie: 68 });
      expect(ask()).toMatchObject({
        verdict: 'pass',
        events: [
          {
            ...{ type: 'NEW', flags: ['EGRESS_JUDGED'], tracePoint: 11, endpoints: [0, 0] },
            ...{ cookie: { egress: 68 }, identities: [host.identity, worldIdentity[family]] },
          },
        ],
      });
      expect(answer()).toMatchObject({ verdict: 'pass', events: [{ type: 'REPLY' }] });
      expect(ask('A')).toMatchObject({ verdict: 'pass', events: [] });
    });

    test('denied by an entry, and by default', async () => {
      await enforce({ ...ssh, deny: true, cookie: 69 });
      expect(ask()).toMatchObject({
        ...{ verdict: 'drop', reason: 'DROP_POLICY_DENY' },
        events: [
          {
            ...{ flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'], cookie: { egress: 69 } },
            ...{ direction: 2, file: 1 },
          },
        ],
      });
      await setHost(policy('egress'));
      expect(ask()).toMatchObject({ reason: 'DROP_POLICY', events: [{ cookie: { egress: 901 } }] });
      expect(rows()).toBe(0);
    });

    test('errors about what was allowed, and about nothing', async () => {
      await enforce({ proto: proto.udp, port: 22 });
      const question = udp({ from: node, to: world }, ports);
      fixture.run('to-native', question);
      const error = icmpError({ from: router, to: node }, 'unreachable', question);
      expect(fixture.run('from-native', error).verdict).toBe('pass');
      const asked = udp({ from: world, to: node }, ports);
      fixture.run('from-native', asked);
      const ownError = icmpError({ from: node, to: world }, 'unreachable', asked);
      expect(fixture.run('to-native', ownError).verdict).toBe('pass');
      const unknown = udp({ from: node, to: world }, { sport: 1, dport: 2 });
      const other = icmpError({ from: router, to: node }, 'unreachable', unknown);
      expect(fixture.run('from-native', other)).toMatchObject({
        reason: 'DROP_POLICY',
        events: [{ file: 1 }],
      });
      // It must be for whoever sent what is quoted.
      const astray = icmpError({ from: router, to: gateway }, 'unreachable', question);
      expect(fixture.run('from-native', astray).reason).toBe('DROP_INVALID');
    });

    test('an error about what others send each other, as their router', async () => {
      const passing = udp({ from: world, to: b }, ports);
      expect(fixture.run('to-b', passing).verdict).toBe('pass');
      await setHost(policy('both'));
      // Known, and judged since.
      expect(fixture.run('to-b', passing).verdict).toBe('pass');
      const error = icmpError({ from: node, to: world }, 'too-big', passing);
      expect(fixture.run('to-native', error).verdict).toBe('pass');
    });

    test('what is not the node’s passes', async () => {
      await setHost(policy('both'));
      const routed = udp({ from: a, to: world }, ports);
      expect(fixture.run('to-native', routed)).toMatchObject({ verdict: 'pass', events: [] });
      const incoming = udp({ from: world, to: b }, ports);
      expect(fixture.run('from-native', incoming)).toMatchObject({ verdict: 'pass', events: [] });
      expect(rows()).toBe(0);
    });
  });

  describe(`IPv${family} what is not asked about`, () => {
    beforeEach(() => setHost(policy('both')));

    test('a pod’s translated connection, out and back, whole and in fragments', () => {
      const out = { from: a, to: world };
      const payload = new Uint8Array(600);
      const requests = [
        udp(out, ports),
        tcp(out, { ...ports, flags: 'S' }),
        sctp(out, ports),
        echo(out, { kind: 'request', id: 9 }),
        ...fragments(udp(out, { ...ports, sport: 40001, payload }), 8, [256]),
      ];
      for (const request of requests) {
        const sent = fixture.run('from-a', request);
        expect(sent.verdict).toBe('redirect');
        const left = fixture.run('to-native', sent.packet, fixture.ifindex.a);
        expect(left).toMatchObject({ verdict: 'pass', packet: sent.packet, events: [] });
      }
      const answer = sctp({ from: world, to: node }, back);
      expect(fixture.run('from-native', answer).verdict).toBe('redirect');
      const { packet } = fixture.run('from-a', udp(out, ports));
      const error = icmpError({ from: router, to: node }, 'unreachable', packet);
      expect(fixture.run('from-native', error).verdict).toBe('redirect');
      // The same ports of the node itself are not a pod's.
      const own = fixture.run('to-native', udp({ from: node, to: world }, ports));
      expect(own.reason).toBe('DROP_POLICY');
    });

    test('a mapping that nobody uses any more is no way out', () => {
      const sent = fixture.run('from-a', udp({ from: a, to: world }, ports));
      for (const [key, row] of [...fixture.maps.snat.entries()]) {
        fixture.maps.snat.update(key, { ...row, lastSeen: row.lastSeen - 7000 });
      }
      const left = fixture.run('to-native', sent.packet, fixture.ifindex.a);
      expect(left.reason).toBe('DROP_POLICY');
    });

    test('tagged frames', () => {
      const sent = tagged(udp({ from: node, to: world }, ports));
      expect(fixture.run('to-native', sent)).toMatchObject({ verdict: 'pass', packet: sent });
      expect(fixture.runTagged('to-native', udp({ from: node, to: world }, ports)).verdict).toBe(
        'pass',
      );
      expect(fixture.runTagged('from-native', udp({ from: world, to: node }, ports)).verdict).toBe(
        'pass',
      );
      expect(rows()).toBe(0);
    });

    test('but a tag without a VLAN is none', () => {
      const plain = udp({ from: world, to: node }, ports);
      const heard = fixture.runTagged('from-native', plain, 'priority_tagged');
      expect(heard).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
      const sent = udp({ from: node, to: world }, ports);
      const told = fixture.runTagged('to-native', sent, 'priority_tagged');
      expect(told).toMatchObject({ verdict: 'drop', reason: 'DROP_POLICY' });
      // The kernel takes off both and does not ask again.
      const twice = tagged(plain, etherType.vlan, 0);
      expect(fixture.runTagged('from-native', twice, 'priority_tagged').verdict).toBe('drop');
      const within = tagged(plain, etherType.vlan, 7);
      expect(fixture.runTagged('from-native', within, 'priority_tagged').verdict).toBe('pass');
      expect(rows()).toBe(0);
    });

    test('pods among themselves', () => {
      expect(fixture.run('from-a', udp({ from: a, to: b }, ports)).verdict).toBe('redirect');
    });
  });

  describe(`IPv${family} when there is no policy to ask`, () => {
    const all = (of: Fixture) => [
      of.run('from-native', udp({ from: world, to: node }, ports)),
      of.run('to-native', udp({ from: node, to: otherWorld }, ports)),
      of.run('from-a', udp({ from: a, to: gateway }, ports)),
      of.run('to-b', udp({ from: gateway, to: b }, ports)),
    ];

    test('a node without a slot, or whose policy is not there yet, drops', async () => {
      fixture.config.hostPolicyId = 0;
      expect(all(fixture).map(({ reason }) => reason)).toEqual(
        new Array(4).fill('DROP_EP_NOT_READY'),
      );
      fixture.config.hostPolicyId = host.policyId;
      await setHost(undefined);
      expect(all(fixture).map(({ reason }) => reason)).toEqual(
        new Array(4).fill('DROP_EP_NOT_READY'),
      );
      expect(rows()).toBe(0);
    });

    test('audited, it denies nothing', async () => {
      fixture.config.policyAudit = true;
      await setHost(policy('both'));
      const outcomes = all(fixture);
      expect(outcomes.map(({ verdict }) => verdict)).toEqual(new Array(4).fill('pass'));
      expect(outcomes.map(({ events }) => events[0]!.flags.at(-1))).toEqual([
        ...['INGRESS_DENIED', 'EGRESS_DENIED', 'INGRESS_DENIED', 'EGRESS_DENIED'],
      ]);
    });

    test('switched off, nothing is asked or noted', async () => {
      await off.reset();
      off.config.hostPolicyId = host.policyId;
      await off.setPolicies(new Map([[host.policyId, policy('both')]]));
      const outcomes = all(off);
      expect(outcomes.map(({ verdict }) => verdict)).toEqual(new Array(4).fill('pass'));
      expect(outcomes.slice(0, 2).flatMap(({ events }) => events)).toEqual([]);
      expect(outcomes.slice(2).map(({ events }) => events[0]!.flags)).toEqual([[], []]);
      expect([...off.maps.conntrack.entries()]).toHaveLength(2);
      const gre = transport({ from: world, to: node }, proto.gre, new Uint8Array(32));
      expect(off.run('from-native', gre).verdict).toBe('pass');
    });
  });
}
