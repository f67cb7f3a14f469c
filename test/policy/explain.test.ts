/**
 * Explanations against verdicts: on random clusters the rules that the compiler names are among
 * those that the explanation says match, and where nothing decided the explanation finds nothing.
 */
import { expect, test } from 'bun:test';
import {
  type Consideration,
  considerations,
  nearMisses,
} from '../../src/daemon/policy/explain/explain.ts';
import type { OfflineCluster } from '../../src/daemon/policy/explain/offline.ts';
import { ruleNames } from '../../src/daemon/policy/explain/rule-name.ts';
import type { Query } from '../oracle/documents.ts';
import { generateCluster } from '../oracle/generate.ts';
import { queriesOf } from '../oracle/queries.ts';
import { Random } from '../oracle/random.ts';
import { compile } from './subject.ts';

const sidesMin = 60_000;
const firstSeed = Number(process.env['ORACLE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const protocols = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1, ICMPv6: 58 } as const;

function nameOf({ row, item }: Consideration): string {
  return `${row.kind}/${row.namespace}/${row.name}#${row.ruleIndex}:${item.path}`;
}

/** What does not fit on the sides of one query; counts the sides that are enforced. */
function contradictions(cluster: OfflineCluster, query: Query, count: () => void): string[] {
  const from = cluster.end(query.from, query.family);
  const to = cluster.end(query.to, query.family);
  if (from === undefined || to === undefined) throw new Error('no such end');
  const proto = protocols[query.protocol];
  const verdict = cluster.judge(from, to, proto, query.port);
  return (['egress', 'ingress'] as const).flatMap((direction) => {
    const side = verdict[direction];
    if (side === undefined || !side.enforced) return [];
    count();
    const [own, peer] = direction === 'egress' ? [from, to] : [to, from];
    const all = considerations(cluster, { direction, own, peer, proto, port: query.port });
    const matching = all.filter((each) => each.failed === 0 && each.reached);
    const found: string[] = [];
    if (matching.some((each) => each.reasons.length > 0)) found.push('a match has reasons');
    if (nearMisses(all).some((each) => each.reasons.length === 0)) found.push('a miss without one');
    const decided = ruleNames(side, direction).filter((name) => !name.startsWith('implicit:'));
    if (side.isDefault) {
      const passed = matching.find(({ item }) => item.action !== 'pass');
      if (passed !== undefined) found.push(`nothing decided, but ${nameOf(passed)} matches`);
      return found;
    }
    const names = new Set(matching.map(nameOf));
    for (const name of decided) if (!names.has(name)) found.push(`${name} decided, no match`);
    const isSilent = side.policies.every((each) => each.labels[0]?.includes('allow-any-'));
    const decisive = matching.find(({ item }) => item.action !== 'pass');
    if (isSilent && decisive !== undefined) found.push(`silent, but ${nameOf(decisive)} matches`);
    return found.map((text) => `${direction} of ${JSON.stringify(query)}: ${text}`);
  });
}

test(`explanations fit the verdicts of ${sidesMin} sides, seed ${firstSeed}`, () => {
  let sides = 0;
  for (let seed = firstSeed; sides < sidesMin; seed++) {
    const source = generateCluster(seed);
    const cluster = compile(source);
    for (const query of queriesOf(source, new Random(seed))) {
      const found = contradictions(cluster, query, () => {
        sides++;
      });
      if (found.length > 0) expect({ seed, found }).toEqual({ seed, found: [] });
    }
  }
  expect(sides).toBeGreaterThanOrEqual(sidesMin);
}, 300_000);
