/**
 * @module Command line flags as data, and their strict reading: `--name value`, `--name=value`,
 * `-n value`, `-nvalue`, `-n=value`, joined short booleans, `--` before what is not a flag. Unknown
 * flags are errors, with the nearest known one.
 */
import { parseArgs } from 'node:util';
import { nearest } from './nearest.ts';

export interface Flag {
  readonly name: string;
  readonly short?: string;
  readonly kind: 'boolean' | 'string' | 'strings' | 'number';
  readonly help: string;
  /** What the value is, for help; its name otherwise. */
  readonly hint?: string;
}

/** The command line does not say what to do; answered with the way to help, exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** Values as given. Reading a flag that the command did not declare is a programmer error. */
export class Flags {
  readonly #declared: ReadonlySet<string>;
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(declared: readonly Flag[], values: ReadonlyMap<string, readonly string[]>) {
    this.#declared = new Set(declared.map((flag) => flag.name));
    this.#values = values;
  }

  #last(name: string): string | undefined {
    if (!this.#declared.has(name)) throw new RangeError(`flag ${name} is not declared`);
    return this.#values.get(name)?.at(-1);
  }

  boolean(name: string): boolean {
    return this.#last(name) === 'true';
  }

  /** Undefined when not given. */
  string(name: string): string | undefined {
    return this.#last(name);
  }

  number(name: string): number | undefined {
    const text = this.#last(name);
    return text === undefined ? undefined : Number(text);
  }

  /** All values, also those joined by commas. */
  strings(name: string): readonly string[] {
    this.#last(name);
    return (this.#values.get(name) ?? []).flatMap((value) => value.split(','));
  }
}

export interface Parsed {
  readonly flags: Flags;
  readonly args: readonly string[];
}

/** Reads a command's arguments. Throws `UsageError`. */
export function parseArguments(declared: readonly Flag[], argv: readonly string[]): Parsed {
  const byName = new Map(declared.map((flag) => [flag.name, flag]));
  const options = Object.fromEntries(
    declared.map(({ name, short, kind }) => [
      name,
      {
        type: kind === 'boolean' ? ('boolean' as const) : ('string' as const),
        ...(short === undefined ? {} : { short }),
      },
    ]),
  );
  // Not its own strictness: that knows neither lists of numbers nor what may have been meant.
  const { tokens } = parseArgs({
    args: argv.flatMap((word) => spelledOut(word, declared)),
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string[]>();
  const args: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') args.push(token.value);
    if (token.kind !== 'option') continue;
    const flag = byName.get(token.name);
    if (flag === undefined || (!token.rawName.startsWith('--') && flag.short === undefined)) {
      throw unknownFlag(token.rawName, declared);
    }
    const list = values.get(flag.name) ?? [];
    values.set(flag.name, [...list, checked(flag, token.rawName, token.value)]);
  }
  return { flags: new Flags(declared, values), args };
}

/** `-o=json` in a form that node knows. */
function spelledOut(word: string, declared: readonly Flag[]): string[] {
  const flag = /^-[A-Za-z]=/.test(word) ? declared.find((one) => one.short === word[1]) : undefined;
  return flag === undefined ? [word] : [`--${flag.name}=${word.slice(3)}`];
}

function checked(flag: Flag, shown: string, value: string | undefined): string {
  if (flag.kind === 'boolean') {
    if (value === undefined || value === 'true' || value === 'false') return value ?? 'true';
    throw new UsageError(`invalid argument "${value}" for ${shown}: true or false`);
  }
  if (value === undefined) throw new UsageError(`flag needs an argument: ${shown}`);
  if (flag.kind === 'number' && !/^\d+$/.test(value)) {
    throw new UsageError(
      `invalid argument "${value}" for ${shown}: a whole number is needed, 0 or more`,
    );
  }
  return value;
}

function unknownFlag(shown: string, declared: readonly Flag[]): UsageError {
  const names = declared.map((flag) => `--${flag.name}`);
  const meant = shown.startsWith('--') ? nearest(shown, names) : undefined;
  return new UsageError(
    `unknown flag: ${shown}${meant === undefined ? '' : ` (did you mean ${meant}?)`}`,
  );
}
