import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { Flow, FlowFilter } from '../../api/gen/flow/flow.ts';
import { GetFlowsRequest, GetFlowsResponse } from '../../api/gen/observer/observer.ts';
import { readMessage } from '../../api/json/read.ts';
import { Observer } from '../observer/observer.ts';
import { type EventFields, encodeEvent, smallWorld } from '../parser/event-fixture.ts';
import { MessageFields } from '../parser/message-fields.ts';
import { buildFilter } from './build.ts';
import { parseSelector } from './label.ts';
import { FilterError } from './predicate.ts';

const filterOf = (json: unknown): FlowFilter =>
  FlowFilter.fromPartial(readMessage('flow.FlowFilter', json) as Partial<FlowFilter>);
const flowOf = (json: unknown): Flow =>
  Flow.fromPartial(readMessage('flow.Flow', json) as Partial<Flow>);
const matches = (filter: unknown, flow: unknown): boolean =>
  buildFilter([filterOf(filter)], [])(new MessageFields(flowOf(flow)));

const web = {
  verdict: 'FORWARDED',
  IP: { source: '10.0.0.1', destination: 'fd00::2', ipVersion: 'IPv6', source_xlated: '192.0.2.1' },
  l4: { TCP: { source_port: 40000, destination_port: 80, flags: { SYN: true, ACK: true } } },
  source: {
    identity: 1001,
    namespace: 'shop',
    pod_name: 'client-1',
    labels: ['k8s:app=client', 'k8s:tier=front', 'reserved:init'],
    cluster_name: 'blue',
    workloads: [{ name: 'client', kind: 'Deployment' }],
  },
  destination: { identity: 9, labels: ['reserved:world-ipv4'] },
  destination_names: ['www.example.org'],
  destination_service: { name: 'web', namespace: 'shop' },
  node_name: 'blue/node-1',
  node_labels: ['zone=a'],
  event_type: { type: 4, sub_type: 3 },
  traffic_direction: 'EGRESS',
  is_reply: false,
  interface: { index: 3, name: 'eth0' },
  uuid: 'u-1',
  trace_context: { parent: { trace_id: 't-1' } },
  l7: {
    http: {
      code: 404,
      method: 'GET',
      url: 'http://web/a?b=c',
      headers: [{ key: 'h', value: 'v' }],
    },
  },
};
const drop = {
  verdict: 'DROPPED',
  drop_reason_desc: 'POLICY_DENIED',
  event_type: { type: 1, sub_type: 133 },
  node_name: 'node-1',
};

