/**
 * @module
 * What must not reach a log or a printed configuration: values of fields whose name says secret,
 * secrets written inside texts, control characters, and text without end.
 */

import { escapeControl } from '../../kv/print.ts';

export const redacted = '[redacted]';

const secretWords = new Set([
  'authorization',
  'bearer',
  'credential',
  'credentials',
  'key',
  'keys',
  'passphrase',
  'passwd',
  'password',
  'passwords',
  'psk',
  'pwd',
  'secret',
  'secrets',
  'token',
  'tokens',
]);
/** Also where the words are written together, as in `apikey` or `privatekey`. */
const secretEnd = /(?:token|password|passphrase|secret|apikey|privatekey|authkey|secretkey)s?$/;
/** True if a field of this name holds a secret. `apiKey`, `ipsec-key` and `TOKEN` do. */
export function isSecretName(name: string): boolean {
  const lower = name.toLowerCase();
  if (secretEnd.test(lower)) return true;
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/);
  return words.some((word) => secretWords.has(word));
}

const inlineSecrets: readonly [RegExp, string][] = [
  [
    /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g,
    redacted,
  ],
  [
    /(authorization["']?\s{0,4}[=:]\s{0,4}["']?(?:basic|bearer|digest)\s+)[^\s"',;]+/gi,
    `$1${redacted}`,
  ],
  [/\b(bearer)\s+[A-Za-z0-9._~+/=-]{6,}/gi, `$1 ${redacted}`],
  [/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*/g, redacted],
  [
    /((?:token|passwd|password|passphrase|secret|api[-_]?key|private[-_]?key|authorization)["']?\s{0,4}[=:]\s{0,4})(?!\[redacted\]|basic\s|bearer\s|digest\s)(?:"[^"]*"?|'[^']*'?|[^\s,;&"']+)/gi,
    `$1${redacted}`,
  ],
  [/(\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:/@]{0,80}:)[^\s/@]{1,200}@/gi, `$1${redacted}@`],
];

/** Text as it may be logged: no secrets, at most `charactersMax` long, nothing a terminal obeys. */
export function cleanText(text: string, charactersMax: number): string {
  // Longer than the limit by enough that a secret cut off at the limit is still recognised.
  let clean = text.length > charactersMax * 2 ? text.slice(0, charactersMax * 2) : text;
  for (const [pattern, replacement] of inlineSecrets) clean = clean.replace(pattern, replacement);
  const cut = clean.length > charactersMax || text.length > charactersMax * 2;
  if (cut) clean = `${clean.slice(0, charactersMax)}…(${text.length} characters)`;
  return escapeControl(clean);
}
