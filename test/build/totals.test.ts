/**
 * @module
 * The totals at the end of a test run cannot be green without a complete report.
 */
import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readReport } from '../../build/tests.ts';

async function totalsOf(report: string) {
  const folder = mkdtempSync('/tmp/cilium-test-report-');
  try {
    const file = join(folder, 'report.xml');
    writeFileSync(file, report);
    return await readReport(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a complete report is counted', async () => {
  const head = '<testsuites name="bun test" tests="9" assertions="1" failures="2" skipped="3">';
  expect(await totalsOf(`${head}</testsuites>`)).toEqual({ passed: 4, failed: 2, skipped: 3 });
});

test('no report, an empty one, and one cut short are no result', async () => {
  expect(await readReport('/nonexistent/report.xml')).toBeUndefined();
  expect(await totalsOf('')).toBeUndefined();
  expect(await totalsOf('<testsuites tests="1" failures="0" skipped="0">')).toBeUndefined();
});
