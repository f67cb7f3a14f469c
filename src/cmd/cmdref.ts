/**
 * @module docs/cmdref.md: the help of every command, made from the trees. `bun run cmdref` writes it, a
 * test fails while it is not what the trees say.
 */
import { join } from 'node:path';
import type { Command } from './command.ts';
import { fullName } from './command.ts';
import { command as completion } from './completion.ts';
import { loadTrees } from './trees.ts';
import { usageText } from './usage.ts';

export const cmdrefFile = join(import.meta.dir, '../../docs/cmdref.md');

/** The whole reference. */
export async function cmdref(): Promise<string> {
  const root = await loadTrees(completion);
  const sections: string[] = [];
  const contents: string[] = [];
  const walk = async (path: readonly Command[]): Promise<void> => {
    const command = path.at(-1);
    if (command === undefined || command.hidden === true) return;
    const name = fullName(path);
    contents.push(`${'  '.repeat(path.length - 1)}- [${name}](#${name.replaceAll(' ', '-')})`);
    sections.push(`## ${name}\n\n\`\`\`text\n${await usageText(path, false)}\`\`\`\n`);
    for (const one of command.commands ?? []) await walk([...path, one]);
  };
  for (const one of root.commands ?? []) await walk([one]);
  return (
    '# Commands\n\nMade from the commands themselves by `bun run cmdref`.\n\n' +
    `${contents.join('\n')}\n\n${sections.join('\n')}`
  );
}

if (import.meta.main) await Bun.write(cmdrefFile, await cmdref());
