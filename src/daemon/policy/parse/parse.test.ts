import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { formatProblem } from '../../../k8s/problem.ts';
import type { RuleItem } from '../rule.ts';
import { type ParseResult, parseDocuments } from './parse.ts';
import { entities, itemFields, sectionNames } from './schema.ts';

/** Text that nobody wrote with good intent, or with any. */

const head = (kind = 'CiliumNetworkPolicy') =>
  `{"apiVersion":"cilium.io/v2","kind":"${kind}","metadata":{"name":"foo","namespace":"ns"}`;
const policy = (spec: unknown) => `${head()},"spec":${JSON.stringify(spec)}}`;

/** Every result is whole, printable and says a reason for what it refuses. */
function check(result: ParseResult): void {
  const found = result.kind === 'refused' ? result.problems : result.warnings;
  const texts = found.map(formatProblem);
  if (result.kind === 'refused') expect(texts.length).toBeGreaterThan(0);
  for (const text of texts) expect(text).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
  if (result.kind === 'refused') return;
  for (const { kind, namespace, rules } of result.policies) {
    expect(rules.length).toBeGreaterThan(0);
    for (const rule of rules) {
      // A policy of a namespace selects nothing outside it.
      const bound = `io.kubernetes.pod.namespace=["${namespace}"]`;
      if (namespace !== '') expect(rule.subject.key).toContain(bound);
      expect(kind.startsWith('Cilium') ? rule.tier : 'network').toBe('network');
      for (const item of [...(rule.ingress ?? []), ...(rule.egress ?? [])]) checkItem(item);
    }
  }
}

function checkItem({ path, action, ports, peers }: RuleItem): void {
  if (path.includes('Deny')) expect(action).toBe('deny');
  for (const port of ports ?? []) {
    if (!('first' in port)) continue;
    expect(port.first).toBeLessThanOrEqual(port.last);
    expect(port.first).toBeGreaterThanOrEqual(0);
    expect(port.last).toBeLessThanOrEqual(65535);
  }
  if (peers === 'any') return;
  const outward = new Set(['cidr', 'cidrgroup', 'fqdn', 'peer', 'port']);
  for (const peer of peers) {
    if (peer.kind !== 'labels') continue;
    for (const { source } of peer.selector.requirements) expect(outward.has(source)).toBe(false);
  }
}

describe('hostile text is refused in no time', () => {
  test.each([
    ['deep', '['.repeat(100_000)],
    ['deep blocks', '- '.repeat(20_000)],
    ['deep values', `${'{"a":'.repeat(50)}1${'}'.repeat(50)}`],
    ['large', `a: ${'x'.repeat(2_000_000)}`],
    ['many documents', '---\n{"a": 1}\n'.repeat(2001)],
    ['many values', `a: [${'1,'.repeat(200_001)}]`],
    [
      'aliases',
      `a: &a [${'x,'.repeat(50)}]\n${Array.from({ length: 200 }, () => 'b: *a').join('\n')}`,
    ],
    [
      'alias bomb',
      [
        'a: &a [x,x,x,x,x,x,x,x]',
        ...'bcdefgh'.split('').map((name, index) => {
          const before = 'abcdefg'[index];
          return `${name}: &${name} [${Array(8).fill(`*${before}`).join(',')}]`;
        }),
      ].join('\n'),
    ],
    ['many keys', Array.from({ length: 100_000 }, (_, index) => `k${index}: 1`).join('\n')],
    ['many aliases', `- &a x\n${'- *a\n'.repeat(150_000)}`],
    ['an alias of itself', 'kind: &a [*a]'],
    ['an unknown alias', 'kind: *a'],
    ['a prototype', `${head()},"spec":{"__proto__":{"ingress":[]},"constructor":1}}`],
    ['merge keys', `a: &a {kind: NetworkPolicy}\n<<: *a`],
    ['keys that are no text', '{[1]: 2, {a: b}: c}'],
    ['control characters', `${head()},"spec":{"\\u001b[31m\\u009b\\u2028\\u202e":"\\u0007"}}`],
    [
      'a name that takes long to match',
      policy({
        endpointSelector: {},
        egress: [
          { toFQDNs: [{ matchName: `${'a'.repeat(254)}!` }] },
          { toPorts: [{ ports: [{ port: `${'a-a'.repeat(50_000)}!` }] }] },
        ],
      }),
    ],
  ])('%s', (_name, text) => {
    const before = performance.now();
    const result = parseDocuments(text);
    expect(result.kind).toBe('refused');
    check(result);
    expect(performance.now() - before).toBeLessThan(5000);
  });
});

describe('labels that would pass for those of the system', () => {
  const peer = (key: string) => ({ matchLabels: { [key]: 'x' } });
  const kube = (key: string) => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'a' },
    spec: { podSelector: {}, ingress: [{ from: [{ podSelector: peer(key) }] }] },
  });
  const cluster = (key: string) => ({
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: 'a' },
    spec: { tier: 'Admin', priority: 1, subject: { namespaces: peer(key) } },
  });
  const keys = [
    'reserved:host',
    'reserved.host:',
    'k8s:app',
    'any:io.kubernetes.pod.namespace',
    'io.kubernetes.pod.namespace',
    'io.cilium.k8s.policy.cluster',
    'io.cilium.k8s.policy.serviceaccount',
    'io.cilium.k8s.namespace.labels.team',
    'cidr:10.0.0.0/8',
    'a=b',
    'a&reserved:host',
  ];

  test.each(keys)('%s', (key) => {
    for (const document of [kube(key), cluster(key)]) {
      expect(parseDocuments(JSON.stringify(document)).kind).toBe('refused');
    }
  });
});

