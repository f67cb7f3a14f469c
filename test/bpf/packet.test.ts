/** @module The packet builder and its reader, against each other and against bytes worked out by hand. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  arp,
  crc32c,
  discovery,
  echo,
  fragments,
  type Ip,
  icmpError,
  onesSum,
  tcp,
  tcpFlags,
  udp,
} from './packet.ts';
import { parsePacket } from './packet-parse.ts';

const pairs: readonly Ip[] = [
  { from: '10.1.0.11', to: '10.1.0.12' },
  { from: 'fd01::11', to: 'fd01::12' },
];

test('the sum of RFC 1071, section 3', () => {
  expect(onesSum(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7))).toBe(0xddf2);
});

test('an IPv4 header as in the textbook', () => {
  // 0x4500 + 0x001c + 0x4000 + 0x4011 + the addresses = 0x24745, folded 0x4747.
  const frame = udp(
    { from: '192.168.0.1', to: '192.168.0.199' },
    { sport: 1, dport: 2, payload: new Uint8Array(0) },
  );
  expect(frame.subarray(14, 34).toHex()).toBe('4500001c000040004011b8b8c0a80001c0a800c7');
});

test('CRC-32C of RFC 3720, section B.4', () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
});

for (const ip of pairs) {
  describe(ip.from.includes(':') ? 'IPv6' : 'IPv4', () => {
    test('TCP there and back', () => {
      const parsed = parsePacket(tcp(ip, { sport: 1234, dport: 80, flags: 'SA' }));
      expect(parsed).toMatchObject({ ...ip, sport: 1234, dport: 80, ttl: 64, wrong: [] });
      expect(parsed.tcpFlags).toBe(tcpFlags('SA'));
    });

    test('a changed byte is noticed', () => {
      const ports = { sport: 1234, dport: 80 };
      const frames = [tcp(ip, ports), udp(ip, ports), echo(ip, { kind: 'request', id: 7 })];
      fc.assert(
        fc.property(
          fc.constantFrom(...frames),
          fc.nat(),
          fc.integer({ min: 1, max: 255 }),
          (frame, at, bits) => {
            const broken = frame.slice();
            const start = parsePacket(frame).transportOffset;
            // Behind the first byte: of another ICMP type there is another way to read the rest.
            const offset = start + 1 + (at % (frame.length - start - 1));
            broken[offset] = broken[offset]! ^ bits;
            // UDP over IPv4 with its checksum made zero is one without a checksum.
            if (broken[start + 6] === 0 && broken[start + 7] === 0) return;
            expect(parsePacket(broken).wrong).toHaveLength(1);
          },
        ),
      );
    });

    test('fragments put together are the datagram', () => {
      const whole = udp(ip, { sport: 1, dport: 2, payload: new Uint8Array(100).fill(7) });
      const parts = fragments(whole, 99, [24, 64]).map(parsePacket);
      expect(parts.map(({ fragment }) => fragment)).toEqual([
        { id: 99, offset: 0, more: true },
        { id: 99, offset: 24, more: true },
        { id: 99, offset: 64, more: false },
      ]);
      expect(parts.flatMap(({ wrong }) => wrong)).toEqual([]);
      expect(parts.map(({ sport }) => sport)).toEqual([1, 0, 0]);
    });

    test('an error and what it quotes', () => {
      const quoted = tcp(ip, { sport: 1234, dport: 80, flags: 'S' });
      const parsed = parsePacket(icmpError({ from: ip.to, to: ip.from }, 'unreachable', quoted));
      expect(parsed.wrong).toEqual([]);
      expect(parsed.quoted).toMatchObject({ ...ip, sport: 1234, dport: 80 });
    });
  });
}

test('extension headers and options', () => {
  const [ipv4, ipv6] = pairs as [Ip, Ip];
  const withOptions = parsePacket(
    tcp({ ...ipv4, options: new Uint8Array(8).fill(1) }, { sport: 1, dport: 2 }),
  );
  expect(withOptions).toMatchObject({ sport: 1, dport: 2, transportOffset: 42, wrong: [] });
  const chain = [{ header: 'hop-by-hop' }, { header: 'destination', bytes: 24 }] as const;
  const extended = parsePacket(udp({ ...ipv6, extensions: chain }, { sport: 1, dport: 2 }));
  expect(extended).toMatchObject({ sport: 1, dport: 2, transportOffset: 86, wrong: [] });
});

test('UDP without a checksum is right in IPv4 only', () => {
  const ports = { sport: 1, dport: 2, unsummed: true };
  expect(pairs.map((ip) => parsePacket(udp(ip, ports)).wrong)).toEqual([[], ['udp']]);
});

test('discovery messages', () => {
  const frame = discovery(
    { from: 'fd01::11', to: 'ff02::1:ff00:1' },
    'solicitation',
    'fd01::1',
    '02:00:00:00:00:0a',
  );
  expect(parsePacket(frame)).toMatchObject({ icmpType: 135, ttl: 255, wrong: [] });
  expect(frame.length).toBe(14 + 40 + 32);
  expect(
    arp({
      operation: 'request',
      senderMac: '02:00:00:00:00:0a',
      sender: '10.1.0.11',
      target: '10.1.0.1',
    }).length,
  ).toBe(42);
});
