/**
 * @module
 * Watches one directory for files that are whole: it reports a file only when nobody is writing to
 * it, and a deletion only when the file stays away, together with the name that it may have now. A
 * directory that does not exist yet is waited for. Knows nothing of policy; the reflector reads what
 * it reports.
 */

import { type Dirent, type FSWatcher, statSync, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  errorCode,
  type FileContent,
  gone,
  inodeOf,
  isBeingWritten,
  isSettled,
  readFile,
  signatureOf,
  statOf,
} from './file-content.ts';
import { holdsFiles, isFolder, visibleIn } from './folders.ts';

export interface DirectoryOptions {
  readonly path: string;
  readonly accepts: (name: string) => boolean;
  readonly bytesMax: number;
  readonly filesMax: number;
  /** Called with everything that became known at once. */
  readonly onFiles: (files: ReadonlyMap<string, FileContent>) => void;
  /** All folders with files or folders in them, which are not read; whenever these are others. */
  readonly onFolders?: (names: ReadonlySet<string>) => void;
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
  /** Since when it has been there, or away. */
  sinceMs: number;
  /** When it was last there. */
  inode: string | undefined;
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
  #folders: ReadonlySet<string> = new Set();
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
    else if (this.#folders.has(name) || isFolder(join(this.#options.path, name))) this.#rescan();
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
      const visible = visibleIn(path);
      const names = visible.map(({ name }) => name).filter(accepts);
      const over = names.length > filesMax;
      this.#report(over ? `read ${path}: more than ${filesMax} files` : undefined);
      this.#reportPolling(polling);
      this.#reportFolders(visible);
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

  /** Folders are told of when something is in them: an empty one is not a mistake. */
  #reportFolders(visible: readonly Dirent[]): void {
    const { path, accepts, onFolders } = this.#options;
    if (onFolders === undefined) return;
    const folders = visible
      .map(({ name }) => name)
      .filter((name) => !accepts(name) && isFolder(join(path, name)))
      .filter((name) => holdsFiles(join(path, name), accepts));
    const isSame = folders.length === this.#folders.size;
    if (isSame && folders.every((name) => this.#folders.has(name))) return;
    this.#folders = new Set(folders);
    onFolders(this.#folders);
  }

  /**
   * Marks the file for reading if it differs from what was reported, or, told by the kernel that
   * it was written, even if it looks the same.
   */
  #look(name: string, told = false, now = performance.now()): void {
    const stats = statOf(join(this.#options.path, name));
    const signature = signatureOf(stats);
    const known = this.#files.get(name);
    if (known === undefined && stats === undefined) return;
    const seen = known ?? newlySeen(now);
    if (known === undefined) this.#files.set(name, seen);
    else if (!told && !this.#pending.has(name) && signature === seen.signature) return;
    if ((signature === gone) !== (seen.lookedSignature === gone)) seen.sinceMs = now;
    if (told || signature !== seen.lookedSignature || !this.#pending.has(name)) {
      seen.lookedSignature = signature;
      seen.lookedAtMs = isSettled(stats) ? 0 : now;
    }
    seen.inode = inodeOf(stats) ?? seen.inode;
    this.#pending.add(name);
  }

  /** Reports the pending files that have been left alone, all in one call; comes back for the rest. */
  #settle(): void {
    if (this.#stopped) return;
    const now = performance.now();
    for (const name of this.#pending) this.#look(name, false, now);
    if (this.#away().some(([, seen]) => seen.lookedAtMs + awayMs <= now)) this.#lookForNew(now);
    const ready = new Map<string, FileContent>();
    const waitMs = Math.min(this.#takeFiles(ready, now), this.#takeDeletions(ready, now));
    this.#cancel();
    if (this.#pending.size > 0) this.#comeBack(waitMs);
    if (ready.size === 0) return;
    this.#confirmLater(ready.keys());
    this.#options.onFiles(ready);
  }

  /** Pending files that are not there. */
  #away(): [string, Seen][] {
    return this.#pendingFiles().filter(([, seen]) => seen.lookedSignature === gone);
  }

  #pendingFiles(): [string, Seen][] {
    return [...this.#pending].flatMap((name) => {
      const seen = this.#files.get(name);
      return seen === undefined ? [] : [[name, seen] as [string, Seen]];
    });
  }

  /** A file whose new name the kernel did not tell of must not look deleted. */
  #lookForNew(now: number): void {
    const { path, accepts, filesMax } = this.#options;
    try {
      const names = visibleIn(path)
        .map(({ name }) => name)
        .filter(accepts);
      if (names.length > filesMax) return;
      for (const name of names) if (!this.#files.has(name)) this.#look(name, false, now);
    } catch {
      // The next look at all files tells what is wrong.
    }
  }

  /** Returns how long there is to wait for the others. */
  #takeFiles(ready: Map<string, FileContent>, now: number): number {
    const leaving = this.#away().filter(([, seen]) => seen.lookedAtMs + awayMs > now);
    let waitMs = Number.POSITIVE_INFINITY;
    for (const [name, seen] of this.#pendingFiles()) {
      if (seen.lookedSignature === gone) continue;
      const quietInMs = seen.lookedAtMs + quietMs - now;
      if (quietInMs > 0) waitMs = Math.min(waitMs, quietInMs);
      else if (this.#isWritten(name, seen, now)) waitMs = Math.min(waitMs, writingPollMs);
      else if (isWithOneOf(leaving, seen)) waitMs = Math.min(waitMs, awayMs);
      else if (!this.#take(name, seen, ready)) waitMs = Math.min(waitMs, quietMs);
    }
    return waitMs;
  }

  /** A file with another name is deleted when it is known by that: in the same report. */
  #takeDeletions(ready: Map<string, FileContent>, now: number): number {
    const away = this.#away();
    if (away.length === 0) return Number.POSITIVE_INFINITY;
    const names = new Map<string | undefined, string>();
    for (const [name, seen] of this.#files) {
      if (seen.lookedSignature !== gone) names.set(seen.inode, name);
    }
    names.delete(undefined);
    let waitMs = Number.POSITIVE_INFINITY;
    for (const [name, seen] of away) {
      const left = seen.lookedAtMs + awayMs - now;
      const renamedTo = names.get(seen.inode);
      if (left > 0) waitMs = Math.min(waitMs, left);
      else if (renamedTo === undefined || !this.#pending.has(renamedTo)) {
        this.#pending.delete(name);
        this.#files.delete(name);
        ready.set(name, { kind: 'deleted', renamedTo });
      }
    }
    return waitMs;
  }

  /** The beginning of a file may be a whole document, and less than the file is going to say. */
  #isWritten(name: string, seen: Seen, now: number): boolean {
    if (!isBeingWritten(join(this.#options.path, name))) {
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

function newlySeen(now: number): Seen {
  return {
    sinceMs: now,
    inode: undefined,
    signature: undefined,
    digest: undefined,
    lookedSignature: undefined,
    lookedAtMs: 0,
  };
}

/** A file that has come when others went is likely to be one of them. */
function isWithOneOf(leaving: readonly (readonly [string, Seen])[], seen: Seen): boolean {
  return seen.signature === undefined && leaving.some(([, left]) => left.sinceMs <= seen.sinceMs);
}
