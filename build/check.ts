/**
 * @module
 * What must be true before a commit, found out in parallel: format, lint and
 * import rules (biome), C format, types, generated code, unit tests.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { findDrift } from './generate.ts';
import { attempt, BuildError, dist, type Outcome, root } from './run.ts';
import { readReport } from './tests.ts';

export async function check(): Promise<void> {
  const results = await Promise.all([
    report('format, lint, import rules', () =>
      attempt(['bunx', 'biome', 'check', '--error-on-warnings']),
    ),
    report('format of C', checkC),
    report('types', () => attempt(['bunx', 'tsc', '--noEmit'])),
    report('generated code', checkDrift),
    report('unit tests', checkUnits),
  ]);
  if (results.includes(false)) {
    throw new BuildError('check: not green');
  }
}

async function report(name: string, step: () => Promise<Outcome>): Promise<boolean> {
  const started = performance.now();
  const { code, output } = await step();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${code === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
  if (code !== 0) {
    console.log(output.trim());
  }
  return code === 0;
}

async function checkC(): Promise<Outcome> {
  const formatter = ['clang-format-19', 'clang-format'].find((name) => Bun.which(name) !== null);
  if (formatter === undefined) {
    return { code: 1, output: 'clang-format-19 is needed: ./dev check installs it\n' };
  }
  const files = [...new Bun.Glob('src/bpf/{lib,prog,test,native}/**/*.{c,h}').scanSync(root)];
  return await attempt([formatter, '--dry-run', '-Werror', ...files.sort()]);
}

async function checkDrift(): Promise<Outcome> {
  const drifted = await findDrift();
  return {
    code: drifted.length,
    output: drifted
      .map((name) => `src/bpf/gen/${name} is not what the objects say: bun run gen`)
      .join('\n'),
  };
}

async function checkUnits(): Promise<Outcome> {
  const file = join(dist, 'check-units.xml');
  rmSync(file, { force: true });
  const reporter = ['--reporter=junit', `--reporter-outfile=${file}`];
  const outcome = await attempt([process.execPath, 'test', 'src', ...reporter]);
  const totals = await readReport(file);
  const good = outcome.code === 0 && totals !== undefined && totals.passed > 0;
  return { code: good ? 0 : 1, output: outcome.output };
}
