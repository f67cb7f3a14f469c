import { describe, expect, test } from 'bun:test';
import { formatProblem } from '../../../k8s/problem.ts';
import {
  at,
  expression,
  labels,
  linesOf,
  networkPolicy,
  policyOf,
  ruleOf,
  short,
  testRefused,
  to,
} from './case-fixture.ts';
import { parseDocuments } from './parse.ts';

const from = (...peers: unknown[]) => networkPolicy({ ingress: [{ from: peers }] });
const kubePorts = (...list: unknown[]) => networkPolicy({ ingress: [{ ports: list }] });

describe('NetworkPolicy', () => {
  test.each<[string, object, string[]]>([
    ['no rule', networkPolicy({ ingress: [] }), []],
    ['an empty rule', networkPolicy({ ingress: [{}] }), ['ingress[0] allow any on all']],
    ['no peers', from(), ['ingress[0] allow any on all']],
    ['no ports', kubePorts(), ['ingress[0] allow any on all']],
    ['pods of the namespace', from({ podSelector: {} }), ['ingress[0] allow {k8s:NS=[ns]} on all']],
    [
      'pods by label',
      from({ podSelector: labels({ app: 'a' }) }),
      ['ingress[0] allow {k8s:NS=[ns]&k8s:app=[a]} on all'],
    ],
    ['all pods', from({ namespaceSelector: {} }), ['ingress[0] allow {k8s:NS} on all']],
    [
      'namespaces by label',
      from({ namespaceSelector: labels({ team: 'red' }) }),
      ['ingress[0] allow {k8s:NS&k8s:NSL.team=[red]} on all'],
    ],
    [
      'namespaces without a label are namespaces still',
      from({ namespaceSelector: expression('team', 'DoesNotExist') }),
      ['ingress[0] allow {!k8s:NSL.team&k8s:NS} on all'],
    ],
    [
      'namespaces whose label is another',
      from({ namespaceSelector: expression('team', 'NotIn', 'red') }),
      ['ingress[0] allow {k8s:NS&k8s:NSL.team!=[red]} on all'],
    ],
    [
      'both selectors',
      from({
        namespaceSelector: labels({ 'kubernetes.io/metadata.name': 'other' }),
        podSelector: expression('app', 'In', 'b', 'a'),
      }),
      [
        'ingress[0] allow {k8s:NS&k8s:NSL.kubernetes.io/metadata.name=[other]&k8s:app=[a,b]} on all',
      ],
    ],
    [
      'two peers',
      from({ namespaceSelector: {} }, { podSelector: expression('app', 'DoesNotExist') }),
      ['ingress[0] allow {k8s:NS} | {!k8s:app&k8s:NS=[ns]} on all'],
    ],
    [
      'blocks mean whoever has the address',
      from(
        { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } },
        { ipBlock: { cidr: '2001:db8::/32' } },
      ),
      ['ingress[0] allow address 10.0.0.0/8 but 10.1.0.0/16 | address 2001:db8::/32 on all'],
    ],
    [
      'ports',
      kubePorts(
        { port: 80 },
        { port: 53, protocol: 'UDP' },
        { port: 'http', protocol: 'SCTP' },
        { protocol: 'SCTP' },
        {},
        { port: 1, endPort: 9 },
        { port: 9, endPort: 9 },
      ),
      ['ingress[0] allow any on 6:80 17:53 132:http 132:0-65535 6:0-65535 6:1-9 6:9'],
    ],
    [
      'egress',
      networkPolicy({
        policyTypes: ['Egress'],
        egress: [{ to: [{ podSelector: {} }], ports: [{ port: 'db' }] }, {}],
      }),
      ['egress[0] allow {k8s:NS=[ns]} on 6:db', 'egress[1] allow any on all'],
    ],
  ])('%s', (_name, document, expected) => {
    const rule = ruleOf(document);
    expect(rule.tier).toBe('network');
    expect(short(rule.subject.key)).toBe('{k8s:NS=[ns]}');
    expect(linesOf(rule)).toEqual(expected);
  });

  test.each([
    [{}, [true, false]],
    [{ ingress: [] }, [true, false]],
    [{ egress: [] }, [true, true]],
    [{ policyTypes: [], egress: [{}] }, [true, true]],
    [{ policyTypes: ['Ingress'] }, [true, false]],
    [{ policyTypes: ['Egress'] }, [false, true]],
    [{ policyTypes: ['Egress', 'Ingress'] }, [true, true]],
    [{ policyTypes: ['Egress'], ingress: [{}] }, [false, true]],
    [{ policyTypes: null, ingress: null, egress: null }, [true, false]],
    [{ policyTypes: ['Ingress', 'Egress'], ingress: null, egress: null }, [true, true]],
  ])('directions of %j', (spec, expected) => {
    const { defaultDeny, ingress, egress } = ruleOf(networkPolicy(spec));
    expect([defaultDeny.ingress, defaultDeny.egress]).toEqual(expected);
    expect([ingress !== undefined, egress !== undefined]).toEqual(expected);
  });

  test('null is as absent where that opens nothing, and refused where it would', () => {
    const selector = { podSelector: { matchLabels: null, matchExpressions: null } };
    const closed = ruleOf(networkPolicy({ ...selector, ingress: null }));
    expect([short(closed.subject.key), closed.ingress]).toEqual(['{k8s:NS=[ns]}', []]);
    for (const ingress of [[{ from: null }], [{ ports: null }], [null], [{ from: [null] }]]) {
      expect(parseDocuments(JSON.stringify(networkPolicy({ ingress }))).kind).toBe('refused');
    }
  });

  test('a section without effect is said so', () => {
    const document = networkPolicy({ policyTypes: ['Egress'], ingress: [{}] });
    const result = parseDocuments(JSON.stringify(document), { source: 'a.yaml' });
    expect(result.kind === 'parsed' && result.warnings.map(formatProblem)).toEqual([
      'a.yaml: line 1: ns/foo: spec.ingress: has no effect: policyTypes does not name it',
    ]);
  });

  test('without a namespace it is in default', () => {
    const policy = policyOf(networkPolicy({ podSelector: labels({ a: 'b' }) }, {}));
    expect(policy.namespace).toBe('default');
    expect(short(policy.rules[0]?.subject.key ?? '')).toBe('{k8s:NS=[default]&k8s:a=[b]}');
  });
});

