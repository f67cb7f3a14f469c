import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { TraceReason, TrafficDirection, Verdict } from '../../api/gen/flow/flow.ts';
import { GetFlowsResponse } from '../../api/gen/observer/observer.ts';
import { FlowRing } from '../observer/flow-ring.ts';
import { ParserContext } from './context.ts';
import { type EventFields, encodeEvent, smallWorld } from './event-fixture.ts';
import { eventBytes, eventFlag, eventOffset, eventType } from './event-layout.ts';
import { FlowEncoder } from './flow-encoder.ts';
import { FlowRecord } from './flow-record.ts';
import { FlowParser } from './parser.ts';
import { FlowUuids } from './text.ts';

function world(capacity = 15) {
  const ring = new FlowRing(capacity);
  const context = new ParserContext(smallWorld(), 'default');
  const parser = new FlowParser(ring, context);
  parser.setClock({ seconds: 1_795_462_000, nanos: 0 });
  const uuids = new FlowUuids(new Uint32Array([1, 2, 3, 4]));
  const record = new FlowRecord(ring, context, uuids, 'node-1');
  const encoder = new FlowEncoder(ring, context, uuids, 'node-1');
  const feed = (bytes: Uint8Array) =>
    parser.record(new Uint32Array(bytes.buffer, 0, eventBytes / 4), 0, bytes.length);
  const encodeAll = () => {
    const all: Uint8Array[] = [];
    for (let at = ring.tail; at < ring.head; at++) {
      record.seek(at);
      all.push(encoder.encode(record));
    }
    return all;
  };
  return { ring, parser, context, record, feed, encodeAll };
}

function flowsOf(changes: Partial<EventFields>) {
  const one = world();
  one.feed(encodeEvent(changes));
  return one.encodeAll().map((bytes) => {
    const flow = GetFlowsResponse.decode(bytes).flow;
    if (flow === undefined) throw new Error('no flow');
    return flow;
  });
}

describe('hand-written encoding', () => {
  test('is what the generated codec writes, byte for byte, whatever the record holds', () => {
    const { feed, encodeAll, record, ring } = world();
    const bytes = fc.uint8Array({ minLength: eventBytes, maxLength: eventBytes });
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 4 }), fc.boolean(), (noise, type, isIp4) => {
        const event = new Uint8Array(noise);
        event[eventOffset.type] = type;
        event.set([0, 0, 0, 0], eventOffset.timeNs + 4);
        if (isIp4) event.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255], eventOffset.saddr);
        event[eventOffset.proto] = [1, 6, 17, 58, 132][(noise[0] ?? 0) % 5] ?? 6;
        feed(event);
        for (const encoded of encodeAll()) {
          const message = GetFlowsResponse.decode(encoded);
          const again = GetFlowsResponse.encode(message).finish();
          expect(Buffer.from(encoded).toString('hex')).toBe(Buffer.from(again).toString('hex'));
        }
        record.seek(ring.head - 1);
        const last = GetFlowsResponse.decode(encodeAll().at(-1) ?? new Uint8Array()).flow;
        expect(last?.uuid).toBe(record.uuid());
        expect(last?.IP?.source ?? '').toBe(record.sourceIp());
        expect(Number(last?.verdict)).toBe(record.verdict());
        expect(Number(last?.traffic_direction)).toBe(record.trafficDirection());
      }),
      { numRuns: 300 },
    );
  });

  test('uuids are version 4 and differ', () => {
    const uuids = new FlowUuids();
    const seen = new Set(Array.from({ length: 5000 }, (_, index) => uuids.text(index)));
    expect(seen.size).toBe(5000);
    for (const one of seen) {
      expect(one).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
  });
});

