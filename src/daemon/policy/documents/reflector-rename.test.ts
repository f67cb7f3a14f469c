/**
 * Files that are renamed: what is in force of one is not lost because it has another name, whether it
 * was broken before, is broken by the same change, or while no agent ran.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { policy, ReflectorFixture, until } from './reflector-fixture.ts';
import { describeFiles } from './stand-in.ts';

let fixture: ReflectorFixture;
let directory: string;

beforeEach(() => {
  fixture = new ReflectorFixture();
  directory = join(fixture.root, 'files');
  mkdirSync(directory);
});

afterEach(() => fixture[Symbol.dispose]());

const path = (name: string) => join(directory, name);
const start = () => fixture.start(directory, fixture.lastGood(join(fixture.root, 'state')));

describe('a broken file that is renamed', () => {
  test('goes on closing all pods if it was there at start', async () => {
    writeFileSync(path('a.yaml'), 'nonsense');
    const { rules, files, names, states, message } = start();
    renameSync(path('a.yaml'), path('b.yaml'));
    await until(() => files.get('a.yaml') === undefined);
    expect(names()).toEqual(['b.yaml']);
    expect(states).toEqual(['a.yaml', 'b.yaml']);
    expect(message('b.yaml')).toContain('all pods are closed until it is mended');
    expect(describeFiles(files, rules)).toContain('until these policy files are mended');
    renameSync(path('b.yaml'), path('c.yaml'));
    await until(() => names().join() === 'c.yaml');
    writeFileSync(path('c.yaml'), policy('c'));
    await until(() => names().join() === 'c');
    expect(message('c.yaml')).toBeUndefined();
  });

  test('keeps its last good content, also across a restart, until it is mended', async () => {
    writeFileSync(path('a.yaml'), policy('good'));
    const { files, names, states, message } = start();
    appendFileSync(path('a.yaml'), 'nonsense');
    await until(() => message('a.yaml') !== undefined);
    renameSync(path('a.yaml'), path('b.yaml'));
    await until(() => files.get('a.yaml') === undefined);
    expect(states).toEqual(['good']);
    expect(message('b.yaml')).toContain('what was in a.yaml stays in force until it is mended');
    expect(files.get('b.yaml')).toMatchObject({ rules: 1 });
    appendFileSync(path('b.yaml'), 'more nonsense');
    await until(() => JSON.stringify(files.get('b.yaml')).includes('"attempts":2'));
    expect(message('b.yaml')).toContain('what was in a.yaml stays in force');

    const next = start();
    expect(next.names()).toEqual(['good']);
    expect(next.files.get('b.yaml')).toMatchObject({ rules: 1, status: { kind: 'error' } });
    writeFileSync(path('b.yaml'), policy('mended'));
    await until(() => next.names().join() === 'mended');
    unlinkSync(path('b.yaml'));
    await until(() => next.rules.size === 0);
    expect(names()).toEqual(['good']);
  });

  test('in place of a good one: both stay in force', async () => {
    writeFileSync(path('a.yaml'), policy('a'));
    writeFileSync(path('b.yaml'), policy('b'));
    const { files, states, message } = start();
    writeFileSync(path('a.yaml'), 'nonsense');
    await until(() => message('a.yaml') !== undefined);
    renameSync(path('a.yaml'), path('b.yaml'));
    await until(() => files.get('a.yaml') === undefined);
    expect(states).toEqual(['a,b']);
    expect(files.get('b.yaml')).toMatchObject({ rules: 2, status: { kind: 'error' } });
    expect(start().names()).toEqual(['a', 'b']);
  });

  test('while no agent runs closes all pods', () => {
    writeFileSync(path('a.yaml'), policy('good'));
    start();
    fixture.stop();
    writeFileSync(path('a.yaml'), 'nonsense');
    renameSync(path('a.yaml'), path('b.yaml'));
    const { names, message } = start();
    expect(names()).toEqual(['b.yaml']);
    expect(message('b.yaml')).toContain('all pods are closed');
  });

  test('with its directory, while that is away', async () => {
    writeFileSync(path('a.yaml'), policy('good'));
    const { files, states } = start();
    const away = join(fixture.root, 'away');
    renameSync(directory, away);
    writeFileSync(join(away, 'a.yaml'), 'nonsense');
    renameSync(join(away, 'a.yaml'), join(away, 'b.yaml'));
    renameSync(away, directory);
    await until(() => files.get('b.yaml') !== undefined && files.get('a.yaml') === undefined);
    expect(states).toEqual(['good']);
  });
});

describe('a good file that is renamed', () => {
  test('has its rules all the time, in one change', async () => {
    writeFileSync(path('a.yaml'), policy('good'));
    const { rules, states, batches } = start();
    renameSync(path('a.yaml'), path('b.yaml'));
    await until(() => rules.by('origin', 'b.yaml').length === 1);
    await until(() => rules.size === 1);
    expect(states).toEqual(['good']);
    expect(batches.at(-1)).toEqual(['a.yaml', 'b.yaml']);
  });

  test('and broken as another file in its place, keeps them', async () => {
    writeFileSync(path('a.yaml'), policy('good'));
    const { files, states } = start();
    writeFileSync(path('.tmp'), 'nonsense');
    unlinkSync(path('a.yaml'));
    renameSync(path('.tmp'), path('b.yaml'));
    await until(() => files.get('b.yaml') !== undefined && files.get('a.yaml') === undefined);
    expect(states).toEqual(['good']);
    expect(files.get('b.yaml')).toMatchObject({ rules: 1, status: { kind: 'error' } });
  });

  test('and then written by somebody who takes his time, keeps them', async () => {
    writeFileSync(path('a.yaml'), policy('good'));
    const { files, states } = start();
    const fd = openSync(path('a.yaml'), 'a');
    renameSync(path('a.yaml'), path('b.yaml'));
    await Bun.sleep(60);
    writeSync(fd, 'nonsense');
    closeSync(fd);
    await until(() => files.get('b.yaml') !== undefined && files.get('a.yaml') === undefined);
    expect(files.get('b.yaml')).toMatchObject({ rules: 1, status: { kind: 'error' } });
    expect(states).toEqual(['good']);
  });

  test('is deleted if another file was refused before: that had nothing to do with it', async () => {
    writeFileSync(path('a.yaml'), policy('good'));
    const { files, rules, message } = start();
    writeFileSync(path('b.yaml'), 'nonsense');
    await until(() => message('b.yaml') !== undefined);
    unlinkSync(path('a.yaml'));
    await until(() => files.get('a.yaml') === undefined);
    expect(rules.size).toBe(0);
  });
});

test('an object of two files goes with the last of them', async () => {
  const object = `apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n`;
  for (const name of ['a.yaml', 'b.yaml']) writeFileSync(path(name), object);
  const { objects, files } = start();
  const origins = () => [...objects.all()].map((row) => row.origin).join();
  expect(origins()).toBe('a.yaml');
  unlinkSync(path('b.yaml'));
  await until(() => files.get('b.yaml') === undefined);
  unlinkSync(path('a.yaml'));
  await until(() => files.get('a.yaml') === undefined);
  expect(origins()).toBe('');
  for (const name of ['b.yaml', 'a.yaml']) writeFileSync(path(name), object);
  await until(() => files.size === 2);
  unlinkSync(path('a.yaml'));
  await until(() => origins() === 'b.yaml');
});

test('a folder with policy files is told of once, and closes nothing', async () => {
  mkdirSync(path('team/deep'), { recursive: true });
  mkdirSync(path('lost+found'));
  mkdirSync(path('..data'));
  writeFileSync(path('team/a.yaml'), policy('a'));
  writeFileSync(path('..data/a.yaml'), policy('a'));
  const { rules, files, batches, message } = start();
  expect([...files.keys()]).toEqual(['team/']);
  expect(message('team/')).toBe('is a folder: policy files in it are not read');
  expect(batches).toEqual([['team/']]);
  expect(describeFiles(files, rules)).toBe('files in these folders are not read: team/');
  expect(rules.size).toBe(0);
  mkdirSync(join(fixture.root, 'new'));
  writeFileSync(join(fixture.root, 'new/b.yaml'), policy('b'));
  renameSync(join(fixture.root, 'new'), path('new'));
  await until(() => files.get('new/') !== undefined);
  renameSync(path('team'), join(fixture.root, 'team'));
  await until(() => files.get('team/') === undefined);
  expect(batches).toEqual([['team/'], ['new/'], ['team/']]);
});
