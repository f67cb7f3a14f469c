/**
 * @module The few words that random clusters are made of. There are few so that policies and
 * objects meet: labels are shared, prefixes are nested and hold pods, nodes and outside addresses.
 */
import { parsePrefix, prefixIsInside } from './addresses.ts';
import type { LabelRequirement, LabelSelector } from './documents.ts';
import type { Random } from './random.ts';

export const namespaces = ['default', 'shop', 'lab', 'ops'] as const;

export const nodes = [
  { name: 'node-a', v4: '192.168.0.1', v6: 'fd00:192::1', external: undefined },
  { name: 'node-b', v4: '192.168.0.2', v6: 'fd00:192::2', external: '203.0.113.20' },
  { name: 'node-c', v4: '192.168.1.3', v6: 'fd00:192:0:1::3', external: undefined },
] as const;

export const podLabels = {
  app: ['web', 'api', 'db'],
  tier: ['front', 'back'],
  track: ['stable', 'canary'],
} as const;
export const namespaceLabels = { env: ['prod', 'dev'], team: ['red', 'blue'] } as const;
export const nodeLabels = { zone: ['one', 'two'], role: ['edge'] } as const;
export const groupLabels = { net: ['office', 'partner'], level: ['high', 'low'] } as const;

export const services = ['inner-1', 'inner-2', 'outer-1', 'outer-2'] as const;
export const groupNames = ['group-1', 'group-2', 'group-3'] as const;

export const outsideAddresses = [
  '1.1.1.1',
  '8.8.8.8',
  '203.0.113.10',
  '203.0.113.77',
  '172.16.5.5',
  '10.99.0.1',
  '2001:db8::1',
  '2001:db8:1::5',
  '2606:4700::1111',
  'fd00:99::1',
] as const;

const v4Cidrs = [
  '0.0.0.0/0',
  '0.0.0.0/1',
  '128.0.0.0/1',
  '1.0.0.0/8',
  '8.8.8.0/24',
  '8.8.8.8/32',
  '10.0.0.0/8',
  '10.0.0.0/16',
  '10.0.0.0/24',
  '10.0.1.0/24',
  '10.0.1.8/29',
  '10.0.0.10/32',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '192.168.0.0/24',
  '192.168.0.1/32',
  '192.168.0.2/32',
  '203.0.113.0/24',
  '203.0.113.0/27',
  '203.0.113.10/32',
];
const v6Cidrs = [
  '::/0',
  '2000::/3',
  '2001:db8::/32',
  '2001:db8::/48',
  '2001:db8::1/128',
  '2606:4700::/32',
  'fc00::/7',
  'fd00:10::/32',
  'fd00:10:0:1::/64',
  'fd00:10::10/128',
  'fd00:192::/48',
  'fd00:192::1/128',
  'fd00:99::/64',
];
export const cidrs = [...v4Cidrs, ...v6Cidrs];

export const numericPorts = [53, 80, 443, 1000, 5060, 8080, 9090, 30000];
export const portNames = ['http', 'metrics', 'dns', 'signal', 'absent'];

/** Proper parts of the prefix, none for the narrowest ones. */
export function randomExcept(random: Random, cidr: string): string[] {
  const outer = parsePrefix(cidr);
  const inner = cidrs.filter((one) => prefixIsInside(parsePrefix(one), outer));
  return random.some(inner, 1, 3);
}

export type Labels = Readonly<Record<string, readonly string[]>>;

function requirement(random: Random, labels: Labels, prefix: string): LabelRequirement {
  const name = random.pick(Object.keys(labels));
  const key = prefix + name;
  const values = random.some(labels[name] ?? [], 1, 2);
  const operator = random.pick(['In', 'NotIn', 'Exists', 'DoesNotExist'] as const);
  return operator === 'In' || operator === 'NotIn' ? { key, operator, values } : { key, operator };
}

/**
 * A selector over these labels. Few conditions, or nothing would be selected; the prefix is put
 * before each key.
 */
export function randomSelector(
  random: Random,
  labels: Labels,
  empty = 0.25,
  prefix = '',
): LabelSelector {
  if (random.chance(empty)) return {};
  if (random.chance(0.55)) {
    const keys = random.some(Object.keys(labels), 1, random.chance(0.8) ? 1 : 2);
    return {
      matchLabels: Object.fromEntries(
        keys.map((key) => [prefix + key, random.pick(labels[key] ?? [])]),
      ),
    };
  }
  const many = random.chance(0.85) ? 1 : 2;
  return { matchExpressions: random.times(1, many, () => requirement(random, labels, prefix)) };
}

/** Both parts together, as two conditions that must hold. */
export function joinSelectors(a: LabelSelector, b: LabelSelector): LabelSelector {
  const matchLabels = { ...a.matchLabels, ...b.matchLabels };
  const matchExpressions = [...(a.matchExpressions ?? []), ...(b.matchExpressions ?? [])];
  return {
    ...(Object.keys(matchLabels).length > 0 ? { matchLabels } : {}),
    ...(matchExpressions.length > 0 ? { matchExpressions } : {}),
  };
}
