import { expect, test } from 'bun:test';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
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
