/**
 * @module Which range the pods of this node get: checks a configured one against the host's routes
 * and addresses, or picks the first free candidate for `auto`. Pure.
 * Input: `ipv4-range`, `ipv6-range`, and what the host uses; output: one prefix per family.
 */
import type { Family } from '../../net/address.ts';
import { formatPrefix, type Prefix, parsePrefix, prefixCovers } from '../../net/prefix.ts';
import type { Refusal } from './table.ts';

/** A prefix that the host already uses, and the words that name it in an error. */
export interface UsedPrefix {
  readonly prefix: Prefix;
  /** e.g. `route 10.0.0.0/8 dev eth0`. */
  readonly what: string;
}

/** Largest ranges that are accepted: /8 and /64, so that every index fits a number of the allocator. */
const lengthMin: Readonly<Record<Family, number>> = { 4: 8, 6: 64 };
/** Smallest ranges: a router and one pod must fit. */
const lengthMax: Readonly<Record<Family, number>> = { 4: 30, 6: 126 };

/** True if two prefixes share an address. */
export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  return prefixCovers(a, b) || prefixCovers(b, a);
}

/** The candidates for `auto`, in order of preference. */
export function* autoCandidates(family: Family): IterableIterator<Prefix> {
  const texts = family === 4 ? autoIpv4() : autoIpv6();
  for (const text of texts) {
    const prefix = parsePrefix(text);
    if (prefix !== undefined) yield prefix;
  }
}

function* autoIpv4(): IterableIterator<string> {
  for (let second = 0; second < 256; second++) yield `10.${second}.0.0/24`;
  for (let second = 16; second < 32; second++) yield `172.${second}.0.0/24`;
  for (let third = 0; third < 256; third++) yield `192.168.${third}.0/24`;
}

function* autoIpv6(): IterableIterator<string> {
  for (let group = 0; group < 256; group++) yield `fd00:c111:${group.toString(16)}::/112`;
}

/** The range of a family: the configured one if it is sound and free, or for `auto` a free one. */
export function chooseRange(
  family: Family,
  configured: string,
  used: readonly UsedPrefix[],
): Prefix | Refusal {
  // A default route overlaps everything and says nothing about who uses an address.
  const taken = used.filter((use) => use.prefix.family === family && use.prefix.length > 0);
  if (configured === 'auto' || configured === '') return chooseAuto(family, taken);
  const option = `ipv${family}-range`;
  const prefix = parsePrefix(configured);
  if (prefix === undefined || prefix.family !== family) {
    return invalid(`${option}: ${JSON.stringify(configured)} is not an IPv${family} prefix`);
  }
  if (prefix.length < lengthMin[family] || prefix.length > lengthMax[family]) {
    return invalid(
      `${option}: ${configured} has to be between /${lengthMin[family]} and /${lengthMax[family]}`,
    );
  }
  const clash = taken.find((use) => prefixesOverlap(use.prefix, prefix));
  if (clash === undefined) return prefix;
  return {
    refused: 'conflict',
    message: `${option}: ${formatPrefix(prefix)} overlaps ${clash.what} of this host`,
  };
}

function chooseAuto(family: Family, taken: readonly UsedPrefix[]): Prefix | Refusal {
  for (const candidate of autoCandidates(family)) {
    if (!taken.some((use) => prefixesOverlap(use.prefix, candidate))) return candidate;
  }
  return {
    refused: 'exhausted',
    message: `ipv${family}-range: every range that auto tries overlaps a route of this host; set one`,
  };
}

function invalid(message: string): Refusal {
  return { refused: 'invalid', message };
}
