/**
 * @module
 * One entry of a section of the Cilium kinds. What absent, empty and `{}` mean is decided here and
 * nowhere else.
 */

import { FieldReader } from '../../../k8s/field.ts';
import type { Place } from '../../../k8s/place.ts';
import type { Problems } from '../../../k8s/problem.ts';
import { formatSelector } from '../format-selector.ts';
import type { Direction, Peer, PortMatch, RuleItem } from '../rule.ts';
import { parseIcmps } from './icmp.ts';
import { type PolicyScope, parsePeers, parseRequires } from './peer.ts';
import { parseToPorts } from './ports.ts';
import { denyHints, itemFields, peerFields, type SectionName } from './schema.ts';

const authenticationModes = ['disabled', 'required', 'test-always-fail'] as const;

/** Where an entry stands. */
export interface ItemContext {
  readonly section: SectionName;
  readonly index: number;
  readonly isNode: boolean;
  readonly scope: PolicyScope;
}

/** Undefined (and problems) if anything in it cannot be carried out. */
export function parseItem(
  value: unknown,
  place: Place,
  { section, index, isNode, scope }: ItemContext,
  problems: Problems,
): RuleItem | undefined {
  const deny = section.endsWith('Deny');
  const hints = deny ? denyHints : undefined;
  const item = FieldReader.open(value, place, itemFields(section), problems, hints);
  if (item === undefined) return undefined;
  const before = problems.count;
  const direction: Direction = section.startsWith('ingress') ? 'ingress' : 'egress';
  const side = direction === 'ingress' ? 'from' : 'to';
  const possible = itemFields(section);
  const named = peerFields[direction].filter((each) => item.has(each) && possible.includes(each));
  if (named.length > 1) {
    problems.add(place, `${named.join(' and ')} cannot stand together; use one entry for each`);
  }
  const parsed = named.map((field) => ({ field, ...parsePeers(item, field, scope) }));
  const requires = parseRequires(item, `${side}Requires`, scope);
  const toPorts = parseToPorts(item, {
    direction,
    deny,
    isNode,
    isClusterwide: scope.namespace === '',
  });
  const icmps = parseIcmps(item);
  if ((toPorts?.written.length ?? 0) > 0 && (icmps?.written.length ?? 0) > 0) {
    problems.add(place, 'icmps and toPorts cannot stand together; use one entry for each');
  }
  if (!deny) parseAuthentication(item);
  if (problems.count > before) return undefined;
  const ports = portsOf(toPorts?.ports, icmps?.ranges);
  return {
    path: `${section}[${index}]`,
    name: undefined,
    action: deny ? 'deny' : 'allow',
    peers: peersOf(parsed[0]?.peers, ports !== undefined),
    requires,
    ports,
    written: JSON.stringify({
      ...Object.fromEntries(parsed.map(({ field, written }) => [field, written])),
      ...(item.has(`${side}Requires`) ? { [`${side}Requires`]: requires.map(formatSelector) } : {}),
      ...(toPorts === undefined ? {} : { toPorts: toPorts.written }),
      ...(icmps === undefined ? {} : { icmps: icmps.written }),
      ...(item.has('authentication') ? { authentication: { mode: 'disabled' } } : {}),
    }),
  };
}

/** An empty list restricts nothing, as if it were absent. */
function portsOf(
  toPorts: readonly PortMatch[] | undefined,
  icmps: readonly PortMatch[] | undefined,
): readonly PortMatch[] | undefined {
  const ports = [...(toPorts ?? []), ...(icmps ?? [])];
  return ports.length === 0 ? undefined : ports;
}

/**
 * Absent peers are anybody, an empty list is nobody; but an entry that names neither peers nor
 * ports (`{}`) allows nothing: that is how a default deny is written. In a deny section it denies
 * nothing.
 */
function peersOf(
  peers: readonly Peer[] | 'any' | undefined,
  withPorts: boolean,
): readonly Peer[] | 'any' {
  return peers ?? (withPorts ? 'any' : []);
}

/** Only what asks for nothing can be carried out. */
function parseAuthentication(item: FieldReader): void {
  const authentication = item.object('authentication', ['mode']);
  if (authentication?.require('mode') !== true) return;
  const mode = authentication.choice('mode', authenticationModes);
  if (mode === undefined || mode === 'disabled') return;
  const message = `authentication ${mode} is not carried out yet: the whole policy is refused`;
  item.problems.add(authentication.at('mode'), `valid, but ${message}`, true);
}
