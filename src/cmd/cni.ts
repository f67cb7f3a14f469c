/**
 * @module `cilium cni` (`cilium-cni`): the CNI plugin. Input: `CNI_*` variables and a network
 * configuration on standard input; output: a result or an error as JSON on standard output, and the
 * exit code. Everything that a command does not need is loaded by the command that does.
 */
import { readSync, writeSync } from 'node:fs';
import { confBytesMax, type NetworkConf, parseConf } from './cni/conf.ts';
import { type CniEnvironment, parseEnvironment } from './cni/environment.ts';
import { CniError, formatError } from './cni/error.ts';
import { type CniVersion, isAtLeast, latestVersion, supportedVersions } from './cni/version.ts';

/** Runs one call of the plugin and returns its exit code. Never throws. */
export async function runCni(
  variables: Readonly<Record<string, string | undefined>>,
  argument?: string,
): Promise<number> {
  if (argument !== undefined && !variables['CNI_COMMAND']) {
    const answer = await (await import('./cni/help.ts')).answerTo(argument);
    if (answer !== undefined) {
      print(answer);
      return 0;
    }
  }
  let version: CniVersion = latestVersion;
  let call: LoggedCall | undefined;
  try {
    const environment = parseEnvironment(variables, argument);
    if (environment.command === 'VERSION') {
      print(`${JSON.stringify({ cniVersion: latestVersion, supportedVersions })}\n`);
      return 0;
    }
    const conf = parseConf(readInput(), environment.socketPath);
    version = conf.cniVersion;
    if (conf.logFile !== '') call = { environment, conf };
    print(await run(environment, conf));
    if (call !== undefined && conf.debug) await log(call);
    return 0;
  } catch (error) {
    print(formatError(error, version));
    if (call !== undefined) await log(call, error);
    return 1;
  }
}

interface LoggedCall {
  readonly environment: CniEnvironment;
  readonly conf: NetworkConf;
}

/** After the answer, so that the log costs a pod nothing. */
async function log({ environment, conf }: LoggedCall, error?: unknown): Promise<void> {
  const { logCall } = await import('./cni/log.ts');
  logCall(conf.logFile, environment, error);
}

async function run(environment: CniEnvironment, conf: NetworkConf): Promise<string> {
  switch (environment.command) {
    case 'ADD':
      return (await import('./cni/add.ts')).add(environment, conf);
    case 'DEL':
      return (await import('./cni/delete.ts')).del(environment, conf);
    case 'CHECK':
      requireVersion(conf, '0.4.0', 'CHECK');
      return (await import('./cni/check.ts')).check(environment, conf);
    case 'STATUS':
      requireVersion(conf, '1.1.0', 'STATUS');
      return (await import('./cni/status.ts')).status(conf);
    case 'GC':
      requireVersion(conf, '1.1.0', 'GC');
      return (await import('./cni/collect.ts')).collect(conf);
    case 'VERSION':
      return '';
  }
}

function requireVersion(conf: NetworkConf, since: CniVersion, command: string): void {
  if (isAtLeast(conf.cniVersion, since)) return;
  throw new CniError('incompatibleVersion', `config version does not allow ${command}`);
}

/** Standard input to its end. By `readSync`: the stream costs as much as the whole call. */
function readInput(): string {
  const chunks: Buffer[] = [];
  let length = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafe(64 * 1024);
    const read = blocking(() => readSync(0, chunk));
    if (read === 0) break;
    length += read;
    if (length > confBytesMax) {
      const message = `network config is larger than ${confBytesMax} bytes`;
      throw new CniError('decodingFailure', message);
    }
    chunks.push(chunk.subarray(0, read));
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** By `writeSync`: the stream would be loaded for it. A pipe takes all of it at once or blocks. */
function print(text: string): void {
  let bytes: Uint8Array = Buffer.from(text);
  while (bytes.length > 0) {
    const rest = bytes;
    bytes = rest.subarray(blocking(() => writeSync(1, rest)));
  }
}

/** Descriptors that a caller has made non-blocking are waited for all the same. */
function blocking(call: () => number): number {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      Bun.sleepSync(1);
    }
  }
}
