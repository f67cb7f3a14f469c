import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  decodeFlowRecord,
  type FlowEvent,
  flowEventLayout,
  flowRecordSize,
  type PolicyKey,
  policyKeyLayout,
} from '../gen/layouts.ts';
import { decodeBytes, encodeBytes } from './layout.ts';

const byte = fc.nat(0xff);
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffffffff);
const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size });
const pair = (value: fc.Arbitrary<number>) => fc.tuple(value, value);

const flowEvent: fc.Arbitrary<FlowEvent> = fc.record({
  ...{ timeNs: fc.bigInt(0n, 2n ** 53n - 1n), saddr: bytes(16), daddr: bytes(16) },
  ...{ sport: u16, dport: u16, proto: byte, tcpFlags: byte, type: byte, reason: byte },
  ...{ srcIdentity: u32, dstIdentity: u32, srcEndpoint: u16, dstEndpoint: u16, ifindex: u32 },
  ...{ cookie: pair(u32), matchType: bytes(2), flags: byte, tracePoint: byte, length: u32 },
  ...{ smac: bytes(6), dmac: bytes(6), line: u16, file: byte, direction: byte, epoch: u32 },
});

describe('layouts', () => {
  test('what is encoded decodes to the same', () => {
    fc.assert(
      fc.property(flowEvent, (event) => {
        expect(decodeBytes(flowEventLayout, encodeBytes(flowEventLayout, event))).toEqual(event);
      }),
    );
  });

  test('the flat decoder agrees with the other', () => {
    fc.assert(
      fc.property(flowEvent, (event) => {
        const encoded = encodeBytes(flowEventLayout, event);
        const record = decodeFlowRecord(new DataView(encoded.buffer), 0);
        expect(record.timeNs).toBe(Number(event.timeNs));
        expect([record.sport, record.dport]).toEqual([event.sport, event.dport]);
        expect([record.cookie0, record.cookie1]).toEqual([...event.cookie]);
        const words = [record.saddr0, record.saddr1, record.saddr2, record.saddr3];
        const view = new DataView(event.saddr.buffer, event.saddr.byteOffset);
        expect(words).toEqual([0, 4, 8, 12].map((at) => view.getUint32(at)));
        expect(record.smac.toString(16).padStart(12, '0')).toBe(event.smac.toHex());
      }),
    );
    expect(flowRecordSize).toBe(flowEventLayout.size);
  });

  test('big-endian fields are host numbers here and network bytes there', () => {
    const key: PolicyKey = { prefixlen: 64, classId: 1, direction: 1, proto: 6, port: 443 };
    expect(encodeBytes(policyKeyLayout, key).toHex()).toEndWith('010601bb');
  });

  test('a field of fixed size refuses another', () => {
    const event = fc.sample(flowEvent, 1)[0]!;
    expect(() => encodeBytes(flowEventLayout, { ...event, smac: new Uint8Array(5) })).toThrow(
      'a field of 6 bytes got 5',
    );
  });

  test('padding is zeroed over whatever was there', () => {
    const dirty = new Uint8Array(flowEventLayout.size).fill(0xff);
    const event = fc.sample(flowEvent, 1)[0]!;
    flowEventLayout.encode(event, new DataView(dirty.buffer));
    expect(dirty.toHex()).toBe(encodeBytes(flowEventLayout, event).toHex());
  });
});