// filter, flow, whether it matches
const table: readonly (readonly [unknown, unknown, boolean])[] = [
  [{}, web, true],
  [{ source_ip: ['10.0.0.1'] }, web, true],
  [{ source_ip: ['10.0.0.2', '10.0.0.0/8'] }, web, true],
  [{ source_ip: ['10.0.0.2'] }, web, false],
  [{ destination_ip: ['fd00:0::2'] }, web, true],
  [{ destination_ip: ['fd00::/16'] }, web, true],
  [{ destination_ip: ['10.0.0.0/8'] }, web, false],
  [{ source_ip_xlated: ['192.0.2.0/24'] }, web, true],
  [{ ip_version: ['IPv6'] }, web, true],
  [{ ip_version: ['IPv4'] }, web, false],
  [{ source_pod: ['shop/client'] }, web, true],
  [{ source_pod: ['shop/'] }, web, true],
  [{ source_pod: ['/client'] }, web, true],
  [{ source_pod: ['client'] }, web, false], // namespace default
  [{ source_pod: ['other/client'] }, web, false],
  [{ destination_pod: ['shop/'] }, web, false],
  [{ destination_service: ['shop/we'] }, web, true],
  [{ source_service: ['shop/we'] }, web, false],
  [{ source_workload: [{ kind: 'Deployment' }] }, web, true],
  [{ source_workload: [{ name: 'client', kind: 'Job' }] }, web, false],
  [{ source_cluster_name: ['blue'] }, web, true],
  [{ source_cluster_name: ['red'] }, web, false],
  [{ source_identity: [1, 1001] }, web, true],
  [{ destination_identity: [1001] }, web, false],
  [{ destination_fqdn: ['*.EXAMPLE.org.'] }, web, true],
  [{ destination_fqdn: ['example.org'] }, web, false],
  [{ source_label: ['app=client'] }, web, true],
  [{ source_label: ['k8s:app=client, tier in (front,back)'] }, web, true],
  [{ source_label: ['app!=client'] }, web, false],
  [{ source_label: ['reserved:init'] }, web, true],
  [{ source_label: ['!missing'] }, web, true],
  [{ source_label: ['app notin (client)'] }, web, false],
  [{ source_label: ['container:app=client'] }, web, false],
  [{ destination_label: ['reserved:world-ipv4'] }, web, true],
  [{ node_labels: ['zone=a'] }, web, true],
  [{ protocol: ['TCP'] }, web, true],
  [{ protocol: ['udp', 'http'] }, web, true],
  [{ protocol: ['icmp'] }, { l4: { ICMPv6: { type: 128 } } }, true],
  [{ protocol: ['icmpv4'] }, { l4: { ICMPv6: { type: 128 } } }, false],
  [{ source_port: ['40000'] }, web, true],
  [{ destination_port: ['81', '80'] }, web, true],
  [{ destination_port: ['0'] }, { l4: { ICMPv4: { type: 8 } } }, false],
  [{ tcp_flags: [{ SYN: true }] }, web, true],
  [{ tcp_flags: [{ SYN: true, FIN: true }, { ACK: true }] }, web, true],
  [{ tcp_flags: [{ RST: true }] }, web, false],
  [{ verdict: ['DROPPED'] }, drop, true],
  [{ verdict: ['DROPPED'] }, web, false],
  [{ drop_reason_desc: ['POLICY_DENIED'] }, drop, true],
  [{ drop_reason_desc: ['POLICY_DENY'] }, drop, false],
  [{ event_type: [{ type: 4 }] }, web, true],
  [{ event_type: [{ type: 4, match_sub_type: true, sub_type: 0 }] }, web, false],
  [{ event_type: [{ type: 0, match_sub_type: true, sub_type: 3 }] }, web, true],
  [{ traffic_direction: ['EGRESS'] }, web, true],
  [{ reply: [false] }, web, true],
  [{ reply: [true] }, web, false],
  [{ reply: [false] }, drop, true],
  [{ reply: [true] }, drop, false],
  [{ reply: [false] }, { verdict: 'TRACED' }, false],
  [{ interface: [{ name: 'eth0' }] }, web, true],
  [{ interface: [{ index: 4, name: 'eth0' }] }, web, false],
  [{ uuid: ['u-1'] }, web, true],
  [{ trace_id: ['t-2'] }, web, false],
  [{ node_name: ['node-*'] }, web, true],
  [{ node_name: ['blue/'] }, web, true],
  [{ node_name: ['default/node-1'] }, drop, true],
  [{ node_name: ['default/node-1'] }, web, false],
  [{ encrypted: [true] }, web, false],
  [{ http_status_code: ['4+'] }, web, true],
  [{ http_status_code: ['40+', '500'] }, web, true],
  [{ http_status_code: ['500'] }, web, false],
  [{ http_method: ['get'] }, web, true],
  [{ http_path: ['^/a$'] }, web, true],
  [{ http_url: ['b=c'] }, web, true],
  [{ http_header: [{ key: 'h', value: 'v' }] }, web, true],
  [{ http_header: [{ key: 'h', value: 'w' }] }, web, false],
  [{ dns_query: ['org$'] }, { l7: { dns: { query: 'example.org' } } }, true],
  [{ dns_query: ['org$'] }, web, false],
  [{ verdict: ['FORWARDED'], source_pod: ['other/'] }, web, false],
];

