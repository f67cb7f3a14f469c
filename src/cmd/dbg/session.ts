/**
 * @module What every debug command starts from: the agent that it talks to and the directory of the
 * pinned maps.
 */
import { type LocalAgent, localAgent } from '../../sandbox/current.ts';
import { AgentClient, hostFlag } from '../agent-client.ts';
import type { Command, Example, Invocation, Positional } from '../command.ts';
import type { Flag } from '../flags.ts';
import { outputFlag, renderValue } from '../rendering.ts';
import { printOut } from '../terminal.ts';

export const bpfRootFlag: Flag = {
  name: 'bpf-root',
  kind: 'string',
  help: "bpffs that holds the pinned maps (default: the agent's)",
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

/** How long an agent has to say where its maps are; they can be read without it. */
const placeTimeoutMs = 1000;

interface PlacesModel {
  readonly status?: {
    readonly daemonConfigurationMap?: {
      readonly BPFRoot?: string;
      readonly HubbleSocketPath?: string;
    };
  };
}

/**
 * The bpffs of the agent that this command talks to: the flag, the environment, what the agent says,
 * and without any of them the usual place.
 */
export async function findBpfRoot(invocation: Invocation): Promise<string> {
  const { agent, client } = openSession(invocation);
  const told = invocation.flags.string('bpf-root') ?? process.env.CILIUM_BPF_ROOT;
  if (told !== undefined || agent.sandbox !== undefined) return agent.bpfRoot;
  return (await askPlaces(client)).BPFRoot ?? agent.bpfRoot;
}

/** The socket on which the same agent serves flows. */
export async function findHubbleSocket(invocation: Invocation): Promise<string> {
  const { agent, client } = openSession(invocation);
  if (agent.sandbox !== undefined) return agent.hubbleSocketPath;
  return (await askPlaces(client)).HubbleSocketPath ?? agent.hubbleSocketPath;
}

async function askPlaces(client: AgentClient) {
  try {
    const config = await client.get<PlacesModel>('/config', { timeoutMs: placeTimeoutMs });
    return config.status?.daemonConfigurationMap ?? {};
  } catch {
    return {};
  }
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
  readonly positionals?: readonly Positional[];
  readonly flags?: readonly Flag[];
  readonly examples?: readonly Example[];
  /** Said before the reason when fetching does not work. */
  readonly doing: string;
  readonly fetch: (session: Session, invocation: Invocation) => Promise<T> | T;
  readonly table: (value: T, invocation: Invocation) => string;
}): Command {
  const { name, summary, positionals = [], examples = [] } = options;
  return {
    name,
    summary,
    positionals,
    examples,
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
