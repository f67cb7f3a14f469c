import { expect, test } from 'bun:test';
import { constants } from 'node:os';
import { errnoName, errnoNumber, isKernelError, KernelError } from './kernel-error.ts';

test('the table agrees with the platform', () => {
  const aliases = new Set(['EWOULDBLOCK', 'ENOTSUP', 'EDEADLOCK']);
  for (const [name, errno] of Object.entries(constants.errno)) {
    if (aliases.has(name)) continue;
    expect(`${errno} ${errnoName(errno)}`).toBe(`${errno} ${name}`);
    expect(errnoNumber(name)).toBe(errno);
  }
  expect(errnoName(524)).toBe('ENOTSUPP');
  expect(errnoName(41)).toBe('errno 41');
  expect(errnoName(133)).toBe('EHWPOISON');
  expect(errnoName(9999)).toBe('errno 9999');
  expect(() => errnoNumber('-')).toThrow(RangeError);
});

test('the message says what was being done, and the kernel’s words', () => {
  const fields = { call: 'RTM_NEWLINK', errno: 17, doing: 'create veth lxc1' };
  expect(new KernelError(fields).message).toBe('create veth lxc1: EEXIST');
  const error = new KernelError({ ...fields, detail: 'name taken', cause: 'x' });
  expect(error.message).toBe('create veth lxc1: EEXIST (name taken)');
  expect(error.cause).toBe('x');
  expect(isKernelError(error, 'ENOENT', 'EEXIST')).toBe(true);
  expect(isKernelError(error, 'ENOENT')).toBe(false);
  expect(isKernelError(new Error('EEXIST'))).toBe(false);
});
