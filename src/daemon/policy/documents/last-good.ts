/**
 * @module The last good content of every policy file, `<state-dir>/last-good-policies/<name>`: what is in force
 * when an agent starts and finds a file that it must refuse. Written by the policy reflector a moment
 * after the content came into force, read by it at start.
 */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileBytesMax } from '../parse/parse.ts';

/** Nothing waits for the disk: a packet obeys the new policy first. */
const writeDelayMs = 20;
/** A disk that refuses is asked again this much later. */
const retryDelayMs = 1000;

export class LastGoodPolicies implements Disposable {
  readonly #directory: string;
  readonly #onError: (error: unknown) => void;
  /** What is to be written; undefined is to be removed. */
  readonly #pending = new Map<string, string | undefined>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failing = false;

  constructor(stateDirectory: string, onError: (error: unknown) => void) {
    this.#directory = join(stateDirectory, 'last-good-policies');
    this.#onError = onError;
  }

  /** Names of the files that have a last good content. */
  names(): string[] {
    try {
      return readdirSync(this.#directory).filter((name) => !name.startsWith('.'));
    } catch {
      // No content was ever kept.
      return [];
    }
  }

  /** The content of a file, if there is one that can be read. */
  read(name: string): string | undefined {
    if (this.#pending.has(name)) return this.#pending.get(name);
    const path = join(this.#directory, name);
    try {
      const stat = lstatSync(path);
      if (!stat.isFile() || stat.size > fileBytesMax) return undefined;
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  }

  keep(name: string, text: string): void {
    this.#set(name, text);
  }

  /** Absent is success. */
  forget(name: string): void {
    this.#set(name, undefined);
  }

  [Symbol.dispose](): void {
    this.flush();
    clearTimeout(this.#timer);
  }

  /** Writes what waits, now. What the disk refuses goes on waiting; an error is told once. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    let failure: { readonly error: unknown } | undefined;
    for (const [name, text] of [...this.#pending]) {
      try {
        this.#write(name, text);
        this.#pending.delete(name);
      } catch (error) {
        failure ??= { error };
      }
    }
    const isNews = failure !== undefined && !this.#failing;
    this.#failing = failure !== undefined;
    if (failure === undefined) return;
    this.#timer = setTimeout(() => this.flush(), retryDelayMs);
    this.#timer.unref();
    if (isNews) this.#onError(failure.error);
  }

  #set(name: string, text: string | undefined): void {
    this.#pending.set(name, text);
    this.#timer ??= setTimeout(() => this.flush(), writeDelayMs);
  }

  #write(name: string, text: string | undefined): void {
    const path = join(this.#directory, name);
    if (text === undefined) {
      rmSync(path, { recursive: true, force: true });
      return;
    }
    mkdirSync(this.#directory, { recursive: true, mode: 0o750 });
    const temporary = join(this.#directory, `.${name}`);
    writeFileSync(temporary, text, { mode: 0o640 });
    renameSync(temporary, path);
  }
}
