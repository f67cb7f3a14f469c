/**
 * @module
 * A flow of the ring → the bytes of a GetFlowsResponse, by hand and in declaration
 * order. Ends and policies are copied from what the context has encoded once.
 * `codec.test.ts` compares every byte with the generated codec.
 */
import { FlowType, LostEvent } from '../../api/gen/flow/flow.ts';
import { GetFlowsResponse } from '../../api/gen/observer/observer.ts';
import { type FlowRing, flowKind } from '../observer/flow-ring.ts';
import type { ParserContext } from './context.ts';
import { eventFlag, eventOffset } from './event-layout.ts';
import { type FlowRecord, protocolNumber } from './flow-record.ts';
import { delimited, ProtoBytes, varintSize } from './proto-bytes.ts';
import { icmpSummary, sourceFiles, tcpSummary } from './summary.ts';
import { addressText, type FlowUuids, isZero } from './text.ts';

/** Room for everything but ends, policies and node name. */
const fixedPartMax = 512;
/** Responses share blocks of this size, so that one costs no allocation of its own. */
const blockBytes = 256 * 1024;
/** Tag and length of the flow go before it, once its length is known. */
const prefixMax = 6;

const hexDigits = new TextEncoder().encode('0123456789abcdef');
const flagFields: readonly (readonly [number, number])[] = [
  [0x01, 1],
  [0x02, 2],
  [0x04, 3],
  [0x08, 4],
  [0x10, 5],
  [0x20, 6],
  [0x40, 7],
  [0x80, 8],
];

export class FlowEncoder {
  readonly #ring: FlowRing;
  readonly #context: ParserContext;
  readonly #uuids: FlowUuids;
  readonly #nodeNameInFlow: Uint8Array;
  readonly #nodeNameInResponse: Uint8Array;
  readonly #nodeName: string;
  #out = new ProtoBytes(blockBytes);

  constructor(ring: FlowRing, context: ParserContext, uuids: FlowUuids, nodeName: string) {
    this.#ring = ring;
    this.#context = context;
    this.#uuids = uuids;
    this.#nodeName = nodeName;
    this.#nodeNameInFlow = delimited(11, nodeName);
    this.#nodeNameInResponse = delimited(1000, nodeName);
  }

  /** The response for the flow that the record points at. The bytes are nobody else's afterwards. */
  encode(record: FlowRecord): Uint8Array {
    if (record.kind === flowKind.lost) return this.#lost(record);
    const out = this.#room(record);
    const flowStart = out.length + prefixMax;
    out.length = flowStart;
    this.#flow(out, record);
    const flowLength = out.length - flowStart;
    // Flow is field 1; its tag and length end exactly where it starts.
    const start = flowStart - 1 - varintSize(flowLength);
    const end = out.length;
    out.length = start;
    out.byte(0x0a);
    out.varint(flowLength);
    out.length = end;
    out.copy(this.#nodeNameInResponse);
    out.byte(0xca); // field 1001, length-delimited
    out.byte(0x3e);
    this.#timestamp(out, record.seconds(), record.nanos());
    return out.buffer.subarray(start, out.length);
  }

  #room(record: FlowRecord): ProtoBytes {
    let size = fixedPartMax + this.#nodeNameInFlow.length + this.#nodeNameInResponse.length;
    size += record.sourcePeer().sourceField.length;
    size += record.destinationPeer().destinationField.length;
    size += record.egressPolicies()?.egressAllowed.length ?? 0;
    size += record.ingressPolicies()?.ingressAllowed.length ?? 0;
    if (this.#out.length + size > this.#out.buffer.length) {
      this.#out = new ProtoBytes(Math.max(blockBytes, size));
    }
    return this.#out;
  }

  #flow(out: ProtoBytes, record: FlowRecord): void {
    out.byte(0x0a);
    this.#timestamp(out, record.seconds(), record.nanos());
    this.#uuid(out, record.sequence);
    this.#number(out, 0x10, record.verdict());
    const reason = record.dropReason();
    this.#number(out, 0x18, reason);
    this.#ethernet(out, record);
    if (record.hasIp()) {
      this.#ip(out, record);
      this.#layer4(out, record);
    }
    out.copy(record.sourcePeer().sourceField);
    out.copy(record.destinationPeer().destinationField);
    this.#number(out, 0x50, FlowType.L3_L4);
    out.copy(this.#nodeNameInFlow);
    const isReply = record.isReply();
    if (isReply === true) this.#number(out, 0x8001, 1);
    this.#eventType(out, record);
    this.#number(out, 0xb001, record.trafficDirection());
    this.#number(out, 0xb801, record.policyMatchType());
    if (record.kind === flowKind.trace) {
      this.#number(out, 0xc001, record.traceObservationPoint());
      this.#number(out, 0xa002, record.traceReason());
    }
    if (record.kind === flowKind.drop) this.#file(out, record);
    this.#number(out, 0xc801, reason);
    if (isReply !== undefined) {
      out.byte(0xd2);
      out.byte(0x01);
      out.byte(isReply ? 2 : 0);
      if (isReply) this.#number(out, 0x08, 1);
    }
    if (record.kind !== flowKind.egressVerdict && record.kind !== flowKind.ingressVerdict) {
      this.#interface(out, record.interfaceIndex());
    }
    this.#summary(out, record);
    this.#policies(out, record);
  }

