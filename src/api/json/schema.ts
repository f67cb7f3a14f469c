/**
 * @module
 * The field tables of our messages in the form in which the JSON reader and
 * writer walk them. Built on first use from the generated rows.
 */
import { enumRows, messageRows } from '../gen/schema.ts';

/** Descriptor type numbers, see FieldDescriptorProto.Type. */
export const fieldType = {
  double: 1,
  float: 2,
  int64: 3,
  uint64: 4,
  int32: 5,
  bool: 8,
  string: 9,
  message: 11,
  bytes: 12,
  uint32: 13,
  enum: 14,
} as const;

export interface EnumSchema {
  readonly names: ReadonlyMap<number, string>;
  readonly numbers: ReadonlyMap<string, number>;
}

export interface FieldSchema {
  readonly index: number; // place in the declaration: the order of JSON keys
  readonly number: number;
  readonly name: string;
  readonly type: number;
  readonly repeated: boolean;
  readonly quotedKey: Uint8Array; // `"name":` in UTF-8
  message: MessageSchema | undefined; // resolved after all messages exist
  enumeration: EnumSchema | undefined;
}

export interface MessageSchema {
  readonly name: string;
  readonly fields: readonly FieldSchema[];
  readonly byNumber: readonly (FieldSchema | undefined)[]; // numbers below 64
  readonly byLargeNumber: ReadonlyMap<number, FieldSchema>;
  readonly byName: ReadonlyMap<string, FieldSchema>; // proto name and lowerCamelCase
}

let all: ReadonlyMap<string, MessageSchema> | undefined;

/** The schema of a message by its full name; throws for a name that we do not have. */
export function messageSchema(name: string): MessageSchema {
  all ??= buildSchemas();
  const schema = all.get(name);
  if (schema === undefined) throw new Error(`look up message ${name}: not in our protos`);
  return schema;
}

function buildSchemas(): ReadonlyMap<string, MessageSchema> {
  const enums = new Map<string, EnumSchema>();
  for (const [name, values] of Object.entries(enumRows)) {
    const names = new Map<number, string>();
    for (const [number, text] of values) if (!names.has(number)) names.set(number, text);
    enums.set(name, { names, numbers: new Map(values.map(([number, text]) => [text, number])) });
  }
  const messages = new Map<string, MessageSchema>();
  for (const [name, rows] of Object.entries(messageRows)) {
    const fields = rows.map(
      ([number, field, type, repeated], index): FieldSchema => ({
        index,
        number,
        name: field,
        type,
        repeated: repeated === 1,
        quotedKey: new TextEncoder().encode(`"${field}":`),
        message: undefined,
        enumeration: undefined,
      }),
    );
    const byNumber: (FieldSchema | undefined)[] = new Array(64).fill(undefined);
    const byLargeNumber = new Map<number, FieldSchema>();
    const byName = new Map<string, FieldSchema>();
    for (const field of fields) {
      if (field.number < 64) byNumber[field.number] = field;
      else byLargeNumber.set(field.number, field);
      byName.set(lowerCamel(field.name), field);
      byName.set(field.name, field);
    }
    messages.set(name, { name, fields, byNumber, byLargeNumber, byName });
  }
  for (const [name, rows] of Object.entries(messageRows)) {
    const fields = messages.get(name)?.fields ?? [];
    rows.forEach(([, , type, , ref], index) => {
      const field = fields[index];
      if (field === undefined || ref === undefined) return;
      if (type === fieldType.message) field.message = messages.get(ref);
      if (type === fieldType.enum) field.enumeration = enums.get(ref);
    });
  }
  return messages;
}

/** `foo_bar` → `fooBar`, as the protobuf JSON mapping spells it. */
export function lowerCamel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
