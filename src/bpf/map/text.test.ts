import { describe, expect, test } from 'bun:test';
import { ctKeyText, ctValueText, natText } from './connection-text.ts';
import {
  addressSetText,
  endpointText,
  identityClassKeyText,
  identityClassText,
  ipcacheText,
} from './entry-text.ts';
import { jiffiesClock } from './jiffies.ts';

const mapped = (text: string) =>
  new Uint8Array([...new Array<number>(10).fill(0), 255, 255, ...text.split('.').map(Number)]);
const zero = new Uint8Array(16);

describe('entries as text', () => {
  test('endpoint', () => {
    const text = endpointText({
      id: 335,
      identity: 15277,
      flags: 0,
      ifindex: 6,
      policyId: 1,
      ipv4: zero,
      ipv6: zero,
      mac: new Uint8Array([6, 0x48, 0xb9, 0xac, 0xb9, 0x7e]),
      nodeMac: new Uint8Array([0x5a, 0x1a, 0x40, 0xb9, 0x25, 0x15]),
    });
    expect(text).toBe(
      'id=335   sec_id=15277 flags=0x0000 ifindex=6   mac=06:48:B9:AC:B9:7E nodemac=5A:1A:40:B9:25:15 parent_ifindex=0  ',
    );
  });

  test('ipcache', () => {
    expect(ipcacheText({ identity: 1, tunnelEndpoint: zero, flags: 0 })).toBe(
      'identity=1 encryptkey=0 tunnelendpoint=0.0.0.0 flags=<none>',
    );
  });

  test('classes and groups, and sets, by bank', () => {
    const value = { classId: [12, 1], groupId: [0x8000_0003, 1] } as const;
    expect(identityClassText(value)).toBe('class=12/1 group=g3/1');
    expect(identityClassKeyText({ identity: 9, addressSet: 4 })).toBe('identity=9 set=4');
    expect(addressSetText({ outside: [4, 0], inside: [0, 7] })).toBe('outside=4/0 inside=0/7');
  });

  test('connection, from the side that began it', () => {
    const leg = { ifindex: 10, endpointId: 7, kind: 1, tcpFlags: 2 };
    const key = {
      addr: [mapped('10.0.0.1'), mapped('10.0.0.2')],
      port: [8080, 40000],
      proto: 6,
      zone: 0,
    } as const;
    const value = {
      leg: [{ ...leg, tcpFlags: 0x12 }, leg],
      epoch: 4,
      lastSeen: 0,
      created: 0,
      natPort: 0,
      identity: [15277, 40836],
      cookie: [1, 2],
      flags: 1 | 2 | 32,
    } as const;
    const text = ctValueText(value, undefined);
    expect(ctKeyText(key, value)).toBe('TCP OUT 10.0.0.2:40000 -> 10.0.0.1:8080');
    const kinds = (asks: number, answers: number) => ({
      ...value,
      leg: [
        { ...leg, kind: answers },
        { ...leg, kind: asks },
      ] as const,
    });
    // Pod 1, host 2, stack 4.
    const way = (asks: number, answers: number) =>
      ctKeyText(key, kinds(asks, answers)).split(' ')[1];
    expect([way(1, 2), way(2, 1), way(2, 4), way(4, 2)]).toEqual(['OUT', 'IN', 'OUT', 'IN']);
    expect(text).toContain('RxFlagsSeen=0x12 ');
    expect(text).toContain(
      'Flags=0x0023 [ SeenNonSyn SeenReply ] RevNAT=0 SourceSecurityID=40836 ',
    );
  });

  test('translation, both ways', () => {
    const text = natText(
      {
        addr: [mapped('172.30.0.2'), mapped('203.0.113.10')],
        port: [49518, 80],
        proto: 6,
        zone: 0,
      },
      { addr: mapped('10.244.0.23'), port: 33000, endpointId: 7, ifindex: 3, lastSeen: 0 },
      new Set(['172.30.0.2']),
      undefined,
    );
    expect(text).toEqual([
      {
        key: 'TCP OUT 10.244.0.23:33000 -> 203.0.113.10:80',
        value: 'XLATE_SRC 172.30.0.2:49518 Created=0sec ago NeedsCT=0',
      },
      {
        key: 'TCP IN 203.0.113.10:80 -> 172.30.0.2:49518',
        value: 'XLATE_DST 10.244.0.23:33000 Created=0sec ago NeedsCT=0',
      },
    ]);
  });

  test('jiffies', () => {
    const clock = jiffiesClock('now at 1750469092964 nsecs\n\njiffies: 4295329849\n');
    expect(clock?.nowSeconds).toBe(1750);
    expect(clock?.seconds(4295329849 % 2 ** 32)).toBe(1750);
    expect(clock?.seconds((4295329849 - 250 * 10) % 2 ** 32)).toBe(1740);
    expect(jiffiesClock('')).toBeUndefined();
  });
});
