/**
 * @module From argv to a command: citty walks the tree, flags are read strictly, errors become one line
 * and an exit code (1, or 2 for a wrong command line).
 */
import { runCommand } from 'citty';
import { type Command, flagsOf, fullName } from './command.ts';
import { definition } from './definition.ts';
import { parseArguments, UsageError } from './flags.ts';
import { nearest } from './nearest.ts';
import { errorText, printError, printOut, printStyled } from './terminal.ts';

const usageExit = 2;

interface Level {
  readonly path: readonly Command[];
  readonly argv: readonly string[];
}

/** One pass through the tree; citty tells each level its own part of argv only. */
interface Walk {
  readonly print: Printer;
  readonly help: boolean;
  exitCode: number;
  readonly levels: Level[];
}

/** Where help and errors go. */
export interface Printer {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
  /** Text with colours. */
  styled?(text: string): void;
}

const terminal: Printer = { out: printOut, error: printError, styled: printStyled };

/** Finds the command in the tree, reads its flags and runs it. Never throws. */
export async function runTree(
  root: Command,
  argv: readonly string[],
  print = terminal,
): Promise<number> {
  const words = prepared(root, argv);
  const flagWords = words.slice(0, words.indexOf('--') < 0 ? words.length : words.indexOf('--'));
  const help = flagWords.includes('--help') || flagWords.includes('-h');
  const walk: Walk = { print, help, exitCode: 0, levels: [] };
  try {
    // The library keeps positional arguments under this name and cannot have a flag of it.
    const reserved = flagWords.find((word) => /^(--_(=|$)|-[^-=]*_)/.test(word));
    if (reserved !== undefined) throw new UsageError(`unknown flag ${reserved}`);
    const hooks = {
      enter: (path: readonly Command[], level: readonly string[]) => {
        walk.levels.push({ path, argv: level });
      },
      run: () => runFound(walk),
    };
    await runCommand(definition([root], hooks), { rawArgs: words });
    return walk.exitCode;
  } catch (error) {
    return await settle(error, root, walk, flagWords.includes('--debug'));
  }
}

/** `help` as a word, and the end of the flags of a command that passes the rest through. */
function prepared(root: Command, argv: readonly string[]): string[] {
  if (argv[0] === 'help' && !root.passThrough) return [...argv.slice(1), '--help'];
  const first = argv.findIndex((word) => word === '--' || !word.startsWith('-'));
  if (root.passThrough !== true || first < 0) return [...argv];
  const word = argv[first] === '--' ? [] : argv.slice(first, first + 1);
  const rest = argv.slice(first + 1);
  // `command pod -- ls`: the dashes only separate.
  const own = word.length > 0 && rest[0] === '--' ? rest.slice(1) : rest;
  return [...argv.slice(0, first), '--', ...word, ...own];
}

/** Runs the command that citty has arrived at, with the flags that stood before its name, too. */
async function runFound(walk: Walk): Promise<void> {
  const { path = [] } = walk.levels.at(-1) ?? {};
  const argv = walk.levels.flatMap((level, index) => {
    const below = walk.levels[index + 1]?.argv.length;
    return below === undefined ? level.argv : level.argv.slice(0, level.argv.length - below - 1);
  });
  if (walk.help) return await showHelp(walk, path);
  const invocation = parseArguments(flagsOf(path), argv);
  const command = path.at(-1);
  const { positionals = [] } = command ?? {};
  const missing = positionals[invocation.args.length];
  if (missing !== undefined && missing.optional !== true) {
    throw new UsageError(`missing argument: ${missing.name}`);
  }
  const many = positionals.at(-1)?.many === true;
  if (!many && invocation.args.length > positionals.length) {
    throw new UsageError(`unexpected argument "${invocation.args[positionals.length]}"`);
  }
  walk.exitCode = (await command?.run?.(invocation)) ?? 0;
}

async function showHelp({ print }: Walk, path: readonly Command[]): Promise<void> {
  const { usageText } = await import('./usage.ts');
  (print.styled ?? print.out)(await usageText(path));
}

/** What a failed walk means, on standard error, and its exit code. */
async function settle(error: unknown, root: Command, walk: Walk, debug: boolean): Promise<number> {
  const { path = [root], argv = [] } = walk.levels.at(-1) ?? {};
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'E_NO_COMMAND') {
    try {
      parseArguments(flagsOf(path), argv);
      await showHelp(walk, path);
      return 0;
    } catch (cause) {
      return report(walk, cause, path, debug);
    }
  }
  if (code === 'E_UNKNOWN_COMMAND') return report(walk, unknownCommand(path, argv), path, debug);
  return report(walk, error, path, debug);
}

function unknownCommand(path: readonly Command[], argv: readonly string[]): UsageError {
  const { commands = [] } = path.at(-1) ?? {};
  const visible = commands.filter((one) => one.hidden !== true).map((one) => one.name);
  const values = new Set(
    flagsOf(path).flatMap((one) => (one.kind === 'boolean' ? [] : [one.name])),
  );
  const word = argv.find(
    (one, index) => !one.startsWith('-') && !values.has((argv[index - 1] ?? '').slice(2)),
  );
  const meant = nearest(word ?? '', visible);
  const hint = meant === undefined ? '' : ` (did you mean ${meant}?)`;
  return new UsageError(`unknown command "${word}" for "${fullName(path)}"${hint}`);
}

function report({ print }: Walk, error: unknown, path: readonly Command[], debug: boolean): number {
  print.error(`Error: ${errorText(error)}`);
  if (debug && error instanceof Error && error.stack !== undefined) print.error(error.stack);
  if (!(error instanceof UsageError)) return 1;
  print.error(`Run '${fullName(path)} --help' for usage.`);
  return usageExit;
}
