/**
 * @module The help of a command: citty's usage, then examples. In colour on a terminal only.
 */
import { isatty } from 'node:tty';
import { renderUsage } from 'citty';
import { type Command, type Example, fullName } from './command.ts';
import { definition } from './definition.ts';

/** Help of the command that `path` leads to, from the root of its tree. Ends with a newline. */
export async function usageText(
  path: readonly Command[],
  colored = isatty(1) && !process.env.NO_COLOR,
): Promise<string> {
  const parent = { meta: { name: fullName(path.slice(0, -1)) } };
  const usage = (await renderUsage(definition(path), parent)).replace(/[ \n]+$/, '');
  const examples = examplesOf(path);
  const heading = '\u001b[4m\u001b[1mEXAMPLES\u001b[22m\u001b[24m';
  const text = examples.length === 0 ? usage : `${usage}\n\n${heading}\n\n${lines(examples)}`;
  const { notes } = path.at(-1) ?? {};
  const whole = notes === undefined ? text : `${text}\n\n${notes}`;
  const shown = colored ? whole : Bun.stripANSI(whole);
  return `${shown.replaceAll(/ +$/gm, '').trimEnd()}\n`;
}

/** A group shows an example of each of its commands, as far as they fit. */
function examplesOf(path: readonly Command[]): readonly Example[] {
  const command = path.at(-1);
  if (command === undefined) return [];
  if (command.examples !== undefined) return command.examples;
  const of = (one: Command): readonly Example[] =>
    one.examples?.slice(0, 1) ?? (one.commands ?? []).flatMap(of).slice(0, 1);
  return (command.commands ?? []).flatMap(of).slice(0, examplesMax);
}

const examplesMax = 6;

/** What is longer has its explanation above. */
const exampleColumnsMax = 72;

function lines(examples: readonly Example[]): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  if (width > exampleColumnsMax) {
    return examples.map(([line, shows]) => `  # ${shows}\n  ${line}`).join('\n');
  }
  return examples.map(([line, shows]) => `  ${line.padEnd(width)}  # ${shows}`).join('\n');
}
