/**
 * @module
 * Which Hubble server a command asks, and in which spellings that can be said.
 */
import { existsSync } from 'node:fs';
import { defaultHubbleSocket, readCurrent } from '../../sandbox/current.ts';
import { UsageError } from './usage-error.ts';

export interface ServerAddress {
  /** As shown: `unix:///var/run/cilium/hubble.sock`, `localhost:4245`. */
  readonly shown: string;
  /** As grpc-js wants it. */
  readonly target: string;
  /** Set for a unix socket. */
  readonly socketPath: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * HUBBLE_SERVER, else what the agent of CILIUM_SOCK says, else the agent of this machine, else the
 * running sandbox's. Throws UnreachableError when that agent does not say it.
 */
export async function defaultHubbleServer(env: Environment = process.env): Promise<string> {
  const asked = env['HUBBLE_SERVER'];
  if (asked !== undefined && asked !== '') return asked;
  const agent = env['CILIUM_SOCK'];
  if (agent !== undefined && agent !== '') return `unix://${await hubbleSocketOf(agent)}`;
  const local = `unix://${defaultHubbleSocket}`;
  if (existsSync(defaultHubbleSocket)) return local;
  const sandbox = readCurrent()?.hubbleSocketPath;
  return sandbox === undefined ? local : `unix://${sandbox}`;
}

const askTimeoutMs = 2000;

/** Where the agent on a socket serves flows. */
async function hubbleSocketOf(agentSocket: string): Promise<string> {
  const { AgentClient } = await import('../agent-client.ts');
  const path = agentSocket.replace(/^unix:(\/\/)?/, '');
  try {
    const answer = await new AgentClient(path).get<{
      status?: { daemonConfigurationMap?: { HubbleSocketPath?: string } };
    }>('/config', { timeoutMs: askTimeoutMs });
    const socket = answer.status?.daemonConfigurationMap?.HubbleSocketPath ?? '';
    if (socket !== '') return socket;
  } catch (error) {
    const { UnreachableError } = await import('./client.ts');
    throw new UnreachableError(
      `ask the agent on ${path} (CILIUM_SOCK) for its Hubble socket: no answer; ` +
        'name the server with --server or HUBBLE_SERVER',
      { cause: error },
    );
  }
  return defaultHubbleSocket;
}

/** `unix:///path`, `unix:path`, `/path`, `host:port`. Throws UsageError. */
export function parseServerAddress(text: string): ServerAddress {
  if (text.startsWith('tls://')) {
    throw new UsageError(`--server ${text}: TLS is not supported yet`);
  }
  const path = text.startsWith('/') ? text : /^unix:(?:\/\/)?(.+)$/.exec(text)?.[1];
  if (path !== undefined) {
    return { shown: `unix://${path}`, target: `unix:${path}`, socketPath: path };
  }
  if (!/^(\[[0-9a-f:.]+\]|[^\s:/]+):\d{1,5}$/i.test(text)) {
    throw new UsageError(`--server ${text}: neither unix:///path nor host:port`);
  }
  return { shown: text, target: text, socketPath: undefined };
}
