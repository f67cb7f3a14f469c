import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { Flow, LostEvent } from '../gen/flow/flow.ts';
import { GetFlowsResponse } from '../gen/observer/observer.ts';
import { JsonFieldError, readMessage } from './read.ts';
import { messageSchema } from './schema.ts';
import { JsonWriter } from './write.ts';

function toJson(name: string, bytes: Uint8Array): string {
  const writer = new JsonWriter();
  writer.writeMessage(messageSchema(name), bytes);
  return new TextDecoder().decode(writer.bytes());
}

describe('protobuf to JSON', () => {
  test('wrappers, enums, wide numbers, nanoseconds', () => {
    const bytes = GetFlowsResponse.encode(
      GetFlowsResponse.fromPartial({
        lost_events: LostEvent.fromPartial({
          source: 3,
          num_events_lost: 18446744073709551615n,
          cpu: 0,
        }),
        time: { seconds: 1795462631n, nanos: 291651000 },
      }),
    ).finish();
    expect(toJson('observer.GetFlowsResponse', bytes)).toBe(
      '{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"18446744073709551615","cpu":0},"time":"2026-11-23T19:37:11.291651Z"}',
    );
  });

  test('fields that come in another order are sorted', () => {
    const late = Flow.encode(Flow.fromPartial({ uuid: 'u', is_reply: false })).finish();
    const early = Flow.encode(Flow.fromPartial({ time: { seconds: 0n, nanos: 5 } })).finish();
    const swapped = new Uint8Array([...late, ...early]);
    expect(toJson('flow.Flow', swapped)).toBe(
      '{"time":"1970-01-01T00:00:00.000000005Z","uuid":"u","is_reply":false}',
    );
  });

  test('every string survives JSON.parse, none carries a control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.array(fc.string()), (name, labels) => {
        const flow = Flow.fromPartial({ node_name: name, source_names: labels });
        const text = toJson('flow.Flow', Flow.encode(flow).finish());
        const parsed = JSON.parse(text) as { node_name?: string; source_names?: string[] };
        expect(parsed.node_name ?? '').toBe(name.toWellFormed());
        expect(parsed.source_names ?? []).toEqual(labels);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are the point
        expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
      }),
    );
  });

  test('arbitrary bytes are decoded or refused, never more', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          toJson('observer.GetFlowsResponse', bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('JSON to messages', () => {
  test('refuses what it does not know', () => {
    expect(() => readMessage('flow.FlowFilter', { sauce_ip: [] })).toThrow(JsonFieldError);
    expect(() => readMessage('flow.FlowFilter', { verdict: ['MAYBE'] })).toThrow(JsonFieldError);
    expect(() => readMessage('flow.FlowFilter', [])).toThrow(JsonFieldError);
    expect(
      readMessage('flow.FlowFilter', { sourceIp: ['10.0.0.1'], verdict: ['DROPPED'] }),
    ).toEqual({
      source_ip: ['10.0.0.1'],
      verdict: [2],
    });
  });

  test('any JSON value is converted or refused', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        try {
          readMessage('flow.Flow', value);
        } catch (error) {
          expect(error).toBeInstanceOf(JsonFieldError);
        }
      }),
    );
  });
});
