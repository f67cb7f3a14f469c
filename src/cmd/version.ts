/**
 * @module `cilium version`: this executable's version, and that of the agent that answers, if one does.
 */
import { localAgent } from '../sandbox/current.ts';
import { commit, version } from '../version.ts';
import { AgentClient, hostFlag } from './agent-client.ts';
import type { Command, Invocation } from './command.ts';
import { outputFlag, renderValue } from './rendering.ts';
import { printOut } from './terminal.ts';

/** What one side says about itself. */
interface VersionModel {
  readonly Version: string;
  readonly Revision: string;
  readonly Runtime: string;
  readonly Arch: string;
}

const agentTimeoutMs = 2000;

export const command: Command = {
  name: 'version',
  summary: 'Print the version, and that of the agent',
  flags: [hostFlag, outputFlag, { name: 'client', kind: 'boolean', help: 'do not ask the agent' }],
  examples: [['cilium version', 'of this executable and of the agent']],
  run: showVersion,
};

async function showVersion({ flags }: Invocation): Promise<number> {
  const client = ownVersion();
  const { socketPath } = localAgent(flags.string('host'));
  const daemon = flags.boolean('client') ? undefined : await agentVersion(socketPath);
  const form = flags.string('output');
  if (form !== undefined) {
    printOut(await renderValue(form, { Client: client, ...(daemon && { Daemon: daemon }) }));
    return 0;
  }
  printOut(`Client: ${client.Version} ${client.Revision} ${client.Runtime} ${client.Arch}\n`);
  if (daemon !== undefined) printOut(`Daemon: ${daemon}\n`);
  else if (!flags.boolean('client')) printOut('Daemon: not running\n');
  return 0;
}

function ownVersion(): VersionModel {
  return {
    Version: version,
    Revision: commit,
    Runtime: `bun ${Bun.version}`,
    Arch: `${process.platform}/${process.arch}`,
  };
}

/** As the agent calls itself in its health report; undefined when nobody answers. */
async function agentVersion(socketPath: string): Promise<string | undefined> {
  try {
    const request = { headers: { brief: 'true' }, timeoutMs: agentTimeoutMs };
    const status = await new AgentClient(socketPath).get<{ cilium?: { msg?: string } }>(
      '/healthz',
      request,
    );
    return status.cilium?.msg ?? '';
  } catch {
    return undefined;
  }
}
