/**
 * @module What a runtime says in environment variables: `CNI_*` and the pairs in `CNI_ARGS`.
 */
import { CniError } from './error.ts';

export const commands = ['ADD', 'DEL', 'CHECK', 'STATUS', 'GC', 'VERSION'] as const;
export type CniCommand = (typeof commands)[number];

/** The variables of one call; those that its command does not need may be empty. */
export interface CniEnvironment {
  readonly command: CniCommand;
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly podUid: string;
  /** `CILIUM_SOCK`. */
  readonly socketPath: string;
}

type Variables = Readonly<Record<string, string | undefined>>;

const required: Readonly<Record<CniCommand, readonly string[]>> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  // Without a namespace the container is gone; its deletion has to succeed all the same.
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME'],
  STATUS: [],
  GC: [],
  VERSION: [],
};

/** Interface names are 15 bytes in the kernel (IFNAMSIZ). */
const interfaceNameMax = 15;

/** Reads the variables of a call. Throws `CniError`. */
export function parseEnvironment(variables: Variables, argument?: string): CniEnvironment {
  const name = variables['CNI_COMMAND'] || argument || '';
  if (name === '') throw invalid('required env variables [CNI_COMMAND] missing');
  const command = commands.find((one) => one === name);
  if (command === undefined) throw invalid(`unknown CNI_COMMAND: ${name}`);
  const missing = required[command].filter((variable) => !variables[variable]);
  if (missing.length > 0) throw invalid(`required env variables [${missing.join(',')}] missing`);
  const containerId = variables['CNI_CONTAINERID'] ?? '';
  const ifname = variables['CNI_IFNAME'] ?? '';
  if (required[command].length > 0) {
    checkContainerId(containerId);
    checkInterfaceName(ifname);
  }
  const args = parseArgs(variables['CNI_ARGS'] ?? '');
  return {
    command,
    containerId,
    netns: variables['CNI_NETNS'] ?? '',
    ifname,
    podName: args.get('K8S_POD_NAME') || containerId.slice(0, 12),
    podNamespace: args.get('K8S_POD_NAMESPACE') || 'default',
    podUid: args.get('K8S_POD_UID') ?? '',
    socketPath: (variables['CILIUM_SOCK'] ?? '').replace(/^unix:\/\//, ''),
  };
}

function checkContainerId(id: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(id)) {
    throw invalid('invalid characters in containerID', id);
  }
}

function checkInterfaceName(name: string): void {
  if (name.length > interfaceNameMax) {
    throw invalid('interface name is too long', `interface name should be less than 16 characters`);
  }
  if (name === '.' || name === '..') throw invalid('interface name is . or ..');
  if (/[/:\s]/.test(name)) {
    throw invalid('interface name contains / or : or whitespace characters', name);
  }
}

/** `KEY=value;KEY=value`. Keys that nobody knows are ignored, with or without `IgnoreUnknown`. */
function parseArgs(text: string): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (const pair of text.split(';')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    if (equals <= 0) throw invalid(`CNI_ARGS: invalid pair ${JSON.stringify(pair)}`);
    pairs.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  return pairs;
}

function invalid(message: string, details = ''): CniError {
  return new CniError('invalidEnvironment', message, details);
}
