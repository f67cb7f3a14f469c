/**
 * @module
 * `cilium hubble` (`hubble`): flows for people and scripts. Arguments in, text out, and
 * an exit code: 0, 1 for a negative answer, 2 for a wrong command line, 3 when the
 * server cannot be reached. Everything but this file loads with the command that is run.
 */
import { isatty } from 'node:tty';
import type { Command } from './command.ts';
import { hubbleCommands } from './hubble/help.ts';
import { type CommandIo, OutputClosed, writeAll } from './hubble/output.ts';
import { exitCode, UsageError } from './hubble/usage-error.ts';

/** The commands as data: for completion and the command reference. `runHubble` runs them. */
export const command: Command = {
  name: 'hubble',
  summary: 'Flows: what the network does, and which policy decided it',
  commands: hubbleCommands
    .filter((one) => !one.name.includes(' ') && one.name !== 'list')
    .map((one): Command => asCommand(one.name, one.name))
    .concat({
      name: 'list',
      summary: 'Nodes (of a relay), or namespaces with flows',
      commands: [asCommand('nodes', 'list nodes'), asCommand('namespaces', 'list namespaces')],
    }),
};

function asCommand(name: string, path: string): Command {
  const found = hubbleCommands.find((one) => one.name === path);
  return {
    name,
    summary: found?.summary ?? '',
    examples: (found?.examples ?? []).map(([line, shows]) => [`cilium ${line}`, shows] as const),
    flags: (found?.flags ?? []).map((flag) => ({
      name: flag.name,
      kind: flag.value === undefined ? 'boolean' : 'strings',
      help: flag.help,
      ...(flag.short === undefined ? {} : { short: flag.short }),
    })),
  };
}

/** Runs one hubble command with the arguments after `hubble`. Never throws. */
export async function runHubble(
  argv: readonly string[],
  io: CommandIo = processIo(),
): Promise<number> {
  try {
    return await dispatch(argv, io);
  } catch (error) {
    return report(error, io, argv.includes('--debug') || argv.includes('-D'));
  }
}

async function dispatch(argv: readonly string[], io: CommandIo): Promise<number> {
  const [name = '', ...rest] = argv;
  switch (name) {
    case 'observe':
      return await (await import('./hubble/observe.ts')).observe(rest, io);
    case 'status':
      return await (await import('./hubble/status.ts')).showStatus(rest, io);
    case 'list':
      return await (await import('./hubble/list.ts')).list(rest, io);
    case 'version':
      return await (await import('./hubble/version.ts')).showVersion(rest, io);
    case '':
    case 'help':
    case '-h':
    case '--help': {
      const { helpText } = await import('./hubble/help.ts');
      io.out(new TextEncoder().encode(helpText(rest.join(' '))));
      return exitCode.ok;
    }
    default:
      throw new UsageError(`unknown command ${JSON.stringify(name)}`);
  }
}

/** One line for people; the exit code says which kind of failure it is. */
function report(error: unknown, io: CommandIo, debug: boolean): number {
  if (error instanceof OutputClosed || io.signal.aborted) return exitCode.ok;
  const name = error instanceof Error ? error.name : '';
  const message = error instanceof Error ? error.message : String(error);
  io.err(`hubble: ${message}\n`);
  if (debug && error instanceof Error && error.stack !== undefined) io.err(`${error.stack}\n`);
  if (name === 'UsageError' || name === 'FilterError') {
    if (name === 'UsageError') io.err("Run 'hubble help' for usage.\n");
    return exitCode.usage;
  }
  return name === 'UnreachableError' ? exitCode.unreachable : exitCode.negative;
}

function processIo(): CommandIo {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => abort.abort());
  }
  return {
    env: process.env,
    isTerminal: isatty(1),
    out: (bytes) => writeAll(1, bytes),
    err: (text) => writeAll(2, new TextEncoder().encode(text)),
    signal: abort.signal,
  };
}
