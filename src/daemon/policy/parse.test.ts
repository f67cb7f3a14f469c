import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { parsePolicies } from './parse.ts';
import type { Rule } from './rule.ts';

const head = (kind = 'CiliumNetworkPolicy') =>
  `{"apiVersion":"cilium.io/v2","kind":"${kind}","metadata":{"name":"foo","namespace":"ns"}`;

const policy = (spec: unknown) => `${head()},"spec":${JSON.stringify(spec)}}`;

const subject = { endpointSelector: { matchLabels: { app: 'web' } } };

function problemsOf(text: string): readonly string[] {
  const result = parsePolicies(text);
  return result.kind === 'refused' ? result.problems : [];
}

function ruleOf(spec: unknown): Rule {
  const result = parsePolicies(policy(spec));
  if (result.kind === 'refused') throw new Error(result.problems.join('\n'));
  const [first] = result.rules;
  if (first === undefined) throw new Error('no rule');
  return first.rule;
}

const peersOf = (item: unknown) => ruleOf({ ...subject, ingress: [item] }).ingress?.[0]?.peers;

describe('what absent, empty and {} mean', () => {
  const ports = [{ ports: [{ port: '80', protocol: 'TCP' }] }];
  const ns = 'k8s:io.kubernetes.pod.namespace';

  test.each([
    ['an empty entry is nobody', {}, []],
    ['no peers with ports is anybody', { toPorts: ports }, 'any'],
    ['no peers with an empty port list is nobody', { toPorts: [] }, []],
    ['an empty list is nobody', { fromEndpoints: [], toPorts: ports }, []],
    ['entity none is nobody', { fromEntities: ['none'] }, []],
    ['entity all is anybody', { fromEntities: ['all'] }, 'any'],
  ])('%s', (_name, item, expected) => expect(peersOf(item)).toEqual(expected as never));

  const keys = (item: unknown) => {
    const peers = peersOf(item);
    return peers === 'any' ? peers : peers?.map((each) => each.key);
  };

  test('selectors are bound to the namespace unless they name one', () => {
    expect(keys({ fromEndpoints: [{}] })).toEqual([`${ns}=["ns"]`]);
    const other = { matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'other' } };
    expect(keys({ fromEndpoints: [other] })).toEqual([`${ns}=["other"]`]);
    const team = { matchLabels: { 'io.cilium.k8s.namespace.labels.team': 'red' } };
    expect(keys({ fromEndpoints: [team] })).toEqual([
      'any:io.cilium.k8s.namespace.labels.team=["red"]',
    ]);
    const exists = {
      matchExpressions: [{ key: 'k8s:io.kubernetes.pod.namespace', operator: 'Exists' }],
    };
    expect(keys({ fromEndpoints: [exists] })).toEqual([ns]);
    const reserved = { matchLabels: { 'reserved:host': '' } };
    expect(keys({ fromEndpoints: [reserved] })).toEqual([`${ns}=["ns"]&reserved:host=[""]`]);
  });

  test('the subject never leaves the namespace', () => {
    expect(ruleOf({ ...subject, ingress: [] }).subject.key).toBe(`any:app=["web"]&${ns}=["ns"]`);
    for (const key of ['io.kubernetes.pod.namespace', ns]) {
      const foreign = {
        endpointSelector: { matchLabels: { [key]: 'kube-system' } },
        ingress: [{}],
      };
      expect(problemsOf(policy(foreign)).join()).toContain('selects namespace "kube-system"');
    }
    // An expression can only narrow what the namespace leaves.
    const anyNamespace = { matchExpressions: [{ key: ns, operator: 'Exists' }] };
    expect(ruleOf({ endpointSelector: anyNamespace, ingress: [{}] }).subject.key).toContain(
      `${ns}=["ns"]`,
    );
  });

  test('sections and default deny', () => {
    expect(ruleOf({ ...subject, ingress: [] }).defaultDeny).toEqual({
      ingress: true,
      egress: false,
    });
    expect(ruleOf({ ...subject, egress: [{}] }).egress?.length).toBe(1);
    expect(
      ruleOf({ ...subject, ingress: [{}], enableDefaultDeny: { ingress: false } }).defaultDeny,
    ).toEqual({ ingress: false, egress: false });
    const useless = { ...subject, ingress: [{}], enableDefaultDeny: { egress: true } };
    expect(problemsOf(policy(useless))).toHaveLength(1);
    expect(problemsOf(policy(subject))).toEqual(['ns/foo: spec: has neither ingress nor egress']);
  });

  test('ports', () => {
    const rangesOf = (...list: unknown[]) =>
      ruleOf({ ...subject, egress: [{ toPorts: [{ ports: list }] }] }).egress?.[0]?.ports;
    expect(rangesOf({ port: '53' })).toEqual([
      { proto: 6, first: 53, last: 53 },
      { proto: 17, first: 53, last: 53 },
    ]);
    expect(rangesOf({ port: '0', protocol: 'UDP' })).toEqual([
      { proto: 17, first: 0, last: 65535 },
    ]);
    expect(rangesOf({ port: '80', endPort: 90, protocol: 'TCP' })).toEqual([
      { proto: 6, first: 80, last: 90 },
    ]);
  });
});

