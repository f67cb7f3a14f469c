import { expect, test } from 'bun:test';
import { readSysctl, sysctlPath, tryReadSysctl } from './sysctl.ts';

test('names with dots, with slashes and in parts', () => {
  expect(sysctlPath('net.ipv4.ip_forward')).toBe('/proc/sys/net/ipv4/ip_forward');
  expect(sysctlPath('net/ipv4/conf/eth0.100/rp_filter')).toBe(
    '/proc/sys/net/ipv4/conf/eth0.100/rp_filter',
  );
  expect(sysctlPath(['net', 'ipv4', 'conf', 'a.b', 'forwarding'])).toBe(
    '/proc/sys/net/ipv4/conf/a.b/forwarding',
  );
});

test('names that would leave the folder are refused', () => {
  for (const name of ['', 'a..b', 'a/../b', '/etc/passwd', 'a.b\0']) {
    expect(() => sysctlPath(name)).toThrow(RangeError);
  }
  expect(() => sysctlPath(['net', '..', 'kernel'])).toThrow(RangeError);
  expect(() => sysctlPath(['net', 'a/b'])).toThrow(RangeError);
  expect(() => sysctlPath([])).toThrow(RangeError);
});

test('reading', () => {
  expect(readSysctl('kernel.ostype')).toBe('Linux');
  expect(tryReadSysctl('net.ipv4.no_such_thing')).toBeUndefined();
  expect(() => readSysctl('net.ipv4.no_such_thing')).toThrow(
    'read sysctl net/ipv4/no_such_thing: ENOENT',
  );
});
