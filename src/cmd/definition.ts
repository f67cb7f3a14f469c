/**
 * @module A tree of commands as citty takes it, for its dispatch and its usage.
 */
import { type ArgsDef, type CommandDef, defineCommand } from 'citty';
import { type Command, flagsOf } from './command.ts';

/** What happens on the way through the tree. Without it a definition is for usage only. */
export interface WalkHooks {
  /** Every level from the root on, with its own part of argv. */
  readonly enter: (path: readonly Command[], argv: readonly string[]) => void;
  /** The command that was meant. */
  readonly run: () => Promise<void>;
}

/** The definition of the command that `path` leads to from the root. */
export function definition(path: readonly Command[], hooks?: WalkHooks): CommandDef {
  const command = path.at(-1);
  if (command === undefined) throw new RangeError('a path of commands is empty');
  const { commands = [] } = command;
  // Without a prototype: citty would find `toString` in it.
  const subCommands: Record<string, () => CommandDef> = Object.create(null);
  for (const one of commands) subCommands[one.name] = () => definition([...path, one], hooks);
  return defineCommand({
    meta: { name: command.name, description: command.summary, hidden: command.hidden === true },
    args: argsOf(path, hooks !== undefined),
    ...(commands.length === 0 ? {} : { subCommands }),
    ...(hooks === undefined
      ? {}
      : { setup: ({ rawArgs }: { rawArgs: string[] }) => hooks.enter(path, rawArgs) }),
    ...(command.run === undefined || hooks === undefined ? {} : { run: () => hooks.run() }),
  });
}

/**
 * Positional arguments and flags. On a walk none is required: citty would complain before anybody
 * could ask for help, and in its own words.
 */
function argsOf(path: readonly Command[], isWalk: boolean): ArgsDef {
  const args: ArgsDef = {};
  for (const { name, help, optional } of path.at(-1)?.positionals ?? []) {
    const required = optional !== true && !isWalk;
    args[name] = { type: 'positional', description: help, required };
  }
  for (const flag of flagsOf(path)) {
    args[flag.name] = {
      type: flag.kind === 'boolean' ? 'boolean' : 'string',
      description: flag.help,
      ...(flag.short === undefined ? {} : { alias: flag.short }),
      ...(flag.kind === 'boolean' ? {} : { valueHint: flag.hint ?? flag.name }),
    };
  }
  return args;
}