describe('refused by name and path', () => {
  const item = (fields: object) => policy({ ...subject, ingress: [fields] });
  const port = (fields: object) => item({ toPorts: [{ ports: [fields] }] });
  const at = 'ns/foo: spec.ingress[0]';

  test.each([
    [item({ fromCIDR: ['1.2.3.4/32'] }), `${at}.fromCIDR: known but not supported yet`],
    [item({ fromRequires: [] }), `${at}.fromRequires: known but not supported yet`],
    [item({ fromEndpoint: [] }), `${at}.fromEndpoint: unknown field (did you mean fromEndpoints?)`],
    [item({ toEndpoints: [] }), 'unknown field'],
    [item({ fromEndpoints: null }), `${at}.fromEndpoints: must be a list, is null`],
    [
      item({ fromEntities: ['kube-apiserver'] }),
      'entity kube-apiserver is known but not supported yet',
    ],
    [item({ fromEntities: ['wrold'] }), 'unknown entity "wrold" (did you mean world?)'],
    [item({ fromEntities: ['host'], fromEndpoints: [{}] }), 'cannot stand together'],
    [item({ toPorts: [{}] }), `${at}.toPorts[0].ports: names no port`],
    [
      item({ toPorts: [{ ports: [{ port: '1' }], rules: {} }] }),
      `${at}.toPorts[0].rules: known but`,
    ],
    [port({ port: 80 }), `${at}.toPorts[0].ports[0].port: must be a string: "80"`],
    [port({ port: 'http' }), 'named ports are known but not supported yet'],
    [port({ port: '65536' }), 'not a port'],
    [port({ port: '80', protocol: 'SCTP' }), 'protocol SCTP is known but not supported yet'],
    [port({ port: '80', protocol: 'tcp' }), 'unknown protocol "tcp" (did you mean TCP?)'],
    [port({ port: '80', endPort: 79 }), 'is below port 80'],
    [port({ port: '0', endPort: 79 }), 'needs a port above 0'],
    [
      item({ fromEndpoints: [{ matchLabels: { 'cidr:1.2.3.4/32': '' } }] }),
      'labels of source cidr are known',
    ],
    [item({ fromEndpoints: [{ matchLabels: { 'k9s:a': 'b' } }] }), '(did you mean k8s?)'],
    [
      item({
        fromEndpoints: [{ matchExpressions: [{ key: 'a', operator: 'in', values: ['b'] }] }],
      }),
      'did you mean In?',
    ],
    [
      item({ fromEndpoints: [{ matchExpressions: [{ key: 'a', operator: 'In' }] }] }),
      'In needs at least one',
    ],
    [
      policy({ ...subject, ingressDeny: [{}] }),
      'ns/foo: spec.ingressDeny: known but not supported yet',
    ],
    [policy({ nodeSelector: {}, ingress: [{}] }), 'spec.nodeSelector: known but not supported yet'],
    [policy({ ingress: [{}] }), 'spec.endpointSelector: is missing'],
    [
      policy({
        ...subject,
        ingress: [{}],
        labels: [{ key: 'io.cilium.k8s.policy.name', value: 'x' }],
      }),
      'set by the system',
    ],
    [`${head('CiliumClusterwideNetworkPolicy')},"spec":{}}`, 'known but not supported yet'],
    [`${head('CiliumNetworkPolicie')},"spec":{}}`, 'did you mean CiliumNetworkPolicy?'],
    [`${head()}}`, 'has neither spec nor specs'],
    ['a: 1\na: 2', 'document 1: Map keys must be unique at line 2, column 1'],
    ['[', 'document 1: '],
    ['hello', 'document 1: must be an object'],
  ])('%s', (text, expected) => expect(problemsOf(text).join('\n')).toContain(expected));

  test('all problems of all documents, and nothing applied', () => {
    const bad = item({ fromCIDR: [], icmps: [], fromEntities: ['x'] });
    const list = `{"apiVersion":"v1","kind":"List","items":[${policy({ ...subject, ingress: [] })},${bad}]}`;
    expect(problemsOf(list)).toHaveLength(3);
    expect(problemsOf(`${policy({ ...subject, ingress: [] })}\n---\n${bad}`)).toHaveLength(3);
    const one = policy({ ...subject, ingress: [] });
    expect(problemsOf(`${one}\n---\n${one}`)).toEqual(['ns/foo: is in this file twice']);
  });

  test('specs are rules with their place', () => {
    const text = `${head()},"specs":${JSON.stringify([
      { ...subject, ingress: [{}] },
      { ...subject, egress: [{}] },
    ])}}`;
    const result = parsePolicies(text);
    expect(result.kind === 'parsed' && result.rules.map((each) => each.ruleIndex)).toEqual([0, 1]);
  });
});

