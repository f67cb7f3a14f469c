import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatProblem } from '../../../k8s/problem.ts';
import { loadDocuments, type ManifestFile } from './manifest.ts';

let root = '';

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'manifest-'));
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

const namespace = (name: string) =>
  `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}}}\n`;

function summary({ path, result }: ManifestFile): string {
  const name = path.replace(`${root}/`, '');
  if (result.kind === 'unreadable') return `${name}: ${result.reason}`;
  if (result.kind === 'refused') return `${name}: ${result.problems.map(formatProblem).join()}`;
  const objects = result.objects.map((each) => `${each.kind} ${each.name}`);
  return `${name}: ${[...objects, ...result.warnings.map(formatProblem)].join()}`;
}

test('files, folders and the standard input, in their order', () => {
  mkdirSync(join(root, 'all/below'), { recursive: true });
  mkdirSync(join(root, 'all/.git'));
  mkdirSync(join(root, 'all/folder.yaml'));
  const files = {
    'z.yaml': namespace('z'),
    'all/b.yml': namespace('b'),
    'all/a.json': JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a' } }),
    'all/below/c.yaml': '{apiVersion: apps/v1, kind: Deployment}',
    'all/folder.yaml/d.yaml': 'kind: [',
    'all/readme.txt': 'words',
    'all/.git/e.yaml': namespace('e'),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
  symlinkSync('..', join(root, 'all/zz-loop'));
  const paths = [join(root, 'z.yaml'), '-', join(root, 'all'), join(root, 'missing')];
  const found = loadDocuments(paths, { readStdin: () => namespace('typed') }).map(summary);
  expect(found.slice(0, 2)).toEqual(['z.yaml: Namespace z', '-: Namespace typed']);
  // A link that leads in a circle is followed once.
  expect(found.filter((each) => each.endsWith('z.yaml: Namespace z'))).toEqual([
    'z.yaml: Namespace z',
    'all/zz-loop/z.yaml: Namespace z',
  ]);
  expect(found.filter((each) => each.includes('Namespace a'))).toHaveLength(1);
  expect(found).toContain('all/a.json: Namespace a');
  expect(found).toContain('all/b.yml: Namespace b');
  expect(found).toContain(
    'all/below/c.yaml: line 1: document 1: kind "Deployment" of "apps/v1" has no part in policy: skipped here, refused in an agent\'s folder',
  );
  expect(found.find((each) => each.startsWith('all/folder.yaml/d.yaml: line 1: '))).toBeDefined();
  expect(found.some((each) => each.includes('Namespace e') || each.includes('readme'))).toBe(false);
  expect(found.at(-1)).toStartWith('missing: ENOENT');
});

test('kinds that have nothing to do with policy can be refused', () => {
  const readStdin = () => '{apiVersion: apps/v1, kind: Deployment}';
  const [file] = loadDocuments(['-'], { readStdin, otherKinds: 'refuse' });
  expect(file && summary(file)).toBe('-: line 1: document 1: kind: unknown kind "Deployment"');
});

test('a dump of a cluster may be larger than a policy file', () => {
  const items = Array.from({ length: 3000 }, (_, index) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `pod-${index}`, annotations: { text: 'x'.repeat(500) } },
  }));
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  const [file] = loadDocuments(['-'], { readStdin: () => text });
  expect(file?.result.kind === 'parsed' && file.result.objects.length).toBe(3000);
});

test('each example of this repository is good', () => {
  const examples = join(import.meta.dir, '../../../../examples');
  const names = readdirSync(examples).filter((each) => each.endsWith('.yaml'));
  const files = loadDocuments([examples], { otherKinds: 'refuse' });
  expect(files.map(({ path }) => path.replace(`${examples}/`, ''))).toEqual(names.sort());
  const kinds = new Set<string>();
  for (const file of files) {
    const { result } = file;
    if (result.kind !== 'parsed') throw new Error(summary(file));
    expect(result.warnings).toEqual([]);
    expect(result.policies.length).toBeGreaterThan(0);
    for (const { kind } of [...result.policies, ...result.objects]) kinds.add(kind);
  }
  expect([...kinds].sort()).toEqual([
    'CiliumCIDRGroup',
    'CiliumClusterwideNetworkPolicy',
    'CiliumNetworkPolicy',
    'ClusterNetworkPolicy',
    'NetworkPolicy',
  ]);
});

test('a link to itself is told of, and the other files are read', () => {
  mkdirSync(join(root, 'looped'));
  for (const name of ['loop.yaml', 'loop.txt']) symlinkSync(name, join(root, 'looped', name));
  writeFileSync(join(root, 'looped/z.yaml'), namespace('z'));
  const found = loadDocuments([join(root, 'looped')]).map(summary);
  expect(found).toHaveLength(2);
  expect(found[0]).toStartWith('looped/loop.yaml: ELOOP');
  expect(found[1]).toBe('looped/z.yaml: Namespace z');
});
