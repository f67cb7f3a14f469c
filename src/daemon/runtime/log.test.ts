import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { configureLog, configureLogFrom, countLines, logger } from './log.ts';
import { isSecretName } from './redact.ts';

let lines: string[] = [];
beforeEach(() => {
  lines = [];
  configureLog({ level: 'debug', format: 'logfmt', write: (line) => lines.push(line) });
});
afterEach(() => configureLog({ level: 'error', format: 'logfmt', write: () => {} }));

const log = logger('test');

describe('lines', () => {
  test('logfmt', () => {
    log.info('endpoint created', {
      id: 5,
      name: 'a b',
      ok: true,
      nothing: undefined,
      list: [1, 'x'],
    });
    expect(lines[0]).toMatch(
      /^time=\S+Z level=info subsys=test msg="endpoint created" id=5 name="a b" ok=true list="\[1,\\"x\\"\]"\n$/,
    );
  });

  test('json', () => {
    configureLogFrom({ debug: false, logOpt: { format: 'json', level: 'warning' } });
    log.info('not this');
    log.warn('this', { error: new Error('outer', { cause: new Error('inner') }), level: 'x' });
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      level: 'warn',
      subsys: 'test',
      msg: 'this',
      error: 'outer: inner',
      'field.level': 'x',
    });
  });

  test('warnings and errors are counted even if they are not written', () => {
    const counted: string[] = [];
    countLines((level, subsystem) => counted.push(`${subsystem} ${level}`));
    configureLog({ level: 'error' });
    log.warn('a');
    log.error('b');
    log.info('c');
    expect(counted).toEqual(['test warn', 'test error']);
    expect(lines).toHaveLength(1);
  });

  test('one line, whatever is in it, and of bounded length', () => {
    log.info('a\nlevel=error msg=forged\u001b[2J\u202e', {
      'na me="x': 'v\r\n"',
      big: 'x'.repeat(1e6),
    });
    expect(lines[0]!.trimEnd()).not.toMatch(/[\p{Cc}\u2028-\u202e]/u);
    expect(lines[0]!.length).toBeLessThan(4000);
    expect(lines[0]).toContain('(1000000 characters)');
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    log.info('b', { cyclic, fn: () => 1, big: 10n, bytes: new Uint8Array(5), none: null });
    expect(lines[1]).toContain('bytes="(5 bytes)"');
  });
});

describe('secrets', () => {
  const secret = 'S3cr3t-abcdefghijklmnop';

  test('fields named so', () => {
    for (const name of [
      'token',
      'key',
      'apiKey',
      'ipsec-key',
      'PASSWORD',
      'client_secret',
      'authToken',
      'apikey',
    ]) {
      expect(isSecretName(name)).toBe(true);
      log.info('x', { [name]: secret, nested: { deeper: [{ [name]: { inner: secret } }] } });
      log.info('x', { map: new Map([[name, secret]]) });
    }
    for (const name of ['keyboard', 'monkey', 'tokenless', 'rule_cookie', 'cookie']) {
      expect(isSecretName(name)).toBe(false);
    }
    expect(lines.join('')).not.toContain(secret);
    expect(lines).toHaveLength(16);
  });

  test('inside texts', () => {
    const texts = [
      `token=${secret}`,
      `{"password":"${secret}"}`,
      `password: "${secret} with spaces"`,
      `Authorization: Bearer ${secret}`,
      `Authorization: Basic ${secret}`,
      `got "api_key": '${secret}'`,
      `etcd://root:${secret}@host:2379/`,
      `-----BEGIN EC PRIVATE KEY-----\n${secret}\n-----END EC PRIVATE KEY-----`,
      `-----BEGIN PRIVATE KEY-----\n${secret}`,
      `eyJhbGciOiJIUzI1NiJ9.${secret}.x`,
      `${'x'.repeat(1010)} token=${secret}`,
    ];
    for (const text of texts) {
      log.error(text, { error: new Error('a', { cause: new Error(text) }), list: [text] });
    }
    expect(lines.join('')).not.toContain(secret);
    expect(lines.join('')).not.toContain('S3cr3t');
  });

  test('a secret field never shows, wherever it is', () => {
    const name = fc.constantFrom('token', 'key', 'password', 'secret', 'privateKey', 'psk');
    const wrap = fc.array(fc.constantFrom('object', 'array', 'map', 'error'), { maxLength: 6 });
    fc.assert(
      fc.property(name, wrap, fc.boolean(), (field, layers, json) => {
        lines = [];
        configureLog({ format: json ? 'json' : 'logfmt' });
        let value: unknown = { [field]: secret };
        for (const layer of layers) {
          if (layer === 'object') value = { inner: value };
          else if (layer === 'array') value = [value];
          else if (layer === 'map') value = new Map([['inner', value]]);
          else value = new Error('x', { cause: value });
        }
        log.info('x', { value });
        expect(lines.join('')).not.toContain(secret);
      }),
    );
  });
});
