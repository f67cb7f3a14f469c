/**
 * @module `-o json|yaml|jsonpath=…` of the commands: a value in the chosen form. Without the flag a
 * command prints its table.
 */
import type { Flag } from './flags.ts';
import { UsageError } from './flags.ts';

export const outputFlag: Flag = {
  name: 'output',
  short: 'o',
  kind: 'string',
  hint: 'json|yaml|jsonpath',
  help: "print the data: json, yaml or jsonpath='{.field}'",
};

/** The value as text with its final newline. Throws `UsageError` for a form that does not exist. */
export async function renderValue(form: string, value: unknown): Promise<string> {
  if (form === 'json') return `${goJson(value, 2)}\n`;
  if (form === 'yaml') {
    const { stringify } = await import('yaml');
    return stringify(value, { aliasDuplicateObjects: false });
  }
  if (form.startsWith('jsonpath=')) return `${jsonPath(value, form.slice('jsonpath='.length))}\n`;
  throw new UsageError(`unknown output format "${form}": json, yaml or jsonpath='{}'`);
}

/**
 * JSON as the Go programs print it: `<`, `>` and `&` escaped, bigint as a number. What JSON leaves
 * as it is and terminals obey is escaped, too: C1 controls, and what turns the direction of writing.
 */
export function goJson(value: unknown, indent: number): string {
  const text = JSON.stringify(value, (_, one: unknown) => plainNumber(one), indent) ?? 'null';
  return text.replace(
    /[<>&\u007f-\u009f\p{Cf}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Counters fit a double in practice; one that does not prints as text rather than wrong. */
function plainNumber(value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
}

/**
 * The simple forms: `{.a.b}`, `{[0].x}`, `{.items[*].name}`, `{['odd key']}`, several in one text, and
 * literal text between. Values print as Go's template does: strings bare, the rest as JSON. Throws
 * `UsageError` for what is none of these.
 */
export function jsonPath(value: unknown, template: string): string {
  let out = '';
  let position = 0;
  for (const match of template.matchAll(/\{([^}]*)\}/g)) {
    out += template.slice(position, match.index) + expression(value, match[1] ?? '');
    position = match.index + match[0].length;
  }
  const rest = template.slice(position);
  if (rest.includes('{')) throw jsonPathError(rest, 'is not closed');
  if (position === 0) throw jsonPathError(template, 'has no {.field}');
  return out + rest;
}

function jsonPathError(text: string, problem: string): UsageError {
  return new UsageError(`parse jsonpath: ${JSON.stringify(text)} ${problem}`);
}

function expression(value: unknown, text: string): string {
  const literal = /^"(.*)"$/.exec(text);
  if (literal !== null) return (literal[1] ?? '').replaceAll('\\n', '\n').replaceAll('\\t', '\t');
  // `$` and `.` alone are the value itself.
  const path = text.replace(/^\$/, '').replace(/^\.$/, '');
  let current: unknown[] = [value];
  const steps = /\.([\w-]+)|\.?\[(\d+|\*)\]|\.?\['([^']*)'\]|\.(\*)/gy;
  let end = 0;
  for (let match = steps.exec(path); match !== null; match = steps.exec(path)) {
    end = steps.lastIndex;
    const key = match.slice(1).find((each) => each !== undefined) ?? '';
    current = current.flatMap((one) => step(one, key));
  }
  if (end !== path.length) throw jsonPathError(path.slice(end), `is no step of {${text}}`);
  return current.map((one) => (typeof one === 'string' ? one : goJson(one, 0))).join(' ');
}

function step(value: unknown, key: string): unknown[] {
  if (value === null || typeof value !== 'object') return [];
  if (key === '*') return Object.values(value);
  if (!Object.hasOwn(value, key)) return [];
  const found = (value as Record<string, unknown>)[key];
  return found === undefined ? [] : [found];
}
