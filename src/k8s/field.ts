/**
 * @module
 * Reading the fields of an object that anybody may have written: absent is undefined, and what has
 * the wrong type is undefined and a problem.
 */

import type { Place } from './place.ts';
import { type Problems, quote, suggest } from './problem.ts';

export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value as text, or undefined (and a problem). */
export function readText(value: unknown, place: Place, problems: Problems): string | undefined {
  if (typeof value === 'string') return value;
  const scalar = typeof value === 'number' || typeof value === 'boolean';
  problems.add(place, `must be a string${scalar ? `: "${value}"` : `, is ${quote(value)}`}`);
  return undefined;
}

/** One object's fields. */
export class FieldReader {
  readonly fields: Fields;
  readonly place: Place;
  readonly problems: Problems;
  /** In objects whose other fields are none of our business null is as good as absent. */
  readonly #isLenient: boolean;

  private constructor(fields: Fields, place: Place, problems: Problems, isLenient: boolean) {
    this.fields = fields;
    this.place = place;
    this.problems = problems;
    this.#isLenient = isLenient;
  }

  /**
   * Every field must be one of the names. Undefined, and a problem, if the value is no object.
   * `elsewhere` says of names that have their place in other objects what to do instead.
   */
  static open(
    value: unknown,
    place: Place,
    names: readonly string[],
    problems: Problems,
    elsewhere: Readonly<Record<string, string>> = {},
  ): FieldReader | undefined {
    const reader = FieldReader.#of(value, place, problems, false);
    for (const name of Object.keys(reader?.fields ?? {})) {
      if (names.includes(name)) continue;
      const known = Object.hasOwn(elsewhere, name) ? elsewhere[name] : undefined;
      problems.add(place.field(name), known ?? `unknown field${suggest(name, names)}`);
    }
    return reader;
  }

  /** Fields that nobody asks for are ignored. */
  static openLenient(value: unknown, place: Place, problems: Problems): FieldReader | undefined {
    return FieldReader.#of(value, place, problems, true);
  }

  static #of(
    value: unknown,
    place: Place,
    problems: Problems,
    isLenient: boolean,
  ): FieldReader | undefined {
    if (isFields(value)) return new FieldReader(value, place, problems, isLenient);
    problems.add(place, `must be an object, is ${quote(value)}`);
    return undefined;
  }

  /** The same object without those of the fields that are null: an API server reads them as absent. */
  withoutNulls(names: readonly string[]): FieldReader {
    const kept = Object.entries(this.fields).filter(
      ([name, value]) => value !== null || !names.includes(name),
    );
    return new FieldReader(Object.fromEntries(kept), this.place, this.problems, this.#isLenient);
  }

  has(name: string): boolean {
    if (!Object.hasOwn(this.fields, name)) return false;
    return !(this.#isLenient && this.fields[name] === null);
  }

  /** The value as it is; undefined where the field is absent. */
  value(name: string): unknown {
    return this.has(name) ? this.fields[name] : undefined;
  }

  at(name: string): Place {
    return this.place.field(name);
  }

  refuse(name: string, message: string): void {
    this.problems.add(this.at(name), message);
  }

  /** False, and a problem, if the field is absent. */
  require(name: string, hint = ''): boolean {
    if (this.has(name)) return true;
    this.refuse(name, `is missing${hint === '' ? '' : `; ${hint}`}`);
    return false;
  }

  text(name: string): string | undefined {
    if (!this.has(name)) return undefined;
    return readText(this.fields[name], this.at(name), this.problems);
  }

  flag(name: string): boolean | undefined {
    const value = this.value(name);
    if (value === undefined || typeof value === 'boolean') return value;
    this.refuse(name, `must be true or false, is ${quote(value)}`);
    return undefined;
  }

  integer(name: string, min: number, max: number): number | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
      return value;
    }
    this.refuse(name, `must be a number from ${min} to ${max}, is ${quote(value)}`);
    return undefined;
  }

  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    if (!this.has(name)) return undefined;
    const value = this.fields[name];
    const found = choices.find((each) => each === value);
    if (found !== undefined) return found;
    const nearest = typeof value === 'string' ? suggest(value, choices) : '';
    this.refuse(name, `must be one of ${choices.join(', ')}, is ${quote(value)}${nearest}`);
    return undefined;
  }

  /** The field as an object, as strict as this one. */
  object(name: string, names: readonly string[]): FieldReader | undefined {
    if (!this.has(name)) return undefined;
    const value = this.fields[name];
    const { problems } = this;
    return this.#isLenient
      ? FieldReader.openLenient(value, this.at(name), problems)
      : FieldReader.open(value, this.at(name), names, problems);
  }

  list(name: string, lengthMax: number): readonly unknown[] | undefined {
    if (!this.has(name)) return undefined;
    const value = this.fields[name];
    if (!Array.isArray(value)) {
      this.refuse(name, `must be a list, is ${quote(value)}`);
      return undefined;
    }
    if (value.length > lengthMax) {
      this.refuse(name, `has ${value.length} entries, at most ${lengthMax} are possible`);
      return undefined;
    }
    return value;
  }

  /** The entries that can be read; undefined where there is no list. */
  each<T>(
    name: string,
    lengthMax: number,
    read: (value: unknown, place: Place, index: number) => T | undefined,
  ): T[] | undefined {
    const list = this.list(name, lengthMax);
    if (list === undefined) return undefined;
    const place = this.at(name);
    return list.flatMap((each, index) => read(each, place.item(index), index) ?? []);
  }

  texts(name: string, lengthMax: number): string[] | undefined {
    return this.each(name, lengthMax, (value, place) => readText(value, place, this.problems));
  }

  /** A problem if the list is there and empty. */
  refuseEmpty(name: string, message: string): void {
    const value = this.fields[name];
    if (Array.isArray(value) && value.length === 0) this.refuse(name, message);
  }

  /** A map from text to text; undefined where there is none. */
  textMap(name: string, sizeMax: number): readonly TextEntry[] | undefined {
    if (!this.has(name)) return undefined;
    return readTextMap(this.fields[name], this.at(name), sizeMax, this.problems);
  }
}

type TextEntry = readonly [string, string];

/** The entries of a map from text to text, or undefined (and a problem). */
export function readTextMap(
  value: unknown,
  place: Place,
  sizeMax: number,
  problems: Problems,
): readonly TextEntry[] | undefined {
  if (!isFields(value)) {
    problems.add(place, `must be an object, is ${quote(value)}`);
    return undefined;
  }
  const entries = Object.entries(value);
  if (entries.length > sizeMax) {
    problems.add(place, `has ${entries.length} entries, at most ${sizeMax} are possible`);
    return undefined;
  }
  return entries.flatMap(([key, each]): TextEntry[] => {
    const text = readText(each, place.key(key), problems);
    return text === undefined ? [] : [[key, text]];
  });
}
