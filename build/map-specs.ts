/**
 * @module
 * Declarations of maps (the .maps section of an object's BTF) and of
 * configuration constants (.rodata) → TypeScript source for src/bpf/gen.
 */
import { mapType, mapTypeName } from '../src/bpf/libbpf/map-type.ts';
import { type Btf, type BtfType, resolve } from './btf.ts';
import { findSection, readSymbols } from './elf.ts';
import { camelCase, type Field, fieldOf, layoutExpression, typeOf, write } from './layouts.ts';
import { BuildError } from './run.ts';

const pinByName = 1;

export interface MapDeclaration {
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly key: Field | undefined;
  readonly value: Field | undefined;
  readonly maxEntries: number;
  readonly flags: number;
  readonly pinned: boolean;
  readonly inner: MapDeclaration | undefined;
  /** Structs among key and value, whose layouts the map needs. */
  readonly structs: readonly number[];
}

export function readMaps(btf: Btf): MapDeclaration[] {
  return sectionVariables(btf, '.maps').map(({ name, type }) => readMap(btf, name, type));
}

function sectionVariables(btf: Btf, section: string): { name: string; type: number }[] {
  for (const type of btf) {
    if (type.kind === 'section' && type.name === section) {
      return type.variables.map((number) => {
        const variable = btf[number];
        if (variable?.kind !== 'variable') {
          throw new BuildError(`${section} holds something that is not a variable`);
        }
        return { name: variable.name, type: variable.type };
      });
    }
  }
  return [];
}

/** libbpf's convention: integers are lengths of arrays behind pointers, types are behind pointers. */
function readMap(btf: Btf, name: string, number: number): MapDeclaration {
  const declaration = resolve(btf, number).type;
  if (declaration.kind !== 'struct') {
    throw new BuildError(`map ${name} is not declared as a struct`);
  }
  const members = new Map(declaration.members.map((member) => [member.name, member.type]));
  const integer = (member: string): number => {
    const behind = members.has(member) ? pointed(btf, members.get(member) ?? 0).type : undefined;
    return behind?.kind === 'array' ? behind.length : 0;
  };
  const typed = (member: string): { number: number; field: Field } | undefined => {
    const pointer = members.get(member);
    const target = pointer === undefined ? undefined : pointed(btf, pointer);
    return target && { number: target.number, field: fieldOf(btf, target.number) };
  };
  const key = typed('key');
  const inner = innerMap(btf, name, members.get('values'));
  if (key !== undefined) {
    refuseHoles(btf, name, key.number, integer('type') === mapType.lpmTrie);
  }
  const value = inner === undefined ? typed('value') : undefined;
  return {
    name,
    type: integer('type'),
    keySize: key?.field.size ?? integer('key_size'),
    valueSize: value?.field.size ?? (inner === undefined ? integer('value_size') : 4),
    key: key?.field ?? plain(integer('key_size')),
    value: value?.field ?? plain(inner === undefined ? integer('value_size') : 4),
    maxEntries: integer('max_entries'),
    flags: integer('map_flags'),
    pinned: integer('pinning') === pinByName,
    inner,
    structs: [key, value]
      .filter((part) => part !== undefined)
      .map((part) => part.number)
      .concat(inner?.structs ?? []),
  };
}

/**
 * Padding that the compiler puts into a key is compared like the rest of it,
 * and in an LPM trie would stand between the prefix length and the prefix.
 */
function refuseHoles(btf: Btf, map: string, number: number, trie: boolean): void {
  const { type } = resolve(btf, number);
  if (type.kind !== 'struct') {
    return;
  }
  let end = 0;
  for (const member of type.members) {
    if (member.bitOffset / 8 !== end) {
      const where = trie ? ', which a trie takes for the beginning of the prefix' : '';
      throw new BuildError(`${map}: struct ${type.name} has a hole before ${member.name}${where}`);
    }
    end += fieldOf(btf, member.type).size;
  }
  if (end !== type.size) {
    throw new BuildError(`${map}: struct ${type.name} has a hole at its end: declare a pad`);
  }
}

