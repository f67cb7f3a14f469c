/**
 * The compiler against the oracle: random clusters with random policies of all five kinds, every
 * pair of ends. Verdict, enforcement and the rules that decided must agree. The seed is printed;
 * `ORACLE_SEED` repeats a run, `ORACLE_VERDICTS` makes it longer.
 */
import { expect, test } from 'bun:test';
import type { Cluster, Query } from '../oracle/documents.ts';
import { generateCluster } from '../oracle/generate.ts';
import { judge } from '../oracle/oracle.ts';
import { queriesOf } from '../oracle/queries.ts';
import { Random } from '../oracle/random.ts';
import { shrinkCluster } from '../oracle/shrink.ts';
import { compile, compiledVerdict } from './subject.ts';

const verdictsMin = Number(process.env['ORACLE_VERDICTS'] ?? 1_000_000);
const firstSeed = Number(process.env['ORACLE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

interface Difference {
  readonly query: Query;
  readonly expected: string;
  readonly actual: string;
}

function differenceIn(cluster: Cluster, seed: number, count: () => void): Difference | undefined {
  const compiled = compile(cluster);
  for (const query of queriesOf(cluster, new Random(seed))) {
    const expected = JSON.stringify(judge(cluster, query));
    const actual = JSON.stringify(compiledVerdict(compiled, query));
    count();
    if (expected !== actual) return { query, expected, actual };
  }
  return undefined;
}

test(`compiler and oracle agree on ${verdictsMin} verdicts, seed ${firstSeed}`, () => {
  console.log(`oracle: seed ${firstSeed}`);
  let verdicts = 0;
  for (let seed = firstSeed; verdicts < verdictsMin; seed++) {
    const cluster = generateCluster(seed);
    const found = differenceIn(cluster, seed, () => {
      verdicts++;
    });
    if (found === undefined) continue;
    const small = shrinkCluster(
      cluster,
      (each) => differenceIn(each, seed, () => {}) !== undefined,
    );
    const difference = differenceIn(small, seed, () => {}) ?? found;
    console.log(JSON.stringify({ seed, config: small.config, objects: small.objects }, null, 1));
    expect({ seed, ...difference, actual: difference.actual }).toEqual({
      seed,
      ...difference,
      actual: difference.expected,
    });
  }
  expect(verdicts).toBeGreaterThanOrEqual(verdictsMin);
}, 600_000);
