/**
 * @module
 * The linter refuses what ARCHITECTURE.md forbids: each violation is planted in
 * a copy of the rules, and each allowed neighbour of it beside it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const project = join(import.meta.dir, '../..');
let copy: string;

beforeAll(() => {
  copy = mkdtempSync('/tmp/cilium-test-rules-');
  copyFileSync(join(project, 'biome.json'), join(copy, 'biome.json'));
});

afterAll(() => rmSync(copy, { recursive: true }));

/** Names of the rules that the linter finds violated in a file with this text. */
function lint(file: string, text: string): string[] {
  const path = join(copy, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  const biome = join(project, 'node_modules/.bin/biome');
  const child = Bun.spawnSync([biome, 'lint', '--reporter=json', file], { cwd: copy });
  const text_ = child.stdout.toString();
  const found = [...text_.matchAll(/"category":\s*"lint\/\w+\/(\w+)"/g)].map((match) => match[1]!);
  rmSync(path);
  return [...new Set(found)];
}

const useOf = (source: string): string => `import { x } from '${source}';\nexport const y = x;\n`;

const forbidden = [
  ['src/net/planted.ts', '../kv/table.ts'],
  ['src/api/planted.ts', '../net/address.ts'],
  ['src/kv/planted.ts', '../bpf/libbpf/map.ts'],
  ['src/bpf/map/planted.ts', '../../kv/table.ts'],
  ['src/bpf/libbpf/planted.ts', 'bun:ffi'],
  ['src/daemon/policy/planted.ts', 'bun:ffi'],
  ['src/daemon/policy/planted.ts', '../identity/controller.ts'],
  ['src/daemon/policy/controller/planted.ts', '../../identity/reconciler.ts'],
  ['src/hubble/planted.ts', '../daemon/policy/reconciler.ts'],
  ['src/hubble/server/planted.ts', '../../daemon/policy/controller.ts'],
  ['src/daemon/policy/planted.ts', '../../cmd/dbg.ts'],
  ['src/cmd/dbg/planted.ts', '../../../src/cmd/status.ts'],
] as const;

const allowed = [
  ['src/kv/planted.ts', '../net/address.ts'],
  ['src/bpf/map/planted.ts', '../../net/address.ts'],
  ['src/bpf/map/planted.ts', '../libbpf/map.ts'],
  ['src/bpf/libbpf/ffi.ts', 'bun:ffi'],
  ['src/net/libc.ts', 'bun:ffi'],
  ['src/daemon/policy/planted.ts', '../identity/table.ts'],
  ['src/daemon/policy/planted.ts', './parse.ts'],
  ['src/daemon/policy/planted.ts', '../runtime/log.ts'],
  ['src/daemon/policy/planted.ts', '../../kv/table.ts'],
  ['src/daemon/policy/controller/planted.ts', '../../identity/table.ts'],
  ['src/daemon/policy/controller/planted.ts', '../table.ts'],
  ['src/daemon/policy/controller/planted.ts', '../../../kv/table.ts'],
  ['src/daemon/agent.ts', './policy/reconciler.ts'],
  ['src/hubble/planted.ts', '../daemon/identity/table.ts'],
  ['src/main.ts', './cmd/dbg.ts'],
  ['src/cmd/dbg.ts', './dbg/map.ts'],
] as const;

describe('imports', () => {
  test.each(forbidden)('%s may not import %s', (file, source) => {
    expect(lint(file, useOf(source))).toContain('noRestrictedImports');
  });

  test.each(allowed)('%s may import %s', (file, source) => {
    expect(lint(file, useOf(source))).not.toContain('noRestrictedImports');
  });
});

test.each([
  ['noDefaultExport', 'export default 1;\n'],
  ['noExplicitAny', 'export const x: any = 1;\n'],
  ['noNonNullAssertion', 'export const f = (x?: { y: number }) => x!.y;\n'],
  ['noFloatingPromises', 'async function f() {}\nexport function g() {\n  f();\n}\n'],
  ['noReExportAll', "export * from './y.ts';\n"],
])('%s is on', (rule, text) => {
  expect(lint('src/kv/planted.ts', text)).toContain(rule);
});

test('files are kebab-case', () => {
  expect(lint('src/kv/PlantedFile.ts', 'export const x = 1;\n')).toContain(
    'useFilenamingConvention',
  );
});
