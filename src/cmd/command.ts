/**
 * @module A command of the executable as data: names, flags, what it runs. One tree per program gives
 * parsing, `--help`, shell completion and the command reference.
 * Input: argv. Output: an exit code.
 */
import { type Flag, type Flags, parseArguments, UsageError } from './flags.ts';
import { errorText, printError, printOut } from './terminal.ts';
import { formatLines } from './text-table.ts';

/** What a command's function gets. */
export interface Invocation {
  readonly args: readonly string[];
  readonly flags: Flags;
}

export interface Command {
  readonly name: string;
  /** One line for lists and help. */
  readonly summary: string;
  /** Positional arguments as shown in the usage line, e.g. `<endpoint id>`. */
  readonly arguments?: string;
  /** At least and at most this many positional arguments; default none. */
  readonly count?: readonly [min: number, max: number];
  readonly flags?: readonly Flag[];
  readonly commands?: readonly Command[];
  /** Works, but is not offered. */
  readonly hidden?: boolean;
  /** Everything after the first positional argument belongs to it, flags included. */
  readonly passThrough?: boolean;
  /** Prints its own output. Returns the exit code; throwing prints one line and exits 1. */
  readonly run?: (invocation: Invocation) => number | Promise<number>;
}

const helpFlag: Flag = { name: 'help', short: 'h', kind: 'boolean', help: 'show this help' };
const debugFlag: Flag = { name: 'debug', short: 'D', kind: 'boolean', help: 'show stack traces' };
export const commonFlags: readonly Flag[] = [helpFlag, debugFlag];

/** Finds the command in the tree, parses its flags and runs it. Never throws. */
export async function runCommand(root: Command, argv: readonly string[]): Promise<number> {
  let debug = argv.includes('--debug') || argv.includes('-D');
  try {
    const found = findCommand(root, argv);
    if (found.help) {
      printOut(helpText(found.path, found.inherited));
      return 0;
    }
    const { command, path, rest, inherited } = found;
    if (command.run === undefined) return unfinished(path, rest);
    const flags = [...(command.flags ?? []), ...inherited, ...commonFlags];
    const parsed = parseArguments(flags, rest, command.passThrough === true);
    debug = parsed.flags.boolean('debug');
    if (parsed.flags.boolean('help')) {
      printOut(helpText(path, inherited));
      return 0;
    }
    checkCount(command, parsed.args);
    return await command.run(parsed);
  } catch (error) {
    printError(`Error: ${errorText(error)}`);
    if (error instanceof UsageError) printError(`Run '${fullName([root])} --help' for usage.`);
    if (debug && error instanceof Error && error.stack !== undefined) printError(error.stack);
    return 1;
  }
}

interface Found {
  readonly command: Command;
  readonly path: readonly Command[];
  readonly rest: readonly string[];
  readonly inherited: readonly Flag[];
  readonly help: boolean;
}

/** Walks down by words; flags of a group may stand before the next word. */
function findCommand(root: Command, argv: readonly string[]): Found {
  const path: Command[] = [root];
  const inherited: Flag[] = [];
  const kept: string[] = [];
  let index = 0;
  let help = false;
  for (let current = root; current.commands !== undefined; ) {
    const groupFlags = [...(current.flags ?? []), ...inherited, ...commonFlags];
    const word = argv[index];
    if (word === undefined) break;
    if (word.startsWith('-')) {
      const flag = groupFlags.find((one) => word === `--${one.name}` || word === `-${one.short}`);
      const takesNext = flag !== undefined && flag.kind !== 'boolean' && !word.includes('=');
      if (flag === helpFlag) help = true;
      else kept.push(...argv.slice(index, index + (takesNext ? 2 : 1)));
      index += takesNext ? 2 : 1;
      continue;
    }
    if (word === 'help') {
      help = true;
      index++;
      continue;
    }
    const next = current.commands.find((one) => one.name === word);
    if (next === undefined) break;
    inherited.push(...(current.flags ?? []));
    path.push(next);
    current = next;
    index++;
  }
  const command = path.at(-1) ?? root;
  return { command, path, rest: [...kept, ...argv.slice(index)], inherited, help };
}

/** As it is typed; a tree's root is a command of the executable. */
function fullName(path: readonly Command[]): string {
  return ['cilium', ...path.map((one) => one.name)].join(' ');
}

/** A group was called without a command of it. */
function unfinished(path: readonly Command[], rest: readonly string[]): number {
  const word = rest.find((one) => !one.startsWith('-'));
  const name = fullName(path);
  if (word !== undefined) throw new UsageError(`unknown command "${word}" for "${name}"`);
  printOut(helpText(path, []));
  return 0;
}

function checkCount(command: Command, args: readonly string[]): void {
  const [min, max] = command.count ?? [0, 0];
  if (args.length < min) throw new UsageError(`missing argument: ${command.arguments ?? ''}`);
  if (args.length > max) throw new UsageError(`unexpected argument "${args[max]}"`);
}

/** Help of one command: usage, commands, flags. */
export function helpText(path: readonly Command[], inherited: readonly Flag[]): string {
  const command = path.at(-1);
  if (command === undefined) return '';
  const name = fullName(path);
  const visible = (command.commands ?? []).filter((one) => one.hidden !== true);
  let text = `${command.summary}\n\nUsage:\n`;
  if (command.run !== undefined) {
    const words = command.arguments === undefined ? '' : ` ${command.arguments}`;
    text += `  ${name}${words} [flags]\n`;
  }
  if (visible.length > 0) {
    text += `  ${name} [command]\n\nAvailable Commands:\n`;
    text += formatLines(visible.map((one) => [`  ${one.name}`, one.summary]));
  }
  text += flagSection('Flags', [...(command.flags ?? []), ...commonFlags]);
  text += flagSection('Global Flags', inherited);
  return text;
}

function flagSection(title: string, flags: readonly Flag[]): string {
  if (flags.length === 0) return '';
  const lines = flags.map((flag) => {
    const short = flag.short === undefined ? '    ' : `-${flag.short}, `;
    const kind = flag.kind === 'boolean' ? '' : ` ${flag.kind}`;
    return [`  ${short}--${flag.name}${kind}`, flag.help];
  });
  return `\n${title}:\n${formatLines(lines)}`;
}
