/**
 * @module Command line flags as data, and their parser: `--name value`, `--name=value`, `-n value`,
 * `-nvalue`, joined short booleans, `--` before what is not a flag. Unknown flags are errors.
 */

export interface Flag {
  readonly name: string;
  readonly short?: string;
  readonly kind: 'boolean' | 'string' | 'strings' | 'number';
  readonly help: string;
  /** Value when the flag is given without one (`--flag` alone); only `--flag=value` sets another. */
  readonly bare?: string;
}

/** The command line does not say what to do; answered with the way to help. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** Values as given. Reading a flag that the command did not declare is a programmer error. */
export class Flags {
  readonly #declared: ReadonlyMap<string, Flag>;
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(declared: readonly Flag[], values: ReadonlyMap<string, readonly string[]>) {
    this.#declared = new Map(declared.map((flag) => [flag.name, flag]));
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

  /** How often it was given. */
  count(name: string): number {
    this.#last(name);
    return this.#values.get(name)?.length ?? 0;
  }
}

export interface Parsed {
  readonly flags: Flags;
  readonly args: readonly string[];
}

/** Parses; throws `UsageError`. With `passThrough` the first positional argument ends the flags. */
export function parseArguments(
  declared: readonly Flag[],
  argv: readonly string[],
  passThrough = false,
): Parsed {
  const values = new Map<string, string[]>();
  const args: string[] = [];
  let index = 0;
  while (index < argv.length) {
    const word = argv[index++] ?? '';
    if (word === '--') {
      args.push(...argv.slice(index));
      break;
    }
    if (!word.startsWith('-') || word === '-') {
      args.push(word);
      if (!passThrough) continue;
      // `command pod -- ls`: the dashes only separate.
      const rest = argv.slice(index);
      args.push(...(rest[0] === '--' ? rest.slice(1) : rest));
      break;
    }
    index += word.startsWith('--')
      ? takeLong(declared, word, argv[index], values)
      : takeShort(declared, word, argv[index], values);
  }
  return { flags: new Flags(declared, values), args };
}

/** Returns how many of the following words it used. */
function takeLong(
  declared: readonly Flag[],
  word: string,
  next: string | undefined,
  values: Map<string, string[]>,
): number {
  const equals = word.indexOf('=');
  const name = word.slice(2, equals < 0 ? undefined : equals);
  const flag = declared.find((one) => one.name === name);
  if (flag === undefined) throw new UsageError(`unknown flag: --${name}`);
  return take(flag, `--${name}`, equals < 0 ? undefined : word.slice(equals + 1), next, values);
}

function takeShort(
  declared: readonly Flag[],
  word: string,
  next: string | undefined,
  values: Map<string, string[]>,
): number {
  for (let position = 1; position < word.length; position++) {
    const letter = word[position];
    const flag = declared.find((one) => one.short === letter);
    if (flag === undefined) throw new UsageError(`unknown shorthand flag: '${letter}' in ${word}`);
    const rest = word.slice(position + 1);
    if (flag.kind === 'boolean' && !rest.startsWith('=')) {
      take(flag, `-${letter}`, undefined, undefined, values);
      continue;
    }
    const inline = rest === '' ? undefined : rest.replace(/^=/, '');
    return take(flag, `-${letter}`, inline, next, values);
  }
  return 0;
}

function take(
  flag: Flag,
  shown: string,
  inline: string | undefined,
  next: string | undefined,
  values: Map<string, string[]>,
): number {
  const bare = flag.kind === 'boolean' ? 'true' : flag.bare;
  const value = inline ?? bare ?? next;
  if (value === undefined) throw new UsageError(`flag needs an argument: ${shown}`);
  if (flag.kind === 'number' && !/^\d+$/.test(value)) {
    throw new UsageError(`invalid argument "${value}" for ${shown}: not a number`);
  }
  if (flag.kind === 'boolean' && value !== 'true' && value !== 'false') {
    throw new UsageError(`invalid argument "${value}" for ${shown}: true or false`);
  }
  const list = values.get(flag.name);
  if (list === undefined) values.set(flag.name, [value]);
  else list.push(value);
  return inline === undefined && bare === undefined ? 1 : 0;
}
