/**
 * @module
 * Packets cut at every byte and with bytes changed at random, at every hook: the programs answer
 * with a verdict, and no packet that policy denies gets through. Needs root.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { addressFromBytes, formatAddress, requireAddress } from '../../src/net/address.ts';
import {
  addresses,
  entry,
  Fixture,
  families,
  type Hook,
  host,
  podA,
  podB,
  policy,
} from './fixture.ts';
import {
  arp,
  discovery,
  echo,
  etherType,
  fragments,
  icmpError,
  nodeMac,
  podMac,
  proto,
  routerMessage,
  sctp,
  tagged,
  tcp,
  udp,
} from './packet.ts';

let fixture: Fixture;
beforeAll(() => {
  fixture = new Fixture();
});
afterAll(() => fixture[Symbol.asyncDispose]());

const hooks: readonly Hook[] = ['from-a', 'from-b', 'to-a', 'to-b', 'from-native', 'to-native'];
const ports = { sport: 40000, dport: 80 };
const payload = new Uint8Array(64).fill(9);

/** One frame of every kind that the programs know. */
function frames(): Uint8Array[] {
  const ofFamilies = families.flatMap((family) => {
    const { a, b, world, node, multicast } = addresses[family];
    const ip = { from: a, to: b };
    const extended =
      family === 6
        ? { ...ip, extensions: [{ header: 'hop-by-hop' }, { header: 'destination' }] as const }
        : { ...ip, options: new Uint8Array(12).fill(1) };
    return [
      tcp(ip, { ...ports, flags: 'S' }),
      tcp(ip, { ...ports, payload }),
      tcp(extended, { ...ports, payload }),
      udp(ip, { ...ports, payload }),
      udp({ from: a, to: world }, ports),
      sctp(ip, ports),
      sctp({ from: a, to: world }, ports),
      tagged(udp(ip, ports)),
      udp({ from: world, to: node }, ports),
      udp({ from: node, to: world }, ports),
      udp({ from: world, to: multicast }, ports),
      udp({ from: node, to: multicast }, ports),
      echo(ip, { kind: 'request', id: 3 }),
      echo({ from: b, to: a }, { kind: 'reply', id: 3 }),
      icmpError({ from: b, to: a }, 'unreachable', udp(ip, ports)),
      icmpError({ from: world, to: node }, 'time-exceeded', udp({ from: node, to: world }, ports)),
      ...fragments(udp(ip, { ...ports, payload }), 7, [32]),
    ];
  });
  const { a, gateway } = addresses[6];
  const ipv4 = addresses[4];
  return [
    ...ofFamilies,
    arp({ operation: 'request', senderMac: podMac, sender: ipv4.a, target: ipv4.gateway }),
    arp({ operation: 'reply', senderMac: podMac, sender: ipv4.a, target: ipv4.gateway }),
    discovery({ from: a, to: 'ff02::1:ff00:1' }, 'solicitation', gateway, podMac),
    discovery({ from: a, to: gateway }, 'advertisement', a, nodeMac),
    discovery({ from: 'fe80::a', to: 'fe80::1' }, 'advertisement', 'fe80::a', nodeMac),
    discovery({ from: gateway, to: a }, 'solicitation', a, nodeMac),
    discovery({ from: a, to: addresses[6].b }, 'advertisement', a, nodeMac),
    discovery({ from: addresses[6].world, to: a }, 'solicitation', a, nodeMac),
    routerMessage({ from: 'fe80::a', to: 'ff02::2' }, 'solicitation'),
  ];
}

/** Shorter ones the kernel refuses to run programs on (bpf_prog_test_run_skb). */
function isRunnable(frame: Uint8Array): boolean {
  const type = (frame[12]! << 8) | frame[13]!;
  const header = type === etherType.ipv4 ? 20 : type === etherType.ipv6 ? 40 : 1;
  return frame.length >= 14 + header;
}

