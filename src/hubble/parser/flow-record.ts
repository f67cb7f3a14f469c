/**
 * @module
 * A flow in the ring, read in place: a cursor that computes the field that is
 * asked for from the event's bytes. Filters and the encoder both look through it,
 * so that they cannot disagree.
 */
import type { DNS, Endpoint, HTTP, Service } from '../../api/gen/flow/flow.ts';
import {
  AuthType,
  FlowType,
  IPVersion,
  TraceObservationPoint,
  TraceReason,
  TrafficDirection,
  Verdict,
} from '../../api/gen/flow/flow.ts';
import { type FlowRing, flowKind, type LostRecord } from '../observer/flow-ring.ts';
import type { ParserContext, Peer, PolicyNames } from './context.ts';
import {
  eventFlag,
  eventOffset,
  eventType,
  eventWords,
  isPolicyDrop,
  metricDirection,
} from './event-layout.ts';
import type { FlowFields } from './flow-fields.ts';
import { addressText, type FlowUuids, isZero } from './text.ts';

export const messageType = { drop: 1, trace: 4, policyVerdict: 5 } as const;
export const protocolNumber = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  icmpv6: 58,
  vrrp: 112,
  sctp: 132,
};

const toEndpoint = 0;
const none: readonly string[] = [];
const protocolNames: Readonly<Record<number, readonly string[]>> = {
  [protocolNumber.icmp]: ['icmpv4', 'icmp'],
  [protocolNumber.igmp]: ['igmp'],
  [protocolNumber.tcp]: ['tcp'],
  [protocolNumber.udp]: ['udp'],
  [protocolNumber.icmpv6]: ['icmpv6', 'icmp'],
  [protocolNumber.vrrp]: ['vrrp'],
  [protocolNumber.sctp]: ['sctp'],
};

export const defaultAuthType = AuthType.DISABLED;

export class FlowRecord implements FlowFields {
  readonly #ring: FlowRing;
  readonly #context: ParserContext;
  readonly #uuids: FlowUuids;
  readonly #nodeName: string;
  sequence = 0;
  kind = 0;
  event = 0;
  /** Offset of the event in `ring.bytes`. */
  start = 0;

  constructor(ring: FlowRing, context: ParserContext, uuids: FlowUuids, nodeName: string) {
    this.#ring = ring;
    this.#context = context;
    this.#uuids = uuids;
    this.#nodeName = nodeName;
  }

  /** Points at a flow that is in the ring; valid until the ring is written to. */
  seek(sequence: number): void {
    this.sequence = sequence;
    this.kind = this.#ring.kindAt(sequence);
    this.event = this.#ring.eventAt(sequence);
    this.start = this.event * eventWords * 4;
  }

  get isLost(): boolean {
    return this.kind === flowKind.lost;
  }

  lost(): LostRecord | undefined {
    return this.#ring.lost[this.event];
  }

  seconds(): number {
    return this.#ring.seconds[this.event] ?? 0;
  }

  nanos(): number {
    return this.#ring.nanos[this.event] ?? 0;
  }

  byte(offset: number): number {
    return this.#ring.bytes[this.start + offset] ?? 0;
  }

