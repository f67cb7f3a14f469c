/**
 * @module
 * JSON values (protobuf's mapping, proto or lowerCamelCase names) → the plain
 * objects that the generated `fromPartial` functions take.
 */
import { type FieldSchema, fieldType, type MessageSchema, messageSchema } from './schema.ts';

/** What is wrong with a JSON value, with the path to it. */
export class JsonFieldError extends Error {
  override readonly name = 'JsonFieldError';
}

/** Checks and converts a JSON value of the named message. Unknown fields are an error unless `lenient`. */
export function readMessage(
  name: string,
  value: unknown,
  lenient = false,
): Record<string, unknown> {
  return message(messageSchema(name), value, name.slice(name.lastIndexOf('.') + 1), lenient);
}

function message(
  schema: MessageSchema,
  value: unknown,
  path: string,
  lenient: boolean,
): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new JsonFieldError(`${path}: an object is needed`);
  }
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const field = schema.byName.get(key);
    if (field === undefined) {
      if (lenient) continue;
      throw new JsonFieldError(`${path}: unknown field ${JSON.stringify(key)}`);
    }
    if (item === null) continue;
    const here = `${path}.${key}`;
    if (!field.repeated) {
      result[field.name] = single(field, item, here, lenient);
      continue;
    }
    if (!Array.isArray(item)) throw new JsonFieldError(`${here}: a list is needed`);
    result[field.name] = item.map((one) => single(field, one, here, lenient));
  }
  return result;
}

function single(field: FieldSchema, value: unknown, path: string, lenient: boolean): unknown {
  if (field.message !== undefined) return nested(field.message, value, path, lenient);
  switch (field.type) {
    case fieldType.string:
      if (typeof value === 'string') return value;
      throw new JsonFieldError(`${path}: a string is needed`);
    case fieldType.bool:
      if (typeof value === 'boolean') return value;
      throw new JsonFieldError(`${path}: true or false is needed`);
    case fieldType.bytes:
      if (typeof value === 'string') return Buffer.from(value, 'base64');
      throw new JsonFieldError(`${path}: base64 text is needed`);
    case fieldType.enum:
      return enumValue(field, value, path, lenient);
    case fieldType.int64:
    case fieldType.uint64:
      return wide(field, value, path);
    default:
      return narrow(field, value, path);
  }
}

function enumValue(field: FieldSchema, value: unknown, path: string, lenient: boolean): number {
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  const number = typeof value === 'string' ? field.enumeration?.numbers.get(value) : undefined;
  if (number !== undefined) return number;
  if (lenient) return 0;
  throw new JsonFieldError(`${path}: unknown value ${JSON.stringify(value)}`);
}

function wide(field: FieldSchema, value: unknown, path: string): bigint {
  const text = typeof value === 'number' || typeof value === 'string' ? String(value) : '';
  if (!/^-?\d{1,20}$/.test(text)) throw new JsonFieldError(`${path}: a whole number is needed`);
  const number = BigInt(text);
  const fits =
    field.type === fieldType.uint64
      ? number === BigInt.asUintN(64, number)
      : number === BigInt.asIntN(64, number);
  if (!fits) throw new JsonFieldError(`${path}: out of range`);
  return number;
}

function narrow(field: FieldSchema, value: unknown, path: string): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number !== 'number' || Number.isNaN(number)) {
    throw new JsonFieldError(`${path}: a number is needed`);
  }
  if (field.type === fieldType.double || field.type === fieldType.float) return number;
  const [low, high] =
    field.type === fieldType.uint32 ? [0, 2 ** 32 - 1] : [-(2 ** 31), 2 ** 31 - 1];
  if (Number.isInteger(number) && number >= low && number <= high) return number;
  throw new JsonFieldError(`${path}: out of range`);
}

function nested(schema: MessageSchema, value: unknown, path: string, lenient: boolean): unknown {
  const known = /^google\.protobuf\.(\w+)$/.exec(schema.name)?.[1];
  if (known === undefined || known === 'Any') return message(schema, value, path, lenient);
  if (known === 'Timestamp') return timestamp(value, path);
  if (known === 'FieldMask') {
    if (typeof value !== 'string') throw new JsonFieldError(`${path}: a string is needed`);
    const paths = value.split(',').filter((one) => one !== '');
    return paths.map((one) => one.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
  }
  const inner = schema.fields[0];
  return inner === undefined ? undefined : single(inner, value, path, lenient);
}

/** RFC 3339 with up to nine digits after the second. */
function timestamp(value: unknown, path: string): { seconds: bigint; nanos: number } {
  const match =
    typeof value === 'string'
      ? /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d:\d\d)$/.exec(value)
      : null;
  const millis =
    match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2]}${match[4]?.toUpperCase()}`);
  if (match === null || Number.isNaN(millis)) throw new JsonFieldError(`${path}: not a time`);
  return { seconds: BigInt(millis / 1000), nanos: Number((match[3] ?? '').padEnd(9, '0')) };
}
