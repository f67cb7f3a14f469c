import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CniFile, type CniFileConfig, cniConfiguration } from './cni-configuration.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync('/tmp/cilium-test-cni-');
});
afterEach(() => rmSync(folder, { recursive: true }));

const config = (): CniFileConfig => ({
  cniExclusive: false,
  cniLogFile: '/var/run/cilium/cilium-cni.log',
  debug: false,
  readCniConf: '',
  socketPath: '/var/run/cilium/cilium.sock',
  stateDir: '/var/run/cilium',
  writeCniConfWhenReady: join(folder, '05-cilium.conflist'),
});

test('our keys only where the agent is not at the usual place', () => {
  expect(JSON.parse(cniConfiguration(config()))).toEqual({
    cniVersion: '0.3.1',
    name: 'cilium',
    plugins: [
      {
        type: 'cilium-cni',
        'enable-debug': false,
        'log-file': '/var/run/cilium/cilium-cni.log',
      },
    ],
  });
  const other = cniConfiguration({ ...config(), socketPath: '/x.sock', stateDir: '/x' });
  expect(JSON.parse(other).plugins[0]).toMatchObject({
    'cilium-sock': '/x.sock',
    'state-dir': '/x',
  });
});

test('written once, put back when changed, others set aside only when asked', () => {
  const file = new CniFile(config());
  expect(file.status.state).toBe('Warning');
  writeFileSync(join(folder, '10-other.conf'), '{}');
  file.ensure();
  expect(file.status).toEqual({
    state: 'Ok',
    msg: `successfully wrote CNI configuration file to ${folder}/05-cilium.conflist`,
  });
  writeFileSync(join(folder, '05-cilium.conflist'), 'garbage');
  file.ensure();
  expect(readFileSync(join(folder, '05-cilium.conflist'), 'utf8')).toBe(cniConfiguration(config()));
  expect(readdirSync(folder).sort()).toEqual(['05-cilium.conflist', '10-other.conf']);
  new CniFile({ ...config(), cniExclusive: true }).ensure();
  expect(readdirSync(folder).sort()).toEqual(['05-cilium.conflist', '10-other.conf.cilium_bak']);
});

test('a directory that cannot be written is said', () => {
  const file = new CniFile({ ...config(), writeCniConfWhenReady: '/proc/nope/05.conflist' });
  expect(() => file.ensure()).toThrow('write CNI configuration /proc/nope/05.conflist');
  expect(file.status.state).toBe('Failure');
});

test('off by default', () => {
  const file = new CniFile({ ...config(), writeCniConfWhenReady: '' });
  file.ensure();
  expect(file.status).toEqual({ state: 'Disabled', msg: '' });
  expect(readdirSync(folder)).toEqual([]);
});
