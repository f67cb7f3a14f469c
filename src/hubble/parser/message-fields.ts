/**
 * @module
 * A decoded Flow as filters see it: for captures that are replayed by the command line.
 */
import type { DNS, Endpoint, Flow, HTTP, Service } from '../../api/gen/flow/flow.ts';
import type { FlowFields } from './flow-fields.ts';

const flagBits = [
  ['FIN', 0x01],
  ['SYN', 0x02],
  ['RST', 0x04],
  ['PSH', 0x08],
  ['ACK', 0x10],
  ['URG', 0x20],
  ['ECE', 0x40],
  ['CWR', 0x80],
  ['NS', 0x100],
] as const;

export class MessageFields implements FlowFields {
  readonly #flow: Flow;
  readonly isLost = false;

  constructor(flow: Flow) {
    this.#flow = flow;
  }

  verdict(): number {
    return this.#flow.verdict;
  }

  dropReason(): number {
    return this.#flow.drop_reason_desc;
  }

  flowType(): number {
    return this.#flow.Type;
  }

  eventType(): number {
    return this.#flow.event_type?.type ?? 0;
  }

  eventSubType(): number {
    return this.#flow.event_type?.sub_type ?? 0;
  }

  ipVersion(): number {
    return this.#flow.IP?.ipVersion ?? 0;
  }

  sourceIp(): string {
    return this.#flow.IP?.source ?? '';
  }

  destinationIp(): string {
    return this.#flow.IP?.destination ?? '';
  }

  sourceIpTranslated(): string {
    return this.#flow.IP?.source_xlated ?? '';
  }

  encrypted(): boolean {
    return this.#flow.IP?.encrypted ?? false;
  }

  protocols(): readonly string[] {
    const { l4, l7 } = this.#flow;
    const names: string[] = [];
    if (l7?.dns !== undefined) names.push('dns');
    if (l7?.http !== undefined) names.push('http');
    if (l7?.kafka !== undefined) names.push('kafka');
    if (l4?.TCP !== undefined) names.push('tcp');
    if (l4?.UDP !== undefined) names.push('udp');
    if (l4?.SCTP !== undefined) names.push('sctp');
    if (l4?.ICMPv4 !== undefined) names.push('icmpv4', 'icmp');
    if (l4?.ICMPv6 !== undefined) names.push('icmpv6', 'icmp');
    if (l4?.VRRP !== undefined) names.push('vrrp');
    if (l4?.IGMP !== undefined) names.push('igmp');
    return names;
  }

  sourcePort(): number {
    return this.#ports()?.source_port ?? -1;
  }

  destinationPort(): number {
    return this.#ports()?.destination_port ?? -1;
  }

  #ports(): { source_port: number; destination_port: number } | undefined {
    const l4 = this.#flow.l4;
    return l4?.TCP ?? l4?.UDP ?? l4?.SCTP;
  }

  tcpFlags(): number {
    const tcp = this.#flow.l4?.TCP;
    if (tcp === undefined) return -1;
    let bits = 0;
    for (const [name, bit] of flagBits) if (tcp.flags?.[name] === true) bits |= bit;
    return bits;
  }

  source(): Endpoint | undefined {
    return this.#flow.source;
  }

  destination(): Endpoint | undefined {
    return this.#flow.destination;
  }

  sourceNames(): readonly string[] {
    return this.#flow.source_names;
  }

  destinationNames(): readonly string[] {
    return this.#flow.destination_names;
  }

  sourceService(): Service | undefined {
    return this.#flow.source_service;
  }

  destinationService(): Service | undefined {
    return this.#flow.destination_service;
  }

  isReply(): boolean | undefined {
    return this.#flow.is_reply;
  }

  trafficDirection(): number {
    return this.#flow.traffic_direction;
  }

  interfaceIndex(): number {
    return this.#flow.interface?.index ?? 0;
  }

  interfaceName(): string {
    return this.#flow.interface?.name ?? '';
  }

  uuid(): string {
    return this.#flow.uuid;
  }

  nodeName(): string {
    return this.#flow.node_name;
  }

  nodeLabels(): readonly string[] {
    return this.#flow.node_labels;
  }

  traceId(): string {
    return this.#flow.trace_context?.parent?.trace_id ?? '';
  }

  ipTraceId(): bigint {
    return this.#flow.ip_trace_id?.trace_id ?? 0n;
  }

  http(): HTTP | undefined {
    return this.#flow.l7?.http;
  }

  dns(): DNS | undefined {
    return this.#flow.l7?.dns;
  }
}