  #be16(offset: number): number {
    return this.byte(offset) * 256 + this.byte(offset + 1);
  }

  u16(offset: number): number {
    return this.byte(offset) + this.byte(offset + 1) * 256;
  }

  u32(offset: number): number {
    return this.#ring.words[(this.start + offset) >> 2] ?? 0;
  }

  hasFlag(flag: number): boolean {
    return (this.byte(eventOffset.flags) & flag) !== 0;
  }

  /** False for frames that are not IP. */
  hasIp(): boolean {
    return (
      this.hasFlag(eventFlag.ipv6) || !isZero(this.#ring.bytes, this.start + eventOffset.saddr, 32)
    );
  }

  #isDenied(): boolean {
    if (this.kind === flowKind.drop) return true;
    if (this.kind === flowKind.egressVerdict) return this.hasFlag(eventFlag.egressDenied);
    return this.kind === flowKind.ingressVerdict && this.hasFlag(eventFlag.ingressDenied);
  }

  verdict(): number {
    if (!this.#isDenied()) return Verdict.FORWARDED;
    // Denied and yet a new connection: the policy is only being audited.
    if (this.byte(eventOffset.type) !== eventType.drop) return Verdict.AUDIT;
    // So it is where the receiver was asked after the sender's policy had said no.
    const asked = this.kind === flowKind.egressVerdict && this.hasFlag(eventFlag.ingressDenied);
    return asked ? Verdict.AUDIT : Verdict.DROPPED;
  }

  /** A policy ended this packet; `trafficDirection` says which end's. */
  isPolicyDrop(): boolean {
    return this.kind === flowKind.drop && isPolicyDrop(this.byte(eventOffset.reason));
  }

  dropReason(): number {
    return this.verdict() === Verdict.DROPPED ? this.byte(eventOffset.reason) : 0;
  }

  flowType(): number {
    return FlowType.L3_L4;
  }

  eventType(): number {
    if (this.kind === flowKind.trace) return messageType.trace;
    return this.kind === flowKind.drop ? messageType.drop : messageType.policyVerdict;
  }

  eventSubType(): number {
    if (this.kind === flowKind.trace) return this.byte(eventOffset.tracePoint);
    return this.kind === flowKind.drop ? this.byte(eventOffset.reason) : 0;
  }

  ipVersion(): number {
    if (!this.hasIp()) return IPVersion.IP_NOT_USED;
    return this.hasFlag(eventFlag.ipv6) ? IPVersion.IPv6 : IPVersion.IPv4;
  }

  sourceIp(): string {
    return this.hasIp() ? addressText(this.#ring.bytes, this.start + eventOffset.saddr) : '';
  }

  destinationIp(): string {
    return this.hasIp() ? addressText(this.#ring.bytes, this.start + eventOffset.daddr) : '';
  }

  sourceIpTranslated(): string {
    return '';
  }

  encrypted(): boolean {
    return false;
  }

  protocol(): number {
    return this.hasIp() ? this.byte(eventOffset.proto) : 0;
  }

  protocols(): readonly string[] {
    return protocolNames[this.protocol()] ?? none;
  }

  #hasPorts(): boolean {
    const protocol = this.protocol();
    return (
      protocol === protocolNumber.tcp ||
      protocol === protocolNumber.udp ||
      protocol === protocolNumber.sctp
    );
  }

  sourcePort(): number {
    return this.#hasPorts() ? this.#be16(eventOffset.sport) : -1;
  }

  destinationPort(): number {
    return this.#hasPorts() ? this.#be16(eventOffset.dport) : -1;
  }

  /** ICMP: the type is the low byte of the source port, the code the high one. */
  icmpType(): number {
    return this.byte(eventOffset.sport);
  }

  icmpCode(): number {
    return this.byte(eventOffset.sport + 1);
  }

  tcpFlags(): number {
    return this.protocol() === protocolNumber.tcp ? this.byte(eventOffset.tcpFlags) : -1;
  }

  /** The source as resolved, asking the tables again if they did not know it at first. */
  sourcePeer(): Peer {
    return this.#peer(this.#ring.sources, eventOffset.srcEndpoint, eventOffset.srcIdentity);
  }

  destinationPeer(): Peer {
    return this.#peer(this.#ring.destinations, eventOffset.dstEndpoint, eventOffset.dstIdentity);
  }

  #peer(peers: (Peer | undefined)[], endpointOffset: number, identityOffset: number): Peer {
    const known = peers[this.event];
    if (known?.complete === true) return known;
    const found = this.#context.peer(this.u16(endpointOffset), this.u32(identityOffset));
    if (known !== undefined && !found.complete) return known;
    peers[this.event] = found;
    return found;
  }

  source(): Endpoint {
    return this.sourcePeer().message;
  }

  destination(): Endpoint {
    return this.destinationPeer().message;
  }

  egressPolicies(): PolicyNames | undefined {
    return this.#policies(this.#ring.egressPolicies, eventOffset.cookie + 4);
  }

  ingressPolicies(): PolicyNames | undefined {
    return this.#policies(this.#ring.ingressPolicies, eventOffset.cookie);
  }

  #policies(known: (PolicyNames | undefined)[], offset: number): PolicyNames | undefined {
    const names = known[this.event] ?? this.#context.policies(this.u32(offset));
    known[this.event] = names;
    return names;
  }

  sourceNames(): readonly string[] {
    return none;
  }

  destinationNames(): readonly string[] {
    return none;
  }

  sourceService(): Service | undefined {
    return undefined;
  }

  destinationService(): Service | undefined {
    return undefined;
  }

  isReply(): boolean | undefined {
    const isDrop = this.#isDenied() && this.verdict() === Verdict.DROPPED;
    // A verdict is of a new connection, or, after a change of policy, of whichever packet came first.
    // Of what is denied only that is told: the first packet may be either.
    const isReply = this.#packetIsReply();
    return this.kind !== flowKind.trace && isDrop && !isReply ? undefined : isReply;
  }

  #packetIsReply(): boolean {
    return this.byte(eventOffset.type) === eventType.reply || this.hasFlag(eventFlag.isReply);
  }

  /** Of the connection as its local end sees it: a reply to what a pod asked is EGRESS. */
  trafficDirection(): number {
    if (this.kind === flowKind.egressVerdict) return TrafficDirection.EGRESS;
    if (this.kind === flowKind.ingressVerdict) return TrafficDirection.INGRESS;
    if (this.kind === flowKind.drop) return this.#dropDirection();
    const enters = this.byte(eventOffset.tracePoint) === toEndpoint;
    return enters === this.#packetIsReply() ? TrafficDirection.EGRESS : TrafficDirection.INGRESS;
  }

  /** The sender's policy is asked first, so of two that said no it was only audited. */
  #dropDirection(): number {
    if (this.isPolicyDrop()) {
      if (this.hasFlag(eventFlag.ingressDenied)) return TrafficDirection.INGRESS;
      if (this.hasFlag(eventFlag.egressDenied)) return TrafficDirection.EGRESS;
    }
    const direction = this.byte(eventOffset.direction);
    if (direction === metricDirection.egress) return TrafficDirection.EGRESS;
    if (direction === metricDirection.ingress) return TrafficDirection.INGRESS;
    return TrafficDirection.TRAFFIC_DIRECTION_UNKNOWN;
  }

  policyMatchType(): number {
    if (this.kind === flowKind.egressVerdict) return this.byte(eventOffset.matchType + 1);
    return this.kind === flowKind.ingressVerdict ? this.byte(eventOffset.matchType) : 0;
  }

  traceObservationPoint(): number {
    const point = this.byte(eventOffset.tracePoint);
    return point === toEndpoint ? TraceObservationPoint.TO_ENDPOINT : point;
  }

  traceReason(): number {
    if (this.byte(eventOffset.type) === eventType.new) return TraceReason.NEW;
    return this.#packetIsReply() ? TraceReason.REPLY : TraceReason.ESTABLISHED;
  }

  interfaceIndex(): number {
    return this.u32(eventOffset.ifindex);
  }

  interfaceName(): string {
    return this.#context.interfaceName(this.interfaceIndex());
  }

  uuid(): string {
    return this.#uuids.text(this.sequence);
  }

  nodeName(): string {
    return this.#nodeName;
  }

  nodeLabels(): readonly string[] {
    return none;
  }

  traceId(): string {
    return '';
  }

  ipTraceId(): bigint {
    return 0n;
  }

  http(): HTTP | undefined {
    return undefined;
  }

  dns(): DNS | undefined {
    return undefined;
  }
}
