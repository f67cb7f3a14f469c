/**
 * @module
 * How a hubble command fails: exit codes and the error that a wrong command line is.
 */

export const exitCode = { ok: 0, negative: 1, usage: 2, unreachable: 3 } as const;

export class UsageError extends Error {
  override readonly name = 'UsageError';
}
