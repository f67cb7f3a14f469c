/**
 * @module One rule of any kind as two questions, about the peer and about the port, and what the
 * policies of a cluster mean for one subject and direction. The three kinds of policies make these;
 * oracle.ts asks them.
 */
import { type Prefix, parsePrefix, prefixContains } from './addresses.ts';
import type { Family, Protocol, Query } from './documents.ts';
import type { Party } from './parties.ts';

export type PeerTest = (peer: Party, family: Family) => boolean;
/** The receiver is the end whose container ports have the names. */
export type PortTest = (query: Query, receiver: Party) => boolean;

export interface Rule {
  /** As it appears in a verdict. */
  readonly name: string;
  readonly action: 'allow' | 'deny' | 'pass';
  readonly matchesPeer: PeerTest;
  readonly matchesPort: PortTest;
}

/** What the network tier holds for one subject and direction. */
export interface NetworkTier {
  readonly denies: Rule[];
  readonly allows: Rule[];
  /** Names of the policies because of which everything else is denied. */
  readonly causes: string[];
  /** Whether some policy has a section for the direction at all. */
  present: boolean;
}

export const anyPeer: PeerTest = () => true;
export const noPeer: PeerTest = () => false;
export const anyPort: PortTest = () => true;

/** The name of a rule: the path inside the policy is left out by nobody but Kubernetes' own kind. */
export function ruleName(
  kind: string,
  namespace: string | undefined,
  name: string,
  index: number,
  path: string,
): string {
  return `${kind}/${namespace ?? ''}/${name}#${index}:${path}`;
}

export function anyPeerOf(tests: readonly PeerTest[]): PeerTest {
  return (peer, family) => tests.some((test) => test(peer, family));
}

export function anyPortOf(tests: readonly PortTest[]): PortTest {
  return (query, receiver) => tests.some((test) => test(query, receiver));
}

/** By the address alone, whoever has it. */
export function inPrefixes(cidrs: readonly string[], except: readonly string[] = []): PeerTest {
  const inside = cidrs.map(parsePrefix);
  const outside = except.map(parsePrefix);
  return (peer, family) => {
    const address = peer.addresses.get(family);
    if (address === undefined) return false;
    const holds = (prefix: Prefix) => prefixContains(prefix, address);
    return inside.some(holds) && !outside.some(holds);
  };
}

/** All ports of a protocol, or those from first to last. */
export function portRange(protocol: Protocol, first = 0, last = 65535): PortTest {
  return (query) => query.protocol === protocol && query.port >= first && query.port <= last;
}

/** The receiver's own container port of that name; of that protocol too, where one is named. */
export function namedPort(name: string, protocol?: Protocol): PortTest {
  return (query, receiver) =>
    (protocol === undefined || query.protocol === protocol) &&
    (receiver.pod?.namedPorts ?? []).some(
      (one) => one.name === name && one.protocol === query.protocol && one.port === query.port,
    );
}
