/**
 * @module The network configuration that a runtime writes to standard input. Anybody may have
 * written it: every field that is used is checked, with the field's name in the error.
 *
 * Besides the specification's fields: `cilium-sock` (the agent's socket) and `state-dir` (where
 * deletions queue), so that several agents can run on one machine.
 */
import { CniError } from './error.ts';
import { type CniVersion, defaultVersion, isSupported, supportedVersions } from './version.ts';

export const defaultStateDirectory = '/var/run/cilium';

/** Largest configuration that is read; a list of all attachments of a node fits many times. */
export const confBytesMax = 4 * 1024 * 1024;

/** One interface of one container. */
export interface Attachment {
  readonly containerId: string;
  readonly ifname: string;
}

/** A checked configuration. */
export interface NetworkConf {
  readonly cniVersion: CniVersion;
  readonly name: string;
  readonly socketPath: string;
  readonly stateDirectory: string;
  /** Where calls are logged; empty: nowhere. */
  readonly logFile: string;
  /** Log successes, too. */
  readonly debug: boolean;
  /** `args.cni.labels`, as labels of source `k8s`. */
  readonly labels: readonly string[];
  readonly dns: object | undefined;
  /** The result of the plugins before us, or of our own ADD for CHECK and DEL. Unchecked. */
  readonly prevResult: Readonly<Record<string, unknown>> | undefined;
  /** `cni.dev/valid-attachments`; `undefined` if the runtime does not say. */
  readonly validAttachments: readonly Attachment[] | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses a configuration. Throws `CniError`. */
export function parseConf(text: string, socketFromEnvironment: string): NetworkConf {
  const fields = parseObject(text);
  const version = textField(fields, 'cniVersion') || defaultVersion;
  if (!isSupported(version)) {
    const supported = supportedVersions.map((one) => JSON.stringify(one)).join(' ');
    const details = `config is ${JSON.stringify(version)}, plugin supports [${supported}]`;
    throw new CniError('incompatibleVersion', 'incompatible CNI versions', details);
  }
  const name = textField(fields, 'name');
  if (name === '') throw invalid('missing network name');
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) {
    throw invalid('invalid characters found in network name', name);
  }
  checkUnsupported(fields);
  const stateDirectory = textField(fields, 'state-dir') || defaultStateDirectory;
  const socket = textField(fields, 'cilium-sock').replace(/^unix:\/\//, '');
  return {
    cniVersion: version,
    name,
    socketPath: socket || socketFromEnvironment || `${stateDirectory}/cilium.sock`,
    stateDirectory,
    logFile: textField(fields, 'log-file'),
    debug: fields['enable-debug'] === true,
    labels: labelsOf(fields),
    dns: optionalObject(fields, 'dns'),
    prevResult: optionalObject(fields, 'prevResult'),
    validAttachments: attachmentsOf(fields),
  };
}

function parseObject(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CniError('decodingFailure', `error unmarshall network config: ${reason}`);
  }
  if (isObject(value)) return value;
  throw new CniError('decodingFailure', 'error unmarshall network config: it is not an object');
}

/** What would silently do something else than asked. */
function checkUnsupported(fields: Fields): void {
  const chaining = textField(fields, 'chaining-mode');
  if (chaining !== '' && chaining !== 'none') {
    throw new CniError(
      'unsupportedField',
      `chaining-mode: ${JSON.stringify(chaining)} is not supported`,
    );
  }
  const ipam = optionalObject(fields, 'ipam') ?? {};
  const type = textField(ipam, 'type', 'ipam.type');
  if (type !== '' && type !== 'cilium') {
    const message = `ipam.type: addresses come from the agent, not from ${JSON.stringify(type)}`;
    throw new CniError('unsupportedField', message);
  }
}

function textField(fields: Fields, name: string, path = name): string {
  const value = fields[name];
  if (value === undefined || value === null) return '';
  if (typeof value === 'string' && !value.includes('\0')) return value;
  throw invalid(`${path}: has to be a string`);
}

function optionalObject(fields: Fields, name: string, path = name): Fields | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (isObject(value)) return value;
  throw invalid(`${path}: has to be an object`);
}

function labelsOf(fields: Fields): readonly string[] {
  const args = optionalObject(fields, 'args');
  const cni = args && optionalObject(args, 'cni', 'args.cni');
  const list = cni?.['labels'];
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) throw invalid('args.cni.labels: has to be a list');
  return list.map((item: unknown, index) => {
    const path = `args.cni.labels[${index}]`;
    if (!isObject(item)) throw invalid(`${path}: has to be an object with key and value`);
    const key = textField(item, 'key', `${path}.key`);
    const value = textField(item, 'value', `${path}.value`);
    if (key === '') throw invalid(`${path}.key: is required`);
    if (/[=:]/.test(key)) throw invalid(`${path}.key: ${JSON.stringify(key)} is not a label key`);
    return `k8s:${key}=${value}`;
  });
}

function attachmentsOf(fields: Fields): readonly Attachment[] | undefined {
  const name = 'cni.dev/valid-attachments';
  const list = fields[name];
  if (list === undefined || list === null) return undefined;
  if (!Array.isArray(list)) throw invalid(`${name}: has to be a list`);
  return list.map((item: unknown, index) => {
    const path = `${name}[${index}]`;
    if (!isObject(item)) throw invalid(`${path}: has to be an object`);
    const containerId = textField(item, 'containerID', `${path}.containerID`);
    const ifname = textField(item, 'ifname', `${path}.ifname`);
    // A valid attachment that is not understood must not be deleted as a stale one.
    if (containerId === '' || ifname === '')
      throw invalid(`${path}: containerID and ifname are required`);
    return { containerId, ifname };
  });
}

function invalid(message: string, details = ''): CniError {
  return new CniError('invalidNetworkConfig', message, details);
}
