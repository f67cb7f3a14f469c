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

/** HUBBLE_SERVER, else the agent of this machine, else the running sandbox's. */
export function defaultHubbleServer(env: Environment = process.env): string {
  const asked = env['HUBBLE_SERVER'];
  if (asked !== undefined && asked !== '') return asked;
  const local = `unix://${defaultHubbleSocket}`;
  if (existsSync(defaultHubbleSocket)) return local;
  const sandbox = readCurrent()?.hubbleSocketPath;
  return sandbox === undefined ? local : `unix://${sandbox}`;
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