  /** A varint field by the bytes of its tag, big end first; nothing for zero. */
  #number(out: ProtoBytes, tag: number, value: number): void {
    if (value === 0) return;
    if (tag > 0xff) out.byte(tag >> 8);
    out.byte(tag & 0xff);
    out.varint(value);
  }

  #timestamp(out: ProtoBytes, seconds: number, nanos: number): void {
    const at = out.length;
    out.length = at + 1;
    this.#number(out, 0x08, seconds);
    this.#number(out, 0x10, nanos);
    out.buffer[at] = out.length - at - 1;
  }

  #uuid(out: ProtoBytes, sequence: number): void {
    out.byte(0x92);
    out.byte(0x02);
    out.byte(36);
    const words = this.#uuids.words(sequence);
    const buffer = out.buffer;
    let at = out.length;
    for (let digit = 0; digit < 32; digit++) {
      if (digit === 8 || digit === 12 || digit === 16 || digit === 20) buffer[at++] = 0x2d;
      const nibble = ((words[digit >> 3] ?? 0) >>> (28 - (digit & 7) * 4)) & 15;
      buffer[at++] = hexDigits[nibble] ?? 0x30;
    }
    out.length = at;
  }

  #ethernet(out: ProtoBytes, record: FlowRecord): void {
    const bytes = this.#ring.bytes;
    if (isZero(bytes, record.start + eventOffset.smac, 12)) return;
    out.byte(0x22);
    out.byte(38);
    out.byte(0x0a);
    this.#mac(out, bytes, record.start + eventOffset.smac);
    out.byte(0x12);
    this.#mac(out, bytes, record.start + eventOffset.dmac);
  }

  #mac(out: ProtoBytes, bytes: Uint8Array, offset: number): void {
    const buffer = out.buffer;
    let at = out.length;
    buffer[at++] = 17;
    for (let index = 0; index < 6; index++) {
      const byte = bytes[offset + index] ?? 0;
      if (index > 0) buffer[at++] = 0x3a;
      buffer[at++] = hexDigits[byte >> 4] ?? 0x30;
      buffer[at++] = hexDigits[byte & 15] ?? 0x30;
    }
    out.length = at;
  }

  #ip(out: ProtoBytes, record: FlowRecord): void {
    const bytes = this.#ring.bytes;
    out.byte(0x2a);
    const at = out.length;
    out.length = at + 1;
    out.byte(0x0a);
    out.ascii(addressText(bytes, record.start + eventOffset.saddr));
    out.byte(0x12);
    out.ascii(addressText(bytes, record.start + eventOffset.daddr));
    this.#number(out, 0x18, record.ipVersion());
    out.buffer[at] = out.length - at - 1;
  }

  #layer4(out: ProtoBytes, record: FlowRecord): void {
    const tag = layer4Tag(record.protocol());
    if (tag === 0) return;
    out.byte(0x32);
    const outer = out.length;
    out.length = outer + 1;
    out.byte(tag);
    const inner = out.length;
    out.length = inner + 1;
    const port = record.sourcePort();
    if (port >= 0) {
      this.#number(out, 0x08, port);
      this.#number(out, 0x10, record.destinationPort());
      const flags = record.tcpFlags();
      if (flags > 0) this.#tcpFlags(out, flags);
    } else {
      this.#number(out, 0x08, record.icmpType());
      this.#number(out, 0x10, record.icmpCode());
    }
    out.buffer[inner] = out.length - inner - 1;
    out.buffer[outer] = out.length - outer - 1;
  }

  #tcpFlags(out: ProtoBytes, flags: number): void {
    out.byte(0x1a);
    const at = out.length;
    out.length = at + 1;
    for (const [bit, field] of flagFields)
      if ((flags & bit) !== 0) this.#number(out, field << 3, 1);
    out.buffer[at] = out.length - at - 1;
  }

  #eventType(out: ProtoBytes, record: FlowRecord): void {
    out.byte(0x9a);
    out.byte(0x01);
    const at = out.length;
    out.length = at + 1;
    this.#number(out, 0x08, record.eventType());
    this.#number(out, 0x10, record.eventSubType());
    out.buffer[at] = out.length - at - 1;
  }

  #file(out: ProtoBytes, record: FlowRecord): void {
    const name = sourceFiles[record.byte(eventOffset.file)];
    if (name === undefined) return;
    out.byte(0xb2);
    out.byte(0x02);
    const at = out.length;
    out.length = at + 1;
    out.byte(0x0a);
    out.ascii(name);
    this.#number(out, 0x10, record.u16(eventOffset.line));
    out.buffer[at] = out.length - at - 1;
  }

  #interface(out: ProtoBytes, index: number): void {
    if (index === 0) return;
    const name = this.#context.interfaceNameBytes(index);
    out.byte(0xe2);
    out.byte(0x01);
    const at = out.length;
    out.length = at + 1;
    this.#number(out, 0x08, index);
    if (name.length > 0) {
      out.byte(0x12);
      out.byte(name.length);
      out.copy(name);
    }
    out.buffer[at] = out.length - at - 1;
  }

  #summary(out: ProtoBytes, record: FlowRecord): void {
    const text = summaryOf(record);
    if (text === '') return;
    out.byte(0x82); // field 100000, length-delimited
    out.byte(0xea);
    out.byte(0x30);
    out.ascii(text);
  }

  #policies(out: ProtoBytes, record: FlowRecord): void {
    const denied = record.verdict() !== 1;
    const wantsEgress = record.kind !== flowKind.ingressVerdict;
    const wantsIngress = record.kind !== flowKind.egressVerdict;
    if (record.kind === flowKind.drop) {
      // What ended otherwise had rules that allowed it.
      if (!record.isPolicyDrop()) return;
      // Only the direction that said no: the other one's rule allowed the packet.
      const egress = record.trafficDirection() === 2;
      const names = egress ? record.egressPolicies() : record.ingressPolicies();
      if (names !== undefined) out.copy(egress ? names.egressDenied : names.ingressDenied);
      return;
    }
    if (record.kind === flowKind.trace && record.traceReason() !== 1) return;
    // What is audited goes on without a rule that allows it.
    const audits = (flag: number) => record.kind === flowKind.trace && record.hasFlag(flag);
    const isEgress = wantsEgress && !audits(eventFlag.egressDenied);
    const isIngress = wantsIngress && !audits(eventFlag.ingressDenied);
    const egress = isEgress ? record.egressPolicies() : undefined;
    const ingress = isIngress ? record.ingressPolicies() : undefined;
    if (egress !== undefined && !denied) out.copy(egress.egressAllowed);
    if (ingress !== undefined && !denied) out.copy(ingress.ingressAllowed);
    if (egress !== undefined && denied) out.copy(egress.egressDenied);
    if (ingress !== undefined && denied) out.copy(ingress.ingressDenied);
  }

  #lost(record: FlowRecord): Uint8Array {
    const lost = record.lost();
    return GetFlowsResponse.encode(
      GetFlowsResponse.fromPartial({
        lost_events: LostEvent.fromPartial({
          source: (lost?.source ?? 0) as LostEvent['source'],
          num_events_lost: BigInt(lost?.count ?? 0),
          cpu: lost?.cpu,
          first: { seconds: BigInt(lost?.firstSeconds ?? 0), nanos: lost?.firstNanos ?? 0 },
          last: { seconds: BigInt(lost?.lastSeconds ?? 0), nanos: lost?.lastNanos ?? 0 },
        }),
        node_name: this.#nodeName,
        time: { seconds: BigInt(record.seconds()), nanos: record.nanos() },
      }),
    ).finish();
  }
}

function layer4Tag(protocol: number): number {
  switch (protocol) {
    case protocolNumber.tcp:
      return 0x0a;
    case protocolNumber.udp:
      return 0x12;
    case protocolNumber.icmp:
      return 0x1a;
    case protocolNumber.icmpv6:
      return 0x22;
    case protocolNumber.sctp:
      return 0x2a;
    default:
      return 0;
  }
}

/** The one line that says what the packet was. */
export function summaryOf(record: FlowRecord): string {
  if (!record.hasIp()) return 'Ethernet';
  switch (record.protocol()) {
    case protocolNumber.tcp:
      return tcpSummary(record.tcpFlags());
    case protocolNumber.udp:
      return 'UDP';
    case protocolNumber.sctp:
      return 'SCTP';
    case protocolNumber.icmp:
      return icmpSummary(4, record.icmpType(), record.icmpCode());
    case protocolNumber.icmpv6:
      return icmpSummary(6, record.icmpType(), record.icmpCode());
    default:
      return '';
  }
}
