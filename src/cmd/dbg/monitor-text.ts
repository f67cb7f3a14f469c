/**
 * @module A flow as the line that upstream's monitor prints for the event behind it: a policy verdict, a
 * drop, or a packet that was passed on. The hash that upstream calls `flow` is not known here and is 0.
 */
import {
  type Endpoint,
  type Flow,
  TraceObservationPoint,
  TraceReason,
  TrafficDirection,
  Verdict,
} from '../../api/gen/flow/flow.ts';
import { dropReasonText } from './drop-reason.ts';

export type EventKind = 'drop' | 'trace' | 'policy-verdict';

/** Numbers of the datapath's notifications (`CiliumEventType.type`). */
const eventTypes: ReadonlyMap<number, EventKind> = new Map([
  [1, 'drop'],
  [4, 'trace'],
  [5, 'policy-verdict'],
]);

/** What a flow was made of. */
export function eventKind(flow: Flow): EventKind {
  return eventTypes.get(flow.event_type?.type ?? 0) ?? 'trace';
}

/** One line, without a newline. */
export function formatEvent(flow: Flow, numeric = false): string {
  const kind = eventKind(flow);
  if (kind === 'policy-verdict') return verdictLine(flow, numeric);
  return kind === 'drop' ? dropLine(flow, numeric) : traceLine(flow, numeric);
}

function verdictLine(flow: Flow, numeric: boolean): string {
  const isEgress = flow.traffic_direction === TrafficDirection.EGRESS;
  const local = isEgress ? flow.source : flow.destination;
  const remote = isEgress ? flow.destination : flow.source;
  return (
    `Policy verdict log: flow 0x0 local EP ID ${local?.ID ?? 0}, ` +
    `remote ID ${identityText(remote, numeric)}, proto ${protocolNumber(flow)}, ` +
    `${isEgress ? 'egress' : 'ingress'}, action ${actionText(flow.verdict)}, ` +
    `auth: disabled, match ${matchText(flow.policy_match_type)}, ${packetText(flow)}`
  );
}

function actionText(verdict: Verdict): string {
  if (verdict === Verdict.FORWARDED) return 'allow';
  if (verdict === Verdict.AUDIT) return 'audit';
  return verdict === Verdict.REDIRECTED ? 'redirect' : 'deny';
}

function dropLine(flow: Flow, numeric: boolean): string {
  const file = flow.file === undefined ? '' : ` file ${flow.file.name}:${flow.file.line},`;
  const reason = dropReasonText(flow.drop_reason);
  return (
    `xx drop (${reason}) flow 0x0 to endpoint ${flow.destination?.ID ?? 0}, ` +
    `ifindex ${flow.interface?.index ?? 0},${file} , ${identities(flow, numeric)}: ${packetText(flow)}`
  );
}

/** Where a packet went or came from, by upstream's observation points. */
const points: ReadonlyMap<TraceObservationPoint, (flow: Flow) => string> = new Map([
  [TraceObservationPoint.TO_ENDPOINT, (flow) => `-> endpoint ${flow.destination?.ID ?? 0}`],
  [TraceObservationPoint.TO_PROXY, () => '-> proxy'],
  [TraceObservationPoint.TO_HOST, () => '-> host'],
  [TraceObservationPoint.TO_STACK, () => '-> stack'],
  [TraceObservationPoint.TO_OVERLAY, () => '-> overlay'],
  [TraceObservationPoint.TO_NETWORK, () => '-> network'],
  [TraceObservationPoint.FROM_ENDPOINT, (flow) => `<- endpoint ${flow.source?.ID ?? 0}`],
  [TraceObservationPoint.FROM_PROXY, () => '<- proxy'],
  [TraceObservationPoint.FROM_HOST, () => '<- host'],
  [TraceObservationPoint.FROM_STACK, () => '<- stack'],
  [TraceObservationPoint.FROM_OVERLAY, () => '<- overlay'],
  [TraceObservationPoint.FROM_NETWORK, () => '<- network'],
] as [TraceObservationPoint, (flow: Flow) => string][]);

