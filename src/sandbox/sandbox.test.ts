import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { defaultAgentSocket, localAgent, readCurrent } from './current.ts';
import { httpUrl } from './network.ts';
import { cgroup2Root, parseMounts, sandboxPaths } from './paths.ts';
import { addressesOf } from './pod.ts';
import { findPod, readRecord } from './record.ts';
import { shownCommand } from './self.ts';
import { compareSnapshots, parseSnapshot } from './snapshot.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sandbox-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('which agent', () => {
  const current = {
    sandbox: 'demo',
    directory: '/run/cilium/demo',
    socketPath: '/run/cilium/demo/cilium.sock',
    hubbleSocketPath: '/run/cilium/demo/hubble.sock',
    bpfRoot: '/run/cilium/demo/bpf',
  };
  const file = () => join(folder, 'current.json');

  test('flags and environment come before the sandbox', () => {
    writeFileSync(file(), JSON.stringify(current));
    expect(localAgent('unix:///a.sock', {}, file()).socketPath).toBe('/a.sock');
    expect(localAgent(undefined, { CILIUM_SOCK: '/b.sock' }, file()).socketPath).toBe('/b.sock');
    expect(localAgent(undefined, {}, file())).toMatchObject(current);
    expect(localAgent(undefined, { CILIUM_BPF_ROOT: '/x' }, file()).bpfRoot).toBe('/x');
    expect(localAgent(current.socketPath, {}, file()).hubbleSocketPath).toBe(
      current.hubbleSocketPath,
    );
  });

  test('any text in the file leads to an agent', () => {
    expect(localAgent(undefined, {}, file()).socketPath).toBe(defaultAgentSocket);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        writeFileSync(file(), text);
        expect(readCurrent(file())).toBeUndefined();
      }),
    );
  });
});

describe('files of others', () => {
  test('any record file is read or ignored', () => {
    const paths = {
      ...sandboxPaths(
        'x',
        'a b 0:1 / /c rw - cgroup2 c rw'.replace('a b', '1 2').replace('/c', '/'),
      ),
      recordFile: join(folder, 'r'),
    };
    expect(readRecord(paths)).toBeUndefined();
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        writeFileSync(paths.recordFile, text);
        readRecord(paths);
        parseSnapshot(text);
        parseMounts(text);
      }),
    );
  });

  test('mounts with blanks; the unified hierarchy of a hybrid layout', () => {
    const text =
      '30 1 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n' +
      '31 30 0:27 / / rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw\n' +
      '32 1 0:4 net:[4026532] /run/a\\040b rw shared:5 - nsfs nsfs rw\n';
    expect(parseMounts(text)[2]).toEqual({
      root: 'net:[4026532]',
      point: '/run/a b',
      type: 'nsfs',
    });
    expect(cgroup2Root(text)).toBe('/');
    expect(() => cgroup2Root('')).toThrow('no cgroup v2');
  });

  test("a plugin's result", () => {
    const result = '{"ips":[{"address":"fd00::2/128"},{"address":"10.0.0.2/32"}]}';
    expect(addressesOf(result)).toEqual({ ipv4: '10.0.0.2', ipv6: 'fd00::2' });
    expect(addressesOf('{}')).toEqual({ ipv4: '', ipv6: '' });
  });
});

describe('comparison', () => {
  test('what is equal shows no difference; lines count', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.array(fc.string())), (lines) => {
        for (const one of compareSnapshots(lines, structuredClone(lines))) {
          expect([one.added, one.missing]).toEqual([[], []]);
        }
      }),
    );
    expect(compareSnapshots({ links: ['a', 'a', 'b'] }, { links: ['a', 'c'] })).toEqual([
      { category: 'links', before: 3, added: ['c'], missing: ['a', 'b'], foreign: [] },
    ]);
    const [mounts] = compareSnapshots(
      { mounts: [] },
      { mounts: ['/run/netns/x', '/run/cilium/y', '/tmp/cilium-test-1/bpf'] },
    );
    expect(mounts).toMatchObject({
      added: ['/run/cilium/y'],
      foreign: ['/run/netns/x', '/tmp/cilium-test-1/bpf'],
    });
  });
});

test('pods by name', () => {
  const pod = { namespace: 'default', name: 'web', netnsPath: '', ipv4: '', ipv6: '' };
  const record = {
    maker: 0,
    agentPid: 1,
    pods: [pod, { ...pod, namespace: 'other' }, { ...pod, name: 'db' }],
  };
  expect(findPod(record, 'db').name).toBe('db');
  expect(findPod(record, 'other/web').namespace).toBe('other');
  expect(() => findPod(record, 'web')).toThrow('not unique');
  expect(() => findPod(record, 'nope')).toThrow('default/web');
});

test('URLs', () => {
  expect(httpUrl('10.0.0.1', 80)).toBe('http://10.0.0.1:80/');
  expect(httpUrl('fd00::1', 80)).toBe('http://[fd00::1]:80/');
});

test('commands are shown so that they can be copied', () => {
  expect(shownCommand('dist/cilium', '/usr/bin/cilium')).toBe('cilium');
  const shown = shownCommand('dist/cilium', null);
  expect(shown.endsWith('dist/cilium') || shown.startsWith(process.execPath)).toBe(true);
});
