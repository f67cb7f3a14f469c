/**
 * @module
 * Where option values come from: flags, `CILIUM_*` environment, a directory with one file per
 * option, a YAML file. Each gives text by option name; config.ts decides whose word counts.
 */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from './config-error.ts';
import { type AgentOption, agentOption, agentOptions } from './config-options.ts';
import { escapeControls, nearestName, quote } from './config-parse.ts';

export type SourceName = 'flag' | 'environment' | 'config-dir' | 'config-file';

/** What one source says. A list option given twice has two texts. */
export interface OptionTexts {
  readonly texts: ReadonlyMap<string, readonly string[]>;
  readonly warnings: readonly string[];
}

const optionFileBytesMax = 1 << 20;

/** `--name value`, `--name=value`, `--switch`. Everything else is an error. */
export function readFlags(argv: readonly string[]): OptionTexts {
  const texts = new Map<string, string[]>();
  for (let at = 0; at < argv.length; at++) {
    const arg = argv[at] ?? '';
    if (!arg.startsWith('--') || arg.length < 3) {
      throw new ConfigError(quote(arg), 'unexpected argument, options begin with --');
    }
    const equals = arg.indexOf('=');
    const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
    const option = knownOption(name);
    let text = equals < 0 ? undefined : arg.slice(equals + 1);
    if (text === undefined && option.type === 'bool') {
      const next = argv[at + 1];
      if (next === 'true' || next === 'false') {
        throw new ConfigError(name, `write --${name}=${next}, a switch takes no separate value`);
      }
      text = 'true';
    }
    if (text === undefined) text = argv[++at];
    if (text === undefined) throw new ConfigError(name, 'a value is missing');
    const given = texts.get(name);
    if (given === undefined || !(option.type === 'strings' || option.type === 'map')) {
      texts.set(name, [text]);
    } else given.push(text);
  }
  return { texts, warnings: [] };
}

/** Names an agent's socket to the other commands. */
const clientVariable = 'CILIUM_SOCK';

/** `CILIUM_ENABLE_IPV4=false`. An empty variable counts as unset. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>): OptionTexts {
  const texts = new Map<string, string[]>();
  const warnings: string[] = [];
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('CILIUM_') || text === undefined || text === '') continue;
    if (variable === clientVariable) continue;
    const name = variable.slice('CILIUM_'.length).toLowerCase().replaceAll('_', '-');
    if (agentOption(name) === undefined) {
      warnings.push(`environment variable ${printable(variable)} is no known option: ignored`);
    } else texts.set(name, [text]);
  }
  return { texts, warnings };
}

/**
 * One file per option. A mounted ConfigMap shows each key as a link into `..data`; names that
 * begin with a dot are the mount's own.
 */
export function readConfigDir(dir: string): OptionTexts {
  const texts = new Map<string, string[]>();
  const warnings: string[] = [];
  let names: string[];
  try {
    names = readdirSync(dir).sort();
  } catch (cause) {
    throw new ConfigError('config-dir', `read ${quote(dir)}: ${reason(cause)}`, { cause });
  }
  for (const name of names) {
    if (name.startsWith('.')) continue;
    if (agentOption(name) === undefined) {
      warnings.push(`config-dir: ${printable(name)} is no known option: ignored`);
      continue;
    }
    const text = readOptionFile('config-dir', join(dir, name));
    if (text !== undefined) texts.set(name, [text.trim()]);
  }
  return { texts, warnings };
}

/** A YAML mapping from option names to scalars, lists or flat mappings. */
export function readConfigFile(path: string): OptionTexts {
  const text = readOptionFile('config', path);
  if (text === undefined) throw new ConfigError('config', `${quote(path)} is not a file`);
  let document: unknown;
  try {
    document = Bun.YAML.parse(text);
  } catch (cause) {
    throw new ConfigError('config', `parse ${quote(path)}: ${reason(cause)}`, { cause });
  }
  const texts = new Map<string, string[]>();
  const warnings: string[] = [];
  if (document === null || document === undefined) return { texts, warnings };
  if (typeof document !== 'object' || Array.isArray(document)) {
    throw new ConfigError('config', `${quote(path)} is not a mapping of options`);
  }
  for (const [name, value] of Object.entries(document)) {
    if (agentOption(name) === undefined) {
      warnings.push(`config: ${printable(name)} is no known option: ignored`);
    } else texts.set(name, yamlTexts(name, value));
  }
  return { texts, warnings };
}

function yamlTexts(name: string, value: unknown): string[] {
  if (value === null) return [''];
  if (Array.isArray(value)) return value.map((item) => yamlScalar(name, item));
  if (typeof value !== 'object') return [yamlScalar(name, value)];
  return Object.entries(value).map(([key, item]) => `${key}=${yamlScalar(name, item)}`);
}

function yamlScalar(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new ConfigError(name, 'the value in the config file is nested too deeply');
}

function readOptionFile(option: string, path: string): string | undefined {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) return undefined;
    if (stat.size > optionFileBytesMax) {
      throw new ConfigError(option, `${quote(path)} is larger than ${optionFileBytesMax} bytes`);
    }
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    throw new ConfigError(option, `read ${quote(path)}: ${reason(cause)}`, { cause });
  }
}

function knownOption(name: string): AgentOption {
  const option = agentOption(name);
  if (option !== undefined) return option;
  const near = nearestName(
    name,
    Array.from(agentOptions(), (each) => each.name),
  );
  const hint = near === undefined ? '' : `, did you mean --${near}?`;
  throw new ConfigError(printable(name), `no such option${hint}`);
}

/** A name from outside: as it is if it is an ordinary word, quoted if not. */
function printable(name: string): string {
  return /^[\w.-]{1,80}$/.test(name) ? name : quote(name);
}

/** It may repeat a path or a text that anybody has written. */
function reason(cause: unknown): string {
  return escapeControls(cause instanceof Error ? cause.message : String(cause));
}
