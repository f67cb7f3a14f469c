/**
 * @module The classes of mistakes that network policies are known for, each on every path: pod to
 * pod, node, world and back, in both families, by TCP, UDP and ICMP. The oracle says what passes;
 * `denied` and `allowed` say it once more by hand, where the mistake would show.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { cidrGroup, cilium, kubernetes, labelled, tiered } from './policy-documents.ts';
import { ports } from './policy-fixture.ts';
import { PolicyMatrix } from './policy-matrix.ts';

interface Case {
  readonly name: string;
  readonly policies: readonly object[];
  /** Without the family: both. */
  readonly denied?: readonly string[];
  readonly allowed?: readonly string[];
}

let matrix: PolicyMatrix;
beforeAll(async () => {
  matrix = await PolicyMatrix.create();
});
afterAll(async () => await matrix[Symbol.asyncDispose]());

const server = labelled('server');
const onServer = { endpointSelector: server };
const whole = ['192.0.0.0/4', '2001:db8::/32'];
const single = ['203.0.113.10/32', '2001:db8:1::10/128'];

async function check({ policies, denied = [], allowed = [] }: Case): Promise<void> {
  expect(await matrix.differences(policies)).toEqual([]);
  const expected = matrix.expected(policies);
  const both = (names: readonly string[]) =>
    names.flatMap((name) => (/ v[46]$/.test(name) ? [name] : [`${name} v4`, `${name} v6`]));
  const known = (names: readonly string[], isAllowed: boolean) =>
    both(names).filter((name) => expected.get(name)?.allowed !== isAllowed);
  expect({ denied: known(denied, false), allowed: known(allowed, true) }).toEqual({
    denied: [],
    allowed: [],
  });
}

/** Both orders: of the documents in the file, and of their names. */
function bothOrders(
  name: string,
  make: (names: [string, string]) => object[],
  rest: Omit<Case, 'name' | 'policies'>,
): Case[] {
  return [
    { name, policies: make(['shop/a', 'shop/b']), ...rest },
    {
      name: `${name}, the other way round`,
      policies: make(['shop/b', 'shop/a']).reverse(),
      ...rest,
    },
  ];
}

describe('a deny is not made void by a narrower allow', () => {
  test.each([
    ...bothOrders(
      'a block denied, an address of it allowed',
      ([deny, allow]) => [
        cilium(deny, { ...onServer, egressDeny: [{ toCIDR: whole }] }),
        cilium(allow, { ...onServer, egress: [{ toCIDR: single }, { toEntities: ['cluster'] }] }),
      ],
      {
        denied: ['server>world tcp/80', 'server>world icmp', 'server>far tcp/80'],
        allowed: ['server>client tcp/80', 'server>node icmp'],
      },
    ),
    ...bothOrders(
      'a range of ports denied, one of them allowed',
      ([deny, allow]) => [
        cilium(deny, {
          ...onServer,
          ingressDeny: [{ fromEntities: ['all'], toPorts: ports('TCP/1-1024') }],
        }),
        cilium(allow, {
          ...onServer,
          ingress: [{ fromEndpoints: [labelled('client')], toPorts: ports('TCP/80', 'TCP/8080') }],
        }),
      ],
      {
        denied: ['client>server tcp/80', 'client>server tcp/81'],
        allowed: ['client>server tcp/8080'],
      },
    ),
    ...bothOrders(
      'all denied to a peer, a port of it allowed',
      ([deny, allow]) => [
        cilium(deny, { ...onServer, ingressDeny: [{ fromEndpoints: [labelled('client')] }] }),
        cilium(allow, {
          ...onServer,
          ingress: [{ fromEntities: ['all'], toPorts: ports('ANY/80') }],
        }),
      ],
      {
        denied: ['client>server tcp/80', 'client>server udp/80'],
        allowed: ['other>server tcp/80', 'world>server udp/80'],
      },
    ),
    ...bothOrders(
      'all denied, a label allowed with all ports',
      ([deny, allow]) => [
        cilium(deny, {
          ...onServer,
          ingressDeny: [{ fromEntities: ['all'], toPorts: ports('UDP/80') }],
        }),
        kubernetes(allow, { podSelector: {}, ingress: [{}] }),
      ],
      {
        denied: ['client>server udp/80', 'world>server udp/80'],
        allowed: ['client>server tcp/80', 'client>server icmp'],
      },
    ),
    ...bothOrders(
      'a deny with an exception, the exception allowed',
      ([deny, allow]) => [
        cilium(deny, {
          ...onServer,
          egressDeny: [
            {
              toCIDRSet: [
                { cidr: '192.0.0.0/4', except: ['203.0.113.10/32'] },
                { cidr: '2001:db8::/32', except: ['2001:db8:1::10/128'] },
              ],
            },
          ],
        }),
        cilium(allow, { ...onServer, egress: [{ toEntities: ['world'] }] }),
      ],
      {
        denied: ['server>far tcp/80', 'server>far udp/81'],
        allowed: ['server>world tcp/80', 'server>world icmp'],
      },
    ),
  ])('$name', check);
});

