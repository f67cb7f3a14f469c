/**
 * @module
 * Splits a command line into flags, in order, and words. Order matters here: `--not`
 * turns round the flag that follows it, so that a parser into an object will not do.
 */
import { UsageError } from './usage-error.ts';

export interface FlagSpec {
  readonly name: string;
  readonly short?: string;
  /** What the value is called in help; absent for a switch. */
  readonly value?: string;
  readonly help: string;
  readonly group: string;
}

export interface ParsedFlag {
  readonly name: string;
  readonly value: string; // 'true' or 'false' for a switch
}

export interface ParsedLine {
  readonly flags: readonly ParsedFlag[];
  readonly words: readonly string[];
}

/** Throws UsageError for flags that are not in the list. */
export function parseLine(argv: readonly string[], specs: readonly FlagSpec[]): ParsedLine {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const byShort = new Map(specs.flatMap((spec) => (spec.short ? [[spec.short, spec]] : [])));
  const flags: ParsedFlag[] = [];
  const words: string[] = [];
  const queue = [...argv];
  const takeValue = (spec: FlagSpec, shown: string): void => {
    const value = queue.shift();
    if (value === undefined) throw new UsageError(`flag needs an argument: ${shown}`);
    flags.push({ name: spec.name, value });
  };
  const short = (letters: string): void => {
    for (let at = 0; at < letters.length; at++) {
      const letter = letters[at] ?? '';
      const spec = byShort.get(letter) as FlagSpec | undefined;
      if (spec === undefined)
        throw new UsageError(`unknown shorthand flag: '${letter}' in -${letters}`);
      if (spec.value === undefined) {
        flags.push({ name: spec.name, value: 'true' });
        continue;
      }
      const rest = letters.slice(at + 1).replace(/^=/, '');
      if (rest !== '') flags.push({ name: spec.name, value: rest });
      else takeValue(spec, `-${letter}`);
      return;
    }
  };
  const long = (text: string): void => {
    const equals = text.indexOf('=');
    const name = equals < 0 ? text : text.slice(0, equals);
    const spec = byName.get(name);
    if (spec === undefined) throw new UsageError(`unknown flag: --${name}`);
    if (equals >= 0) flags.push({ name, value: checkSwitch(spec, text.slice(equals + 1)) });
    else if (spec.value === undefined) flags.push({ name, value: 'true' });
    else takeValue(spec, `--${name}`);
  };
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    if (word === '--') {
      words.push(...queue);
      break;
    }
    if (word.startsWith('--')) long(word.slice(2));
    else if (word.startsWith('-') && word.length > 1) short(word.slice(1));
    else words.push(word);
  }
  return { flags, words };
}

function checkSwitch(spec: FlagSpec, value: string): string {
  if (spec.value !== undefined || value === 'true' || value === 'false') return value;
  throw new UsageError(
    `invalid argument ${JSON.stringify(value)} for --${spec.name}: true or false`,
  );
}
