/**
 * @module How to start this program again: the executable, or Bun with the main file when it runs from
 * source.
 */

/** Command words before the sub-command. */
export function selfCommand(): string[] {
  const isCompiled = Bun.main.startsWith('/$bunfs/');
  return isCompiled ? [process.execPath] : [process.execPath, Bun.main];
}

/** How a person calls this program: `cilium` where that finds one, else as it was started. */
export function shownCommand(argv0 = process.argv0, found = Bun.which('cilium')): string {
  if (found !== null) return 'cilium';
  const [program = '', ...more] = selfCommand();
  return more.length === 0 ? argv0 : [program, ...more].join(' ');
}
