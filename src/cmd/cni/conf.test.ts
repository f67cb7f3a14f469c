import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { parseConf } from './conf.ts';
import { parseEnvironment } from './environment.ts';
import { CniError } from './error.ts';
import { expectedInterface, formatResult } from './result.ts';
import { supportedVersions } from './version.ts';

function codeOf(run: () => unknown): number | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof CniError) return error.code;
    throw error;
  }
}

const conf = (more: object) => JSON.stringify({ cniVersion: '1.0.0', name: 'cilium', ...more });

test.each([
  ['{not json', 6, ''],
  ['', 6, ''],
  ['[]', 6, ''],
  ['{}', 7, 'missing network name'],
  [conf({ cniVersion: '9.9.9' }), 1, 'incompatible CNI versions'],
  [conf({ name: '../x' }), 7, 'invalid characters found in network name'],
  [conf({ 'chaining-mode': 'aws-cni' }), 2, ''],
  [conf({ ipam: { type: 'host-local' } }), 2, ''],
  [conf({ args: { cni: { labels: [{ value: 'x' }] } } }), 7, 'args.cni.labels[0].key: is required'],
  [conf({ args: { cni: { labels: [{ key: 'a:b', value: 'x' }] } } }), 7, ''],
  [conf({ 'cni.dev/valid-attachments': [{ containerID: 'a' }] }), 7, ''],
])('%s is refused with %d', (text, code, message) => {
  expect(codeOf(() => parseConf(text, ''))).toBe(code);
  if (message !== '') expect(() => parseConf(text, '')).toThrow(message);
});

test('where the agent is: the configuration, the environment, the state directory', () => {
  expect(parseConf(conf({}), '').socketPath).toBe('/var/run/cilium/cilium.sock');
  expect(parseConf(conf({}), '/a.sock').socketPath).toBe('/a.sock');
  expect(parseConf(conf({ 'state-dir': '/s' }), '').socketPath).toBe('/s/cilium.sock');
  expect(parseConf(conf({ 'cilium-sock': 'unix:///b.sock' }), '/a.sock').socketPath).toBe(
    '/b.sock',
  );
});

test.each([
  [{}, 'required env variables [CNI_COMMAND] missing'],
  [{ CNI_COMMAND: 'BOGUS' }, 'unknown CNI_COMMAND: BOGUS'],
  [
    { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'a' },
    'required env variables [CNI_NETNS,CNI_IFNAME] missing',
  ],
  [{ CNI_COMMAND: 'DEL', CNI_CONTAINERID: '/', CNI_IFNAME: 'eth0' }, 'invalid characters'],
  [{ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'a', CNI_IFNAME: 'a/b' }, 'interface name'],
  [
    { CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'a', CNI_IFNAME: 'eth0', CNI_ARGS: 'x' },
    'invalid pair "x"',
  ],
])('%p: %s', (variables, message) => {
  expect(() => parseEnvironment(variables)).toThrow(message);
  expect(codeOf(() => parseEnvironment(variables))).toBe(4);
});

test('any configuration is read or refused with a code', () => {
  const field = fc.constantFrom(
    'args',
    'ipam',
    'prevResult',
    'dns',
    'name',
    'cni.dev/valid-attachments',
    'state-dir',
  );
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.tuple(field, fc.jsonValue()).map(([key, value]) => conf({ [key]: value })),
  );
  fc.assert(fc.property(text, (one) => void codeOf(() => parseConf(one, ''))));
});

test('any previous result is merged, read or refused with a code', () => {
  const previous = fc.dictionary(
    fc.constantFrom('interfaces', 'ips', 'routes', 'dns', 'ip4', 'x'),
    fc.oneof(
      fc.jsonValue(),
      fc.array(fc.record({ name: fc.constant('eth0'), sandbox: fc.jsonValue() })),
    ),
  );
  const result = { interfaces: [], addresses: [], routes: [], dns: undefined };
  fc.assert(
    fc.property(previous, fc.constantFrom(...supportedVersions), (fields, version) => {
      codeOf(() => JSON.parse(formatResult(result, version, fields)));
      codeOf(() => expectedInterface(fields, 'eth0'));
    }),
  );
});

test('the oldest shape has one address of each family', () => {
  const text = formatResult(
    {
      interfaces: [],
      addresses: [{ family: 4, address: '10.0.0.2/32', gateway: '10.0.0.1', interface: 1 }],
      routes: [{ destination: '0.0.0.0/0', gateway: '10.0.0.1', mtu: 1500 }],
      dns: undefined,
    },
    '0.2.0',
    undefined,
  );
  expect(JSON.parse(text)).toEqual({
    cniVersion: '0.2.0',
    ip4: { ip: '10.0.0.2/32', gateway: '10.0.0.1', routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }] },
    dns: {},
  });
});
