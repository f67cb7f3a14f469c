/**
 * @module
 * What filters may ask about a flow. Two things answer: a flow in the ring
 * (`FlowRecord`, nothing decoded) and a decoded message (`MessageFields`, for
 * captures that are replayed).
 */
import type { DNS, Endpoint, HTTP, Service } from '../../api/gen/flow/flow.ts';

export interface FlowFields {
  /** True for a record of lost events: no filter applies to it. */
  readonly isLost: boolean;
  verdict(): number;
  dropReason(): number;
  flowType(): number;
  eventType(): number;
  eventSubType(): number;
  ipVersion(): number;
  sourceIp(): string;
  destinationIp(): string;
  sourceIpTranslated(): string;
  encrypted(): boolean;
  /** Lower-case names, the most specific first: `dns`, `udp`. */
  protocols(): readonly string[];
  /** -1 where the protocol has no ports. */
  sourcePort(): number;
  destinationPort(): number;
  /** Bits as in the TCP header and 0x100 for NS; -1 if it is not TCP. */
  tcpFlags(): number;
  source(): Endpoint | undefined;
  destination(): Endpoint | undefined;
  sourceNames(): readonly string[];
  destinationNames(): readonly string[];
  sourceService(): Service | undefined;
  destinationService(): Service | undefined;
  isReply(): boolean | undefined;
  trafficDirection(): number;
  interfaceIndex(): number;
  interfaceName(): string;
  uuid(): string;
  nodeName(): string;
  nodeLabels(): readonly string[];
  traceId(): string;
  ipTraceId(): bigint;
  http(): HTTP | undefined;
  dns(): DNS | undefined;
}
