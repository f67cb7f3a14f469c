/**
 * @module How to start this program again: the executable, or Bun with the main file when it runs from
 * source.
 */

/** Command words before the sub-command. */
export function selfCommand(): string[] {
  const isCompiled = Bun.main.startsWith('/$bunfs/');
  return isCompiled ? [process.execPath] : [process.execPath, Bun.main];
}
