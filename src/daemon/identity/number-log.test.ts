import { expect, test } from 'bun:test';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstChoice, IdentityAllocator } from './allocator.ts';
import { NumberLog } from './number-log.ts';
import { identities } from './table.ts';

test('labels get the number that an earlier agent gave them, whoever comes first', () => {
  const directory = mkdtempSync(join(tmpdir(), 'numbers-'));
  const errors: unknown[] = [];
  const start = () => {
    const table = identities();
    const log = new NumberLog(directory, table, (error) => errors.push(error));
    return { log, allocator: new IdentityAllocator(table, undefined, log.read()) };
  };
  const id = firstChoice(['k8s:a=1']);
  const rival = Array.from({ length: 200_000 }, (_, at) => [`k8s:b=${at}`]).find(
    (labels) => firstChoice(labels) === id,
  );
  if (rival === undefined) throw new Error('no rival');
  {
    const { log, allocator } = start();
    expect(allocator.allocate(rival)).toMatchObject({ id });
    expect(allocator.allocate(['k8s:a=1'])).toMatchObject({ id: id + 1 });
    log.flush();
    allocator.allocate(['k8s:c=1']);
    log[Symbol.dispose]();
  }
  appendFileSync(join(directory, 'identities'), '[300,"k8s:ha');
  {
    const { log, allocator } = start();
    expect([...log.read()].length).toBe(3);
    expect(allocator.allocate(['k8s:a=1'])).toMatchObject({ id: id + 1 });
    expect(allocator.allocate(rival)).toMatchObject({ id });
    log[Symbol.dispose]();
  }
  rmSync(directory, { recursive: true });
  expect(errors).toEqual([]);
});

test('numbers of an earlier agent stay in the file until the kernel is rid of them', () => {
  const directory = mkdtempSync(join(tmpdir(), 'numbers-'));
  const errors: unknown[] = [];
  const run = (labels: readonly string[], isPruned: boolean) => {
    const table = identities();
    using log = new NumberLog(directory, table, (error) => errors.push(error));
    const before = [...log.read().values()].map((each) => each.join());
    const allocator = new IdentityAllocator(table, undefined, log.read());
    if (isPruned) log.endEarlier();
    allocator.allocate(labels);
    return before;
  };
  run(['k8s:gone=1'], false);
  // Each ends before it has pruned.
  for (let at = 0; at < 3; at++) run([`k8s:a=${at}`], false);
  expect(run(['k8s:a=3'], true)).toEqual(['k8s:gone=1', 'k8s:a=0', 'k8s:a=1', 'k8s:a=2']);
  expect(run(['k8s:a=4'], true)).toEqual(['k8s:a=3']);
  rmSync(directory, { recursive: true });
  expect(errors).toEqual([]);
});

test('what a full disk refused is written when it takes it, also without another change', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'numbers-'));
  const errors: unknown[] = [];
  const table = identities();
  const log = new NumberLog(directory, table, (error) => errors.push(error), 5);
  const allocator = new IdentityAllocator(table, undefined, log.read());
  const path = join(directory, 'identities');
  const numbers = () => readFileSync(path, 'utf8').match(/k8s:a=\d/g);
  // A folder in its place refuses everything.
  mkdirSync(join(path, 'in-the-way'), { recursive: true });
  allocator.allocate(['k8s:a=1']);
  log.flush();
  log.flush();
  expect(errors.length).toBe(1);
  rmSync(path, { recursive: true });
  await Bun.sleep(50);
  expect(numbers()).toEqual(['k8s:a=1']);
  rmSync(path);
  mkdirSync(join(path, 'in-the-way'), { recursive: true });
  allocator.allocate(['k8s:a=2']);
  log.flush();
  rmSync(path, { recursive: true });
  log[Symbol.dispose]();
  expect(numbers()).toEqual(['k8s:a=1', 'k8s:a=2']);
  expect(errors.length).toBe(2);
  rmSync(directory, { recursive: true });
});
