/**
 * @module
 * One packet for every drop reason: verdict, event or the lack of one, count by direction. What the
 * list in drop.h has and no packet gets is named in `unreachable`, with the reason; the two together
 * are the whole list. Needs root.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { dropReason, dropReasonNames } from '../../src/bpf/gen/constants.ts';
import { requireAddress } from '../../src/net/address.ts';
import { deleteRoute } from '../../src/net/netlink/route.ts';
import { NetlinkSocket } from '../../src/net/netlink/socket.ts';
import { withNetns } from '../../src/net/netns.ts';
import { requirePrefix } from '../../src/net/prefix.ts';
import {
  addresses,
  type DropName,
  entry,
  Fixture,
  families,
  type Hook,
  podA,
  policy,
} from './fixture.ts';
import {
  arp,
  discovery,
  type Extension,
  ethernet,
  etherType,
  fragments,
  podMac,
  proto,
  routerMessage,
  tagged,
  tcp,
  transport,
  udp,
} from './packet.ts';

let fixture: Fixture;
beforeAll(() => {
  fixture = new Fixture();
});
afterAll(() => fixture[Symbol.asyncDispose]());
beforeEach(() => fixture.reset());

/** What no packet of a test can get, and why. */
const unreachable: Readonly<Partial<Record<DropName, string>>> = {
  DROP_UNKNOWN_TARGET:
    'only if a translated connection had no pod at its end, which is checked before',
  DROP_CT_CREATE_FAILED:
    'the kernel takes an old entry when the table is full; only a race is left',
  DROP_NO_CONFIG:
    'a lookup in an array of one entry, or a pointer to the stack, that the verifier wants checked',
};

const ports = { sport: 40000, dport: 80 };
const allowUdp53 = [entry('egress', { proto: proto.udp, port: 53 })];

interface Case {
  readonly reason: DropName;
  readonly name?: string;
  readonly packet: (family: 4 | 6) => Uint8Array;
  readonly hook?: Hook;
  readonly families?: readonly (4 | 6)[];
  /** Ingress is 1, egress, the default, 2. */
  readonly direction?: 1 | 2;
  /** Counted, but not told of. */
  readonly silent?: boolean;
  readonly prepare?: (family: 4 | 6) => unknown;
}

const enforceA = (entries: Parameters<typeof policy>[1] = []) =>
  fixture.setPolicies(new Map([[podA.policyId, policy('egress', entries)]]));
const aToB = (family: 4 | 6) => ({ from: addresses[family].a, to: addresses[family].b });
const aToWorld = (family: 4 | 6) => ({ from: addresses[family].a, to: addresses[family].world });

