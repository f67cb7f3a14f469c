/**
 * @module
 * The kernel's verifier refused a program. Its log runs to thousands of lines,
 * of which a person wants one; the others are kept for who asks.
 */
import { KernelError, type KernelErrorFields } from '../../net/kernel-error.ts';

/** A refused program. The message ends in the verifier's reason; `log` is everything it said. */
export class VerifierError extends KernelError {
  readonly log: string;

  constructor(fields: Omit<KernelErrorFields, 'detail'>, log: string) {
    super({ ...fields, detail: verifierReason(log) });
    // Assigned, because minifying would otherwise change the name that is printed.
    this.name = 'VerifierError';
    this.log = log;
  }
}

// The statistics at the end, the states and instructions on the way, and source lines are not reasons.
const noise = [
  /^processed \d+ insns/,
  /^verification time/,
  /^stack depth/,
  /^(insns processed|max_states|total_states|peak_states|mark_read)/,
  /^\d+: \(/,
  /^\d+: R\d/,
  /^(from|last_idx|first_idx|regs=|parent |func#|caller|callee|mark_precise)/,
  /^R\d+(_w|_r)?=/,
  /^;/,
  /^-- /,
  /^(returning|back) from/,
  /^(Validating|Func#)/,
  /^\s*$/,
];

/** The last line that states a reason, with the source line before it if the log names one. */
export function verifierReason(log: string): string {
  const lines = log.split('\n');
  const at = lines.findLastIndex((line) => !noise.some((pattern) => pattern.test(line)));
  const reason = lines[at]?.trim();
  if (reason === undefined) {
    return 'no reason given';
  }
  const source = lines.slice(0, at).findLast((line) => line.startsWith('; '));
  const shown = source?.slice(2).trim();
  return shown === undefined ? reason : `${reason}, at: ${shown}`;
}
