/**
 * The node's own policy, from documents alone, against the oracle: of random clusters every
 * connection of which one end is the local node.
 */
import { expect, test } from 'bun:test';
import type { Cluster, NodeObject, Query } from '../oracle/documents.ts';
import { generateCluster } from '../oracle/generate.ts';
import { judge, judgeHost } from '../oracle/oracle.ts';
import { objectsOf } from '../oracle/parties.ts';
import { queriesOf } from '../oracle/queries.ts';
import { Random } from '../oracle/random.ts';
import { compile, compiledVerdict } from './subject.ts';

const verdictsMin = 20_000;
const firstSeed = Number(process.env['ORACLE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

function hostAddresses({ config, objects }: Cluster): Set<string> {
  const nodes = objectsOf<NodeObject>({ config, objects }, 'Node');
  const local = nodes.filter((one) => one.metadata.name === config.localNode);
  return new Set(local.flatMap((one) => one.status?.addresses ?? []).map((one) => one.address));
}

test(`the node's policy is the oracle's in ${verdictsMin} verdicts, seed ${firstSeed}`, () => {
  let verdicts = 0;
  let denied = 0;
  for (let seed = firstSeed; verdicts < verdictsMin; seed++) {
    const cluster = generateCluster(seed);
    const compiled = compile(cluster, true);
    const hosts = hostAddresses(cluster);
    const ask = (query: Query, peer: string, direction: 'ingress' | 'egress') => {
      const own = judgeHost(cluster, { ...query, peer, direction });
      const other = judge(cluster, query);
      const pod = direction === 'ingress' ? other.egress : other.ingress;
      const expected = {
        allowed: own.allowed && pod?.allowed !== false,
        egress: direction === 'egress' ? own : pod,
        ingress: direction === 'ingress' ? own : pod,
      };
      const actual = compiledVerdict(compiled, query);
      verdicts++;
      if (!own.allowed) denied++;
      if (JSON.stringify(actual) !== JSON.stringify(expected)) {
        expect<unknown>({ seed, query, actual }).toEqual({ seed, query, actual: expected });
      }
    };
    for (const query of queriesOf(cluster, new Random(seed))) {
      if (hosts.has(query.from)) ask(query, query.to, 'egress');
      else if (hosts.has(query.to)) ask(query, query.from, 'ingress');
    }
  }
  expect(denied).toBeGreaterThan(0);
}, 300_000);