const cases: readonly Case[] = [
  {
    reason: 'DROP_INVALID_SIP',
    packet: (family) => udp({ ...aToB(family), from: addresses[family].unallocated }, ports),
  },
  {
    reason: 'DROP_POLICY',
    prepare: () => enforceA(allowUdp53),
    packet: (family) => udp(aToB(family), ports),
  },
  {
    reason: 'DROP_POLICY_DENY',
    prepare: () => enforceA([entry('egress', { deny: true })]),
    packet: (family) => udp(aToB(family), ports),
  },
  {
    reason: 'DROP_EP_NOT_READY',
    prepare: () => fixture.setPolicies(new Map([[podA.policyId, undefined]])),
    packet: (family) => udp(aToB(family), ports),
  },
  {
    reason: 'DROP_INVALID',
    name: 'a version that is not that of the frame',
    packet: (family) => udp(aToB(family), ports).with(14, 0x25),
    families: [4],
  },
  {
    reason: 'DROP_INVALID',
    name: 'cut short in an extension header',
    families: [6],
    packet: (family) => {
      const extensions = [{ header: 'destination' }] as const;
      return udp({ ...aToB(family), extensions }, ports).slice(0, 14 + 40 + 4);
    },
  },
  {
    reason: 'DROP_CT_INVALID_HDR',
    packet: (family) => transport(aToB(family), proto.tcp, new Uint8Array(2)),
  },
  {
    reason: 'DROP_CT_UNKNOWN_PROTO',
    packet: (family) => transport(aToB(family), proto.gre, new Uint8Array(32)),
  },
  { reason: 'DROP_UNKNOWN_L3', packet: () => ethernet(0x88cc, new Uint8Array(50)) },
  {
    reason: 'DROP_WRITE_ERROR',
    name: 'a datagram that ends before its checksum, to be translated',
    packet: (family) => transport(aToWorld(family), proto.udp, Uint8Array.of(1, 2, 3, 4)),
  },
  {
    reason: 'DROP_UNROUTABLE',
    packet: (family) => udp({ ...aToB(family), to: addresses[family].unallocated }, ports),
  },
  {
    reason: 'DROP_INVALID_EXTHDR',
    families: [6],
    packet: (family) => {
      const extensions = new Array<Extension>(9).fill({ header: 'destination' });
      return udp({ ...aToB(family), extensions }, ports);
    },
  },
  {
    reason: 'DROP_UNSUPPORTED_L2',
    families: [4],
    silent: true,
    packet: () =>
      arp({
        ...{ operation: 'request', senderMac: podMac },
        ...{ sender: addresses[4].a, target: addresses[4].b },
      }),
  },
  {
    reason: 'DROP_NAT_NO_MAPPING',
    name: 'a device without an address of the family',
    prepare: () => {
      const none = new Uint8Array(16);
      fixture.maps.devices.update(fixture.ifindex.native, { ipv4: none, ipv6: none, flags: 0 });
    },
    packet: (family) => udp(aToWorld(family), ports),
  },
  {
    reason: 'DROP_FRAG_NOT_FOUND',
    packet: (family) => {
      const whole = udp(aToB(family), { ...ports, payload: new Uint8Array(600) });
      return fragments(whole, 3, [256])[1]!;
    },
  },
  {
    reason: 'DROP_FORBIDDEN_ICMP6',
    families: [6],
    silent: true,
    packet: (family) => routerMessage(aToB(family), 'advertisement'),
  },
  {
    reason: 'DROP_FORBIDDEN_ICMP6',
    name: 'in the name of the node, through the stack',
    families: [6],
    silent: true,
    hook: 'to-b',
    direction: 1,
    packet: (family) => {
      const { world, b } = addresses[family];
      return discovery({ from: world, to: b }, 'solicitation', b, podMac);
    },
  },
  {
    reason: 'DROP_TTL_EXCEEDED',
    packet: (family) => udp({ ...aToWorld(family), ttl: 1 }, ports),
  },
  {
    reason: 'DROP_MULTICAST_HANDLED',
    silent: true,
    packet: (family) => udp({ ...aToB(family), to: addresses[family].multicast }, ports),
  },
  {
    reason: 'DROP_VLAN_FILTERED',
    name: 'a tag in the frame',
    packet: (family) => tagged(udp(aToB(family), ports)),
  },
  {
    reason: 'DROP_VLAN_FILTERED',
    name: 'the tag of a provider in the frame',
    packet: (family) => tagged(udp(aToB(family), ports), etherType.serviceVlan),
  },
];

for (const row of cases) {
  describe(row.reason, () => {
    afterAll(restoreDevice);
    for (const family of row.families ?? families) {
      test(`IPv${family}${row.name === undefined ? '' : `: ${row.name}`}`, async () => {
        const { hook = 'from-a', direction = 2, silent = false } = row;
        await row.prepare?.(family);
        const number = dropReason[row.reason];
        const before = fixture.counted(number, direction);
        const outcome = fixture.run(hook, row.packet(family));
        expect(outcome.verdict).toBe('drop');
        expect(fixture.counted(number, direction) - before).toBe(1);
        if (silent) expect(outcome.events).toEqual([]);
        else {
          // Of a translation that does not work out, after the connection was told of.
          expect(outcome.events.filter(({ type }) => type === 'DROP')).toMatchObject([
            { reason: row.reason, direction, file: 2 },
          ]);
        }
      });
    }
  });
}

