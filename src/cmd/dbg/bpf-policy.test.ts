import { describe, expect, test } from 'bun:test';
import { CLASS_ANY, GROUP_BASE, policyEntryFlags } from '../../bpf/gen/constants.ts';
import { policyEntryLayout, policyKeyLayout } from '../../bpf/gen/layouts.ts';
import { formatPolicy } from './bpf-policy.ts';
import { type PolicyRow, policyRows } from './bpf-policy-read.ts';

const group = GROUP_BASE + 3;
const peers = new Map([
  [
    5,
    [
      { identity: 7, addressSet: 0 },
      { identity: 9, addressSet: 4 },
    ],
  ],
  [
    group,
    [
      { identity: 7, addressSet: 0 },
      { identity: 8, addressSet: 0 },
      { identity: 8, addressSet: 2 },
    ],
  ],
]);

function blocksOf() {
  return { in: ['10.0.0.0/8', '2001:db8::/32'], except: ['10.1.0.0/16'] };
}

function entry(classId: number, port: number, flags = 0) {
  const key = new Uint8Array(policyKeyLayout.size);
  const value = new Uint8Array(policyEntryLayout.size);
  policyKeyLayout.encode(
    { prefixlen: 64, classId, direction: 0, proto: 6, port },
    new DataView(key.buffer),
    0,
  );
  policyEntryLayout.encode({ cookie: 9, flags, matchType: 2 }, new DataView(value.buffer), 0);
  return { key, value };
}

describe('entries of a policy map as rows', () => {
  test('a class is its peers, a group and a wildcard one row each', () => {
    const rows = policyRows(
      [entry(5, 80), entry(group, 81), entry(CLASS_ANY, 82)],
      peers,
      blocksOf,
    );
    expect(rows.map(({ identity, addressSet, port }) => [identity, addressSet, port])).toEqual([
      [7, 0, 80],
      [9, 4, 80],
      [0, 0, 81],
      [0, 0, 82],
    ]);
    expect(rows.map(({ group: members }) => members)).toEqual([
      undefined,
      undefined,
      [7, 8],
      undefined,
    ]);
  });

  test('a default deny is a denial that says so', () => {
    const { POLICY_ENTRY_DEFAULT, POLICY_ENTRY_DENY } = policyEntryFlags;
    const entries = [
      entry(CLASS_ANY, 80, POLICY_ENTRY_DEFAULT),
      entry(CLASS_ANY, 81, POLICY_ENTRY_DEFAULT | POLICY_ENTRY_DENY),
      entry(CLASS_ANY, 82, POLICY_ENTRY_DENY),
      entry(CLASS_ANY, 83),
    ];
    const rows = policyRows(entries, peers, blocksOf);
    expect(rows.map(({ deny, isDefault }) => [deny, isDefault])).toEqual([
      [true, true],
      [true, true],
      [true, false],
      [false, false],
    ]);
  });

  test('as a table', () => {
    const rows = policyRows(
      [entry(5, 80), entry(group, 81, policyEntryFlags.POLICY_ENTRY_DEFAULT)],
      peers,
      blocksOf,
    );
    const numeric = formatPolicy(rows, { labels: undefined, rules: new Map([[9, 'shop/web']]) });
    const lines = numeric.split('\n').map((line) => line.split(/ {2,}/).slice(0, 4));
    expect(lines.slice(1, 7)).toEqual([
      ['Deny (default)', 'Ingress', 'group g3: 2 identities', '81/TCP'],
      ['Allow', 'Ingress', '7', '80/TCP'],
      ['Allow', 'Ingress', '9', '80/TCP'],
      ['', 'in 10.0.0.0/8', ''],
      ['', 'in 2001:db8::/32', ''],
      ['', 'except 10.1.0.0/16', ''],
    ]);
  });

  test('a set of many blocks is cut, one without any has its number', () => {
    const many = Array.from({ length: 20 }, (_, index) => `10.0.${index}.0/24`);
    const [row] = policyRows(
      [entry(5, 80)],
      new Map([[5, [{ identity: 9, addressSet: 7 }]]]),
      (_, set) => (set === 7 ? { in: many, except: [] } : undefined),
    );
    const labels = (one: PolicyRow) =>
      formatPolicy([one], { labels: new Map(), rules: new Map() }).trimEnd().split('\n').slice(1);
    expect(labels(row!)).toHaveLength(10);
    expect(labels(row!).at(-1)).toContain('and 12 more blocks (-o json)');
    const { blocks: _, ...gone } = row!;
    expect(labels(gone)[1]).toContain('addresses of set 7');
  });
});
