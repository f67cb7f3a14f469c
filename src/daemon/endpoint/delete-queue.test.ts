import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { deleteQueueDirectory, queueDeletion, replayDeleteQueue } from './delete-queue.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cilium-queue-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('the file is upstream’s', () => {
  const id = '07784fc99976085d1088173dc3db25f071939aa8746740e92995514aac4244c0';
  const path = queueDeletion(directory, id);
  expect(path).toEndWith('b464161a25388f747215efb3da4183285cf8ad76129a6f68d1a70395f1eda0dd.delete');
  expect(readFileSync(path, 'utf8')).toBe(`{"container-id":"${id}"}`);
});

test('asked twice is once, and carried out once', () => {
  queueDeletion(directory, 'a');
  queueDeletion(directory, 'a');
  queueDeletion(directory, 'b');
  const deleted: string[] = [];
  const replay = () => replayDeleteQueue(directory, (id) => deleted.push(id));
  expect(replay().containerIds.toSorted()).toEqual(['a', 'b']);
  expect(replay()).toEqual({ containerIds: [], ignored: [] });
  expect(deleted.toSorted()).toEqual(['a', 'b']);
});

test('any file is carried out or reported, and removed', () => {
  const queue = deleteQueueDirectory(directory);
  mkdirSync(queue, { recursive: true });
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      writeFileSync(join(queue, 'x.delete'), text);
      const { containerIds, ignored } = replayDeleteQueue(directory, () => {});
      expect(containerIds.length + ignored.length).toBe(1);
      expect(readdirSync(queue)).toEqual([]);
    }),
  );
});
