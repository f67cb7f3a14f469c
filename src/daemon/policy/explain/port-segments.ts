/**
 * @module
 * Where verdicts can change from port to port: the ports of all rules cut every protocol into
 * segments, and within one of them a verdict is the same. For commands that look at all ports.
 */

import { parsePorts } from '../../ports.ts';
import { isNamed } from '../compile/resolve.ts';
import { directions } from '../rule.ts';
import type { OfflineModel } from './offline-model.ts';

export interface Segment {
  /** IANA number; for ICMP the ports are its types. */
  readonly proto: number;
  readonly first: number;
  readonly last: number;
}

export const protocolNames: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
};

const lastPort: Readonly<Record<number, number>> = {
  1: 255,
  6: 65535,
  17: 65535,
  58: 255,
  132: 65535,
};

/** The protocols that rules can name, in the order in which people look for them. */
export const protocolsInOrder: readonly number[] = [6, 17, 132, 1, 58];

/** In the order of `protocolsInOrder` and ascending; together they are all ports of each protocol. */
export function segmentsOf(models: readonly OfflineModel[]): Segment[] {
  const starts = new Map(protocolsInOrder.map((proto) => [proto, new Set([0])]));
  const add = (proto: number, first: number, last: number) => {
    const own = starts.get(proto);
    own?.add(first);
    if (last < (lastPort[proto] ?? 0)) own?.add(last + 1);
  };
  for (const { rules, pods, objects } of models) {
    const named = new Set<string>();
    for (const { rule } of rules) {
      for (const direction of directions) {
        for (const port of (rule[direction] ?? []).flatMap((item) => item.ports ?? [])) {
          if (isNamed(port)) named.add(`${port.name}/${port.proto}`);
          else add(port.proto, port.first, port.last);
        }
      }
    }
    const ports = pods.flatMap((pod) => parsePorts(pod.ports));
    for (const one of objects) if (one.kind === 'Pod') ports.push(...one.ports);
    for (const { name, proto, port } of ports) {
      if (named.has(`${name}/${proto}`)) add(proto, port, port);
    }
  }
  return protocolsInOrder.flatMap((proto) => {
    const firsts = [...(starts.get(proto) ?? [])].sort((a, b) => a - b);
    const end = lastPort[proto] ?? 0;
    return firsts.map((first, index) => ({
      proto,
      first,
      last: (firsts[index + 1] ?? end + 1) - 1,
    }));
  });
}

/** Neighbours become one. */
export function mergeSegments(segments: readonly Segment[]): Segment[] {
  const merged: Segment[] = [];
  for (const each of segments) {
    const before = merged.at(-1);
    if (before?.proto === each.proto && before.last + 1 === each.first) {
      merged[merged.length - 1] = { ...before, last: each.last };
    } else merged.push(each);
  }
  return merged;
}

export function isWhole({ proto, first, last }: Segment): boolean {
  return first === 0 && last === lastPort[proto];
}

/** `80/TCP`, `80-89/TCP`, `any port/TCP`, `ICMP/8`, `ICMP`. */
function formatSegment(segment: Segment): string {
  const { proto, first, last } = segment;
  const name = protocolNames[proto] ?? `protocol ${proto}`;
  const range = first === last ? String(first) : `${first}-${last}`;
  if (proto === 1 || proto === 58) return isWhole(segment) ? name : `${name}/${range}`;
  return isWhole(segment) ? `any port/${name}` : `${range}/${name}`;
}

/** All of them in one text; `all traffic` if nothing is missing. */
export function formatSegments(segments: readonly Segment[]): string {
  const merged = mergeSegments(segments);
  const whole = new Set(merged.filter(isWhole).map((each) => each.proto));
  // The other family's ICMP is no traffic between the two.
  if ([6, 17, 132].every((proto) => whole.has(proto)) && (whole.has(1) || whole.has(58))) {
    if (merged.every(isWhole)) return 'all traffic';
  }
  return merged.map(formatSegment).join(', ');
}
