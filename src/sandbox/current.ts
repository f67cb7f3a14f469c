/**
 * @module Which agent a command on this machine talks to. The running sandbox leaves one small file
 * that names its sockets; it is asked only when no flag and no environment variable says otherwise
 * and no agent listens at the default place.
 */
import { existsSync, readFileSync } from 'node:fs';

export const currentFile = '/run/cilium/current.json';
export const defaultAgentSocket = '/var/run/cilium/cilium.sock';
export const defaultHubbleSocket = '/var/run/cilium/hubble.sock';
export const defaultBpfRoot = '/sys/fs/bpf';

/** Where an agent is reached. */
export interface LocalAgent {
  readonly socketPath: string;
  readonly hubbleSocketPath: string;
  readonly bpfRoot: string;
  /** Name of the sandbox that the agent belongs to, if it does. */
  readonly sandbox: string | undefined;
}

/** What the file of the running sandbox says. */
export interface CurrentSandbox {
  readonly sandbox: string;
  readonly directory: string;
  readonly socketPath: string;
  readonly hubbleSocketPath: string;
  readonly bpfRoot: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The agent of this machine: `host` (a flag: path or `unix://` URI), `CILIUM_SOCK`, the default socket
 * if it is there, the running sandbox, in this order. `CILIUM_BPF_ROOT` overrides the map directory.
 */
export function localAgent(
  host?: string,
  environment: Environment = process.env,
  file = currentFile,
): LocalAgent {
  const current = readCurrent(file);
  const asked = host ?? nonEmpty(environment.CILIUM_SOCK);
  const socketPath = asked === undefined ? undefined : pathOfUri(asked);
  const bpfRoot = nonEmpty(environment.CILIUM_BPF_ROOT);
  const here = socketPath ?? (existsSync(defaultAgentSocket) ? defaultAgentSocket : undefined);
  if (current !== undefined && (here === undefined || here === current.socketPath)) {
    return { ...current, bpfRoot: bpfRoot ?? current.bpfRoot };
  }
  return {
    socketPath: here ?? defaultAgentSocket,
    hubbleSocketPath: defaultHubbleSocket,
    bpfRoot: bpfRoot ?? defaultBpfRoot,
    sandbox: undefined,
  };
}

/** The running sandbox, or undefined; a file that does not parse counts as none. */
export function readCurrent(file = currentFile): CurrentSandbox | undefined {
  try {
    return checkedCurrent(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined;
  }
}

function checkedCurrent(value: unknown): CurrentSandbox | undefined {
  if (value === null || typeof value !== 'object') return undefined;
  const { sandbox, directory, socketPath, hubbleSocketPath, bpfRoot } = value as Record<
    string,
    unknown
  >;
  if (
    typeof sandbox !== 'string' ||
    typeof directory !== 'string' ||
    typeof socketPath !== 'string' ||
    typeof hubbleSocketPath !== 'string' ||
    typeof bpfRoot !== 'string'
  ) {
    return undefined;
  }
  return { sandbox, directory, socketPath, hubbleSocketPath, bpfRoot };
}

function pathOfUri(uri: string): string {
  return uri.replace(/^unix:(\/\/)?/, '');
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
