/**
 * @module Flags that the commands of `cilium policy` share, and what becomes of their errors: exit code
 * 2 for input that cannot be read, 3 for an agent that cannot be reached.
 */
import { AgentDownError, hostFlag } from '../agent-client.ts';
import type { Invocation } from '../command.ts';
import { type Flag, UsageError } from '../flags.ts';
import { errorText, printError } from '../terminal.ts';

export const exitCode = { fine: 0, negative: 1, usage: 2, unreachable: 3 } as const;

/** For the help of each command. */
export const exitNotes =
  'Exit status: 0 allowed or fine; 1 denied, different or not valid; 2 usage or input that cannot be read; 3 no agent.';

/** For the help of commands that tell verdicts of an agent. */
export const auditNotes =
  'The verdict and the exit status are what policy says. Where the agent or an endpoint only audits (PolicyAuditMode), a denial is told as "audited: would be denied", in JSON as "audit": true: it goes on.';

export const fileFlag: Flag = {
  name: 'file',
  short: 'f',
  kind: 'strings',
  hint: 'path',
  help: 'file or folder of manifests, - for standard input; may be repeated (default: the agent)',
};

export const namespaceFlag: Flag = {
  name: 'namespace',
  short: 'n',
  kind: 'string',
  help: 'namespace of pods that are named without one (default "default")',
};

export const ipv4Flag: Flag = { name: 'ipv4', kind: 'boolean', help: 'IPv4 only' };
export const ipv6Flag: Flag = { name: 'ipv6', kind: 'boolean', help: 'IPv6 only' };

export const externalFlag: Flag = {
  name: 'external',
  kind: 'strings',
  hint: 'address',
  help: 'an address outside of the cluster, a node, world or host, to judge as well; may be repeated',
};

/** How an agent would judge; with an agent, its own configuration counts. */
export const agentFlags: readonly Flag[] = [
  { name: 'cluster-name', kind: 'string', help: "with files: the cluster's name" },
  { name: 'node', kind: 'string', help: 'with files: the node that is the host' },
  {
    name: 'enable-host-firewall',
    kind: 'boolean',
    help: 'with files: policies with a nodeSelector are in force on the node of --node',
  },
  {
    name: 'enable-policy',
    kind: 'string',
    hint: 'default|always|never',
    help: 'with files: as the option of the agent (default "default")',
  },
  {
    name: 'allow-localhost',
    kind: 'string',
    hint: 'always|policy',
    help: 'with files: whether a node always reaches its pods (default "always")',
  },
  {
    name: 'policy-cidr-match-mode',
    kind: 'string',
    hint: 'nodes',
    help: 'with files: CIDR rules mean nodes, too',
  },
  {
    name: 'labels',
    kind: 'strings',
    hint: 'pattern',
    help: 'with files: label filter, as the option of the agent',
  },
];

export const sourceFlags: readonly Flag[] = [fileFlag, hostFlag, ...agentFlags];

/** A file that cannot be used; one line for each thing that is wrong. */
export class InputError extends Error {
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.name = 'InputError';
    this.lines = lines;
  }
}

/** Runs a command with the exit codes of this group: 1 is an answer here, never an error. */
export async function answering(
  { flags }: Invocation,
  run: () => number | Promise<number>,
): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof UsageError || flags.boolean('debug')) throw error;
    if (error instanceof InputError) {
      for (const line of error.lines) printError(line);
      return exitCode.usage;
    }
    printError(`Error: ${errorText(error)}`);
    const isUnreachable =
      error instanceof AgentDownError ||
      (error instanceof Error && error.name === 'UnreachableError');
    return isUnreachable ? exitCode.unreachable : exitCode.usage;
  }
}

/** The value of a flag that is one of some words. Throws `UsageError`. */
export function word<Word extends string>(
  { flags }: Invocation,
  name: string,
  words: readonly Word[],
): Word | undefined {
  const text = flags.string(name);
  if (text === undefined) return undefined;
  const found = words.find((each) => each === text);
  if (found === undefined) {
    throw new UsageError(`--${name} ${JSON.stringify(text)}: one of ${words.join(', ')}`);
  }
  return found;
}

/** Both, unless one is asked for. */
export function familiesOf({ flags }: Invocation): readonly (4 | 6)[] {
  const [only4, only6] = [flags.boolean('ipv4'), flags.boolean('ipv6')];
  return only4 === only6 ? [4, 6] : [only4 ? 4 : 6];
}
