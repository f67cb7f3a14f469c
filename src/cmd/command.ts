/**
 * @module Commands of the executable as data. One tree gives parsing (run-tree.ts), `--help` (usage.ts),
 * shell completion and the command reference.
 */
import type { Flag, Flags } from './flags.ts';

/** What a command's function gets. */
export interface Invocation {
  readonly args: readonly string[];
  readonly flags: Flags;
}

/** A word of the command line that is not a flag. */
export interface Positional {
  readonly name: string;
  readonly help: string;
  readonly optional?: boolean;
  /** The last one may come many times. */
  readonly many?: boolean;
  /** Arguments of this program that print words for it; see `live-words.ts`. */
  readonly live?: readonly string[];
}

/** A command line to copy, and what it shows. */
export type Example = readonly [line: string, shows: string];

export interface Command {
  readonly name: string;
  /** One line for lists and help. */
  readonly summary: string;
  readonly positionals?: readonly Positional[];
  readonly flags?: readonly Flag[];
  readonly commands?: readonly Command[];
  readonly examples?: readonly Example[];
  /** What help says after the examples. */
  readonly notes?: string;
  /** Works, but is not offered. */
  readonly hidden?: boolean;
  /** Everything after the first positional argument belongs to it, flags included. */
  readonly passThrough?: boolean;
  /** Prints its own output. Returns the exit code; throwing prints one line and exits 1. */
  readonly run?: (invocation: Invocation) => number | Promise<number>;
}

/** Flags that every command has. */
export const commonFlags: readonly Flag[] = [
  { name: 'help', short: 'h', kind: 'boolean', help: 'show this help' },
  { name: 'debug', short: 'D', kind: 'boolean', help: 'show stack traces' },
];

/** All flags of the command that `path` leads to, those of the groups above it included. */
export function flagsOf(path: readonly Command[]): Flag[] {
  return [...path.toReversed().flatMap((one) => one.flags ?? []), ...commonFlags];
}

/** As it is typed; a tree's root is a command of the executable. */
export function fullName(path: readonly Command[]): string {
  return ['cilium', ...path.map((one) => one.name)].join(' ');
}
