/**
 * @module
 * What a reconciler knows about one row: not yet carried out, carried out, or failing. It lives in
 * the row itself, so that whoever prints the row sees it.
 */

/** The state of one row at its target. `attempts` counts tries since it last worked. */
export type Status =
  | { readonly kind: 'pending' }
  | { readonly kind: 'done' }
  | { readonly kind: 'error'; readonly message: string; readonly attempts: number };

/** The status of a row that a controller has just written. */
export const pending: Status = Object.freeze({ kind: 'pending' });

/** The status of a row that its target has taken. */
export const done: Status = Object.freeze({ kind: 'done' });

/** The status of a row that its target refused. */
export function failed(message: string, attempts: number): Status {
  return Object.freeze({ kind: 'error', message, attempts });
}

/** True if both say the same; used to avoid writing a row that would not change. */
export function sameStatus(a: Status, b: Status): boolean {
  if (a.kind !== 'error' || b.kind !== 'error') return a.kind === b.kind;
  return a.message === b.message && a.attempts === b.attempts;
}

/** One short phrase for a column. */
export function formatStatus(status: Status): string {
  if (status.kind !== 'error') return status.kind;
  return `error (${status.attempts}): ${status.message}`;
}
