/**
 * @module
 * The folders in a watched directory. What is in them is not read, which who put a file there should
 * hear.
 */

import { type Dirent, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { statOf } from './file-content.ts';

/** What a directory holds, without what is hidden. Throws what `readdir` does. */
export function visibleIn(path: string): Dirent[] {
  return readdirSync(path, { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'));
}

/** True for a folder, and a symlink to one. */
export function isFolder(path: string): boolean {
  const stats = statOf(path);
  return typeof stats === 'object' && stats.isDirectory();
}

/** True if a folder holds a file that would be read elsewhere, or another folder. */
export function holdsFiles(path: string, accepts: (name: string) => boolean): boolean {
  try {
    return visibleIn(path).some((each) => accepts(each.name) || isFolder(join(path, each.name)));
  } catch {
    // Who may not look into it cannot say that it is empty.
    return true;
  }
}
