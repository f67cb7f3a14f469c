/**
 * Random policies, judged twice: straight from the rules and labels, and by a look-up as the
 * program does it in what the compiler made. Verdict and named rules must agree.
 */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { type IdentityId, identityHost, reservedIdentities } from '../identity/table.ts';
import { type Compilation, compileAll, PolicyCompiler, type PolicyConfig } from './compiler.ts';
import { type Direction, directions, type RuleItem } from './rule.ts';
import { labelSelector, labelSet, requirement, selectorOf, selects } from './selector.ts';
import type { PolicyRuleRow } from './table.ts';

const id = (value: number) => value as IdentityId;
const protos = [1, 6, 17, 58];

const podLabels = fc
  .record({
    app: fc.constantFrom('a', 'b', 'c'),
    tier: fc.constantFrom('x', 'y'),
    odd: fc.boolean(),
  })
  .map(({ app, tier, odd }) => [
    `k8s:app=${app}`,
    ...(odd ? ['k8s:odd'] : []),
    `k8s:tier=${tier}`,
    'k8s:io.kubernetes.pod.namespace=ns',
  ]);

const selector = fc.oneof(
  fc.constantFrom('a', 'b', 'c').map((app) => selectorOf({ 'any:app': app })),
  fc.constantFrom('x', 'y').map((tier) => selectorOf({ 'k8s:tier': tier })),
  fc.constant(selectorOf({ 'k8s:io.kubernetes.pod.namespace': 'ns' })),
  fc
    .tuple(
      fc.constantFrom('In' as const, 'NotIn' as const),
      fc.subarray(['a', 'b', 'c'], { minLength: 1 }),
    )
    .map(([operator, values]) => selectorOf({}, [requirement('k8s', 'app', operator, values)])),
  fc
    .constantFrom('Exists' as const, 'DoesNotExist' as const)
    .map((operator) => selectorOf({}, [requirement('any', 'odd', operator)])),
);

const peer = fc.oneof(
  selector,
  fc.constantFrom('reserved:host', 'reserved:world').map(labelSelector),
);
const interesting = fc.constantFrom(1, 79, 80, 81, 8080, 8085, 65535);
const range = fc
  .record({ proto: fc.constantFrom(6, 17), a: interesting, b: interesting, every: fc.boolean() })
  .map(({ proto, a, b, every }) =>
    every
      ? { proto, first: 0, last: 65535 }
      : { proto, first: Math.min(a, b), last: Math.max(a, b) },
  );

const item = fc
  .record({
    deny: fc.boolean(),
    denyToo: fc.boolean(),
    peers: fc.oneof(fc.constant('any' as const), fc.array(peer, { maxLength: 3 })),
    ports: fc.option(fc.array(range, { minLength: 1, maxLength: 3 }), { nil: undefined }),
  })
  .map(({ deny, denyToo, peers, ports }) => ({ deny: deny && denyToo, peers, ports }));

const items = fc.option(
  fc.array(item, { maxLength: 4 }).map((list) =>
    list.map((each, index) => ({
      ...each,
      item: index,
      endpoints: undefined,
      entities: undefined,
      toPorts: undefined,
    })),
  ),
  { nil: undefined },
);

const rule = fc.record({
  subject: selector,
  description: fc.constant(undefined),
  labels: fc.constant([]),
  ingress: items,
  egress: items,
  deny: fc.record({ ingress: fc.boolean(), egress: fc.boolean() }),
});

const rules = fc.array(rule, { maxLength: 6 }).map((list) =>
  list.map(
    ({ deny, ...each }, index): PolicyRuleRow => ({
      key: `p${index}`,
      kind: 'CiliumNetworkPolicy',
      namespace: 'ns',
      name: `p${index}`,
      ruleIndex: 0,
      rule: {
        ...each,
        defaultDeny: {
          ingress: each.ingress !== undefined && deny.ingress,
          egress: each.egress !== undefined && deny.egress,
        },
      },
      origin: 'test',
      labels: [`k8s:io.cilium.k8s.policy.name=p${index}`],
      revision: 2,
    }),
  ),
);

