import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { isRefusal } from '../ipam/table.ts';
import { parseEndpointPatch, parseEndpointRequest } from './request.ts';
import { parseEndpointSelector } from './selector.ts';

const good = {
  'container-id': 'abc',
  addressing: { ipv6: 'FD00:0::9' },
  'interface-name': 'lxc1',
  'interface-index': 7,
  mac: '06:48:B9:AC:B9:7E',
  'host-mac': '5a:1a:40:b9:25:15',
};

test('text is made canonical and absent names get their defaults', () => {
  expect(parseEndpointRequest({ ...good, 'container-id': 'abcdef0123456789' })).toMatchObject({
    ipv4: undefined,
    ipv6: 'fd00::9',
    mac: '06:48:b9:ac:b9:7e',
    podName: 'abcdef012345',
    namespace: 'default',
    containerInterfaceName: 'eth0',
    syncBuild: false,
  });
});

test.each([
  ['container-id', ''],
  ['container-id', '../../etc'],
  ['interface-index', 0],
  ['interface-index', '7'],
  ['interface-name', 'a/b'],
  ['interface-name', 'name-that-is-too-long'],
  ['k8s-namespace', 'a,b'],
  ['k8s-pod-name', 'a b'],
  ['labels', 'app'],
  ['labels', ['a\nb']],
  ['id', 70000],
  ['sync-build-endpoint', 'yes'],
  ['state', 'flying'],
  ['mac', '06:48'],
  ['addressing', {}],
])('%s: %p is refused by name', (field, value) => {
  const result = parseEndpointRequest({ ...good, [field]: value });
  expect(isRefusal(result) && result.message).toStartWith(field);
});

test('no input throws, and what is accepted is complete', () => {
  const field = fc.constantFrom(...Object.keys(good), 'labels', 'state', 'id', 'k8s-namespace');
  const body = fc.oneof(
    fc.jsonValue(),
    fc.tuple(field, fc.jsonValue()).map(([key, value]) => ({ ...good, [key]: value })),
  );
  fc.assert(
    fc.property(body, (value) => {
      const result = parseEndpointRequest(value);
      if (!isRefusal(result)) {
        expect(result.ifindex).toBeGreaterThan(0);
        expect(result.ipv4 ?? result.ipv6).toBeDefined();
      }
      parseEndpointPatch(value);
    }),
  );
});

test('no selector throws', () => {
  const prefix = fc.constantFrom(
    '',
    'ipv4:',
    'ipv6:',
    'pod-name:',
    'cilium-local:',
    'container-id:',
  );
  fc.assert(
    fc.property(prefix, fc.string(), (one, text) => {
      const selector = parseEndpointSelector(one + text);
      if (!isRefusal(selector) && selector.by === 'id') expect(selector.id).toBeLessThan(65536);
    }),
  );
});
