/**
 * @module `cilium status`: is the agent of this machine well. Input: its `/healthz`.
 */
import { type LocalAgent, localAgent } from '../sandbox/current.ts';
import { AgentClient, AgentDownError, hostFlag } from './agent-client.ts';
import type { Command, Invocation } from './command.ts';
import { outputFlag, renderValue } from './rendering.ts';
import { formatBrief, formatStatus, isWell, type StatusModel } from './status-text.ts';
import { printError, printOut } from './terminal.ts';

const defaultWaitSeconds = 300;
const pollMs = 200;

export const command: Command = {
  name: 'status',
  summary: 'Is the agent well',
  flags: [
    hostFlag,
    outputFlag,
    { name: 'brief', kind: 'boolean', help: 'one line' },
    { name: 'verbose', kind: 'boolean', help: 'all addresses, controllers, maps' },
    { name: 'wait', kind: 'boolean', help: 'wait until it is well' },
    { name: 'wait-duration', kind: 'number', help: 'seconds to wait at most (default 300)' },
    { name: 'timeout', kind: 'number', help: 'seconds to wait for the answer (default 30)' },
  ],
  examples: [
    ['cilium status', 'the whole report; exit code 1 when the agent is not well'],
    ['cilium status --wait --wait-duration 60', 'wait until it is well'],
    ['cilium status -o jsonpath={.cilium.state}', 'one field'],
  ],
  run: (invocation) => showStatus(invocation, localAgent(invocation.flags.string('host'))),
};

/** Also run by `cilium dbg status`. */
export async function showStatus(invocation: Invocation, agent: LocalAgent): Promise<number> {
  const { flags } = invocation;
  try {
    const status = await fetchStatus(invocation, agent);
    const form = flags.string('output');
    if (form !== undefined) printOut(await renderValue(form, status));
    else if (flags.boolean('brief')) printOut(formatBrief(status));
    else printOut(formatStatus(status, flags.boolean('verbose'), Date.now()));
    return isWell(status) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof AgentDownError)) throw error;
    printError(`${error.message}\n${nextStep(agent)}`);
    return 1;
  }
}

/** What to do about an agent that does not answer. */
function nextStep(agent: LocalAgent): string {
  return agent.sandbox === undefined
    ? "Start one here with 'cilium demo', or name its socket with --host."
    : `The sandbox's agent does not answer. Its log is in /run/cilium/${agent.sandbox}/log/agent.log; ` +
        `'cilium up' starts it again, 'cilium down' removes the sandbox.`;
}

async function fetchStatus({ flags }: Invocation, agent: LocalAgent): Promise<StatusModel> {
  const client = new AgentClient(agent.socketPath);
  const headers: Record<string, string> = flags.boolean('brief') ? { brief: 'true' } : {};
  const timeoutMs = (flags.number('timeout') ?? 30) * 1000;
  const ask = () => client.get<StatusModel>('/healthz', { headers, timeoutMs });
  if (!flags.boolean('wait')) return ask();
  const deadline = Date.now() + (flags.number('wait-duration') ?? defaultWaitSeconds) * 1000;
  for (;;) {
    try {
      const status = await ask();
      if (isWell(status) || Date.now() > deadline) return status;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await Bun.sleep(pollMs);
  }
}
