/**
 * @module
 * What a compiled filter is, and what goes wrong when one cannot be compiled.
 */
import type { FlowFields } from '../parser/flow-fields.ts';

export type Predicate = (flow: FlowFields) => boolean;

/** A filter that asks for something malformed or unsupported: the caller's mistake. */
export class FilterError extends Error {
  override readonly name = 'FilterError';
}

/** True if any of the tests holds; no test at all is the caller's business. */
export function anyOf(tests: readonly Predicate[]): Predicate {
  const [only] = tests;
  if (tests.length === 1 && only !== undefined) return only;
  return (flow) => tests.some((test) => test(flow));
}

/** Adds a predicate for a field that is set; an empty list means "not asked". */
export function addEach<Value>(
  into: Predicate[],
  values: readonly Value[],
  compile: (value: Value) => Predicate,
): void {
  if (values.length > 0) into.push(anyOf(values.map(compile)));
}

/** Adds a test for membership in the listed numbers or strings. */
export function addOneOf<Value>(
  into: Predicate[],
  values: readonly Value[],
  read: (flow: FlowFields) => Value,
): void {
  if (values.length === 0) return;
  const set = new Set(values);
  into.push((flow) => set.has(read(flow)));
}

/** A pattern with `*` as the expression in `star`, anchored; everything else is literal. */
export function starPattern(pattern: string, star: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\/]/g, '\\$&'));
  return new RegExp(`^${parts.join(star)}$`, 'i');
}

export function regularExpression(pattern: string, field: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch (cause) {
    throw new FilterError(`compile ${field} ${JSON.stringify(pattern)}`, { cause });
  }
}