function plain(size: number): Field | undefined {
  if (size === 0) {
    return undefined;
  }
  return size === 4 ? { kind: 'int', size, signed: false, big: false } : { kind: 'bytes', size };
}

function pointed(btf: Btf, number: number): { number: number; type: BtfType } {
  const { type } = resolve(btf, number);
  if (type.kind !== 'pointer') {
    throw new BuildError('a member of a map declaration is not a pointer');
  }
  return { number: type.type, type: resolve(btf, type.type).type };
}

function innerMap(btf: Btf, name: string, values: number | undefined): MapDeclaration | undefined {
  const array = values === undefined ? undefined : resolve(btf, values).type;
  if (array?.kind !== 'array') {
    return undefined;
  }
  const target = pointed(btf, array.type);
  return target.type.kind === 'struct' ? readMap(btf, `${name} inner`, target.number) : undefined;
}

export function emitMap(map: MapDeclaration): string {
  if (map.key === undefined || map.value === undefined) {
    return `export const ${camelCase(map.name)}: MapShape = ${shape(map, map.name)};`;
  }
  const types = `${typeOf(map.key)}, ${typeOf(map.value)}`;
  return `export const ${camelCase(map.name)}: MapSpec<${types}> = ${shape(map, map.name)};`;
}

function shape(map: MapDeclaration, name: string): string {
  const known = mapTypeName(map.type) in mapType;
  const fields = [
    `name: '${name}'`,
    `type: ${known ? `mapType.${mapTypeName(map.type)}` : map.type}`,
    `keySize: ${map.keySize}`,
    `valueSize: ${map.valueSize}`,
    `maxEntries: ${map.maxEntries}`,
    `flags: ${map.flags}`,
    `pinned: ${map.pinned}`,
  ];
  if (map.key !== undefined && map.value !== undefined) {
    fields.push(`key: ${layoutExpression(map.key)}`, `value: ${layoutExpression(map.value)}`);
  }
  if (map.inner !== undefined) {
    const inner = { ...map.inner, key: undefined, value: undefined };
    fields.push(`inner: ${shape(inner, '')}`);
  }
  return `{ ${fields.join(', ')} }`;
}

/** The inner map of a map of maps has keys and values of its own to be typed. */
export function emitInnerMap(map: MapDeclaration): string {
  return emitMap({ ...map, name: map.name.replace(/ inner$/, '_inner') });
}

/** Interface and layout of the `const volatile` globals of an object; undefined when it has none. */
export function emitConfig(bytes: Uint8Array, btf: Btf): string | undefined {
  const section = findSection(bytes, '.rodata');
  const offsets = new Map(
    readSymbols(bytes)
      .filter((symbol) => symbol.section === section?.index)
      .map((symbol) => [symbol.name, symbol.offset]),
  );
  const constants = sectionVariables(btf, '.rodata')
    .filter((variable) => isVolatile(btf, variable.type))
    .map(({ name, type }) => ({ name, field: fieldOf(btf, type), offset: offsets.get(name) ?? 0 }))
    .sort((a, b) => a.offset - b.offset);
  const end = Math.max(0, ...constants.map(({ offset, field }) => offset + field.size));
  if (constants.length === 0) {
    return undefined;
  }
  return [
    '/** The constants of src/bpf/lib/config.h, which a program takes when it is loaded. */',
    'export interface DatapathConfig {',
    ...constants.map(({ name, field }) => `readonly ${optionName(name)}: ${typeOf(field)};`),
    '}',
    'export const datapathConfig: ConfigLayout<DatapathConfig> = {',
    `size: ${end},`,
    'encode(config, view) {',
    ...constants.map(({ name, field, offset }) => {
      const value = `config.${optionName(name)}`;
      return `if (${value} !== undefined) { ${write(field, value, '', offset)} }`;
    }),
    '},',
    '};',
  ].join('\n');
}

function isVolatile(btf: Btf, number: number): boolean {
  const { type, volatile } = resolve(btf, number);
  return volatile || (type.kind === 'array' && isVolatile(btf, type.type));
}

/** Constants are called config_<name> in C. */
function optionName(name: string): string {
  return camelCase(name.replace(/^config_/, ''));
}