describe('hostile text', () => {
  test.each([
    ['deep', '['.repeat(100_000)],
    ['deep blocks', '- '.repeat(20_000)],
    ['large', `a: ${'x'.repeat(2_000_000)}`],
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
    ['prototype', `${head()},"spec":{"__proto__":{"ingress":[]},"constructor":1}}`],
  ])('%s', (_name, text) => {
    expect(parsePolicies(text).kind).toBe('refused');
  });

  test('no text makes it throw, and what is accepted is a policy', () => {
    const template = policy({
      ...subject,
      ingress: [
        { fromEndpoints: [{ matchLabels: { a: 'b' } }], toPorts: [{ ports: [{ port: '80' }] }] },
      ],
    });
    const mutated = fc
      .tuple(fc.nat(template.length), fc.nat(20), fc.string({ maxLength: 8 }))
      .map(([at, cut, put]) => template.slice(0, at) + put + template.slice(at + cut));
    fc.assert(
      fc.property(fc.oneof(fc.string(), mutated), (text) => {
        const result = parsePolicies(text);
        if (result.kind === 'refused') {
          expect(result.problems.length).toBeGreaterThan(0);
          expect(result.problems.join('')).not.toContain('\u001b');
        } else for (const { rule } of result.rules) expect(rule.subject.key).toContain('=["');
      }),
      { numRuns: 400 },
    );
  });

  test('a JSON value of any shape in place of any field is refused or understood', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom('ingress', 'egress', 'endpointSelector', 'labels'),
        (value, name) => {
          parsePolicies(policy({ ...subject, ingress: [{}], [name]: value }));
        },
      ),
      { numRuns: 300 },
    );
  });
});
