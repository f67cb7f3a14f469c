/**
 * @module
 * Runs every tier of tests, each in a process of its own, and prints one line
 * of totals. They come from the JUnit reports and not from exit codes: a test
 * file that ends its process early looks like a success otherwise.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError, dist, root } from './run.ts';

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** From what needs nothing to what needs everything. Folders of test/ that are not named come last. */
const order = [
  ...['src', 'test/script', 'test/build', 'test/oracle', 'test/policy'],
  ...['test/wire', 'test/bpf', 'test/net', 'test/exe'],
];
const notTests = ['test/bench'];
const timeoutMs = 120_000;

/** Runs the tiers, or only those named ("src", "test/net", or a file). */
export async function runTests(names: readonly string[]): Promise<void> {
  const reports = join(dist, 'reports');
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports, { recursive: true });
  const failures: string[] = [];
  let total: Totals = { passed: 0, failed: 0, skipped: 0 };
  for (const tier of names.length === 0 ? allTiers() : names) {
    console.log(`\n== ${tier}`);
    const file = join(reports, `${tier.replaceAll('/', '-')}.xml`);
    const code = await runTier(tier, file);
    const totals = await readReport(file);
    if (totals === undefined || totals.passed + totals.failed + totals.skipped === 0) {
      failures.push(`${tier}: no report, so the run did not end by itself`);
      total = { ...total, failed: total.failed + 1 };
      continue;
    }
    // A failure outside of any test shows in the exit code alone.
    const unseen = code !== 0 && totals.failed === 0 ? 1 : 0;
    if (unseen > 0) failures.push(`${tier}: exit code ${code} though no test failed`);
    total = {
      passed: total.passed + totals.passed,
      failed: total.failed + totals.failed + unseen,
      skipped: total.skipped + totals.skipped,
    };
  }
  for (const failure of failures) console.log(failure);
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  if (total.failed > 0 || total.passed === 0) process.exitCode = 1;
}

function allTiers(): string[] {
  const folders = readdirSync(join(root, 'test'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `test/${entry.name}`);
  const tiers = [...order, ...folders.filter((folder) => !order.includes(folder)).sort()];
  return tiers.filter((tier) => !notTests.includes(tier) && hasTests(tier));
}

function hasTests(folder: string): boolean {
  const path = join(root, folder);
  return existsSync(path) && !new Bun.Glob('**/*.test.ts').scanSync(path).next().done;
}

/** Serial within a tier: tests of the datapath share one kernel. */
async function runTier(tier: string, report: string): Promise<number> {
  const filter = tier.startsWith('.') || tier.startsWith('/') ? tier : `./${tier}`;
  const child = Bun.spawn(
    [
      ...[process.execPath, 'test', filter, `--timeout=${timeoutMs}`],
      ...['--reporter=junit', `--reporter-outfile=${report}`],
    ],
    { cwd: root, stdout: 'inherit', stderr: 'inherit' },
  );
  return await child.exited;
}

/** Totals of a JUnit report; undefined when there is none or it is cut short. */
export async function readReport(file: string): Promise<Totals | undefined> {
  if (!existsSync(file)) return undefined;
  const text = await Bun.file(file).text();
  const suites = /<testsuites [^>]*>/.exec(text)?.[0];
  if (suites === undefined || !text.includes('</testsuites>')) return undefined;
  const count = (name: string): number => {
    const value = new RegExp(` ${name}="(\\d+)"`).exec(suites)?.[1];
    if (value === undefined) throw new BuildError(`${file} does not count its ${name}`);
    return Number(value);
  };
  const [tests, failed, skipped] = [count('tests'), count('failures'), count('skipped')];
  return { passed: tests - failed - skipped, failed, skipped };
}
