/**
 * What there is no room for closes who asks for it, and nobody else, whatever came first.
 */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type IdentityId, reservedIdentities } from '../../identity/table.ts';
import { ruleRows } from '../documents/rule-row.ts';
import { parseDocuments } from '../parse/parse.ts';
import { type PolicyRuleRow, policySubject } from '../table.ts';
import { PolicyCompiler, type PolicyConfig } from './compiler.ts';
import { describeOverflow } from './overflow.ts';
import { type References, resolveRule } from './resolve.ts';

const nothing: References = {
  cidrGroups: () => [],
  services: () => [],
  endpoints: () => [],
  nodes: () => [],
  portNumbers: () => [],
};

const config: PolicyConfig = {
  enablePolicy: 'default',
  allowLocalhost: false,
  cidrMatchesNodes: false,
  entriesMax: 1000,
};

const apps = ['a', 'b', 'c', 'd'];
const identityOf = (app: string) => (1000 + apps.indexOf(app)) as IdentityId;
const subjectOf = (app: string) => policySubject(identityOf(app), '');

function compilerOf(own: Partial<PolicyConfig>): PolicyCompiler {
  const compiler = new PolicyCompiler({ ...config, ...own });
  for (const { id, labels } of reservedIdentities) compiler.upsertIdentity(id, labels);
  compiler.place('0.0.0.0/0', 9 as IdentityId);
  for (const app of apps) {
    const identity = identityOf(app);
    compiler.upsertIdentity(identity, [`k8s:app=${app}`, 'k8s:io.kubernetes.pod.namespace=ns']);
    compiler.place(`10.0.0.${identity % 256}/32`, identity);
    compiler.setLocal({ subject: subjectOf(app), identity, ports: '' });
  }
  return compiler;
}

function rowsOf(name: string, app: string, egress: object): PolicyRuleRow[] {
  const document = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name, namespace: 'ns' },
    spec: { endpointSelector: { matchLabels: { app } }, egress: [egress] },
  };
  const parsed = parseDocuments(JSON.stringify(document));
  if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.problems));
  return parsed.policies.flatMap((policy) => ruleRows(policy, 'test', 2));
}

const blocks = (first: number, count: number) =>
  Array.from({ length: count }, (_, at) => `192.0.${first + at}.0/24`);

function put(compiler: PolicyCompiler, name: string, app: string, toCIDR: string[]): void {
  for (const row of rowsOf(name, app, { toCIDR })) {
    compiler.upsertRule(row, resolveRule(row.rule, nothing));
  }
}

function remove(compiler: PolicyCompiler, name: string, app: string): void {
  for (const { key } of rowsOf(name, app, { toCIDR: ['192.0.2.0/24'] })) compiler.deleteRule(key);
}

/** Whether each app is open, by its rules, or closed. */
function states(compiler: PolicyCompiler): string[] {
  return apps.map((app) => {
    const { overflow, egressEnforced } = compiler.policy(subjectOf(app)) ?? {};
    return overflow?.of ?? (egressEnforced === true ? 'fits' : 'open');
  });
}