describe('a range of ports does not drop a stricter rule', () => {
  const from = (...texts: string[]) => [{ fromEntities: ['all'], toPorts: ports(...texts) }];
  const denies81 = {
    denied: ['client>server tcp/81', 'world>server tcp/81'],
    allowed: ['client>server tcp/80'],
  };
  test.each([
    ...bothOrders(
      'a range allowed over one denied',
      ([deny, allow]) => [
        cilium(deny, { ...onServer, ingressDeny: from('TCP/81') }),
        cilium(allow, { ...onServer, ingress: from('TCP/80-90') }),
      ],
      denies81,
    ),
    ...bothOrders(
      'every port allowed over one denied',
      ([deny, allow]) => [
        cilium(deny, { ...onServer, ingressDeny: from('TCP/81') }),
        cilium(allow, { ...onServer, ingress: [{ fromEntities: ['all'] }] }),
      ],
      {
        ...denies81,
        allowed: ['client>server tcp/80', 'client>server udp/81', 'client>server icmp'],
      },
    ),
    ...bothOrders(
      'the widest range allowed over one denied',
      ([deny, allow]) => [
        cilium(deny, { ...onServer, ingressDeny: from('TCP/81') }),
        cilium(allow, { ...onServer, ingress: from('TCP/1-65535') }),
      ],
      denies81,
    ),
    ...bothOrders(
      'port 0, which is all, allowed over a range denied',
      ([deny, allow]) => [
        cilium(deny, { ...onServer, ingressDeny: from('TCP/81-82') }),
        cilium(allow, { ...onServer, ingress: from('TCP/0') }),
      ],
      { ...denies81, denied: [...denies81.denied, 'client>server udp/80'] },
    ),
    ...bothOrders(
      'a range of one peer over the deny of another',
      ([deny, allow]) => [
        cilium(deny, {
          ...onServer,
          ingressDeny: [{ fromEndpoints: [labelled('client')], toPorts: ports('TCP/80') }],
        }),
        cilium(allow, { ...onServer, ingress: from('TCP/1-1000') }),
      ],
      {
        denied: ['client>server tcp/80'],
        allowed: ['client>server tcp/81', 'world>server tcp/80'],
      },
    ),
    {
      name: 'ranges that overlap, of three tiers',
      policies: [
        tiered('first', 'Admin', 1, {
          ingress: [
            {
              action: 'Deny',
              from: [{ namespaces: {} }],
              protocols: [{ tcp: { destinationPort: { range: { start: 81, end: 100 } } } }],
            },
            {
              action: 'Accept',
              from: [{ namespaces: {} }],
              protocols: [{ tcp: { destinationPort: { range: { start: 1, end: 65_535 } } } }],
            },
          ],
        }),
        cilium('shop/none', { ...onServer, ingress: [{}] }),
      ],
      denied: ['client>server tcp/81', 'client>server udp/80', 'world>server tcp/80'],
      allowed: ['client>server tcp/80', 'client>server tcp/8080'],
    },
  ])('$name', check);
});

