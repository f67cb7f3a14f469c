/**
 * @module
 * Writes src/bpf/gen from the compiled objects: layouts.ts, constants.ts,
 * maps.ts, config.ts, objects.ts. The files are committed; `check` compares.
 *
 * What is in src/bpf/lib/types.h and drop.h is generated whether or not a
 * program uses it: an object that only declares each type is compiled for that.
 */
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { compileObject, headers, objectPath, programSources } from './bpf.ts';
import { type Btf, type BtfType, readBtf, resolve } from './btf.ts';
import { camelCase, emitFlatDecoder, emitStruct, fieldOf } from './layouts.ts';
import { emitConfig, emitInnerMap, emitMap, type MapDeclaration, readMaps } from './map-specs.ts';
import { BuildError, dist, root } from './run.ts';

export const generated: string = join(root, 'src/bpf/gen');
const declared = ['types.h', 'drop.h'];
const flatRecords: Readonly<Record<string, string>> = { flow_event: 'FlowRecord' };
const constantPrefix = 'CONSTANT_';

/** Writes src/bpf/gen. The objects must be compiled. */
export async function generate(): Promise<void> {
  mkdirSync(generated, { recursive: true });
  for (const [name, text] of await generateTexts()) {
    await Bun.write(join(generated, name), text);
  }
}

/** The names of files in src/bpf/gen that are not what the objects say. */
export async function findDrift(): Promise<string[]> {
  const drifted: string[] = [];
  for (const [name, text] of await generateTexts()) {
    const file = Bun.file(join(generated, name));
    if (!(await file.exists()) || (await file.text()) !== text) {
      drifted.push(name);
    }
  }
  return drifted;
}

async function generateTexts(): Promise<Map<string, string>> {
  const types = readBtf(await compileDeclarations());
  const objects = await Promise.all(
    programSources().map(async (source) => {
      const bytes = await Bun.file(objectPath(source)).bytes();
      return { name: basename(source, '.c'), bytes, btf: readBtf(bytes) };
    }),
  );
  const structs = new Map<string, string>();
  collectStructs(types, everyNumber(types), structs);
  const maps = new Map<string, MapDeclaration>();
  for (const { btf } of objects) {
    for (const map of readMaps(btf)) {
      addMap(maps, map);
      collectStructs(btf, map.structs, structs);
    }
  }
  const texts = new Map([
    ['layouts.ts', withImports(layoutsHead, [...structs.values()])],
    ['constants.ts', withImports(constantsHead, emitConstants(types))],
    ['maps.ts', withImports(mapsHead, emitMaps([...maps.values()]))],
    ['config.ts', withImports(configHead, emitConfigs(objects))],
    ['objects.ts', withImports(objectsHead, emitObjects(objects.map((object) => object.name)))],
  ]);
  for (const [name, text] of texts) {
    texts.set(name, await format(name, text));
  }
  return texts;
}

