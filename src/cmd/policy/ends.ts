/**
 * @module `FROM TO[:PORT/PROTO]` of the command line: which pod, address or place is meant, and which
 * port. Names are looked up in the cluster; the families are those that both ends have.
 */

import type { End, OfflineCluster } from '../../daemon/policy/explain/offline.ts';
import { protocolNames } from '../../daemon/policy/explain/port-segments.ts';
import { icmpTypeOf } from '../../daemon/policy/parse/icmp.ts';
import { parsePorts } from '../../daemon/ports.ts';
import { suggest } from '../../k8s/problem.ts';
import { type Family, formatAddress, parseAddress } from '../../net/address.ts';
import { parsePrefix } from '../../net/prefix.ts';
import { UsageError } from '../flags.ts';

/** A port as written. */
export type WrittenPort =
  | { readonly kind: 'any' }
  | { readonly kind: 'number'; readonly proto: number; readonly port: number }
  | { readonly kind: 'name'; readonly proto: number | undefined; readonly name: string }
  /** Without a type it is an echo request. */
  | {
      readonly kind: 'icmp';
      readonly proto: number | undefined;
      readonly type: number | undefined;
    };

/** The same question for one family. */
export interface Pair {
  readonly family: Family;
  readonly from: End;
  readonly to: End;
}

export interface L4 {
  readonly proto: number;
  /** The type for ICMP. */
  readonly port: number;
}

const protocols: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };
const echoRequest: Readonly<Record<Family, L4>> = {
  4: { proto: 1, port: 8 },
  6: { proto: 58, port: 128 },
};

/** Splits `TO:PORT/PROTO`; an IPv6 address with a port stands in brackets. Throws `UsageError`. */
export function splitTarget(text: string): { readonly name: string; readonly port: WrittenPort } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(text);
  if (bracketed !== null) {
    return { name: bracketed[1] ?? '', port: parsePort(bracketed[2]) };
  }
  const colon = text.lastIndexOf(':');
  const isWhole = parseAddress(text) !== undefined || parsePrefix(text) !== undefined;
  if (colon < 0 || isWhole) return { name: text, port: { kind: 'any' } };
  const name = text.slice(0, colon);
  if (name.includes(':')) {
    throw new UsageError(`${JSON.stringify(text)}: an IPv6 address with a port is [ADDRESS]:PORT`);
  }
  return { name, port: parsePort(text.slice(colon + 1)) };
}

/**
 * `80`, `80/tcp`, `http`, `icmp`, `icmp/8`, `8/icmp`, `icmp/EchoRequest`, `icmpv6/128`. Throws
 * `UsageError`.
 */
export function parsePort(text: string | undefined): WrittenPort {
  if (text === undefined || text === '') return { kind: 'any' };
  const icmp = /^(icmp|icmpv6)(?:\/([^/]+))?$/i.exec(text);
  if (icmp !== null) return parseIcmp(text, icmp[1] ?? '', icmp[2]);
  const turned = /^([^/]+)\/(icmp|icmpv6)$/i.exec(text);
  if (turned !== null) return parseIcmp(text, turned[2] ?? '', turned[1]);
  const [port = '', protocol, ...rest] = text.split('/');
  const proto = protocol === undefined ? undefined : protocols[protocol.toLowerCase()];
  if (rest.length > 0 || (protocol !== undefined && proto === undefined)) {
    throw new UsageError(`port ${JSON.stringify(text)}: PORT/tcp, udp or sctp, icmp/TYPE`);
  }
  if (/^\d+-\d+$/.test(port)) {
    throw new UsageError(
      `port ${JSON.stringify(text)}: one port, not a range; policy why without a port tells every port that is open`,
    );
  }
  if (/^\d+$/.test(port)) {
    if (Number(port) < 1 || Number(port) > 65535) {
      throw new UsageError(`port ${JSON.stringify(text)}: from 1 to 65535`);
    }
    return { kind: 'number', proto: proto ?? 6, port: Number(port) };
  }
  if (!/^[a-z0-9-]{1,15}$/i.test(port)) throw new UsageError(`not a port: ${JSON.stringify(text)}`);
  return { kind: 'name', proto, name: port.toLowerCase() };
}