function traceLine(flow: Flow, numeric: boolean): string {
  const where = points.get(flow.trace_observation_point)?.(flow) ?? '-> unknown';
  const device = flow.interface?.name || flow.interface?.index || 0;
  return (
    `${where} flow 0x0 , ${identities(flow, numeric)} state ${stateText(flow)} ` +
    `ifindex ${device} orig-ip ${flow.IP?.source ?? ''}: ${packetText(flow)}`
  );
}

const states: ReadonlyMap<TraceReason, string> = new Map<TraceReason, string>([
  [TraceReason.NEW, 'new'],
  [TraceReason.ESTABLISHED, 'established'],
  [TraceReason.REPLY, 'reply'],
  [TraceReason.RELATED, 'related'],
]);

function stateText(flow: Flow): string {
  return states.get(flow.trace_reason) ?? (flow.is_reply === true ? 'reply' : 'unknown');
}

function identities(flow: Flow, numeric: boolean): string {
  return `identity ${identityText(flow.source, numeric)}->${identityText(flow.destination, numeric)}`;
}

/** Reserved identities print by name. */
function identityText(endpoint: Endpoint | undefined, numeric: boolean): string {
  const identity = endpoint?.identity ?? 0;
  const name = reserved.get(identity);
  return numeric || name === undefined ? String(identity) : name;
}

const reserved: ReadonlyMap<number, string> = new Map([
  [0, 'unknown'],
  [1, 'host'],
  [2, 'world'],
  [3, 'unmanaged'],
  [4, 'health'],
  [5, 'init'],
  [6, 'remote-node'],
  [7, 'kube-apiserver'],
  [8, 'ingress'],
  [9, 'world-ipv4'],
  [10, 'world-ipv6'],
]);

const matches = ['none', 'L3-Only', 'L3-L4', 'L4-Only', 'all', 'L3-Proto', 'Proto-Only'] as const;

function matchText(type: number): string {
  return matches[type] ?? 'unknown';
}

function protocolNumber({ l4 }: Flow): number {
  if (l4?.TCP !== undefined) return 6;
  if (l4?.UDP !== undefined) return 17;
  if (l4?.ICMPv4 !== undefined) return 1;
  if (l4?.ICMPv6 !== undefined) return 58;
  return l4?.SCTP !== undefined ? 132 : 0;
}

/** Addresses, ports and what kind of packet it was. */
function packetText({ IP, l4 }: Flow): string {
  const source = IP?.source ?? '';
  const destination = IP?.destination ?? '';
  const ports = l4?.TCP ?? l4?.UDP ?? l4?.SCTP;
  const ends =
    ports === undefined
      ? `${source} -> ${destination}`
      : `${withPort(source, ports.source_port)} -> ${withPort(destination, ports.destination_port)}`;
  if (l4?.TCP !== undefined) return `${ends} tcp ${flagText(l4.TCP.flags)}`.trimEnd();
  if (l4?.UDP !== undefined) return `${ends} udp`;
  if (l4?.SCTP !== undefined) return `${ends} sctp`;
  const icmp = l4?.ICMPv4 ?? l4?.ICMPv6;
  if (icmp === undefined) return ends;
  const names = l4?.ICMPv4 === undefined ? icmp6Names : icmp4Names;
  return `${ends} icmp ${names.get(icmp.type) ?? `${icmp.type}(${icmp.code})`}`;
}

function withPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

type TcpFlags = NonNullable<NonNullable<NonNullable<Flow['l4']>['TCP']>['flags']>;

function flagText(flags: TcpFlags | undefined): string {
  const order = ['SYN', 'ACK', 'RST', 'FIN'] as const;
  return order.filter((name) => flags?.[name] === true).join(', ');
}

const icmp4Names: ReadonlyMap<number, string> = new Map([
  [0, 'EchoReply'],
  [3, 'DestinationUnreachable'],
  [8, 'EchoRequest'],
  [11, 'TimeExceeded'],
]);

const icmp6Names: ReadonlyMap<number, string> = new Map([
  [1, 'DestinationUnreachable'],
  [2, 'PacketTooBig'],
  [3, 'TimeExceeded'],
  [128, 'EchoRequest'],
  [129, 'EchoReply'],
  [133, 'RouterSolicitation'],
  [134, 'RouterAdvertisement'],
  [135, 'NeighborSolicitation'],
  [136, 'NeighborAdvertisement'],
]);
