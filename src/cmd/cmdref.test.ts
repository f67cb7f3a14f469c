import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { cmdref, cmdrefFile } from './cmdref.ts';
import type { Command } from './command.ts';
import { command as completion } from './completion.ts';
import { loadTrees } from './trees.ts';

test('docs/cmdref.md is what the commands say (bun run cmdref)', async () => {
  expect(readFileSync(cmdrefFile, 'utf8')).toBe(await cmdref());
});

test('every command that runs has an example that begins with its name', async () => {
  const missing: string[] = [];
  const walk = (name: string, command: Command): void => {
    if (command.hidden === true || name.startsWith('cilium hubble')) return;
    if (command.run !== undefined && (command.examples ?? []).length === 0) missing.push(name);
    for (const one of command.commands ?? []) walk(`${name} ${one.name}`, one);
  };
  const root = await loadTrees(completion);
  walk('cilium', root);
  expect(missing).toEqual([]);
});
