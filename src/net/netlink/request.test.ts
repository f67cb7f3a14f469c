import { expect, test } from 'bun:test';
import { requireAddress } from '../address.ts';
import { ifIndex } from '../if-index.ts';
import { requirePrefix } from '../prefix.ts';
import { addInterfaceAddress, decodeInterfaceAddress } from './interface-address.ts';
import { createVeth, decodeLink, setLink } from './link.ts';
import { splitMessages } from './message.ts';
import { addNeighbor, decodeNeighbor } from './neighbor.ts';
import { addRoute, decodeRoute } from './route.ts';
import { addRule, decodeRule } from './rule.ts';

const first = (bytes: Uint8Array) => splitMessages(bytes)[0]!;
const device = ifIndex(7);

test('what is asked for is what is decoded', () => {
  const address = requireAddress('fd00::7');
  const added = addInterfaceAddress(device, address, 64, { nodad: true });
  expect(added.doing).toBe('add address fd00::7/64 of link 7');
  expect(decodeInterfaceAddress(first(added.bytes))).toMatchObject({ device, address, length: 64 });

  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  expect(decodeNeighbor(first(addNeighbor(device, address, mac).bytes))).toEqual({
    device,
    address,
    mac: '02:00:00:00:00:01',
    state: 0x80,
  });

  const route = {
    destination: requirePrefix('10.0.0.0/8'),
    via: requireAddress('10.0.0.1'),
    source: requireAddress('10.0.0.2'),
    device,
    table: 2004,
    scope: 0,
    protocol: 4,
    type: 'unicast' as const,
    mtu: 1400,
    priority: 5,
    onlink: true,
  };
  expect(decodeRoute(first(addRoute(route).bytes))).toEqual(route);

  const rule = {
    family: 6 as const,
    priority: 9,
    table: 2005,
    from: requirePrefix('fd00::/64'),
    to: requirePrefix('fd01::/64'),
    mark: 0x200,
    mask: 0xf00,
    inInterface: 'lo',
    protocol: 2,
  };
  expect(decodeRule(first(addRule(rule).bytes))).toEqual(rule);

  const veth = createVeth({ name: 'lxc0', mac, up: true }, { name: 'eth0', netnsFd: 9 });
  expect(decodeLink(first(veth.bytes))).toMatchObject({ name: 'lxc0', kind: 'veth', up: true });
});

test('what the kernel would answer with a riddle is refused before', () => {
  expect(() => createVeth({ name: 'sixteen-letters-' }, { name: 'a' })).toThrow('interface name');
  expect(() => createVeth({ name: 'a' }, { name: 'a/b' })).toThrow('interface name');
  expect(() => setLink('lxc0', { name: 'lxc1' })).toThrow('needs the interface index');
  const destination = requirePrefix('10.0.0.0/8');
  expect(() => addRoute({ destination, via: requireAddress('::1') })).toThrow('families differ');
  expect(() => ifIndex(-1)).toThrow('out of range');
});
