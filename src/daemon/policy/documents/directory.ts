/**
 * @module
 * Watches one directory for files that are whole: it reports a file only when nobody is writing to
 * it, and a deletion only when the file stays away. A directory that does not exist yet is waited
 * for. Knows nothing of policy; the reflector reads what it reports.
 */

import {
  type BigIntStats,
  closeSync,
  constants,
  type FSWatcher,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  watch,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isOpenForWriting } from '../../../net/libc.ts';

/** A file's whole content, or why there is none. */
export type FileContent =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'unreadable'; readonly message: string }
  | { readonly kind: 'deleted' };

export interface DirectoryOptions {
  readonly path: string;
  readonly accepts: (name: string) => boolean;
  readonly bytesMax: number;
  readonly filesMax: number;
  /** Called with everything that became known at once. */
  readonly onFiles: (files: ReadonlyMap<string, FileContent>) => void;
  /** The directory cannot be read; what is in force stays. Undefined when it can again. */
  readonly onTrouble: (message: string | undefined) => void;
  /** Files are read, but by looking again and again; undefined when the kernel tells again. */
  readonly onPolling?: (message: string | undefined) => void;
  /** There were files at an earlier time, so that a missing directory is trouble. */
  readonly expectsFiles?: () => boolean;
  /** Stands in for `fs.watch`, in tests. */
  readonly watch?: typeof watch;
}

/** A file must have been left alone for this long before it is read. */
const quietMs = 0.75;
/** What somebody still writes is looked at again after this long, */
const writingPollMs = 5;
/** and taken as it is after this long: a writer that never closes must not hide a file for ever. */
const writingMaxMs = 10_000;
/** A file must have been away for this long; editors and `mv` pairs come back sooner. */
const awayMs = 5;
/**
 * A file that was reported is read once more this much later: two notifications about one file in
 * the same millisecond reach us as one, and two writes in one tick of the file clock look alike.
 */
const confirmMs = 20;
/** Everything is looked at again this often, in case the kernel lost a notification. */
const rescanMs = 5000;
/** While the directory is missing or the kernel does not tell, this often. */
const missingRescanMs = 250;

interface Seen {
  /** Of the content that was last reported. */
  signature: string | undefined;
  digest: number | bigint | undefined;
  /** At the last look, and since when it has looked so. */
  lookedSignature: string | undefined;
  lookedAtMs: number;
  /** Since when it is waited for whoever writes it. */
  writtenSinceMs?: number | undefined;
}

