import { describe, expect, test } from 'bun:test';
import { formatProblem } from '../../../k8s/problem.ts';
import {
  clusterPolicy,
  expression,
  labels,
  later,
  linesOf,
  repeat,
  ruleOf,
  short,
  testRefused,
} from './case-fixture.ts';
import { parseDocuments } from './parse.ts';

const rule = (fields: object) => ({ action: 'Deny', ...fields });
const allNamespaces = { namespaces: {} };
const inAt = 'foo: spec.ingress[0]';
const outAt = 'foo: spec.egress[0]';
const inRule = (fields: object) =>
  clusterPolicy({ ingress: [{ action: 'Deny', from: [allNamespaces], ...fields }] });
const outRule = (fields: object) =>
  clusterPolicy({ egress: [{ action: 'Accept', to: [allNamespaces], ...fields }] });
const protocol = (each: unknown) => inRule({ protocols: [each] });

describe('ClusterNetworkPolicy', () => {
  const admin = (side: 'ingress' | 'egress', ...items: object[]) =>
    clusterPolicy({ [side]: items });

  test.each<[string, object, string[]]>([
    [
      'each action',
      admin(
        'ingress',
        { action: 'Accept', from: [allNamespaces], name: 'first' },
        { action: 'Deny', from: [allNamespaces] },
        { action: 'Pass', from: [allNamespaces] },
      ),
      [
        'ingress[0] (first) allow {k8s:NS} on all',
        'ingress[1] deny {k8s:NS} on all',
        'ingress[2] pass {k8s:NS} on all',
      ],
    ],
    [
      'peers by namespace and pod',
      admin(
        'ingress',
        rule({
          from: [
            { namespaces: labels({ team: 'red' }) },
            { pods: { namespaceSelector: {}, podSelector: labels({ app: 'a' }) } },
            { pods: { namespaceSelector: expression('team', 'NotIn', 'red'), podSelector: {} } },
          ],
        }),
      ),
      [
        'ingress[0] deny {k8s:NS&k8s:NSL.team=[red]} | {k8s:NS&k8s:app=[a]} | {k8s:NS&k8s:NSL.team!=[red]} on all',
      ],
    ],
    [
      'networks and nodes',
      admin(
        'egress',
        rule({ to: [{ networks: ['0.0.0.0/0', 'fd00::/8'] }, { nodes: {} }] }),
        rule({ to: [{ nodes: labels({ zone: 'a' }) }] }),
      ),
      [
        'egress[0] deny address 0.0.0.0/0 | address fd00::/8 | nodes {} on all',
        'egress[1] deny nodes {node:zone=[a]} on all',
      ],
    ],
    [
      'protocols',
      admin(
        'ingress',
        rule({
          from: [allNamespaces],
          protocols: [
            { tcp: { destinationPort: { number: 80 } } },
            { udp: { destinationPort: { range: { start: 1, end: 9 } } } },
            { sctp: { destinationPort: { number: 65535 } } },
            { destinationNamedPort: 'http' },
          ],
        }),
      ),
      ['ingress[0] deny {k8s:NS} on 6:80 17:1-9 132:65535 6:http 17:http 132:http'],
    ],
    // What a newer version of the standard may add.
    [
      'an unknown peer of Accept matches nothing',
      admin('ingress', { action: 'Accept', from: [{ stars: {} }] }),
      ['ingress[0] allow nobody on all'],
    ],
    [
      'an unknown peer of Accept beside a known one',
      admin('ingress', { action: 'Accept', from: [{}, allNamespaces] }),
      ['ingress[0] allow {k8s:NS} on all'],
    ],
    [
      'an unknown peer of Deny denies all',
      admin('ingress', {
        action: 'Deny',
        from: [{ stars: {} }, allNamespaces],
        protocols: [{ destinationNamedPort: 'http' }],
      }),
      ['ingress[0] deny any on all'],
    ],
    [
      'an unknown peer of Pass denies all',
      admin('egress', { action: 'Pass', to: [{ stars: {} }] }),
      ['egress[0] deny any on all'],
    ],
    [
      'an unknown protocol of Accept matches nothing',
      admin('ingress', { action: 'Accept', from: [allNamespaces], protocols: [{ quic: {} }] }),
      ['ingress[0] allow {k8s:NS} on nothing'],
    ],
    [
      'an unknown protocol of Pass denies',
      admin('ingress', { action: 'Pass', from: [allNamespaces], protocols: [{ quic: {} }] }),
      ['ingress[0] deny {k8s:NS} on all'],
    ],
  ])('%s', (_name, document, expected) => expect(linesOf(ruleOf(document))).toEqual(expected));

  test('what is not known is said', () => {
    const document = clusterPolicy({ ingress: [{ action: 'Pass', from: [{ stars: {} }] }] });
    const result = parseDocuments(JSON.stringify(document));
    expect(result.kind === 'parsed' && result.warnings.map(formatProblem)).toEqual([
      'line 1: foo: spec.ingress[0]: a peer of a kind not known here ("stars") makes the rule deny everything',
    ]);
  });

  test('tier, priority, subject and sections', () => {
    const admin = ruleOf(clusterPolicy({ ingress: [] }));
    expect([admin.tier, admin.priority, admin.subjectKind]).toEqual(['admin', 10, 'endpoint']);
    expect([admin.ingress, admin.egress]).toEqual([[], undefined]);
    expect(admin.defaultDeny).toEqual({ ingress: false, egress: false });
    expect(short(admin.subject.key)).toBe('{k8s:NS}');
    const pods = { namespaceSelector: labels({ team: 'red' }), podSelector: labels({ app: 'a' }) };
    const baseline = ruleOf(clusterPolicy({ tier: 'Baseline', priority: 1000, subject: { pods } }));
    expect([baseline.tier, baseline.priority]).toEqual(['baseline', 1000]);
    expect(short(baseline.subject.key)).toBe('{k8s:NS&k8s:NSL.team=[red]&k8s:app=[a]}');
  });

  test('25 of everything', () => {
    const many = <T>(each: T): T[] => Array(25).fill(each);
    const item = rule({
      name: 'n'.repeat(100),
      to: many({ networks: Array.from({ length: 25 }, (_, index) => `10.${index}.0.0/16`) }),
      protocols: many({ tcp: { destinationPort: { number: 1 } } }),
    });
    const parsed = ruleOf(clusterPolicy({ egress: many(item) }));
    expect(parsed.egress).toHaveLength(25);
    expect(parsed.egress?.[24]?.peers).toHaveLength(625);
    expect(parsed.egress?.[24]?.ports).toHaveLength(25);
  });
});