describe('refused', () => {
  testRefused([
    [{ ...networkPolicy({}), spec: undefined }, 'ns/foo: spec: is missing'],
    [{ ...networkPolicy({}), specs: [] }, 'document 1: specs: unknown field (did you mean spec?)'],
    [
      networkPolicy({ podSelector: undefined }),
      'ns/foo: spec.podSelector: is missing; {} means every pod of the namespace',
    ],
    [networkPolicy({ ingressDeny: [] }), 'ns/foo: spec.ingressDeny: unknown field'],
    [
      networkPolicy({ policyTypes: ['ingress'] }),
      'ns/foo: spec.policyTypes[0]: must be one of Ingress, Egress, is "ingress" (did you mean Ingress?)',
    ],
    [
      networkPolicy({ policyTypes: ['Ingress', 'Ingress'] }),
      'ns/foo: spec.policyTypes[1]: the same type twice',
    ],
    [
      networkPolicy({ policyTypes: ['Ingress', 'Egress', 'Ingress'] }),
      'ns/foo: spec.policyTypes: has 3 entries, at most 2 are possible',
    ],
    [networkPolicy({ ingress: [{ to: [] }] }), `${at}.to: unknown field`],
    [networkPolicy({ egress: [{ from: [] }] }), `${to}.from: unknown field`],
    [
      networkPolicy({ policyTypes: ['Egress'], ingress: [{ form: [] }] }),
      `${at}.form: unknown field (did you mean from?)`,
    ],
    [from({}), `${at}.from[0]: must have podSelector, namespaceSelector or ipBlock`],
    [from(null), `${at}.from[0]: must be an object, is null`],
    [
      from({ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }),
      `${at}.from[0]: ipBlock cannot stand together with selectors`,
    ],
    [from({ podSelector: null }), `${at}.from[0].podSelector: must be an object, is null`],
    [
      from({ podSelector: { matchLabels: { 'k8s:a': 'b' } } }),
      `${at}.from[0].podSelector.matchLabels["k8s:a"]: not a label key: "k8s:a"`,
    ],
    [
      from({ podSelector: { matchLabels: { 'reserved:host': '' } } }),
      `${at}.from[0].podSelector.matchLabels["reserved:host"]: not a label key: "reserved:host"`,
    ],
    [
      from({ podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'x' } } }),
      `${at}.from[0].podSelector.matchLabels["io.kubernetes.pod.namespace"]: io.kubernetes.pod.namespace is set by the system; no object has it`,
    ],
    [
      from({
        podSelector: {
          matchExpressions: [{ key: 'io.cilium.k8s.policy.cluster', operator: 'Exists' }],
        },
      }),
      `${at}.from[0].podSelector.matchExpressions[0].key: io.cilium.k8s.policy.cluster is set by the system; no object has it`,
    ],
    [
      from({ namespaceSelector: { matchLabels: { a: 'x'.repeat(64) } } }),
      `${at}.from[0].namespaceSelector.matchLabels["a"]: not a label value: "${'x'.repeat(56)}...`,
    ],
    [
      from({ namespaceSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }),
      `${at}.from[0].namespaceSelector.matchExpressions[0].values: In needs at least one`,
    ],
    [from({ ipBlock: {} }), `${at}.from[0].ipBlock.cidr: is missing`],
    [
      from({ ipBlock: { cidr: '10.0.0.1' } }),
      `${at}.from[0].ipBlock.cidr: not a block of addresses: "10.0.0.1"; one address is 10.0.0.1/32`,
    ],
    [
      from({ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }),
      `${at}.from[0].ipBlock.except[0]: "10.0.0.0/8" is all of 10.0.0.0/8`,
    ],
    [
      from({ ipBlock: { cidr: '10.0.0.0/8', except: ['0.0.0.0/0'] } }),
      `${at}.from[0].ipBlock.except[0]: "0.0.0.0/0" does not lie in 10.0.0.0/8`,
    ],
    [kubePorts({ port: 0 }), `${at}.ports[0].port: must be a number from 1 to 65535, is 0`],
    [kubePorts({ port: '80' }), `${at}.ports[0].port: not the name of a port: "80"`],
    [kubePorts({ port: 'Http' }), `${at}.ports[0].port: not the name of a port: "Http"`],
    [kubePorts({ port: null }), `${at}.ports[0].port: must be a number from 1 to 65535, is null`],
    [
      kubePorts({ protocol: 'ANY' }),
      `${at}.ports[0].protocol: must be one of TCP, UDP, SCTP, is "ANY"`,
    ],
    [kubePorts({ endPort: 9 }), `${at}.ports[0].endPort: needs a port`],
    [kubePorts({ port: 'http', endPort: 9 }), `${at}.ports[0].endPort: needs a port by number`],
    [kubePorts({ port: 10, endPort: 9 }), `${at}.ports[0].endPort: is below port 10`],
    [
      kubePorts({ port: 10, endPort: 0 }),
      `${at}.ports[0].endPort: must be a number from 1 to 65535, is 0`,
    ],
  ]);
});
