/**
 * @module
 * `hubble version`: of this executable; no server is asked.
 */
import { commit, version } from '../../version.ts';
import { parseLine } from './flags.ts';
import { helpText, versionFlags } from './help.ts';
import { FlagValues } from './observe-options.ts';
import type { CommandIo } from './output.ts';
import { exitCode, UsageError } from './usage-error.ts';

/** Returns the exit code. Throws UsageError. */
export async function showVersion(argv: readonly string[], io: CommandIo): Promise<number> {
  const { flags, words } = parseLine(argv, versionFlags);
  if (words.length > 0) throw new UsageError(`unknown argument ${JSON.stringify(words[0])}`);
  const values = new FlagValues(flags);
  const form = values.choice('output', ['text', 'json'], 'text');
  const text = values.isSet('help')
    ? helpText('version')
    : form === 'json'
      ? `${JSON.stringify({ version, commit })}\n`
      : `hubble ${version}${commit === '' ? '' : `@${commit}`}\n`;
  io.out(new TextEncoder().encode(text));
  return exitCode.ok;
}