test('cut at every byte: a verdict, and a whole event', async () => {
  await fixture.reset();
  for (const frame of frames()) {
    for (let length = 14; length <= frame.length; length++) {
      const part = frame.slice(0, length);
      for (const hook of isRunnable(part) ? hooks : []) {
        const { verdict, events } = fixture.run(hook, part);
        expect(['pass', 'drop', 'redirect']).toContain(verdict);
        const isDrop = (type: string) => type === 'DROP';
        expect(
          events.filter((event) => isDrop(event.type) !== (event.reason !== undefined)),
        ).toEqual([]);
        expect(verdict === 'drop' || !events.some(({ type }) => isDrop(type))).toBe(true);
      }
    }
  }
});

/** A frame of the list with some bytes overwritten, and cut. */
const broken = fc
  .record({
    frame: fc.constantFrom(...frames()),
    changes: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
    length: fc.nat(),
    isCut: fc.boolean(),
  })
  .map(({ frame, changes, length, isCut }) => {
    const bytes = frame.slice();
    for (const [at, value] of changes) bytes[at % bytes.length] = value;
    return isCut ? bytes.slice(0, 14 + (length % (bytes.length - 13))) : bytes;
  })
  .filter(isRunnable);

/** One address, of either family, as source and as destination. */
function isToItself(frame: Uint8Array): boolean {
  const same = (from: number, to: number) =>
    Buffer.compare(frame.subarray(from, to), frame.subarray(to, 2 * to - from)) === 0;
  return same(26, 30) || same(22, 38);
}

