/**
 * @module `dbg policy wait REVISION`: until every endpoint obeys the revision, or too long.
 */

import type { AgentClient } from '../agent-client.ts';
import type { Command, Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { printError, printOut } from '../terminal.ts';
import { openSession } from './session.ts';

const failWaitDefaultS = 60;
const maxWaitDefaultS = 360;
const sleepDefaultS = 1;

interface EndpointState {
  readonly status?: {
    readonly state?: string;
    readonly policy?: { readonly realized?: { readonly 'policy-revision'?: number } };
  };
}

export const waitCommand: Command = {
  name: 'wait',
  summary: 'Wait for all endpoints to have updated to a given policy revision',
  positionals: [{ name: 'revision', help: 'as cilium dbg policy get prints it' }],
  flags: [
    {
      name: 'fail-wait-time',
      kind: 'number',
      help: 'seconds after which an endpoint that is not ready is a failure (default 60)',
    },
    { name: 'max-wait-time', kind: 'number', help: 'seconds to wait at most (default 360)' },
    { name: 'sleep-time', kind: 'number', help: 'seconds between looks (default 1)' },
  ],
  examples: [
    ['cilium dbg policy wait 7', 'until what was read as revision 7 is in force'],
    [
      'cilium dbg policy wait $(cilium dbg policy get -o jsonpath={.revision})',
      'until all that was read is',
    ],
  ],
  run: waitForRevision,
};

async function waitForRevision(invocation: Invocation): Promise<number> {
  const { args, flags } = invocation;
  const [text = ''] = args;
  if (args.length !== 1 || !/^\d+$/.test(text)) {
    throw new UsageError(`invalid revision ${JSON.stringify(text)}: a whole number is needed`);
  }
  const wanted = Number(text);
  const { client } = openSession(invocation);
  const started = Date.now();
  const passedMs = () => Date.now() - started;
  const failWaitMs = (flags.number('fail-wait-time') ?? failWaitDefaultS) * 1000;
  const maxWaitMs = (flags.number('max-wait-time') ?? maxWaitDefaultS) * 1000;
  // Zero would ask without a pause.
  const sleepMs = Math.max(minSleepMs, (flags.number('sleep-time') ?? sleepDefaultS) * 1000);
  for (let said = ''; ; ) {
    const { states, isRead } = await statesOf(client, wanted);
    const there = states.filter((each) => each.isThere && each.isReady).length;
    if (there === states.length && isRead) return 0;
    const notReady = states.filter((each) => !each.isReady).length;
    const progress = `${there} of ${states.length} endpoints have revision ${wanted}`;
    if (notReady > 0 && passedMs() >= failWaitMs) {
      printError(`Error: ${progress}, ${notReady} are not ready`);
      return 1;
    }
    if (passedMs() >= maxWaitMs) {
      printError(`Error: ${progress} after ${Math.round(passedMs() / 1000)} s`);
      return 1;
    }
    if (said !== progress) printOut(`Waiting: ${progress}\n`);
    said = progress;
    await Bun.sleep(Math.min(sleepMs, Math.max(1, maxWaitMs - passedMs())));
  }
}

const minSleepMs = 50;

/**
 * An endpoint's own revision is that at which its policy last changed. One whose policy is the same
 * in the wanted revision has it all the same, once the agent has read it and all is in the kernel.
 */
async function statesOf(client: AgentClient, wanted: number) {
  const isRead = (await revisionOf(client)) >= wanted;
  const list = await client.get<readonly EndpointState[]>('/endpoint');
  const own = ({ status }: EndpointState) => status?.policy?.realized?.['policy-revision'] ?? 0;
  const isWritten = list.every((each) => own(each) >= wanted) || (await arePoliciesWritten(client));
  const states = list.map((each) => ({
    isReady: each.status?.state === 'ready',
    isThere: own(each) >= wanted || (isRead && isWritten),
  }));
  return { states, isRead };
}

async function revisionOf(client: AgentClient): Promise<number> {
  const { revision = 0 } = await client.get<{ revision?: number }>('/policy');
  return revision;
}

/** Policies, and which peers they mean, are as the agent wants them. */
async function arePoliciesWritten(client: AgentClient): Promise<boolean> {
  for (const table of ['policies', 'policy-peers', 'address-sets']) {
    const { rows = [] } = await client.get<PolicyTable>(`/statedb/${table}`);
    if (!rows.every((row) => row.status?.kind === 'done')) return false;
  }
  return true;
}

interface PolicyTable {
  readonly rows?: readonly { readonly status?: { readonly kind?: string } }[];
}
