/**
 * @module
 * The error of everything that is stored by key: tables, their mirrors, and later the stores
 * behind them.
 */

/** A store or a copy of one did not do what was asked. Says what was being done. */
export class KvError extends Error {
  override readonly name = 'KvError';
}

const causesMax = 8;

/** An error with its causes, outermost first: `update endpoints: update cilium_lxc: ENOSPC`. */
export function errorText(error: unknown): string {
  const parts: string[] = [];
  let at: unknown = error;
  while (at instanceof Error && parts.length < causesMax) {
    parts.push(at.message === '' ? at.name : at.message);
    at = at.cause;
  }
  return parts.length > 0 ? parts.join(': ') : String(error);
}