export class DirectoryWatch implements Disposable {
  readonly #options: DirectoryOptions;
  readonly #files = new Map<string, Seen>();
  readonly #pending = new Set<string>();
  readonly #unconfirmed = new Set<string>();
  #watcher: FSWatcher | undefined;
  #watchedInode: bigint | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #confirmTimer: ReturnType<typeof setTimeout> | undefined;
  #turn: ReturnType<typeof setImmediate> | undefined;
  #rescanTimer: ReturnType<typeof setTimeout> | undefined;
  #trouble: string | undefined;
  #polling: string | undefined;
  #stopped = false;

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  /** Reports the files that are there before it returns (except one that is being written). */
  start(): void {
    this.#rescan();
    this.#settle();
    if (this.#pending.size === 0) return;
    // Something was written just now. Once, at the start, there is time to let it settle.
    Bun.sleepSync(quietMs + 0.5);
    this.#settle();
  }

  stop(): void {
    this.#stopped = true;
    this.#unwatch();
    this.#cancel();
    clearTimeout(this.#rescanTimer);
    clearTimeout(this.#confirmTimer);
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watchedInode = undefined;
  }

  #onEvent(name: string | null): void {
    if (this.#stopped) return;
    // A symlink that is swapped (`..data` of a ConfigMap) changes files without naming them.
    // The directory's own name says that it was moved or deleted.
    if (name === null || name.startsWith('.') || name === basename(this.#options.path))
      this.#rescan();
    else if (this.#options.accepts(name)) this.#look(name, true);
    else return;
    this.#settle();
  }

  /** Looks at the directory and at each file in it. */
  #rescan(): void {
    clearTimeout(this.#rescanTimer);
    const present = this.#list();
    // Seen at one moment, so that files changed together are also taken together.
    const now = performance.now();
    if (present !== undefined) {
      for (const name of present) this.#look(name, false, now);
      for (const name of this.#files.keys()) if (!present.has(name)) this.#look(name, false, now);
    }
    this.#rescanLater();
  }

  #rescanLater(): void {
    clearTimeout(this.#rescanTimer);
    if (this.#stopped) return;
    const delay = this.#watcher === undefined ? missingRescanMs : rescanMs;
    this.#rescanTimer = setTimeout(() => {
      this.#rescan();
      this.#settle();
    }, delay);
    this.#rescanTimer.unref();
  }

  /**
   * The names of the files; undefined if the directory cannot be read. One that is gone while files
   * are expected in it was not mounted, or is being replaced: files are deleted one by one.
   */
  #list(): ReadonlySet<string> | undefined {
    const { path, accepts, filesMax } = this.#options;
    // Before it is read, so that nothing falls between.
    const polling = this.#watch(path);
    try {
      const names = readdirSync(path).filter((name) => !name.startsWith('.') && accepts(name));
      const over = names.length > filesMax;
      this.#report(over ? `read ${path}: more than ${filesMax} files` : undefined);
      this.#reportPolling(polling);
      return over ? undefined : new Set(names);
    } catch (cause) {
      this.#unwatch();
      if (errorCode(cause) !== 'ENOENT') {
        this.#report(`read ${path}: ${errorCode(cause)}`);
        return undefined;
      }
      this.#watchParent(dirname(path));
      if (this.#files.size > 0 || this.#options.expectsFiles?.() === true) {
        this.#report(`read ${path}: the directory is missing`);
        return undefined;
      }
      this.#report(undefined);
      return new Set();
    }
  }

  /** Why the kernel does not tell of changes, which must not keep the files from being read. */
  #watch(path: string): string | undefined {
    try {
      const { ino } = statSync(path, { bigint: true });
      if (ino === this.#watchedInode && this.#watcher !== undefined) return undefined;
      this.#unwatch();
      const watcher = (this.#options.watch ?? watch)(path, (_event, name) => this.#onEvent(name));
      watcher.on('error', () => {
        if (watcher !== this.#watcher) return;
        this.#unwatch();
        this.#rescanLater();
      });
      this.#watcher = watcher;
      this.#watchedInode = ino;
      return undefined;
    } catch (cause) {
      this.#unwatch();
      return `watch ${path}: ${errorCode(cause)}: no notifications: polling`;
    }
  }

  /** Notices a missing directory's creation at once; deeper paths are left to the rescan. */
  #watchParent(parent: string): void {
    try {
      const watcher = watch(parent, () => {
        watcher.close();
        this.#onEvent(null);
      });
      watcher.on('error', () => watcher.close());
      this.#watcher = watcher;
    } catch {
      // The parent is missing too: the rescan finds the directory.
    }
  }

  #report(trouble: string | undefined): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#options.onTrouble(trouble);
  }

  #reportPolling(polling: string | undefined): void {
    if (polling === this.#polling) return;
    this.#polling = polling;
    this.#options.onPolling?.(polling);
  }

  /**
   * Marks the file for reading if it differs from what was reported, or, told by the kernel that
   * it was written, even if it looks the same.
   */
  #look(name: string, told = false, now = performance.now()): void {
    const stats = statOf(join(this.#options.path, name));
    const signature = signatureOf(stats);
    const seen = this.#files.get(name) ?? {
      signature: undefined,
      digest: undefined,
      lookedSignature: undefined,
      lookedAtMs: 0,
    };
    if (!this.#files.has(name)) {
      if (stats === undefined) return;
      this.#files.set(name, seen);
    } else if (!told && !this.#pending.has(name) && signature === seen.signature) return;
    if (told || signature !== seen.lookedSignature || !this.#pending.has(name)) {
      seen.lookedSignature = signature;
      seen.lookedAtMs = isSettled(stats) ? 0 : now;
    }
    this.#pending.add(name);
  }

  /** Reports the pending files that have been left alone, all in one call; comes back for the rest. */
  #settle(): void {
    if (this.#stopped) return;
    const ready = new Map<string, FileContent>();
    let waitMs = Number.POSITIVE_INFINITY;
    const now = performance.now();
    for (const name of this.#pending) {
      const seen = this.#files.get(name);
      if (seen === undefined) continue;
      this.#look(name, false, now);
      const needed = seen.lookedSignature === gone ? awayMs : quietMs;
      const left = seen.lookedAtMs + needed - now;
      if (left > 0) waitMs = Math.min(waitMs, left);
      else if (this.#isWritten(name, seen, now)) waitMs = Math.min(waitMs, writingPollMs);
      else if (!this.#take(name, seen, ready)) waitMs = Math.min(waitMs, quietMs);
    }
    this.#cancel();
    if (this.#pending.size > 0) this.#comeBack(waitMs);
    if (ready.size === 0) return;
    this.#confirmLater(ready.keys());
    this.#options.onFiles(ready);
  }

  /** The beginning of a file may be a whole document, and less than the file is going to say. */
  #isWritten(name: string, seen: Seen, now: number): boolean {
    if (seen.lookedSignature === gone || !isBeingWritten(join(this.#options.path, name))) {
      seen.writtenSinceMs = undefined;
      return false;
    }
    seen.writtenSinceMs ??= now;
    return now - seen.writtenSinceMs < writingMaxMs;
  }

  #confirmLater(names: Iterable<string>): void {
    for (const name of names) this.#unconfirmed.add(name);
    this.#confirmTimer ??= setTimeout(() => {
      this.#confirmTimer = undefined;
      const now = performance.now();
      for (const name of this.#unconfirmed) this.#look(name, true, now);
      this.#unconfirmed.clear();
      this.#settle();
    }, confirmMs);
  }

  /** Timers are late by up to a millisecond, as much as there is to wait; then turns are counted. */
  #comeBack(waitMs: number): void {
    if (waitMs > quietMs) this.#timer = setTimeout(() => this.#settle(), waitMs);
    else {
      this.#turn = setImmediate(() => {
        this.#turn = undefined;
        this.#settle();
      });
    }
  }

  #cancel(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#turn);
    this.#timer = undefined;
    this.#turn = undefined;
  }

  /** False if the file changed while it was read. */
  #take(name: string, seen: Seen, ready: Map<string, FileContent>): boolean {
    const path = join(this.#options.path, name);
    if (seen.lookedSignature === gone) {
      this.#pending.delete(name);
      this.#files.delete(name);
      ready.set(name, { kind: 'deleted' });
      return true;
    }
    const { content, signature } = readFile(path, this.#options.bytesMax);
    if (signature !== seen.lookedSignature || signatureOf(statOf(path)) !== signature) {
      this.#look(name);
      return false;
    }
    this.#pending.delete(name);
    const digest = content.kind === 'text' ? Bun.hash(content.text) : undefined;
    const same = seen.signature !== undefined && digest !== undefined && digest === seen.digest;
    seen.signature = signature;
    seen.digest = digest;
    if (!same) ready.set(name, content);
    return true;
  }
}

const gone = 'gone';

function isBeingWritten(path: string): boolean {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return fstatSync(fd).isFile() && isOpenForWriting(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // What cannot be opened is told by who reads it.
    return false;
  }
}

function statOf(path: string): BigIntStats | undefined | 'unreadable' {
  try {
    return statSync(path, { bigint: true });
  } catch (cause) {
    return errorCode(cause) === 'ENOENT' ? undefined : 'unreadable';
  }
}

function signatureOf(stats: BigIntStats | undefined | 'unreadable'): string {
  if (stats === undefined) return gone;
  if (stats === 'unreadable') return stats;
  const { dev, ino, size, mtimeNs, ctimeNs, mode } = stats;
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}:${mode}`;
}

/**
 * True if nobody can be in the middle of writing: the file was renamed to its place after its last
 * write, or was last written well before now (the clock of files ticks up to 10 ms late).
 */
function isSettled(stats: BigIntStats | undefined | 'unreadable'): boolean {
  if (stats === undefined || stats === 'unreadable') return false;
  if (stats.size === 0n) return false;
  return stats.ctimeNs > stats.mtimeNs || Date.now() - Number(stats.mtimeNs / 1_000_000n) > 100;
}

function readFile(path: string, bytesMax: number): { content: FileContent; signature: string } {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    const signature = signatureOf(statOf(path));
    return { content: { kind: 'unreadable', message: `open: ${errorCode(cause)}` }, signature };
  }
  try {
    const stats = fstatSync(file, { bigint: true });
    const signature = signatureOf(stats);
    const refuse = (message: string) => ({
      content: { kind: 'unreadable' as const, message },
      signature,
    });
    if (!stats.isFile()) return refuse('not a file');
    if (stats.size > BigInt(bytesMax)) return refuse(`larger than ${bytesMax} bytes`);
    const bytes = new Uint8Array(Number(stats.size));
    let length = 0;
    while (length < bytes.length) {
      const count = readSync(file, bytes, length, bytes.length - length, length);
      if (count === 0) break;
      length += count;
    }
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length));
    return { content: { kind: 'text', text }, signature };
  } catch (cause) {
    const message = cause instanceof TypeError ? 'not UTF-8' : `read: ${errorCode(cause)}`;
    return { content: { kind: 'unreadable', message }, signature: signatureOf(statOf(path)) };
  } finally {
    closeSync(file);
  }
}

function errorCode(cause: unknown): string {
  if (cause instanceof Error && 'code' in cause) return String(cause.code);
  return String(cause);
}
