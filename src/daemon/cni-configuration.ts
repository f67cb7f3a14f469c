/**
 * @module
 * The CNI network configuration that tells container runtimes to call us: written when the agent is
 * ready, put back when somebody changes it; with `cni-exclusive` those of others are set aside.
 * Input: AgentConfig; output: the file, and what the status says about it.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { AgentConfig } from './runtime/config.ts';

export interface CniFileStatus {
  readonly state: string;
  readonly msg: string;
}

export type CniFileConfig = Pick<
  AgentConfig,
  | 'cniExclusive'
  | 'cniLogFile'
  | 'debug'
  | 'readCniConf'
  | 'socketPath'
  | 'stateDir'
  | 'writeCniConfWhenReady'
>;

/** Where the plugin looks when the configuration says nothing. */
const defaultSocketPath = '/var/run/cilium/cilium.sock';
const defaultStateDir = '/var/run/cilium';

/** What upstream renames others' files to, so that its tools find them. */
const asideSuffix = '.cilium_bak';
const configurationName = /\.(conf|conflist|json)$/;

/** The list with our plugin alone; the keys that are ours only where this agent differs. */
export function cniConfiguration(config: CniFileConfig): string {
  const plugin = {
    type: 'cilium-cni',
    'enable-debug': config.debug,
    'log-file': config.cniLogFile,
    ...(config.socketPath === defaultSocketPath ? {} : { 'cilium-sock': config.socketPath }),
    ...(config.stateDir === defaultStateDir ? {} : { 'state-dir': config.stateDir }),
  };
  const list = { cniVersion: '0.3.1', name: 'cilium', plugins: [plugin] };
  return `${JSON.stringify(list, null, 2)}\n`;
}

export class CniFile {
  readonly #config: CniFileConfig;
  readonly #path: string;
  #status: CniFileStatus = { state: 'Disabled', msg: '' };

  constructor(config: CniFileConfig) {
    this.#config = config;
    this.#path = config.writeCniConfWhenReady;
    if (this.wanted) {
      this.#status = { state: 'Warning', msg: `${this.#path} is not written yet` };
    }
  }

  get wanted(): boolean {
    return this.#path !== '';
  }

  get status(): CniFileStatus {
    return this.#status;
  }

  /** Makes the directory as it should be; changes nothing if it is. Throws what stands in the way. */
  ensure(): void {
    if (!this.wanted) return;
    try {
      const { readCniConf } = this.#config;
      const text =
        readCniConf === '' ? cniConfiguration(this.#config) : readFileSync(readCniConf, 'utf8');
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o755 });
      if (tryRead(this.#path) !== text) writeAtomically(this.#path, text);
      if (this.#config.cniExclusive) setOthersAside(this.#path);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#status = { state: 'Failure', msg: `write ${this.#path}: ${reason}` };
      throw new Error(`write CNI configuration ${this.#path}`, { cause: error });
    }
    const msg = `successfully wrote CNI configuration file to ${this.#path}`;
    this.#status = { state: 'Ok', msg };
  }
}

function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** A runtime that looks meanwhile sees the old file or the new one. Its own name is no `.conf`. */
function writeAtomically(path: string, text: string): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}

function setOthersAside(own: string): void {
  const folder = dirname(own);
  for (const name of readdirSync(folder)) {
    if (name === basename(own) || !configurationName.test(name)) continue;
    renameSync(join(folder, name), join(folder, `${name}${asideSuffix}`));
  }
}
