/**
 * @module REST's NodeAddressing: the ranges of this node's pods and the addresses of their gateway.
 */
import type { RestContext } from './context.ts';

/** Range and router address of each enabled family. */
export function hostAddressing({ ipam }: RestContext): object {
  const ipv4 = element(ipam.range(4), ipam.router(4));
  const ipv6 = element(ipam.range(6), ipam.router(6));
  return { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}

/** The same with the node's own addresses. */
export function nodeAddressing({ ipam, settings }: RestContext): object {
  const ipv4 = element(ipam.range(4), settings.nodeIpv4);
  const ipv6 = element(ipam.range(6), settings.nodeIpv6);
  return { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}

function element(range: string | undefined, ip: string | undefined): object | undefined {
  if (range === undefined || ip === undefined) return undefined;
  return { 'alloc-range': range, enabled: true, ip };
}
