/**
 * @module
 * The effective value of every agent option: the sources laid over each other and parsed. Reading
 * a value here is what makes an option supported; what was set and never read is reported.
 */

import { resolve } from 'node:path';
import { ConfigError } from './config-error.ts';
import { agentOption, agentOptions, refusedOptions } from './config-options.ts';
import { type OptionValue, parseListenAddress, parseValue, quote } from './config-parse.ts';
import {
  type OptionTexts,
  readConfigDir,
  readConfigFile,
  readEnvironment,
  readFlags,
  type SourceName,
} from './config-sources.ts';

/** Longest path of a unix socket: `sun_path` of `struct sockaddr_un`, less its final zero. */
const socketPathBytesMax = 107;

export class OptionValues {
  readonly #values = new Map<string, OptionValue>();
  readonly #sources = new Map<string, SourceName>();
  readonly #read = new Set<string>();
  readonly #warnings: string[] = [];

  /** Reads all sources. Throws ConfigError for the first thing that cannot be used. */
  constructor(argv: readonly string[], env: Readonly<Record<string, string | undefined>>) {
    const layers: [SourceName, OptionTexts][] = [
      ['flag', readFlags(argv)],
      ['environment', readEnvironment(env)],
    ];
    // Where the files are can only be said outside of them.
    const place = (name: string) =>
      layers.map(([, layer]) => layer.texts.get(name)?.at(-1)).find((text) => text !== undefined);
    const dir = place('config-dir');
    const file = place('config');
    if (dir !== undefined && dir !== '') layers.push(['config-dir', readConfigDir(dir)]);
    if (file !== undefined && file !== '') layers.push(['config-file', readConfigFile(file)]);
    for (const [source, layer] of layers) {
      this.#warnings.push(...layer.warnings);
      for (const [name, texts] of layer.texts) {
        if (this.#sources.has(name)) continue;
        this.#sources.set(name, source);
        this.#values.set(name, parseTexts(name, texts, source));
      }
    }
    for (const { name, default: text } of agentOptions()) {
      if (!this.#values.has(name)) this.#values.set(name, parseTexts(name, [text]));
    }
    this.#read.add('config').add('config-dir');
  }

  /** True if a person or a file set it, even to its default. */
  isSet(name: string): boolean {
    return this.#sources.has(name);
  }

  source(name: string): SourceName | undefined {
    return this.#sources.get(name);
  }

  bool(name: string): boolean {
    return this.#take(name) === true;
  }

  number(name: string, min: number, max: number): number {
    const value = Number(this.#take(name));
    if (value < min || value > max) {
      throw new ConfigError(name, `${value} is not between ${min} and ${max}`);
    }
    return value;
  }

  durationMs(name: string): number {
    return Number(this.#take(name));
  }

  text(name: string): string {
    return String(this.#take(name));
  }

  /** An absolute path, or empty if the option is. */
  path(name: string): string {
    const text = this.text(name);
    if (text.includes('\0')) throw new ConfigError(name, 'a path cannot hold a zero byte');
    return text === '' ? '' : resolve(text);
  }

  socketPath(name: string): string {
    const path = this.path(name);
    if (Buffer.byteLength(path) > socketPathBytesMax) {
      throw new ConfigError(name, `a socket path is at most ${socketPathBytesMax} bytes long`);
    }
    return path;
  }

  listenAddress(name: string): string {
    const text = this.text(name);
    if (text !== '') attempt(name, () => parseListenAddress(text));
    return text;
  }

  /** One of the words, whatever its case. */
  word<W extends string>(name: string, words: readonly W[]): W {
    const text = this.text(name).toLowerCase();
    const word = words.find((each) => each.toLowerCase() === text);
    if (word !== undefined) return word;
    const known = words.filter((each) => each !== '').join(', ');
    throw new ConfigError(name, `${quote(this.text(name))} is none of ${known}`);
  }

  list(name: string): readonly string[] {
    return this.#take(name) as readonly string[];
  }

  map(name: string): Readonly<Record<string, string>> {
    return this.#take(name) as Readonly<Record<string, string>>;
  }

  /** Names of the options that were read. */
  get taken(): ReadonlySet<string> {
    return this.#read;
  }

  /** Every option with its effective value, supported or not. */
  all(): Readonly<Record<string, OptionValue>> {
    return Object.fromEntries(this.#values);
  }

  /**
   * One line for each thing that was said and has no effect. Throws ConfigError for an option that
   * protects and would have no effect. Call it when everything has been read. `explained` are those
   * that somebody else has words for.
   */
  leftover(explained: ReadonlySet<string>): readonly string[] {
    const warnings = [...this.#warnings];
    for (const name of this.#sources.keys()) {
      if (this.#read.has(name) || explained.has(name) || this.#isDefault(name)) continue;
      const danger = refusedOptions.get(name);
      if (danger !== undefined) {
        throw new ConfigError(name, `not supported yet, and if it were ignored ${danger}`);
      }
      warnings.push(`option ${name} is known but not supported yet: ignored`);
    }
    return warnings;
  }

  #isDefault(name: string): boolean {
    const text = agentOption(name)?.default ?? '';
    return JSON.stringify(this.#values.get(name)) === JSON.stringify(parseTexts(name, [text]));
  }

  #take(name: string): OptionValue {
    const value = this.#values.get(name);
    if (value === undefined) throw new TypeError(`option ${name} is not in the table of options`);
    this.#read.add(name);
    return value;
  }
}

function parseTexts(name: string, texts: readonly string[], source?: SourceName): OptionValue {
  const type = agentOption(name)?.type ?? 'string';
  const from = source === undefined || source === 'flag' ? '' : ` (from ${source})`;
  return attempt(name, () => joinTexts(type, texts), from);
}

function joinTexts(type: Parameters<typeof parseValue>[0], texts: readonly string[]): OptionValue {
  if (type === 'strings') return texts.flatMap((text) => parseValue(type, text) as string[]);
  if (type === 'map') {
    return Object.fromEntries(texts.flatMap((text) => Object.entries(parseValue(type, text))));
  }
  if (texts.length > 1) throw new SyntaxError('a list is given where one value is wanted');
  return parseValue(type, texts[0] ?? '');
}

function attempt<T>(name: string, run: () => T, from = ''): T {
  try {
    return run();
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new ConfigError(name, cause.message + from, { cause });
  }
}