const identities = fc.array(podLabels, { minLength: 1, maxLength: 8 }).map((list) => {
  const map = new Map<IdentityId, readonly string[]>();
  for (const reserved of reservedIdentities) map.set(reserved.id, reserved.labels);
  list.forEach((labels, index) => {
    map.set(id(1000 + index), labels);
  });
  return map;
});

const config: fc.Arbitrary<PolicyConfig> = fc.record({
  enablePolicy: fc.constantFrom('default', 'default', 'always', 'never'),
  allowLocalhost: fc.boolean(),
});

interface Packet {
  subject: IdentityId;
  peer: IdentityId;
  direction: Direction;
  proto: number;
  port: number;
}

interface Verdict {
  allowed: boolean;
  enforced: boolean;
  rules: string[];
}

const implicit = (reason: string) => `reserved:io.cilium.policy.derived-from=${reason}`;

function covers(each: RuleItem, peerLabels: readonly string[], packet: Packet): boolean {
  const set = labelSet(peerLabels);
  if (each.peers !== 'any' && !each.peers.some((one) => selects(one, set))) return false;
  if (each.ports === undefined) return true;
  return each.ports.some(
    ({ proto, first, last }) =>
      proto === packet.proto && first <= packet.port && packet.port <= last,
  );
}

/** The rules as documented, without any of the compiler's ideas. */
function judge(
  rows: readonly PolicyRuleRow[],
  labels: ReadonlyMap<IdentityId, readonly string[]>,
  conf: PolicyConfig,
  packet: Packet,
): Verdict {
  const { direction } = packet;
  const subject = labelSet(labels.get(packet.subject) ?? []);
  const peerLabels = labels.get(packet.peer) ?? [];
  const mine = rows.filter(
    (row) => row.rule[direction] !== undefined && selects(row.rule.subject, subject),
  );
  const init = subject.exact.has('reserved:init');
  const always = conf.enablePolicy === 'always' || init;
  if (conf.enablePolicy === 'never' || (mine.length === 0 && !always)) {
    return { allowed: true, enforced: false, rules: [] };
  }
  const found = { allow: [] as string[], deny: [] as string[] };
  for (const row of mine) {
    for (const each of row.rule[direction] ?? []) {
      if (!covers(each, peerLabels, packet)) continue;
      found[each.deny ? 'deny' : 'allow'].push(`${row.name}[${each.item}]`);
    }
  }
  const causes = mine.filter((row) => row.rule.defaultDeny[direction]).map((row) => row.name);
  if (direction === 'ingress' && conf.allowLocalhost && packet.peer === identityHost) {
    found.allow.push(implicit('allow-localhost-ingress'));
  }
  if (causes.length === 0 && !always) found.allow.push(implicit(`allow-any-${direction}`));
  if (found.deny.length > 0) return { allowed: false, enforced: true, rules: found.deny.sort() };
  if (found.allow.length > 0) return { allowed: true, enforced: true, rules: found.allow.sort() };
  if (causes.length === 0) {
    causes.push(implicit(init ? 'init-default-deny' : 'enable-policy-always'));
  }
  return { allowed: false, enforced: true, rules: causes.sort() };
}

/** What the program does: longest prefix of the class, else of any peer, else default deny. */
function lookUp(result: Compilation, packet: Packet): Verdict {
  const policy = result.policies.get(packet.subject);
  if (policy === undefined) throw new Error('no policy');
  const { direction, proto, port } = packet;
  const enforced = direction === 'ingress' ? policy.ingressEnforced : policy.egressEnforced;
  if (!enforced) return { allowed: true, enforced, rules: [] };
  const longest = (classId: number) =>
    policy.entries
      .filter(
        (entry) =>
          entry.direction === direction &&
          entry.classId === classId &&
          (entry.proto === 0 ||
            (entry.proto === proto &&
              entry.port >> (16 - entry.portPrefix) === port >> (16 - entry.portPrefix))),
      )
      .sort((a, b) => (b.proto === 0 ? -1 : b.portPrefix) - (a.proto === 0 ? -1 : a.portPrefix))[0];
  const hit = longest(result.classes.get(packet.peer) ?? 1) ?? longest(0);
  const cookie = hit?.cookie ?? policy.denyCookie[direction];
  const named = (result.cookies.get(cookie)?.policies ?? []).flatMap(
    ({ name, labels, items: list }) => {
      if (name === '') return labels;
      return list.length === 0 ? [name] : list.map((each) => `${name}[${each}]`);
    },
  );
  return { allowed: hit !== undefined && !hit.deny, enforced, rules: named.sort() };
}

