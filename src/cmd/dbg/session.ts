/**
 * @module What every debug command starts from: the agent that it talks to and the directory of the
 * pinned maps.
 */
import { type LocalAgent, localAgent } from '../../sandbox/current.ts';
import { AgentClient, hostFlag } from '../agent-client.ts';
import type { Command, Invocation } from '../command.ts';
import type { Flag } from '../flags.ts';
import { outputFlag, renderValue } from '../rendering.ts';
import { printOut } from '../terminal.ts';

export const bpfRootFlag: Flag = {
  name: 'bpf-root',
  kind: 'string',
  help: 'bpffs that holds the pinned maps (default /sys/fs/bpf, or that of the sandbox)',
};

/** Flags of the whole program. */
export const sessionFlags: readonly Flag[] = [hostFlag, bpfRootFlag];

export interface Session {
  readonly client: AgentClient;
  readonly agent: LocalAgent;
}

export function openSession(invocation: Invocation): Session {
  const found = localAgent(invocation.flags.string('host'));
  const bpfRoot = invocation.flags.string('bpf-root');
  const agent = bpfRoot === undefined ? found : { ...found, bpfRoot };
  return { client: new AgentClient(agent.socketPath), agent };
}

/** Prints a value by `-o`, or what `table` makes when the flag is not given. */
export async function printValue(
  invocation: Invocation,
  value: unknown,
  table: () => string,
): Promise<number> {
  const form = invocation.flags.string('output');
  printOut(form === undefined ? table() : await renderValue(form, value));
  return 0;
}

/** A command that fetches one value and prints it. */
export function showCommand<T>(options: {
  readonly name: string;
  readonly summary: string;
  readonly arguments?: string;
  readonly count?: readonly [number, number];
  readonly flags?: readonly Flag[];
  /** Said before the reason when fetching does not work. */
  readonly doing: string;
  readonly fetch: (session: Session, invocation: Invocation) => Promise<T> | T;
  readonly table: (value: T, invocation: Invocation) => string;
}): Command {
  const { name, summary } = options;
  return {
    name,
    summary,
    ...(options.arguments === undefined ? {} : { arguments: options.arguments }),
    ...(options.count === undefined ? {} : { count: options.count }),
    flags: [...(options.flags ?? []), outputFlag],
    run: async (invocation) => {
      const value = await saying(options.doing, () =>
        options.fetch(openSession(invocation), invocation),
      );
      return printValue(invocation, value, () => options.table(value, invocation));
    },
  };
}

/** Puts what was being done before the reason. */
async function saying<T>(doing: string, act: () => Promise<T> | T): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Error) || doing === '') throw error;
    error.message = `${doing}: ${error.message}`;
    throw error;
  }
}
