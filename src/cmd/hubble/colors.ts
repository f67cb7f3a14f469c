/**
 * @module
 * Colours of the text forms, or none.
 */

export interface Colors {
  readonly verdictForwarded: (text: string) => string;
  readonly verdictDropped: (text: string) => string;
  readonly verdictAudit: (text: string) => string;
  readonly verdictOther: (text: string) => string;
  readonly host: (text: string) => string;
  readonly port: (text: string) => string;
  readonly identity: (text: string) => string;
}

const plain = (text: string): string => text;
const code = (number: number) => (text: string) => `\u001b[${number}m${text}\u001b[0m`;

export const noColors: Colors = {
  verdictForwarded: plain,
  verdictDropped: plain,
  verdictAudit: plain,
  verdictOther: plain,
  host: plain,
  port: plain,
  identity: plain,
};

export const allColors: Colors = {
  verdictForwarded: code(32),
  verdictDropped: code(31),
  verdictAudit: code(33),
  verdictOther: code(33),
  host: code(36),
  port: code(33),
  identity: code(35),
};

/** `auto` is colour on a terminal that does not set NO_COLOR. */
export function chooseColors(
  wanted: string,
  isTerminal: boolean,
  env: Readonly<Record<string, string | undefined>>,
): Colors {
  if (wanted === 'always') return allColors;
  if (wanted === 'never') return noColors;
  const asked = (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  return isTerminal && asked ? allColors : noColors;
}