function restoreDevice(): void {
  const [ipv4, ipv6] = families.map((family) => requireAddress(addresses[family].node).bytes);
  fixture.maps.devices.update(fixture.ifindex.native, { ipv4: ipv4!, ipv6: ipv6!, flags: 0 });
}

describe('DROP_NO_FIB', () => {
  for (const family of families) {
    test(`IPv${family}`, async () => {
      await using lost = new Fixture();
      await lost.reset();
      withNetns(lost.netns.fd, () => {
        using socket = NetlinkSocket.open();
        const destination = requirePrefix(family === 4 ? '0.0.0.0/0' : '::/0');
        socket.request(deleteRoute({ destination }));
      });
      const outcome = lost.run('from-a', udp(aToWorld(family), ports));
      expect(outcome).toMatchObject({ verdict: 'drop', reason: 'DROP_NO_FIB' });
      // The connection that was noted on the way is gone again.
      expect([...lost.maps.conntrack.entries()]).toHaveLength(0);
    });
  }
});

describe('DROP_VLAN_FILTERED with the tag beside the frame', () => {
  for (const family of families) {
    test(`IPv${family}, also of a connection that runs`, () => {
      const frame = tcp(aToB(family), { ...ports, flags: 'S' });
      const filtered = {
        ...{ verdict: 'drop', reason: 'DROP_VLAN_FILTERED' },
        events: [{ ...aToB(family), ...ports, direction: 2, file: 2 }],
      } as const;
      expect(fixture.runTagged('from-a', frame)).toMatchObject(filtered);
      expect([...fixture.maps.conntrack.entries()]).toHaveLength(0);
      fixture.run('from-a', frame);
      fixture.run(
        'from-b',
        tcp(
          { from: aToB(family).to, to: aToB(family).from },
          { sport: 80, dport: 40000, flags: 'SA' },
        ),
      );
      const next = tcp(aToB(family), ports);
      expect(fixture.run('from-a', next)).toMatchObject({ verdict: 'redirect' });
      expect(fixture.run('from-a', next)).toMatchObject({ verdict: 'redirect', events: [] });
      expect(fixture.runTagged('from-a', next)).toMatchObject(filtered);
    });
  }

  test('ARP', () => {
    const question = arp({
      ...{ operation: 'request', senderMac: podMac },
      ...{ sender: addresses[4].a, target: addresses[4].gateway },
    });
    expect(fixture.run('from-a', question).verdict).toBe('redirect');
    expect(fixture.runTagged('from-a', question).reason).toBe('DROP_VLAN_FILTERED');
  });
});

test('a tagged frame on the native device is left alone', () => {
  for (const family of families) {
    const { world, node } = addresses[family];
    fixture.run('from-a', udp(aToWorld(family), ports));
    const dport = [...fixture.maps.snat.entries()][0]![0].port.find((port) => port !== 80)!;
    const answer = udp({ from: world, to: node }, { sport: 80, dport });
    const beside = fixture.runTagged('from-native', answer);
    expect(beside).toMatchObject({ verdict: 'pass', packet: answer, events: [] });
    const within = tagged(answer);
    expect(fixture.run('from-native', within)).toMatchObject({ verdict: 'pass', packet: within });
    expect(fixture.run('from-native', answer).verdict).toBe('redirect');
    for (const [each] of [...fixture.maps.snat.entries()]) fixture.maps.snat.delete(each);
  }
});

test('every reason of the list is here, or cannot be given', () => {
  const given = new Set<string>([...cases.map(({ reason }) => reason), 'DROP_NO_FIB']);
  for (const name of Object.keys(unreachable)) expect(given.has(name)).toBe(false);
  const all = [...given, ...Object.keys(unreachable)].sort();
  expect(all).toEqual([...dropReasonNames.values()].sort());
});