describe('an event becomes flows', () => {
  test('a new connection: both verdicts with their policies, then the trace', () => {
    const flows = flowsOf({});
    expect(flows.map((flow) => flow.event_type?.type)).toEqual([5, 5, 4]);
    const [egress, ingress, trace] = flows;
    expect(egress?.traffic_direction).toBe(TrafficDirection.EGRESS);
    expect(egress?.policy_match_type).toBe(1);
    expect(egress?.egress_allowed_by.map((one) => one.name)).toEqual(['client-egress']);
    expect(egress?.ingress_allowed_by).toEqual([]);
    expect(egress?.is_reply).toBe(false);
    expect(ingress?.traffic_direction).toBe(TrafficDirection.INGRESS);
    expect(ingress?.ingress_allowed_by.map((one) => one.name)).toEqual(['web-ingress']);
    expect(trace?.traffic_direction).toBe(TrafficDirection.INGRESS);
    expect(trace?.trace_reason).toBe(TraceReason.NEW);
    expect(trace?.trace_observation_point).toBe(101);
    expect(trace?.interface).toEqual({ index: 7, name: 'lxcclient' });
    expect(trace?.Summary).toBe('TCP Flags: SYN');
    expect(trace?.source?.pod_name).toBe('client');
    expect(trace?.destination?.cluster_name).toBe('default');
    expect(trace?.time).toEqual({ seconds: 1_795_462_005n, nanos: 123 });
    expect(new Set(flows.map((flow) => flow.uuid)).size).toBe(3);
  });

  test('a reply and a close are traces that know which way they go', () => {
    const reply = flowsOf({ type: eventType.reply, flags: 0, tcpFlags: 0x12 })[0];
    expect(reply?.is_reply).toBe(true);
    expect(reply?.reply).toBe(true);
    expect(reply?.trace_reason).toBe(TraceReason.REPLY);
    expect(reply?.traffic_direction).toBe(TrafficDirection.EGRESS);
    expect(reply?.Summary).toBe('TCP Flags: SYN, ACK');
    const close = flowsOf({ type: eventType.close, flags: 0, tcpFlags: 0x11 })[0];
    expect(close?.trace_reason).toBe(TraceReason.ESTABLISHED);
    expect(close?.Summary).toBe('TCP Flags: ACK, FIN');
  });

  test('a connection judged again when it answers: the flows are of a reply', () => {
    const { egressJudged, ingressJudged, reevaluated, isReply } = eventFlag;
    const flows = flowsOf({ flags: egressJudged | ingressJudged | reevaluated | isReply });
    expect(flows.map((flow) => [flow.event_type?.type, flow.is_reply])).toEqual([
      [5, true],
      [5, true],
      [4, true],
    ]);
  });

  test('a connection cut when it answers: the flows are of a reply', () => {
    const { egressJudged, egressDenied, isReply } = eventFlag;
    const drop = { type: eventType.drop, reason: 133 };
    const seen = (flags: number) =>
      flowsOf({ ...drop, flags }).map((flow) => [flow.event_type?.type, flow.is_reply]);
    expect(seen(egressJudged | egressDenied | isReply)).toEqual([
      [5, true],
      [1, true],
    ]);
    expect(seen(egressJudged | egressDenied)).toEqual([
      [5, undefined],
      [1, undefined],
    ]);
  });

  test('a default deny at the receiver: the allowed egress, the denial, the drop', () => {
    const flows = flowsOf({
      type: eventType.drop,
      reason: 133,
      flags: eventFlag.egressJudged | eventFlag.ingressJudged | eventFlag.ingressDenied,
      ingressCookie: 502,
      ingressMatch: 0,
      file: 2,
      line: 77,
    });
    expect(flows.map((flow) => flow.event_type?.type)).toEqual([5, 5, 1]);
    expect(flows.map((flow) => flow.verdict)).toEqual([
      Verdict.FORWARDED,
      Verdict.DROPPED,
      Verdict.DROPPED,
    ]);
    const [, denied, drop] = flows;
    expect(denied?.drop_reason_desc).toBe(133);
    expect(denied?.is_reply).toBeUndefined();
    expect(denied?.ingress_denied_by.map((one) => one.name)).toEqual(['web-ingress', 'web-extra']);
    expect(drop?.ingress_denied_by.map((one) => one.name)).toEqual(['web-ingress', 'web-extra']);
    expect(drop?.egress_denied_by).toEqual([]);
    expect(drop?.traffic_direction).toBe(TrafficDirection.INGRESS);
    expect(drop?.file).toEqual({ name: 'bpf_lxc.c', line: 77 });
    expect(drop?.event_type).toEqual({ type: 1, sub_type: 133 });
  });

  test('audit: denied, and yet a new connection', () => {
    const flows = flowsOf({ flags: eventFlag.ingressJudged | eventFlag.ingressDenied });
    expect(flows.map((flow) => flow.verdict)).toEqual([Verdict.AUDIT, Verdict.FORWARDED]);
    expect(flows[0]?.ingress_denied_by.length).toBe(1);
    expect(flows[0]?.is_reply).toBe(false);
    // Nothing allowed it, so the trace names nothing for that end.
    expect(flows[1]?.ingress_allowed_by).toEqual([]);
    expect(flows[1]?.ingress_denied_by).toEqual([]);
  });

  test('audited at both ends: one verdict each, and the packet goes on', () => {
    const { egressJudged, egressDenied, ingressJudged, ingressDenied } = eventFlag;
    const flows = flowsOf({ flags: egressJudged | egressDenied | ingressJudged | ingressDenied });
    expect(flows.map((flow) => flow.verdict)).toEqual([
      Verdict.AUDIT,
      Verdict.AUDIT,
      Verdict.FORWARDED,
    ]);
    expect(flows.map((flow) => flow.traffic_direction)).toEqual([
      TrafficDirection.EGRESS,
      TrafficDirection.INGRESS,
      TrafficDirection.INGRESS,
    ]);
  });

  test('audited where it was sent, dropped where it was received', () => {
    const { egressJudged, egressDenied, ingressJudged, ingressDenied } = eventFlag;
    const flows = flowsOf({
      type: eventType.drop,
      reason: 181,
      flags: egressJudged | egressDenied | ingressJudged | ingressDenied,
      ingressCookie: 502,
    });
    expect(flows.map((flow) => flow.verdict)).toEqual([
      Verdict.AUDIT,
      Verdict.DROPPED,
      Verdict.DROPPED,
    ]);
    expect(flows.map((flow) => flow.drop_reason_desc)).toEqual([0, 181, 181]);
    expect(flows[2]?.traffic_direction).toBe(TrafficDirection.INGRESS);
    expect(flows[2]?.ingress_denied_by.length).toBe(2);
    expect(flows[2]?.egress_denied_by).toEqual([]);
  });

  test('a drop that is no policy’s decision blames no policy', () => {
    const [drop] = flowsOf({
      type: eventType.drop,
      reason: 155,
      direction: 2,
      flags: eventFlag.egressJudged,
    });
    expect(drop?.drop_reason_desc).toBe(155);
    expect(drop?.traffic_direction).toBe(TrafficDirection.EGRESS);
    expect(drop?.egress_denied_by).toEqual([]);
  });

  test('SCTP has ports and a summary', () => {
    const [, , trace] = flowsOf({ proto: 132, sourcePort: 40_000, destinationPort: 2905 });
    expect(trace?.l4?.SCTP).toMatchObject({ source_port: 40_000, destination_port: 2905 });
    expect(trace?.Summary).toBe('SCTP');
  });

  test('the host, the world and ICMPv6', () => {
    const flow = flowsOf({
      source: 'fd00::1',
      destination: '2001:db8::1',
      proto: 58,
      sourcePort: 135,
      srcEndpoint: 0,
      srcIdentity: 1,
      dstEndpoint: 0,
      dstIdentity: 10,
      type: eventType.drop,
      reason: 151,
      direction: 2,
      flags: 0,
    })[0];
    expect(flow?.source?.labels).toEqual(['reserved:host']);
    expect(flow?.source?.cluster_name).toBe('');
    expect(flow?.destination?.labels).toEqual(['reserved:world-ipv6']);
    expect(flow?.Summary).toBe('ICMPv6 NeighborSolicitation');
    expect(flow?.IP?.destination).toBe('2001:db8::1');
    expect(flow?.traffic_direction).toBe(TrafficDirection.EGRESS);
  });

  test('short records and unknown types are counted, not decoded', () => {
    const { parser, ring } = world();
    expect(parser.record(new Uint32Array(26), 0, 104)).toBe(0);
    expect(parser.record(new Uint32Array(4), 0, 16)).toBe(0);
    expect(parser.malformed).toBe(2);
    expect(ring.head).toBe(0);
  });

  test('a row that comes late still names the flow', () => {
    const tables = smallWorld();
    let known = false;
    const ring = new FlowRing(15);
    const context = new ParserContext(
      { ...tables, endpoint: (id) => (known ? tables.endpoint(id) : undefined) },
      'default',
    );
    const uuids = new FlowUuids();
    const bytes = encodeEvent();
    new FlowParser(ring, context).record(new Uint32Array(bytes.buffer), 0, bytes.length);
    const record = new FlowRecord(ring, context, uuids, 'n');
    record.seek(0);
    expect(record.source().pod_name).toBe('');
    known = true;
    context.changed();
    expect(record.source().pod_name).toBe('client');
  });
});