describe('flow filters', () => {
  for (const [filter, flow, expected] of table) {
    test(`${JSON.stringify(filter)} is ${expected}`, () => {
      expect(matches(filter, flow)).toBe(expected);
    });
  }

  test('lists are alternatives, the blacklist wins, losses pass', () => {
    const wanted = buildFilter(
      [filterOf({ verdict: ['DROPPED'] }), filterOf({ source_pod: ['shop/'] })],
      [filterOf({ destination_port: ['80'] })],
    );
    expect(wanted(new MessageFields(flowOf(drop)))).toBe(true);
    expect(wanted(new MessageFields(flowOf(web)))).toBe(false);
    expect(wanted(Object.assign(new MessageFields(flowOf(web)), { isLost: true }))).toBe(true);
  });

  const refused: readonly unknown[] = [
    { source_ip: ['10.0.0'] },
    { source_ip: ['10.0.0.0/40'] },
    { destination_port: ['http'] },
    { destination_port: ['65536'] },
    { protocol: ['carrier-pigeon'] },
    { source_label: ['a in b'] },
    { source_label: [''] },
    { source_cluster_name: [''] },
    { node_name: [''] },
    { source_pod: ['/'] },
    { http_status_code: ['6+'] },
    { http_path: ['('] },
    { http_method: ['GET'], event_type: [{ type: 4 }] },
    { experimental: { cel_expression: ['true'] } },
  ];
  for (const filter of refused) {
    test(`${JSON.stringify(filter)} is refused`, () => {
      expect(() => buildFilter([filterOf(filter)], [])).toThrow(FilterError);
    });
  }

  test('any text as a selector is parsed or refused', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.string()), (text, labels) => {
        try {
          expect(typeof parseSelector(text)(labels)).toBe('boolean');
        } catch (error) {
          expect(error).toBeInstanceOf(FilterError);
        }
      }),
    );
  });
});

describe('a flow in the ring and the message of it', () => {
  test('answer every filter alike', () => {
    const event = fc.record({
      type: fc.integer({ min: 1, max: 4 }),
      reason: fc.constantFrom(0, 133, 151, 181),
      proto: fc.constantFrom(1, 6, 17, 58),
      tcpFlags: fc.integer({ min: 0, max: 255 }),
      flags: fc.integer({ min: 0, max: 255 }).map((flags) => flags & ~4),
      destinationPort: fc.constantFrom(0, 80, 8080),
      source: fc.constantFrom('10.0.0.1', 'fd00::1'),
      srcEndpoint: fc.constantFrom(0, 11, 99),
      srcIdentity: fc.constantFrom(0, 1, 9, 1001, 5000),
      tracePoint: fc.constantFrom(0, 3, 11),
      direction: fc.constantFrom(0, 1, 2),
    });
    const filters = table.map(([filter]) => filterOf(filter)).map((one) => buildFilter([one], []));
    fc.assert(
      fc.property(event, (fields: Partial<EventFields>) => {
        const observer = new Observer(smallWorld(), {
          nodeName: 'node-1',
          clusterName: 'blue',
          capacity: 7,
          version: '',
        });
        const bytes = encodeEvent(fields);
        observer.parser.record(new Uint32Array(bytes.buffer), 0, bytes.length);
        const all = observer.queryFlows(GetFlowsRequest.fromPartial({}));
        const messages: Flow[] = [];
        for (let one = all.next(); one instanceof Uint8Array; one = all.next()) {
          messages.push(GetFlowsResponse.decode(one).flow as Flow);
        }
        filters.forEach((filter, index) => {
          const whitelist = [filterOf(table[index]?.[0])];
          const query = observer.queryFlows(GetFlowsRequest.fromPartial({ whitelist }));
          let found = 0;
          while (query.next() instanceof Uint8Array) found++;
          const expected = messages.filter((flow) => filter(new MessageFields(flow))).length;
          expect(`${index}: ${found}`).toBe(`${index}: ${expected}`);
        });
      }),
      { numRuns: 60 },
    );
  });
});