describe('the lower number comes first, however far apart', () => {
  const rule = (action: string, port?: number) => ({
    action,
    from: [{ namespaces: {} }],
    ...(port === undefined ? {} : { protocols: [{ tcp: { destinationPort: { number: port } } }] }),
  });
  test.each<Case>([
    {
      name: 'accept at 0, deny at 1000',
      policies: [
        tiered('z', 'Admin', 0, { ingress: [rule('Accept', 80)] }),
        tiered('a', 'Admin', 1000, { ingress: [rule('Deny')] }),
      ],
      denied: ['client>server tcp/81', 'other>server icmp'],
      allowed: ['client>server tcp/80', 'world>server tcp/81'],
    },
    {
      name: 'deny at 0, accept at 1000',
      policies: [
        tiered('z', 'Admin', 0, { ingress: [rule('Deny', 80)] }),
        tiered('a', 'Admin', 1000, { ingress: [rule('Accept')] }),
      ],
      denied: ['client>server tcp/80', 'other>server tcp/80'],
      allowed: ['client>server tcp/81', 'client>server icmp'],
    },
    {
      name: 'admin at 1000 before baseline at 0',
      policies: [
        tiered('z', 'Admin', 1000, { ingress: [rule('Accept', 80), rule('Pass')] }),
        tiered('a', 'Baseline', 0, { ingress: [rule('Deny')] }),
      ],
      denied: ['client>server tcp/81', 'client>server udp/80'],
      allowed: ['client>server tcp/80'],
    },
    {
      name: 'baseline at 0 before baseline at 1000',
      policies: [
        tiered('z', 'Baseline', 0, { ingress: [rule('Deny', 81)] }),
        tiered('a', 'Baseline', 1000, { ingress: [rule('Accept')] }),
      ],
      denied: ['client>server tcp/81'],
      allowed: ['client>server tcp/80', 'client>server icmp'],
    },
  ])('$name', check);
});

describe('what a selector does not find is nobody, not everybody', () => {
  const egress = (...items: object[]) => cilium('shop/p', { ...onServer, egress: items });
  const ingress = (...items: object[]) => cilium('shop/p', { ...onServer, ingress: items });
  const nothingOut = ['client', 'other', 'node', 'world', 'far'].flatMap((to) =>
    ['tcp/80', 'udp/81', 'icmp'].map((what) => `server>${to} ${what}`),
  );
  const nothingIn = ['client', 'other', 'node', 'world'].flatMap((from) =>
    ['tcp/80', 'udp/81', 'icmp'].map((what) => `${from}>server ${what}`),
  );
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 's', namespace: 'shop' } };
  test.each<Case>([
    {
      name: 'a group without members',
      policies: [cidrGroup('empty'), egress({ toCIDRSet: [{ cidrGroupRef: 'empty' }] })],
      denied: nothingOut,
    },
    {
      name: 'a group that is not there',
      policies: [egress({ toCIDRSet: [{ cidrGroupRef: 'unknown' }] })],
      denied: nothingOut,
    },
    {
      name: 'no group of that label',
      policies: [egress({ toCIDRSet: [{ cidrGroupSelector: { matchLabels: { a: 'b' } } }] })],
      denied: nothingOut,
    },
    {
      name: 'a service without endpoints',
      policies: [
        { ...service, spec: {} },
        egress({ toServices: [{ k8sService: { serviceName: 's', namespace: 'shop' } }] }),
      ],
      denied: nothingOut,
    },
    {
      name: 'a service that selects nobody',
      policies: [
        { ...service, spec: { selector: { app: 'gone' } } },
        egress({ toServices: [{ k8sService: { serviceName: 's', namespace: 'shop' } }] }),
      ],
      denied: nothingOut,
    },
    {
      name: 'a service that is not there',
      policies: [
        egress({ toServices: [{ k8sService: { serviceName: 'none', namespace: 'shop' } }] }),
      ],
      denied: nothingOut,
    },
    {
      name: 'nodes of which there are none',
      policies: [egress({ toNodes: [{ matchLabels: { role: 'database' } }] })],
      denied: nothingOut,
    },
    {
      name: 'a port that nobody has the name of',
      policies: [ingress({ toPorts: ports('TCP/metrics') })],
      denied: nothingIn,
    },
    {
      name: 'a name of a port with the wrong protocol',
      policies: [ingress({ toPorts: ports('UDP/web') })],
      denied: nothingIn,
    },
    {
      name: 'labels that nobody has',
      policies: [ingress({ fromEndpoints: [labelled('gone')] })],
      denied: nothingIn,
    },
    {
      name: 'an empty list of peers',
      policies: [ingress({ fromEndpoints: [] })],
      denied: nothingIn,
    },
    { name: 'an empty list of blocks', policies: [egress({ toCIDR: [] })], denied: nothingOut },
    {
      name: 'a namespace that is not there',
      policies: [
        kubernetes('shop/p', {
          podSelector: server,
          ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'gone' } } }] }],
        }),
      ],
      denied: nothingIn,
    },
    {
      name: 'a tier’s namespaces that are not there: the next rule decides',
      policies: [
        tiered('t', 'Admin', 1, {
          ingress: [
            { action: 'Accept', from: [{ namespaces: { matchLabels: { team: 'gone' } } }] },
            { action: 'Deny', from: [{ namespaces: {} }] },
          ],
        }),
      ],
      denied: ['client>server tcp/80', 'other>server icmp'],
      allowed: ['world>server tcp/80'],
    },
    {
      name: 'a deny of nobody denies nobody',
      policies: [
        cidrGroup('empty'),
        cilium('shop/p', {
          ...onServer,
          enableDefaultDeny: { egress: false },
          egressDeny: [{ toCIDRSet: [{ cidrGroupRef: 'empty' }] }],
        }),
      ],
      allowed: nothingOut,
    },
  ])('$name', check);
});