describe('blocks', () => {
  test('the rule that names the most is left out, the others are in force', () => {
    const compiler = compilerOf({ blocksMax: 10 });
    put(compiler, 'many', 'a', blocks(0, 8));
    put(compiler, 'few', 'b', blocks(20, 3));
    put(compiler, 'none', 'c', []);
    compiler.compile();
    expect(states(compiler)).toEqual(['blocks', 'fits', 'fits', 'open']);
    const overflow = compiler.policy(subjectOf('a'))?.overflow;
    expect(overflow && describeOverflow(overflow)).toBe(
      'policy names 8 blocks of addresses, and all policies together may name 10: all is denied; CiliumNetworkPolicy ns/many (8 blocks)',
    );
    expect(compiler.sets.size).toBe(3);
  });

  test('a block that many name counts once', () => {
    const compiler = compilerOf({ blocksMax: 8 });
    for (const app of apps) put(compiler, `of-${app}`, app, blocks(0, 8));
    compiler.compile();
    expect(states(compiler)).toEqual(['fits', 'fits', 'fits', 'fits']);
  });

  test('what is left out comes in when there is room again', () => {
    const compiler = compilerOf({ blocksMax: 10 });
    put(compiler, 'many', 'a', blocks(0, 8));
    put(compiler, 'few', 'b', blocks(20, 3));
    compiler.compile();
    remove(compiler, 'few', 'b');
    const { policies, sets } = compiler.compile();
    expect([...policies.keys()].sort()).toEqual([subjectOf('a'), subjectOf('b')]);
    expect(states(compiler)).toEqual(['fits', 'open', 'open', 'open']);
    expect(sets.size).toBe(11);
    expect(compiler.policy(subjectOf('a'))?.entries.length).toBe(8);
  });

  test('with one policy changing into another, no more than fits is left', () => {
    const compiler = compilerOf({ blocksMax: 10 });
    for (let round = 0; round < 5; round++) {
      put(compiler, 'changing', 'a', blocks(round * 10, 9));
      compiler.compile();
      expect(states(compiler)).toEqual(['fits', 'open', 'open', 'open']);
    }
    expect(compiler.sets.size).toBe(9);
  });

  test('too many peers leave out the rule with the most blocks', () => {
    const compiler = compilerOf({ peersMax: 40 });
    const before = compiler.selectors.peerCount;
    put(compiler, 'few', 'b', blocks(40, 3));
    put(compiler, 'many', 'a', blocks(0, 30));
    compiler.compile();
    expect(states(compiler)).toEqual(['blocks', 'fits', 'open', 'open']);
    expect(compiler.selectors.peerCount).toBeLessThanOrEqual(before + 25);
  });

  test('too many peers leave out as many rules as have to be, until there are fewer peers', () => {
    const compiler = compilerOf({ peersMax: 150 });
    compiler.compile();
    const others = compiler.selectors.peerCount;
    for (let at = 0; at < 20; at++) put(compiler, `p${at}`, 'a', blocks(at * 10, 10));
    put(compiler, 'few', 'b', blocks(210, 3));
    compiler.compile();
    expect(states(compiler)).toEqual(['blocks', 'fits', 'open', 'open']);
    const { peerCount } = compiler.selectors;
    expect(peerCount).toBeLessThanOrEqual(150);
    expect(peerCount).toBeGreaterThan(150 - 10);
    compiler.sweep();
    compiler.compile();
    // What does not fit is not tried again and again.
    expect(compiler.sweep()).toBe(false);
    remove(compiler, 'few', 'b');
    compiler.compile();
    compiler.sweep();
    compiler.compile();
    const kept = compiler.sets.size;
    for (let at = 0; at < 10; at++) {
      const identity = (3000 + at) as IdentityId;
      compiler.upsertIdentity(identity, [`k8s:app=x${at}`]);
      compiler.place(`10.0.1.${at}/32`, identity);
    }
    compiler.compile();
    expect(compiler.sets.size).toBe(kept - 10);
    for (let at = 0; at < 10; at++) {
      compiler.displace(`10.0.1.${at}/32`, (3000 + at) as IdentityId);
      compiler.deleteIdentity((3000 + at) as IdentityId);
    }
    compiler.compile();
    expect(compiler.sets.size).toBe(kept - 10);
    expect(compiler.sweep()).toBe(true);
    compiler.compile();
    expect(compiler.sets.size).toBe(kept);
    expect(compiler.selectors.peerCount).toBe(others + kept);
  });

  test('a block that only the named port of a pod needs takes room as well', () => {
    const compiler = compilerOf({ blocksMax: 10 });
    for (let at = 0; at < 4; at++) compiler.setPodPorts(`10.0.0.${at}`, 'web/6=80');
    const toPorts = [{ ports: [{ port: 'web', protocol: 'TCP' }] }];
    for (const row of rowsOf('named', 'c', { toEndpoints: [{}], toPorts })) {
      compiler.upsertRule(row, resolveRule(row.rule, { ...nothing, portNumbers: () => [80] }));
    }
    compiler.compile();
    expect(compiler.sets.size).toBe(4);
    put(compiler, 'many', 'a', blocks(0, 7));
    put(compiler, 'few', 'b', blocks(20, 3));
    compiler.compile();
    expect(states(compiler)).toEqual(['blocks', 'fits', 'fits', 'open']);
    expect(compiler.sets.size).toBe(7);
  });

  test('the same rules fit, by every path', () => {
    const step = fc.record({
      app: fc.constantFrom(...apps),
      first: fc.integer({ min: 0, max: 9 }),
      count: fc.integer({ min: 0, max: 8 }),
      isCompiled: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const one = compilerOf({ blocksMax: 10 });
        const last = new Map<string, string[]>();
        for (const { app, first, count, isCompiled } of steps) {
          if (count === 0) remove(one, `of-${app}`, app);
          else put(one, `of-${app}`, app, blocks(first, count));
          last.set(app, blocks(first, count));
          if (isCompiled) one.compile();
        }
        one.compile();
        const other = compilerOf({ blocksMax: 10 });
        for (const [app, cidrs] of last) if (cidrs.length > 0) put(other, `of-${app}`, app, cidrs);
        other.compile();
        expect(states(one)).toEqual(states(other));
        for (const app of apps) {
          const [left, right] = [one, other].map((each) => each.policy(subjectOf(app)));
          expect(left?.entries.length).toBe(right?.entries.length ?? 0);
          expect(left?.overflow).toEqual(right?.overflow);
        }
        expect(one.sets.size).toBeLessThanOrEqual(10);
      }),
    );
  });
});

describe('entries', () => {
  test('what does not fit is counted, not made', () => {
    const compiler = compilerOf({});
    const toPorts = Array.from({ length: 50 }, (_, list) => ({
      ports: Array.from({ length: 40 }, (_, at) => ({
        port: String(1 + (list * 40 + at) * 2),
        protocol: 'TCP',
      })),
    }));
    const toCIDR = Array.from({ length: 1000 }, (_, at) => `10.${at >> 8}.${at & 255}.0/24`);
    for (const row of rowsOf('large', 'a', { toCIDR, toPorts })) {
      compiler.upsertRule(row, resolveRule(row.rule, nothing));
    }
    put(compiler, 'small', 'b', blocks(0, 3));
    compiler.compile();
    expect(states(compiler)).toEqual(['entries', 'fits', 'open', 'open']);
    const policy = compiler.policy(subjectOf('a'));
    expect(policy?.overflow?.needed).toBe(2_000_000);
    expect(policy?.entries).toEqual([]);
    expect(policy?.overflow?.blame).toEqual([
      'CiliumNetworkPolicy ns/large egress[0] (2000 port prefixes for each of 1000 classes of peers)',
    ]);
  });
});
