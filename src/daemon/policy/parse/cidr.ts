/**
 * @module
 * Blocks of addresses as peers: `fromCIDR`, `fromCIDRSet`, `ipBlock` and `networks`.
 */

import { FieldReader, readText } from '../../../k8s/field.ts';
import { isDnsSubdomain } from '../../../k8s/name.ts';
import { readCidr } from '../../../k8s/parse-object.ts';
import type { Place } from '../../../k8s/place.ts';
import { type Problems, quote } from '../../../k8s/problem.ts';
import { comparePrefixes, formatPrefix, prefixCovers, requirePrefix } from '../../../net/prefix.ts';
import { formatSelector } from '../format-selector.ts';
import type { CidrScope, Peer } from '../rule.ts';
import { parseObjectSelector } from './selector.ts';

const exceptMax = 1000;

/** A peer, and upstream's printed form of what makes it. */
export interface WrittenPeer {
  readonly peer: Peer;
  readonly written: unknown;
}

/** One block as text. */
export function parseCidr(
  value: unknown,
  place: Place,
  scope: CidrScope,
  problems: Problems,
): WrittenPeer | undefined {
  const text = readText(value, place, problems);
  const cidr = text === undefined ? undefined : readCidr(text, place, problems);
  if (cidr === undefined) return undefined;
  return { peer: { kind: 'cidr', cidr, except: [], scope }, written: text };
}

const choices = ['cidr', 'cidrGroupRef', 'cidrGroupSelector'];

/** An entry of `fromCIDRSet` or `toCIDRSet`. */
export function parseCidrSet(
  value: unknown,
  place: Place,
  problems: Problems,
): WrittenPeer | undefined {
  const reader = FieldReader.open(value, place, [...choices, 'except'], problems);
  if (reader === undefined) return undefined;
  const before = problems.count;
  if (choices.filter((each) => reader.has(each)).length !== 1) {
    problems.add(place, `must have exactly one of ${choices.join(', ')}`);
  }
  const text = reader.text('cidr');
  const cidr = text === undefined ? undefined : readCidr(text, reader.at('cidr'), problems);
  const name = reader.text('cidrGroupRef');
  if (name !== undefined && !isDnsSubdomain(name)) {
    reader.refuse('cidrGroupRef', `not a name: ${quote(name)}`);
  }
  const selector = reader.has('cidrGroupSelector')
    ? parseObjectSelector(
        reader.fields['cidrGroupSelector'],
        reader.at('cidrGroupSelector'),
        'object',
        problems,
      )
    : undefined;
  const except = parseExcept(reader, cidr, false);
  if (problems.count > before) return undefined;
  const writtenExcept = reader.has('except') ? { except: reader.fields['except'] } : {};
  if (cidr !== undefined) {
    const written = { cidr: text, ...writtenExcept };
    return { peer: { kind: 'cidr', cidr, except, scope: 'outside' }, written };
  }
  const written =
    selector === undefined
      ? { cidrGroupRef: name, ...writtenExcept }
      : { cidrGroupSelector: formatSelector(selector), ...writtenExcept };
  return { peer: { kind: 'cidr-group', name, selector, except }, written };
}

/** `ipBlock` of a NetworkPolicy: it means whoever has the address. */
export function parseIpBlock(reader: FieldReader): WrittenPeer | undefined {
  const { problems } = reader;
  const before = problems.count;
  const text = reader.require('cidr') ? reader.text('cidr') : undefined;
  const cidr = text === undefined ? undefined : readCidr(text, reader.at('cidr'), problems);
  const except = parseExcept(reader, cidr, true);
  if (problems.count > before || cidr === undefined) return undefined;
  const written = {
    cidr: text,
    ...(except.length === 0 ? {} : { except: reader.fields['except'] }),
  };
  return { peer: { kind: 'cidr', cidr, except, scope: 'address' }, written };
}

/** Canonical, sorted, each once, each in the block if that is known. */
function parseExcept(
  reader: FieldReader,
  cidr: string | undefined,
  isStrict: boolean,
): readonly string[] {
  const { problems } = reader;
  const outer = cidr === undefined ? undefined : requirePrefix(cidr);
  const found = reader.each('except', exceptMax, (value, place) => {
    const text = readText(value, place, problems);
    const each = text === undefined ? undefined : readCidr(text, place, problems);
    if (each === undefined) return undefined;
    const inner = requirePrefix(each);
    if (outer !== undefined && !prefixCovers(outer, inner)) {
      problems.add(place, `${quote(text)} does not lie in ${cidr}`);
    } else if (outer !== undefined && isStrict && inner.length === outer.length) {
      problems.add(place, `${quote(text)} is all of ${cidr}`);
    }
    return inner;
  });
  const sorted = [...(found ?? [])].sort(comparePrefixes);
  return [...new Set(sorted.map(formatPrefix))];
}
