/**
 * @module
 * Everything that is made from the sources, by step:
 *
 *   bpf    src/bpf/prog/*.c   → dist/bpf/*.o
 *   gen    BTF of the objects → src/bpf/gen (committed)
 *   native src/bpf/native/*.c → dist/libcilium_bpf.so
 *   exe    src/main.ts        → dist/cilium, one file, with links by role
 *   build  all of the above
 *   fresh  the same, if a source changed since
 *   check  format, lint, import rules, types, drift, unit tests
 *   test   every test, with one line of totals at the end
 */
import { compilePrograms } from './build/bpf.ts';
import { check } from './build/check.ts';
import { buildExecutable } from './build/executable.ts';
import { generate } from './build/generate.ts';
import { buildSharedObject } from './build/native.ts';
import { BuildError } from './build/run.ts';
import { buildIfStale, recordBuild } from './build/stale.ts';
import { runTests } from './build/tests.ts';

async function gen(): Promise<void> {
  await compilePrograms();
  await generate();
}

async function build(): Promise<void> {
  await Promise.all([gen(), buildSharedObject()]);
  await buildExecutable();
  await recordBuild();
}

const steps: Readonly<Record<string, (names: readonly string[]) => Promise<void>>> = {
  bpf: compilePrograms,
  gen,
  native: buildSharedObject,
  exe: buildExecutable,
  build,
  fresh: () => buildIfStale(build),
  check: async () => {
    // Unit tests import what travels in the executable.
    await Promise.all([compilePrograms(), buildSharedObject()]);
    await check();
  },
  test: async (names) => {
    await buildIfStale(build);
    await runTests(names);
  },
};

const [name = 'build', ...rest] = process.argv.slice(2);
const step = steps[name];
try {
  if (step === undefined) {
    throw new BuildError(`${name}: no such step; there are ${Object.keys(steps).join(', ')}`);
  }
  await step(rest);
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