describe('no text makes it throw, and what is accepted is a policy', () => {
  test('bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        check(parseDocuments(Buffer.from(bytes).toString('latin1')));
        check(parseDocuments(Buffer.from(bytes).toString('utf8'), { otherKinds: 'skip' }));
      }),
      { numRuns: 500 },
    );
  });

  test('a policy with some characters changed', () => {
    const template = policy({
      endpointSelector: { matchLabels: { app: 'web' } },
      ingress: [
        { fromEndpoints: [{ matchLabels: { a: 'b' } }], toPorts: [{ ports: [{ port: '80' }] }] },
      ],
      egressDeny: [{ toCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] }] }],
    });
    const mutated = fc
      .tuple(fc.nat(template.length), fc.nat(20), fc.string({ maxLength: 8 }))
      .map(([at, cut, put]) => template.slice(0, at) + put + template.slice(at + cut));
    fc.assert(
      fc.property(mutated, (text) => check(parseDocuments(text))),
      { numRuns: 1000 },
    );
  });

  const field = (...names: string[]) => fc.constantFrom(...names);
  /** Objects of the right names and any values, and of any values that look right. */
  const { value } = fc.letrec<{ value: unknown; leaf: unknown; object: unknown }>((tie) => ({
    value: fc.oneof({ depthSize: 'small' }, tie('leaf'), tie('object'), fc.array(tie('value'))),
    leaf: fc.oneof(
      fc.constantFrom<unknown>(null, '', '80', 'http', 0, 80, 65536, -1, true, {}, [], [{}]),
      fc.constantFrom<unknown>('10.0.0.0/8', '::/0', '10.1.0.0/16', '1.2.3.4', 'TCP', 'ANY'),
      fc.constantFrom<unknown>('In', 'Exists', 'Accept', 'Deny', 'Pass', 'Admin', 'Ingress'),
      fc.constantFrom<unknown>(...entities),
      fc.string({ maxLength: 4 }),
    ),
    object: fc.dictionary(
      fc.oneof(
        field(...sectionNames.flatMap((each) => [each, ...itemFields(each)])),
        field('endpointSelector', 'nodeSelector', 'podSelector', 'namespaceSelector', 'subject'),
        field('matchLabels', 'matchExpressions', 'key', 'operator', 'values', 'app', 'k8s:a'),
        field('ports', 'port', 'endPort', 'protocol', 'fields', 'type', 'family', 'rules', 'dns'),
        field('cidr', 'except', 'ipBlock', 'cidrGroupRef', 'from', 'to', 'namespaces', 'pods'),
        field('tier', 'priority', 'action', 'networks', 'nodes', 'protocols', 'policyTypes'),
      ),
      tie('value'),
      { maxKeys: 5 },
    ),
  }));

  const apiVersions = {
    CiliumNetworkPolicy: 'cilium.io/v2',
    CiliumClusterwideNetworkPolicy: 'cilium.io/v2',
    NetworkPolicy: 'networking.k8s.io/v1',
    ClusterNetworkPolicy: 'policy.networking.k8s.io/v1alpha2',
    CiliumCIDRGroup: 'cilium.io/v2',
    Pod: 'v1',
    Node: 'v1',
    Service: 'v1',
    Endpoints: 'v1',
    EndpointSlice: 'discovery.k8s.io/v1',
    Namespace: 'v1',
  };
  const kind = fc.constantFrom(...Object.entries(apiVersions));

  test('objects in the shape of policies', () => {
    const valid = {
      endpointSelector: {},
      podSelector: {},
      tier: 'Admin',
      priority: 1,
      subject: { namespaces: {} },
    };
    let accepted = 0;
    fc.assert(
      fc.property(kind, value, value, ([kind, apiVersion], ingress, spec) => {
        const known = Object.keys(valid).filter((name) => fieldsOf[kind]?.includes(name));
        const start = Object.fromEntries(known.map((name) => [name, Reflect.get(valid, name)]));
        for (const each of [spec, { ...start, ingress }, { ...start, egress: [ingress] }]) {
          const document = { apiVersion, kind, metadata: { name: 'foo' }, spec: each };
          const result = parseDocuments(JSON.stringify(document));
          if (result.kind === 'parsed') accepted++;
          check(result);
        }
      }),
      { numRuns: 1500 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});

const fieldsOf: Readonly<Record<string, readonly string[]>> = {
  CiliumNetworkPolicy: ['endpointSelector'],
  CiliumClusterwideNetworkPolicy: ['endpointSelector'],
  NetworkPolicy: ['podSelector'],
  ClusterNetworkPolicy: ['tier', 'priority', 'subject'],
};
