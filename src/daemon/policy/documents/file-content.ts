/**
 * @module
 * One file of a watched directory: what it looks like from outside, whether somebody may be in the
 * middle of writing it, and its whole content.
 */

import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  statSync,
} from 'node:fs';
import { isOpenForWriting } from '../../../net/libc.ts';

/** A file's whole content, or why there is none. */
export type FileContent =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'unreadable'; readonly message: string }
  /** The file may have another name now; undefined if it is not known to have. */
  | { readonly kind: 'deleted'; readonly renamedTo: string | undefined };

/** What `stat` says: undefined if there is no such file. */
export type FileStats = BigIntStats | undefined | 'unreadable';

/** The signature of a file that is not there. */
export const gone = 'gone';

/** True if somebody has the file open for writing. */
export function isBeingWritten(path: string): boolean {
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

export function statOf(path: string): FileStats {
  try {
    return statSync(path, { bigint: true });
  } catch (cause) {
    return errorCode(cause) === 'ENOENT' ? undefined : 'unreadable';
  }
}

/** Another one after every change that the file clock can tell. */
export function signatureOf(stats: FileStats): string {
  if (stats === undefined) return gone;
  if (stats === 'unreadable') return stats;
  const { dev, ino, size, mtimeNs, ctimeNs, mode } = stats;
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}:${mode}`;
}

/** What stays the same when a file is renamed; undefined if that cannot be told. */
export function inodeOf(stats: FileStats): string | undefined {
  return typeof stats === 'object' ? `${stats.dev}:${stats.ino}` : undefined;
}

/**
 * True if nobody can be in the middle of writing: the file was renamed to its place after its last
 * write, or was last written well before now (the clock of files ticks up to 10 ms late).
 */
export function isSettled(stats: FileStats): boolean {
  if (stats === undefined || stats === 'unreadable') return false;
  if (stats.size === 0n) return false;
  return stats.ctimeNs > stats.mtimeNs || Date.now() - Number(stats.mtimeNs / 1_000_000n) > 100;
}

/** The content with the signature that it had when it was read. */
export function readFile(
  path: string,
  bytesMax: number,
): { content: FileContent; signature: string } {
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

/** `ENOENT` and the like. */
export function errorCode(cause: unknown): string {
  if (cause instanceof Error && 'code' in cause) return String(cause.code);
  return String(cause);
}
