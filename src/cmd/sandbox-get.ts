/**
 * @module `cilium sandbox-get` (not offered): fetches URLs, for pods on machines without curl.
 */
import { type Got, getUrl } from '../sandbox/http.ts';
import type { Command } from './command.ts';
import { printError, printOut } from './terminal.ts';

const defaultTimeoutMs = 2000;

export const command: Command = {
  name: 'sandbox-get',
  summary: 'Fetch URLs, all at once',
  positionals: [{ name: 'url', help: 'what to fetch', many: true }],
  hidden: true,
  flags: [
    { name: 'timeout', kind: 'number', help: 'milliseconds to wait (default 2000)' },
    { name: 'brief', kind: 'boolean', help: 'one line for each URL instead of what it serves' },
  ],
  run: async ({ args, flags }) => {
    const timeoutMs = flags.number('timeout') ?? defaultTimeoutMs;
    const got = await Promise.all(args.map((url) => getUrl(url, timeoutMs)));
    for (const [index, one] of got.entries()) {
      if (flags.boolean('brief')) printOut(`${briefLine(one)}\n`);
      else if (one.ok) printOut(one.body);
      else printError(`${args[index]}: ${one.reason}`);
    }
    return got.every((one) => one.ok) ? 0 : 1;
  },
};

function briefLine(got: Got): string {
  return got.ok ? `ok ${got.status} in ${got.ms.toFixed(1)} ms` : `no ${got.reason}`;
}