describe('refused', () => {
  testRefused([
    [clusterPolicy({ tier: undefined }), 'foo: spec.tier: is missing'],
    [
      clusterPolicy({ tier: 'admin' }),
      'foo: spec.tier: must be one of Admin, Baseline, is "admin" (did you mean Admin?)',
    ],
    [clusterPolicy({ priority: undefined }), 'foo: spec.priority: is missing'],
    [
      clusterPolicy({ priority: 1001 }),
      'foo: spec.priority: must be a number from 0 to 1000, is 1001',
    ],
    [
      clusterPolicy({ priority: 1.5 }),
      'foo: spec.priority: must be a number from 0 to 1000, is 1.5',
    ],
    [clusterPolicy({ subject: undefined }), 'foo: spec.subject: is missing'],
    [
      clusterPolicy({ subject: {} }),
      'foo: spec.subject: must have exactly one of namespaces and pods',
    ],
    [
      clusterPolicy({ subject: { namespaces: {}, pods: {} } }),
      'foo: spec.subject: must have exactly one of namespaces and pods',
    ],
    [
      clusterPolicy({ subject: { pods: { podSelector: {} } } }),
      'foo: spec.subject.pods.namespaceSelector: is missing; {} means every namespace',
    ],
    [
      clusterPolicy({ ingress: repeat(26, { action: 'Deny', from: [allNamespaces] }) }),
      'foo: spec.ingress: has 26 entries, at most 25 are possible',
    ],
    [inRule({ name: 'n'.repeat(101) }), `${inAt}.name: has more than 100 characters`],
    [inRule({ action: 'Allow' }), `${inAt}.action: must be one of Accept, Deny, Pass, is "Allow"`],
    [inRule({ action: undefined }), `${inAt}.action: is missing`],
    [inRule({ from: undefined }), `${inAt}.from: is missing`],
    [inRule({ from: [] }), `${inAt}.from: must have at least one`],
    [
      inRule({ from: repeat(26, allNamespaces) }),
      `${inAt}.from: has 26 entries, at most 25 are possible`,
    ],
    [inRule({ from: [1] }), `${inAt}.from[0]: must be an object, is 1`],
    [
      inRule({ from: [{ namespaces: {}, pods: {} }] }),
      `${inAt}.from[0]: must have exactly one of namespaces, pods`,
    ],
    [inRule({ from: [{ namespaces: {}, stars: {} }] }), `${inAt}.from[0].stars: unknown field`],
    [
      inRule({ from: [{ namespacs: {} }] }),
      `${inAt}.from[0].namespacs: unknown field (did you mean namespaces?)`,
    ],
    [
      inRule({ from: [{ networks: ['203.0.113.0/24'] }] }),
      `${inAt}.from[0].networks: is possible in egress only`,
    ],
    [
      inRule({ from: [{ pods: { namespaceSelector: {} } }] }),
      `${inAt}.from[0].pods.podSelector: is missing; {} means every pod`,
    ],
    [inRule({ to: [] }), `${inAt}.to: unknown field`],
    [outRule({ to: [{ networks: [] }] }), `${outAt}.to[0].networks: must have at least one`],
    [
      outRule({ to: [{ networks: ['10.0.0.0'] }] }),
      `${outAt}.to[0].networks[0]: not a block of addresses: "10.0.0.0"; one address is 10.0.0.0/32`,
    ],
    [
      outRule({ to: [{ networks: ['::/0', '::/0'] }] }),
      `${outAt}.to[0].networks[1]: "::/0" stands here twice`,
    ],
    [
      outRule({ to: [{ networks: repeat(26, '::/0') }] }),
      `${outAt}.to[0].networks: has 26 entries, at most 25 are possible`,
    ],
    [
      outRule({ to: [{ networks: ['0000:0000:0000:0000:0000:ffff:192.168.100.100/128'] }] }),
      `${outAt}.to[0].networks[0]: has more than 43 characters`,
    ],
    [
      outRule({ to: [{ nodes: { matchLabels: { 'a b': '' } } }] }),
      `${outAt}.to[0].nodes.matchLabels["a b"]: not a label key: "a b"`,
    ],
    [outRule({ to: [{ domainNames: [] }] }), `${outAt}.to[0].domainNames: must have at least one`],
    [
      outRule({ to: [{ domainNames: ['a.*.com'] }] }),
      `${outAt}.to[0].domainNames[0]: not a domain name: "a.*.com"`,
    ],
    [
      outRule({ to: [{ domainNames: ['*'] }] }),
      `${outAt}.to[0].domainNames[0]: not a domain name: "*"`,
    ],
    [
      outRule({ action: 'Deny', to: [{ domainNames: ['a.com'] }] }),
      `${outAt}.to[0].domainNames: is possible with action Accept only, not Deny`,
    ],
    [
      inRule({ protocols: [] }),
      `${inAt}.protocols: must have at least one; leave it out to mean all traffic`,
    ],
    [
      inRule({ protocols: repeat(26, { destinationNamedPort: 'a' }) }),
      `${inAt}.protocols: has 26 entries, at most 25 are possible`,
    ],
    [protocol(1), `${inAt}.protocols[0]: must be an object, is 1`],
    [
      protocol({ tcp: {}, udp: {} }),
      `${inAt}.protocols[0]: must have exactly one of tcp, udp, sctp, destinationNamedPort`,
    ],
    [protocol({ tcp: {} }), `${inAt}.protocols[0].tcp.destinationPort: is missing`],
    [
      protocol({ tcp: { destinationPort: {} } }),
      `${inAt}.protocols[0].tcp.destinationPort: must have exactly one of number and range`,
    ],
    [
      protocol({ tcp: { destinationPort: { number: 0 } } }),
      `${inAt}.protocols[0].tcp.destinationPort.number: must be a number from 1 to 65535, is 0`,
    ],
    [
      protocol({ udp: { destinationPort: { range: { start: 5, end: 5 } } } }),
      `${inAt}.protocols[0].udp.destinationPort.range.end: must be above start 5`,
    ],
    [
      protocol({ sctp: { destinationPort: { range: { start: 5 } } } }),
      `${inAt}.protocols[0].sctp.destinationPort.range.end: is missing`,
    ],
    [
      protocol({ destinationNamedPort: 'A' }),
      `${inAt}.protocols[0].destinationNamedPort: not the name of a port: "A"`,
    ],
    [
      outRule({ to: [{ networks: ['::/0'] }], protocols: [{ destinationNamedPort: 'a' }] }),
      `${outAt}.protocols[0].destinationNamedPort: cannot stand together with networks: only pods have names of ports`,
    ],
    [
      outRule({ to: [allNamespaces, { nodes: {} }], protocols: [{ destinationNamedPort: 'a' }] }),
      `${outAt}.protocols[0].destinationNamedPort: cannot stand together with nodes: only pods have names of ports`,
    ],
  ]);
});

describe('valid but not carried out', () => {
  const domainNames = outRule({ to: [{ domainNames: ['a.example.com', '*.b.com', 'c.d.'] }] });
  testRefused([[domainNames, `${outAt}.to[0].domainNames: valid, but DNS rules ${later}`]], true);
});
