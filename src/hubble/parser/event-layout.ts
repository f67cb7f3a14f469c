/**
 * @module
 * Where the fields of `struct flow_event` (src/bpf/lib/types.h) are, and its
 * enums, as plain numbers: the parser reads them by offset from a copy of the
 * record, so that nothing is decoded that nobody asks for.
 */

export const eventBytes = 104;
export const eventWords = eventBytes / 4;

/** Byte offsets. */
export const eventOffset = {
  timeNs: 0,
  saddr: 8,
  daddr: 24,
  sport: 40,
  dport: 42,
  proto: 44,
  tcpFlags: 45,
  type: 46,
  reason: 47,
  srcIdentity: 48,
  dstIdentity: 52,
  srcEndpoint: 56,
  dstEndpoint: 58,
  ifindex: 60,
  cookie: 64,
  matchType: 72,
  flags: 74,
  tracePoint: 75,
  length: 76,
  smac: 80,
  dmac: 86,
  line: 92,
  file: 94,
  direction: 95,
  epoch: 96,
} as const;

export const eventType = { new: 1, reply: 2, close: 3, drop: 4 } as const;

export const eventFlag = {
  egressJudged: 1,
  ingressJudged: 2,
  ipv6: 4,
  reevaluated: 8,
  isReply: 16,
  egressDenied: 32,
  ingressDenied: 64,
} as const;

/** Index into cookie[] and match_type[]. */
export const policyDirection = { ingress: 0, egress: 1 } as const;

export const metricDirection = { ingress: 1, egress: 2 } as const;

const dropPolicy = 133;
const dropPolicyDeny = 181;

/** True if the drop is a policy's decision. */
export function isPolicyDrop(reason: number): boolean {
  return reason === dropPolicy || reason === dropPolicyDeny;
}
