/**
 * @module
 * Running a tool and reporting what it said. Every build step that needs a
 * compiler, a formatter or a test runner goes through here.
 */
import { join } from 'node:path';

export const root: string = join(import.meta.dir, '..');
export const dist: string = join(root, 'dist');

/** A step that did not work. The message is what the person at the terminal needs to see. */
export class BuildError extends Error {
  override name = 'BuildError';
}

/** Output and exit code of a tool that was allowed to fail. */
export interface Outcome {
  readonly code: number;
  readonly output: string;
}

/** Runs a tool in the project root, standard output and error together. */
export async function attempt(command: readonly string[], cwd = root): Promise<Outcome> {
  const child = Bun.spawn([...command], { cwd, stdout: 'pipe', stderr: 'pipe' });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, output: out + err };
}

/** Runs a tool that must work; throws with its whole output if it does not. Returns the output. */
export async function run(command: readonly string[], cwd = root): Promise<string> {
  const { code, output } = await attempt(command, cwd);
  if (code !== 0) {
    throw new BuildError(`${command.join(' ')}\nexit code ${code}\n${output}`);
  }
  return output;
}

/** The first of the named programs that is installed. */
export function findProgram(names: readonly string[], toInstall: string): string {
  for (const name of names) {
    if (Bun.which(name) !== null) {
      return name;
    }
  }
  throw new BuildError(
    `none of ${names.join(', ')} is installed: install ${toInstall}, or run ./dev`,
  );
}