describe('both families, and ICMP', () => {
  const echo = [
    {
      fields: [
        { family: 'IPv4', type: 8 },
        { family: 'IPv6', type: 128 },
      ],
    },
  ];
  const everybody = ['client', 'other', 'node', 'world'];
  test.each<Case>([
    {
      name: 'a default deny drops echo',
      policies: [cilium('shop/p', { ...onServer, ingress: [{}], egress: [{}] })],
      denied: [
        ...everybody.map((one) => `${one}>server icmp`),
        'server>node icmp',
        'server>far icmp',
      ],
    },
    {
      name: 'ports do not let echo in',
      policies: [cilium('shop/p', { ...onServer, ingress: [{ toPorts: ports('ANY/0') }] })],
      denied: everybody.map((one) => `${one}>server icmp`),
    },
    {
      name: 'a rule denies echo alone',
      policies: [
        cilium('shop/p', {
          ...onServer,
          ingress: [{ fromEntities: ['all'] }],
          ingressDeny: [{ fromEntities: ['all'], icmps: echo }],
        }),
      ],
      denied: everybody.map((one) => `${one}>server icmp`),
      allowed: everybody.map((one) => `${one}>server tcp/80`),
    },
    {
      name: 'a rule allows echo alone',
      policies: [cilium('shop/p', { ...onServer, ingress: [{ icmps: echo }] })],
      denied: everybody.map((one) => `${one}>server tcp/80`),
      allowed: everybody.map((one) => `${one}>server icmp`),
    },
    {
      name: 'echo of one family',
      policies: [
        cilium('shop/p', {
          ...onServer,
          ingress: [{ icmps: [{ fields: [{ family: 'IPv6', type: 128 }] }] }],
        }),
      ],
      denied: ['client>server icmp v4', 'world>server icmp v4'],
      allowed: ['client>server icmp v6', 'world>server icmp v6'],
    },
    {
      name: 'another type does not allow echo',
      policies: [
        cilium('shop/p', {
          ...onServer,
          ingress: [{ icmps: [{ fields: [{ type: 13 }, { family: 'IPv6', type: 129 }] }] }],
        }),
      ],
      denied: everybody.map((one) => `${one}>server icmp`),
    },
    {
      name: 'a block of one family says nothing of the other',
      policies: [cilium('shop/p', { ...onServer, egress: [{ toCIDR: ['0.0.0.0/0'] }] })],
      denied: ['server>world tcp/80 v6', 'server>far icmp v6', 'server>client tcp/80'],
      allowed: ['server>world tcp/80 v4', 'server>far icmp v4'],
    },
    {
      name: 'a tier’s rule without protocols is about echo as well',
      policies: [
        tiered('t', 'Admin', 1, { ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }] }),
      ],
      denied: ['client>server icmp', 'other>server icmp', 'client>other tcp/80'],
      allowed: ['world>server icmp'],
    },
  ])('$name', check);
});
