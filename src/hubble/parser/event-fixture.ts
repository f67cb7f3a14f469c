/**
 * @module
 * Builds kernel event records and a small world of tables, for tests and benchmarks
 * of everything behind the ring buffer. Nothing at run time imports it.
 */

import { requireAddress } from '../../net/address.ts';
import type { FlowTables } from './context.ts';
import { eventBytes, eventFlag, eventOffset, eventType } from './event-layout.ts';

export interface EventFields {
  readonly timeNs: bigint;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly proto: number;
  readonly tcpFlags: number;
  readonly type: number;
  readonly reason: number;
  readonly srcIdentity: number;
  readonly dstIdentity: number;
  readonly srcEndpoint: number;
  readonly dstEndpoint: number;
  readonly ifindex: number;
  readonly ingressCookie: number;
  readonly egressCookie: number;
  readonly ingressMatch: number;
  readonly egressMatch: number;
  readonly flags: number;
  readonly tracePoint: number;
  readonly line: number;
  readonly file: number;
  readonly direction: number;
}

/** A SYN from shop/client to shop/web that both policies allow. */
export const allowedSyn: EventFields = {
  timeNs: 5_000_000_123n,
  source: '10.0.0.1',
  destination: '10.0.0.2',
  sourcePort: 40000,
  destinationPort: 8080,
  proto: 6,
  tcpFlags: 0x02,
  type: eventType.new,
  reason: 0,
  srcIdentity: 1001,
  dstIdentity: 1002,
  srcEndpoint: 11,
  dstEndpoint: 12,
  ifindex: 7,
  ingressCookie: 501,
  egressCookie: 500,
  ingressMatch: 2,
  egressMatch: 1,
  flags: eventFlag.egressJudged | eventFlag.ingressJudged,
  tracePoint: 0,
  line: 0,
  file: 0,
  direction: 0,
};

/** The record as the kernel writes it, in memory that starts at a multiple of four. */
export function encodeEvent(changes: Partial<EventFields> = {}): Uint8Array {
  const event = { ...allowedSyn, ...changes };
  const bytes = new Uint8Array(eventBytes);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(eventOffset.timeNs, event.timeNs, true);
  bytes.set(requireAddress(event.source).bytes, eventOffset.saddr);
  bytes.set(requireAddress(event.destination).bytes, eventOffset.daddr);
  const isIcmp = event.proto === 1 || event.proto === 58;
  view.setUint16(eventOffset.sport, event.sourcePort, isIcmp);
  view.setUint16(eventOffset.dport, event.destinationPort, false);
  bytes[eventOffset.proto] = event.proto;
  bytes[eventOffset.tcpFlags] = event.tcpFlags;
  bytes[eventOffset.type] = event.type;
  bytes[eventOffset.reason] = event.reason;
  view.setUint32(eventOffset.srcIdentity, event.srcIdentity, true);
  view.setUint32(eventOffset.dstIdentity, event.dstIdentity, true);
  view.setUint16(eventOffset.srcEndpoint, event.srcEndpoint, true);
  view.setUint16(eventOffset.dstEndpoint, event.dstEndpoint, true);
  view.setUint32(eventOffset.ifindex, event.ifindex, true);
  view.setUint32(eventOffset.cookie, event.ingressCookie, true);
  view.setUint32(eventOffset.cookie + 4, event.egressCookie, true);
  bytes[eventOffset.matchType] = event.ingressMatch;
  bytes[eventOffset.matchType + 1] = event.egressMatch;
  bytes[eventOffset.flags] = event.flags | (event.source.includes(':') ? eventFlag.ipv6 : 0);
  bytes[eventOffset.tracePoint] = event.tracePoint;
  bytes.set([0x02, 0, 0, 0, 0, 0x01], eventOffset.smac);
  bytes.set([0x02, 0, 0, 0, 0, 0xfe], eventOffset.dmac);
  view.setUint16(eventOffset.line, event.line, true);
  bytes[eventOffset.file] = event.file;
  bytes[eventOffset.direction] = event.direction;
  return bytes;
}

const podLabels = (app: string, tier: string) => [
  `k8s:app=${app}`,
  'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop',
  'k8s:io.cilium.k8s.policy.cluster=default',
  'k8s:io.cilium.k8s.policy.serviceaccount=default',
  'k8s:io.kubernetes.pod.namespace=shop',
  `k8s:tier=${tier}`,
];

const policy = (name: string) => ({
  kind: 'CiliumNetworkPolicy',
  namespace: 'shop',
  name,
  ruleIndex: 0,
  items: ['ingress[1]'],
  labels: [
    'k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy',
    `k8s:io.cilium.k8s.policy.name=${name}`,
    'k8s:io.cilium.k8s.policy.namespace=shop',
  ],
  revision: 3,
});

/** Two pods of namespace shop, the host, the world, and the policies of cookies 500 to 502. */
export function smallWorld(): FlowTables {
  const endpoint = (id: number, identity: number, podName: string, app: string, tier: string) => ({
    id,
    identity,
    podName,
    namespace: 'shop',
    labels: podLabels(app, tier),
    ifindex: id - 4,
    interfaceName: `lxc${podName}`,
  });
  const endpoints = new Map([
    [11, endpoint(11, 1001, 'client', 'client', 'front')],
    [12, endpoint(12, 1002, 'web', 'web', 'back')],
  ]);
  const identities = new Map([
    [1, { labels: ['reserved:host'] }],
    [9, { labels: ['reserved:world-ipv4'] }],
    [1001, { labels: podLabels('client', 'front') }],
    [1002, { labels: podLabels('web', 'back') }],
  ]);
  const cookies = new Map([
    [500, [policy('client-egress')]],
    [501, [policy('web-ingress')]],
    [502, [policy('web-ingress'), policy('web-extra')]],
  ]);
  return {
    endpoint: (id) => endpoints.get(id),
    identity: (id) => identities.get(id),
    address: () => undefined,
    cookie: (cookie) => cookies.get(cookie),
    interfaceName: (ifindex) =>
      [...endpoints.values()].find((row) => row.ifindex === ifindex)?.interfaceName,
  };
}