/** Compiles a file that has one variable of each type in the headers, and their #defines as an enum. */
async function compileDeclarations(): Promise<Uint8Array> {
  const texts = await Promise.all(declared.map((file) => Bun.file(join(headers, file)).text()));
  const text = texts.join('\n');
  const types = [...text.matchAll(/^(struct|union|enum) (\w+) \{/gm)];
  const constants = [...text.matchAll(/^#define (\w+)[ \t]+(\w[\w +*<|]*|\([\w +*<|()]+\))/gm)];
  const source = join(dist, 'bpf/declarations.c');
  const lines = [
    '#include <linux/types.h>',
    ...declared.map((file) => `#include "${file}"`),
    ...types.map(([, kind, name]) => `${kind} ${name} declared_${kind}_${name};`),
    `enum constants { ${constants.map(([, name]) => `${constantPrefix}${name} = ${name},`).join(' ')} };`,
    'enum constants declared_constants;',
  ];
  await Bun.write(source, `${lines.join('\n')}\n`);
  const object = source.replace(/c$/, 'o');
  await compileObject(source, object);
  return await Bun.file(object).bytes();
}

function everyNumber(btf: Btf): number[] {
  return btf.map((_, index) => index);
}

/** Adds the named structs among the types, each after those that it contains. */
function collectStructs(btf: Btf, numbers: readonly number[], into: Map<string, string>): void {
  for (const number of numbers) {
    const { type } = resolve(btf, number);
    if (type.kind === 'array') {
      collectStructs(btf, [type.type], into);
    }
    if (type.kind !== 'struct' || type.name === '' || into.has(type.name)) {
      continue;
    }
    collectStructs(
      btf,
      type.members.filter(({ type: member }) => fieldHasStruct(btf, member)).map((m) => m.type),
      into,
    );
    const record = flatRecords[type.name];
    const flat = record === undefined ? '' : `\n\n${emitFlatDecoder(btf, type, record)}`;
    into.set(type.name, emitStruct(btf, type) + flat);
  }
}

function fieldHasStruct(btf: Btf, number: number): boolean {
  const field = fieldOf(btf, number);
  return field.kind === 'struct' || (field.kind === 'array' && field.element.kind === 'struct');
}

function addMap(maps: Map<string, MapDeclaration>, map: MapDeclaration): void {
  const known = maps.get(map.name);
  if (known !== undefined && emitMap(known) !== emitMap(map)) {
    throw new BuildError(`two programs declare ${map.name} differently`);
  }
  maps.set(map.name, known ?? map);
}

/** The programs include the same config.h, so one type configures each of them. */
function emitConfigs(objects: readonly { bytes: Uint8Array; btf: Btf }[]): string[] {
  const configs = new Set(
    objects.map(({ bytes, btf }) => emitConfig(bytes, btf)).filter((text) => text !== undefined),
  );
  if (configs.size > 1) {
    throw new BuildError('programs differ in their constants: declare all of them in config.h');
  }
  return [...configs];
}

function emitMaps(maps: readonly MapDeclaration[]): string[] {
  const sorted = [...maps].sort((a, b) => (a.name < b.name ? -1 : 1));
  return [
    ...sorted.map(emitMap),
    ...sorted.flatMap((map) => (map.inner === undefined ? [] : [emitInnerMap(map.inner)])),
    `/** Every map, for what goes through all of them. */
export const allMaps: readonly MapShape[] = [${sorted.map((map) => camelCase(map.name)).join(', ')}];`,
  ];
}

function emitConstants(types: Btf): string[] {
  const enums = types.filter((type): type is Extract<BtfType, { kind: 'enum' }> => {
    return type.kind === 'enum' && type.name !== '';
  });
  return enums.flatMap((type) => {
    if (type.name === 'constants') {
      return type.values.map(
        ({ name, value }) => `export const ${name.slice(constantPrefix.length)} = ${value};`,
      );
    }
    const name = camelCase(type.name);
    const values = type.values.map(({ name, value }) => `${name}: ${value},`);
    const lines = [
      `/** enum ${type.name} */`,
      `export const ${name} = {`,
      ...values,
      '} as const;',
    ];
    if (!type.name.endsWith('_flags')) {
      const pairs = type.values.map((entry) => `[${entry.value}, '${entry.name}'],`);
      lines.push(
        `export const ${name}Names: ReadonlyMap<number, string> = new Map([`,
        ...pairs,
        ']);',
      );
    }
    return [lines.join('\n')];
  });
}

/** Imports with which the executable carries the objects: `bun build` embeds each file. */
function emitObjects(names: readonly string[]): string[] {
  const file = (path: string): string => `'../../../dist/${path}' with { type: 'file' };`;
  return [
    [
      ...names.map((name) => `import ${camelCase(name)} from ${file(`bpf/${name}.o`)}`),
      `import nativeLibrary from ${file('libcilium_bpf.so')}`,
    ].join('\n'),
    `/** Where the bytes of each compiled object are. */
export const objectPaths = { ${names.map((name) => `${name}: ${camelCase(name)}`).join(', ')} } as const;
export const nativeLibraryPath: string = nativeLibrary;`,
  ];
}

const note = 'Generated by build.ts from the compiled eBPF objects: change those, not this.';
const layoutsHead = `/** @module Layouts of the structs of src/bpf/lib/types.h. ${note} */`;
const constantsHead = `/** @module Enums and numbers of src/bpf/lib. ${note} */`;
const mapsHead = `/** @module The maps that the programs declare. ${note} */`;
const configHead = `/** @module The constants that programs take when they are loaded. ${note} */`;
const objectsHead = `/** @module The files that travel inside the executable. ${note} */`;

const importable: Readonly<Record<string, readonly string[]>> = {
  '../libbpf/layout.ts': [
    ...['bytesLayout', 'type ConfigLayout', 'type Layout', 'type MapShape', 'type MapSpec'],
    ...['readBytes', 'u16Layout', 'u32Layout', 'u64Layout', 'u8Layout', 'writeBytes', 'zeroBytes'],
  ],
  '../libbpf/map-type.ts': ['mapType'],
};

/** Puts the head and the imports that the text needs in front of it. */
function withImports(head: string, parts: readonly string[]): string {
  const text = parts.join('\n\n');
  const uses = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(text);
  const imports = Object.entries(importable).flatMap(([module, names]) => {
    const used = names.filter((name) => uses(name.replace('type ', '')));
    return used.length === 0 ? [] : [`import { ${used.join(', ')} } from '${module}';`];
  });
  if (head === layoutsHead || parts.length === 0) {
    return [head, ...imports, '', text].join('\n');
  }
  const layouts = [...new Set(text.match(/\b[a-z]\w*Layout\b/g) ?? [])].filter(
    (name) => !/^(u\d+|bytes)Layout$/.test(name),
  );
  const own = [...layouts, ...interfacesIn(text)].sort();
  const fromLayouts = own.length === 0 ? [] : [`import { ${own.join(', ')} } from './layouts.ts';`];
  return [head, ...imports, ...fromLayouts, '', text].join('\n');
}

function interfacesIn(text: string): string[] {
  const types = [...text.matchAll(/MapSpec<([^>]+)>/g)].flatMap(([, list]) =>
    (list ?? '').split(/[^\w]+/),
  );
  const named = types.filter((name) => /^[A-Z]/.test(name) && name !== 'Uint8Array');
  return [...new Set(named)].map((name) => `type ${name}`);
}

async function format(name: string, text: string): Promise<string> {
  const path = join('src/bpf/gen', name);
  const child = Bun.spawn(['bunx', 'biome', 'check', '--write', `--stdin-file-path=${path}`], {
    cwd: root,
    stdin: new Blob([text]),
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0 && out === '') {
    throw new BuildError(`biome refuses the generated ${name}\n${err}`);
  }
  return out;
}