describe('changed bytes', () => {
  test('always a verdict, and nothing is read that is not there', async () => {
    await fixture.reset();
    fc.assert(
      fc.property(broken, fc.constantFrom(...hooks), (frame, hook) => {
        const outcome = fixture.run(hook, frame);
        expect(['pass', 'drop', 'redirect']).toContain(outcome.verdict);
        // An event tells of addresses that are in the packet, or of none.
        for (const event of outcome.events) {
          expect(event.proto === 0 || frame.includes(event.proto)).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('where policy denies everything, nothing is delivered', async () => {
    await fixture.reset();
    await fixture.setPolicies(new Map([podA, podB].map((pod) => [pod.policyId, policy('both')])));
    fc.assert(
      fc.property(broken, fc.constantFrom(...hooks), (frame, hook) => {
        // Nobody is asked about itself.
        fc.pre(!isToItself(frame));
        const { verdict, packet } = fixture.run(hook, frame);
        if (verdict === 'drop') return;
        // Left over: what is no pod's business, and our answers about the gateway.
        const isForStack = hook.endsWith('-native') && verdict === 'pass';
        expect(isForStack || isDiscovery(hook, verdict, packet)).toBe(true);
        expect([...fixture.maps.conntrack.entries()]).toHaveLength(0);
      }),
      { numRuns: 3000 },
    );
  });

  test('where one port is allowed, only that port is in conntrack', async () => {
    await fixture.reset();
    const only = (direction: 'ingress' | 'egress') =>
      entry(direction, { proto: proto.tcp, port: 80 });
    const both = policy('both', [only('ingress'), only('egress')]);
    await fixture.setPolicies(new Map([podA, podB].map((pod) => [pod.policyId, both])));
    fc.assert(
      fc.property(broken, fc.constantFrom(...hooks), (frame, hook) => {
        fixture.run(hook, frame);
      }),
      { numRuns: 3000 },
    );
    for (const [key, value] of fixture.maps.conntrack.entries()) {
      // Nobody is asked about itself.
      if (Buffer.compare(key.addr[0], key.addr[1]) === 0) continue;
      const responder = (value.flags & 1) === 0 ? 1 : 0;
      expect({ proto: key.proto, port: key.port[responder] }).toEqual({ proto: 6, port: 80 });
    }
  });
});

test('where the node’s policy denies everything, nothing from or to it passes', async () => {
  await using guarded = new Fixture({ constants: { hostFirewall: 1 } });
  await guarded.reset();
  guarded.config.hostPolicyId = host.policyId;
  await guarded.setPolicies(new Map([[host.policyId, policy('both')]]));
  const native = fc.constantFrom('from-native', 'to-native');
  let judged = 0;
  fc.assert(
    fc.property(broken, native, (frame, hook) => {
      const { verdict } = guarded.run(hook as Hook, frame);
      expect([...guarded.maps.conntrack.entries()]).toHaveLength(0);
      if (!isOfNode(hook as Hook, frame)) return;
      judged++;
      expect(verdict).toBe('drop');
    }),
    { numRuns: 3000 },
  );
  expect(judged).toBeGreaterThan(50);
});

/** IP from or to the node, or to all on the link, and nothing that passes whatever policy says. */
function isOfNode(hook: Hook, frame: Uint8Array): boolean {
  const type = (frame[12]! << 8) | frame[13]!;
  const family = type === etherType.ipv4 ? 4 : 6;
  if (family === 6 && type !== etherType.ipv6) return false;
  // The stack refuses other versions itself.
  if (family === 4 && (frame[14]! >> 4 !== 4 || (frame[14]! & 15) < 5)) return false;
  const [source, length] = family === 4 ? [26, 4] : [22, 16];
  const isIncoming = hook === 'from-native';
  const [from, to] = [source, source + length].map((at) =>
    formatAddress(addressFromBytes(frame.subarray(at, at + length))),
  ) as [string, string];
  const { gateway, node } = addresses[family];
  const own = isIncoming ? to : from;
  const isGroup = /^(22[4-9]\.|23\d\.|255\.255\.255\.255|ff)/.test(to);
  if (own !== gateway && own !== node && !(isIncoming && isGroup)) return false;
  const at = family === 4 ? 14 + (frame[14]! & 15) * 4 : 54;
  const [message, code] = [frame[at], frame[at + 1]] as [number, number];
  if (family === 4) return frame[23] !== proto.icmp || message !== 3 || code !== 4;
  // Behind an extension header there may be any of what follows.
  if ([0, 43, 44, 60].includes(frame[20]!)) return false;
  if (frame[20] !== proto.icmpv6) return true;
  const isNeighbours = message >= 133 && message <= 137 && code === 0 && frame[21] === 255;
  const isListeners = ((message >= 130 && message <= 132) || message === 143) && frame[21] === 1;
  return message !== 2 && !isNeighbours && !isListeners;
}

/**
 * Exactly what neither policy nor conntrack is asked about: between a pod and its node, never routed,
 * under the pod's own or a link-local address.
 */
function isDiscovery(hook: Hook, verdict: string, frame: Uint8Array): boolean {
  const type = (frame[12]! << 8) | frame[13]!;
  const isFromPod = hook.startsWith('from-');
  const name = hook.endsWith('-a') ? 'a' : 'b';
  if (type === etherType.arp) {
    const sender = frame.subarray(28, 32).toHex();
    const own = verdict === 'redirect' ? addresses[4].gateway : addresses[4][name];
    const isSender = (ip: string) => sender === requireAddress(ip).bytes.subarray(12).toHex();
    return !hook.endsWith('-native') && (!isFromPod || isSender(own) || isSender('0.0.0.0'));
  }
  const [nextHeader, hopLimit, icmpType, code] = [20, 21, 54, 55].map((at) => frame[at]);
  const isPlain = nextHeader === proto.icmpv6 && hopLimit === 255 && code === 0;
  if (type !== etherType.ipv6 || !isPlain || hook.endsWith('-native')) return false;
  const at = (offset: number) =>
    formatAddress(addressFromBytes(frame.subarray(offset, offset + 16)));
  const isLinkLocal = (ip: string) => /^fe[89ab].:/.test(ip);
  const [from, to] = [at(22), at(38)];
  const { gateway, node, [name]: own } = addresses[6];
  const isNode = (ip: string) => ip === gateway || ip === node || isLinkLocal(ip);
  const isOwn = (ip: string) => ip === own || isLinkLocal(ip);
  if (!isFromPod) return verdict === 'pass' && [135, 136].includes(icmpType!) && isNode(from);
  if (icmpType !== 136) return false;
  const target = at(62);
  if (verdict === 'redirect') return from === gateway && target === gateway && isOwn(to);
  return isOwn(from) && isOwn(target) && (isNode(to) || to.startsWith('ff02:'));
}