function parseIcmp(text: string, name: string, type: string | undefined): WrittenPort {
  const isIpv6 = name.toLowerCase() === 'icmpv6';
  const isNumber = /^\d+$/.test(type ?? '0');
  if (isNumber && Number(type ?? 0) > 255) {
    throw new UsageError(`${JSON.stringify(text)}: types are 0 to 255`);
  }
  const number = isNumber ? Number(type) : icmpTypeOf(type ?? '', isIpv6 ? 'IPv6' : 'IPv4');
  if (typeof number === 'string') throw new UsageError(number);
  if (type === undefined) return { kind: 'icmp', proto: isIpv6 ? 58 : undefined, type };
  return { kind: 'icmp', proto: isIpv6 ? 58 : 1, type: number };
}

/** An end by its name on the command line. Throws `UsageError`. */
export function endName(cluster: OfflineCluster, text: string, namespace: string): string {
  if (text === '') throw new UsageError(`an end has no name: ${endForms}`);
  const address = parseAddress(text);
  if (address !== undefined) return formatAddress(address);
  if (parsePrefix(text) !== undefined) {
    throw new UsageError(`${JSON.stringify(text)} is a block of addresses: name one address of it`);
  }
  if (text === 'host' || text === 'world' || text.includes('/')) return text;
  const pod = `${namespace}/${text}`;
  return cluster.hasNode(text) && !cluster.has(pod) ? text : pod;
}

const endForms = 'a pod, a node, an address, host or world';

/** The ends in every family that both have. Throws `UsageError` if there is none. */
export function pairsOf(
  cluster: OfflineCluster,
  fromName: string,
  toName: string,
  families: readonly Family[],
): Pair[] {
  for (const name of [fromName, toName]) checkEnd(cluster, name);
  const pairs = families.flatMap((family): Pair[] => {
    const from = cluster.end(fromName, family);
    const to = cluster.end(toName, family);
    if (from === undefined || to === undefined) return [];
    return [{ family, from: cluster.asSource(from), to }];
  });
  if (pairs.length > 0) return pairs;
  const which = families.length === 1 ? `IPv${families[0]}` : 'of a common family';
  throw new UsageError(`${fromName} and ${toName} have no addresses ${which}`);
}

function checkEnd(cluster: OfflineCluster, name: string): void {
  if (cluster.end(name) !== undefined) return;
  if (cluster.has(name)) throw new UsageError(`${name} has no address yet: nothing reaches it`);
  const names = [...cluster.model.pods, ...cluster.model.hostPods].map((pod) => pod.name);
  const nearest = namesakes(name, names) ?? suggest(name, names);
  const isDnsName = nearest === '' && /^[^/]*\/[^/]+\.[a-z]{2,}\.?$/i.test(name);
  const hint = isDnsName ? '; names of DNS are not looked up: give an address, or world' : nearest;
  const isPlace = name.endsWith('/node');
  throw new UsageError(
    `there is no pod ${name}${isPlace ? '; the node of this agent is "host"' : hint}`,
  );
}

/** Pods of this name in other namespaces, as a hint. */
function namesakes(name: string, names: readonly string[]): string | undefined {
  const found = names.filter((each) => each.endsWith(name.slice(name.indexOf('/'))));
  return found.length === 0 ? undefined : ` (did you mean ${found.slice(0, 3).join(' or ')}?)`;
}

/** The numbers of a written port towards an end; undefined for any port. Throws `UsageError`. */
export function portTo(port: WrittenPort, { family, to }: Pair): L4 | undefined {
  switch (port.kind) {
    case 'any':
      return undefined;
    case 'number':
      return { proto: port.proto, port: port.port };
    case 'icmp': {
      const { proto, port: type } = echoRequest[family];
      return { proto: port.proto ?? proto, port: port.type ?? (port.proto === 58 ? 128 : type) };
    }
    case 'name': {
      const own = parsePorts(to.pod?.ports ?? '');
      const found = own.find(
        (each) =>
          each.name === port.name && (port.proto === undefined || each.proto === port.proto),
      );
      if (found !== undefined) return { proto: found.proto, port: found.port };
      const other = own.find((each) => each.name === port.name);
      if (other !== undefined) {
        const named = `${JSON.stringify(port.name)} of ${to.name}`;
        throw new UsageError(`${named} is ${formatL4(other)}: a name is of one protocol`);
      }
      const hint = suggest(
        port.name,
        own.map((each) => each.name),
      );
      throw new UsageError(`${to.name} has no port named ${JSON.stringify(port.name)}${hint}`);
    }
  }
}

/** `80/TCP`, `ICMP/8`. */
export function formatL4({ proto, port }: L4): string {
  const name = protocolNames[proto] ?? String(proto);
  return proto === 1 || proto === 58 ? `${name}/${port}` : `${port}/${name}`;
}