test('the compiled policy says what the rules say, and names them', () => {
  fc.assert(
    fc.property(rules, identities, config, (rows, labels, conf) => {
      const local = [...labels.keys()].filter((each) => each >= 1000 || each === 5).slice(0, 4);
      const result = compileAll(rows, labels, local, conf);
      for (const subject of local) {
        for (const peerId of [identityHost, id(2), id(6), ...local, id(1000 + labels.size)]) {
          if (!labels.has(peerId)) continue;
          for (const direction of directions) {
            for (const proto of protos) {
              for (const port of [0, 1, 79, 80, 82, 8083, 65535]) {
                const packet = { subject, peer: peerId, direction, proto, port };
                const expected = judge(rows, labels, conf, packet);
                const actual = lookUp(result, packet);
                if (JSON.stringify(actual) !== JSON.stringify(expected)) {
                  expect({ packet, ...actual }).toEqual({ packet, ...expected });
                }
              }
            }
          }
        }
      }
    }),
    { numRuns: 150 },
  );
});

type Step = (compiler: PolicyCompiler) => void;

test('the result does not depend on the way to it', () => {
  const detours = fc.array(fc.nat(), { minLength: 40, maxLength: 40 });
  fc.assert(
    fc.property(rules, rules, identities, config, detours, (rows, others, labels, conf, order) => {
      const local = [...labels.keys()].filter((each) => each >= 1000).slice(0, 3);
      const steps: Step[] = [
        ...rows.map(
          (row): Step =>
            (each) =>
              each.upsertRule(row),
        ),
        ...[...labels].map(
          ([key, value]): Step =>
            (each) =>
              each.upsertIdentity(key, value),
        ),
        ...local.map(
          (key): Step =>
            (each) =>
              each.setLocal(key, true),
        ),
      ];
      const noise: Step[] = [
        ...others.map(
          (row): Step =>
            (each) =>
              each.upsertRule(row),
        ),
        ...others.map(
          (row): Step =>
            (each) =>
              each.deleteRule(row.key),
        ),
        ...[...labels.keys()].map(
          (key): Step =>
            (each) =>
              each.deleteIdentity(key),
        ),
        (each) => each.upsertIdentity(id(1000), ['k8s:app=other']),
        (each) => each.setLocal(id(1001), true),
        (each) => each.setLocal(id(1001), false),
      ];
      const compiler = new PolicyCompiler(conf);
      const seen = { classes: new Map(), policies: new Map(), cookies: new Map() };
      const collect = () => {
        const { classes, policies, cookies } = compiler.compile();
        for (const [key, value] of classes) seen.classes.set(key, value);
        for (const [key, value] of policies) seen.policies.set(key, value);
        for (const [key, value] of cookies) seen.cookies.set(key, value);
      };
      for (const pick of order) {
        const all = [...steps, ...noise];
        all[pick % all.length]?.(compiler);
        if (pick % 3 === 0) collect();
      }
      for (const row of others)
        if (!rows.some((each) => each.key === row.key)) compiler.deleteRule(row.key);
      compiler.setLocal(id(1001), local.includes(id(1001)));
      compiler.setLocal(id(1000), local.includes(id(1000)));
      for (const step of order[0] === 0 ? steps : steps.toReversed()) step(compiler);
      for (const key of seen.classes.keys()) if (!labels.has(key)) compiler.deleteIdentity(key);
      collect();
      const direct = compileAll(rows, labels, local, conf);
      const present = (map: ReadonlyMap<unknown, unknown>) =>
        [...map]
          .filter(([, value]) => value !== undefined)
          .sort(([a], [b]) => Number(a) - Number(b));
      expect(present(seen.classes)).toEqual(present(direct.classes));
      expect(present(seen.policies)).toEqual(present(direct.policies));
      for (const [cookie, row] of direct.cookies) expect(seen.cookies.get(cookie)).toEqual(row);
    }),
    { numRuns: 200 },
  );
});
