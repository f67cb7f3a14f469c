/**
 * @module Every shape that a NetworkPolicy can have, as rows: a name and the policies, step by step.
 * What each allows is not written here; the oracle works it out. The pods are a, b and c in each of
 * the namespaces x, y and z; see shapes-world.ts.
 */
import type {
  LabelSelector,
  NetworkPolicyObject,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  NetworkPolicyRule,
} from '../oracle/documents.ts';
import { conflictShapes, unionShapes } from './shapes-several.ts';
import type { AddressOf, Shape, Step } from './shapes-types.ts';

type Spec = NetworkPolicyObject['spec'];
type Direction = 'ingress' | 'egress';
type Peer = NetworkPolicyPeer | ((addressOf: AddressOf) => NetworkPolicyPeer);
type Named<T> = readonly [name: string, value: T];

const directions = ['ingress', 'egress'] as const;
const typeOf = { ingress: 'Ingress', egress: 'Egress' } as const;
const peersKey = { ingress: 'from', egress: 'to' } as const;

export function networkPolicy(namespace: string, name: string, spec: Spec): NetworkPolicyObject {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace },
    spec,
  };
}

export function is(labels: Readonly<Record<string, string>>): LabelSelector {
  return { matchLabels: labels };
}

function where(
  key: string,
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist',
  ...values: readonly string[]
): LabelSelector {
  const requirement = values.length === 0 ? { key, operator } : { key, operator, values };
  return { matchExpressions: [requirement] };
}

/** One policy of namespace x, with one direction. */
function single(name: string, spec: Spec | ((addressOf: AddressOf) => Spec)): Shape {
  const write = (addressOf: AddressOf): Step[] => {
    const written = typeof spec === 'function' ? spec(addressOf) : spec;
    return [{ policies: [networkPolicy('x', 'shape', written)] }];
  };
  return { name, write };
}

const podSelectors: readonly Named<LabelSelector>[] = [
  ['all pods', {}],
  ['empty matchLabels', { matchLabels: {} }],
  ['pod=a', is({ pod: 'a' })],
  ['two labels', is({ pod: 'a', tier: 'front' })],
  ['two labels of which one differs', is({ pod: 'a', tier: 'back' })],
  ['In one', where('pod', 'In', 'b')],
  ['In two', where('pod', 'In', 'a', 'b')],
  ['NotIn one', where('pod', 'NotIn', 'a')],
  ['NotIn on a key that some lack', where('tier', 'NotIn', 'front')],
  ['Exists', where('tier', 'Exists')],
  ['Exists of a key that nobody has', where('absent', 'Exists')],
  ['DoesNotExist', where('tier', 'DoesNotExist')],
  ['label and expression', { matchLabels: { tier: 'front' }, ...where('pod', 'NotIn', 'b') }],
];

/** How the directions are asked for. */
const typeForms: readonly Named<Omit<Spec, 'podSelector'>>[] = [
  ['denies ingress', { policyTypes: ['Ingress'] }],
  ['denies egress', { policyTypes: ['Egress'] }],
  ['denies both', { policyTypes: ['Ingress', 'Egress'] }],
  ['implies ingress by nothing at all', {}],
  ['implies both by an egress list', { egress: [{ to: [{ namespaceSelector: {} }] }] }],
];

const targetShapes = podSelectors.flatMap(([selector, podSelector]) =>
  typeForms.map(([form, rest]) => single(`target ${selector}: ${form}`, { podSelector, ...rest })),
);

/** Rules given for a direction that the types leave out have no effect. */
const typeShapes: readonly Shape[] = [
  single('type egress with ingress rules', {
    podSelector: {},
    policyTypes: ['Egress'],
    ingress: [{ from: [{ podSelector: is({ pod: 'b' }) }] }],
  }),
  single('type ingress with egress rules', {
    podSelector: {},
    policyTypes: ['Ingress'],
    egress: [{ to: [{ podSelector: is({ pod: 'b' }) }] }],
  }),
  single('empty list of types, an ingress rule', {
    podSelector: {},
    policyTypes: [],
    ingress: [{}],
  }),
  single('both types, only ingress rules', {
    podSelector: {},
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{}],
  }),
];

const podBlock = (...except: readonly string[]): NetworkPolicyPeer => ({
  ipBlock: { cidr: '10.244.0.0/24', ...(except.length > 0 ? { except } : {}) },
});
const podBlock6: NetworkPolicyPeer = { ipBlock: { cidr: 'fd00:10:244::/120' } };

const peers: readonly Named<readonly Peer[] | undefined>[] = [
  ['absent', undefined],
  ['an empty list', []],
  ['all pods of the namespace', [{ podSelector: {} }]],
  ['pod=b of the namespace', [{ podSelector: is({ pod: 'b' }) }]],
  ['In of the namespace', [{ podSelector: where('pod', 'In', 'b', 'c') }]],
  ['NotIn of the namespace', [{ podSelector: where('pod', 'NotIn', 'b') }]],
  ['Exists of the namespace', [{ podSelector: where('tier', 'Exists') }]],
  ['DoesNotExist of the namespace', [{ podSelector: where('tier', 'DoesNotExist') }]],
  ['nobody of the namespace', [{ podSelector: is({ pod: 'd' }) }]],
  ['all namespaces', [{ namespaceSelector: {} }]],
  ['namespace ns=y', [{ namespaceSelector: is({ ns: 'y' }) }]],
  ['namespaces In', [{ namespaceSelector: where('ns', 'In', 'y', 'z') }]],
  ['namespaces NotIn', [{ namespaceSelector: where('ns', 'NotIn', 'y') }]],
  ['namespaces Exists', [{ namespaceSelector: where('team', 'Exists') }]],
  ['namespaces DoesNotExist', [{ namespaceSelector: where('team', 'DoesNotExist') }]],
  ['no namespace', [{ namespaceSelector: is({ ns: 'w' }) }]],
  [
    'a namespace by its own name',
    [{ namespaceSelector: is({ 'kubernetes.io/metadata.name': 'z' }) }],
  ],
  ['a pod of a namespace', [{ namespaceSelector: is({ ns: 'y' }), podSelector: is({ pod: 'b' }) }]],
  ['a pod of all namespaces', [{ namespaceSelector: {}, podSelector: is({ pod: 'b' }) }]],
  ['all pods of a namespace', [{ namespaceSelector: is({ ns: 'z' }), podSelector: {} }]],
  [
    'NotIn of namespaces NotIn',
    [
      {
        namespaceSelector: where('ns', 'NotIn', 'x'),
        podSelector: where('pod', 'NotIn', 'a'),
      },
    ],
  ],
  [
    'pods or a namespace',
    [{ podSelector: is({ pod: 'b' }) }, { namespaceSelector: is({ ns: 'y' }) }],
  ],
  ['a block of all pods', [podBlock()]],
  ['a block of IPv6', [podBlock6]],
  ['blocks of both families', [podBlock(), podBlock6]],
  ['a block of everything', [{ ipBlock: { cidr: '0.0.0.0/0' } }, { ipBlock: { cidr: '::/0' } }]],
  ['a block outside', [{ ipBlock: { cidr: '192.0.2.0/24' } }]],
  ['a block without some', [podBlock('10.244.0.0/29')]],
  [
    'one address',
    [
      (addressOf) => ({ ipBlock: { cidr: `${addressOf('y/b', 4)}/32` } }),
      (addressOf) => ({ ipBlock: { cidr: `${addressOf('y/b', 6)}/128` } }),
    ],
  ],
  ['a block without one', [(addressOf) => podBlock(`${addressOf('y/b', 4)}/32`)]],
  [
    'a block without one, and that one',
    [
      (addressOf) => podBlock(`${addressOf('y/b', 4)}/32`),
      { namespaceSelector: is({ ns: 'y' }), podSelector: is({ pod: 'b' }) },
    ],
  ],
  [
    'a block or a namespace',
    [{ ipBlock: { cidr: '10.244.0.4/31' } }, { namespaceSelector: is({ ns: 'z' }) }],
  ],
];

function ruleOf(
  direction: Direction,
  list: readonly Peer[] | undefined,
  ports: readonly NetworkPolicyPort[] | undefined,
  addressOf: AddressOf,
): NetworkPolicyRule {
  const written = list?.map((peer) => (typeof peer === 'function' ? peer(addressOf) : peer));
  return {
    ...(written === undefined ? {} : { [peersKey[direction]]: written }),
    ...(ports === undefined ? {} : { ports }),
  };
}

function ruleShape(
  name: string,
  direction: Direction,
  list: readonly Peer[] | undefined,
  ports: readonly NetworkPolicyPort[] | undefined,
): Shape {
  return single(name, (addressOf) => ({
    podSelector: is({ pod: 'a' }),
    policyTypes: [typeOf[direction]],
    [direction]: [ruleOf(direction, list, ports, addressOf)],
  }));
}

const peerShapes = directions.flatMap((direction) =>
  peers.flatMap(([name, list]) => [
    ruleShape(`${direction} peers: ${name}`, direction, list, undefined),
    ruleShape(`${direction} peers and a port: ${name}`, direction, list, [{ port: 80 }]),
  ]),
);

const ports: readonly Named<readonly NetworkPolicyPort[] | undefined>[] = [
  ['absent', undefined],
  ['an empty list', []],
  ['a number, the protocol implied', [{ port: 80 }]],
  ['TCP', [{ protocol: 'TCP', port: 81 }]],
  ['UDP', [{ protocol: 'UDP', port: 81 }]],
  ['SCTP', [{ protocol: 'SCTP', port: 80 }]],
  ['nobody’s number', [{ port: 7 }]],
  ['all of TCP', [{ protocol: 'TCP' }]],
  ['all of UDP', [{ protocol: 'UDP' }]],
  ['all of SCTP', [{ protocol: 'SCTP' }]],
  ['an entry with nothing', [{}]],
  ['a name', [{ protocol: 'TCP', port: 'serve-80-tcp' }]],
  ['a name, the protocol implied', [{ port: 'serve-81-tcp' }]],
  ['a name of UDP', [{ protocol: 'UDP', port: 'serve-81-udp' }]],
  ['a name of SCTP', [{ protocol: 'SCTP', port: 'serve-80-sctp' }]],
  ['a name with another protocol', [{ protocol: 'UDP', port: 'serve-80-tcp' }]],
  ['a name that nobody has', [{ port: 'serve-nothing' }]],
  ['a name that is another number elsewhere', [{ port: 'main' }]],
  ['a range', [{ port: 80, endPort: 81 }]],
  ['a range that ends at one', [{ port: 79, endPort: 80 }]],
  ['a range of one', [{ port: 81, endPort: 81 }]],
  ['a range of UDP', [{ protocol: 'UDP', port: 81, endPort: 90 }]],
  ['a range of SCTP', [{ protocol: 'SCTP', port: 80, endPort: 90 }]],
  ['the widest range', [{ port: 1, endPort: 65_535 }]],
  ['a range of neither', [{ port: 82, endPort: 9000 }]],
  ['several numbers', [{ port: 80 }, { port: 81 }]],
  ['several protocols', [{ port: 80 }, { protocol: 'UDP', port: 81 }]],
  [
    'all three protocols',
    [{ port: 80 }, { protocol: 'UDP', port: 80 }, { protocol: 'SCTP', port: 80 }],
  ],
  ['a number and a name', [{ port: 80 }, { protocol: 'UDP', port: 'serve-80-udp' }]],
  ['a number and its own name', [{ port: 80 }, { port: 'serve-80-tcp' }]],
  [
    'overlapping ranges',
    [
      { port: 70, endPort: 80 },
      { port: 80, endPort: 81 },
    ],
  ],
];

const portShapes = directions.flatMap((direction) =>
  ports.flatMap(([name, list]) => [
    ruleShape(`${direction} ports: ${name}`, direction, undefined, list),
    ruleShape(
      `${direction} ports and a namespace: ${name}`,
      direction,
      [{ namespaceSelector: is({ ns: 'y' }) }],
      list,
    ),
  ]),
);

const listShapes = directions.flatMap((direction) => {
  const first = {
    [peersKey[direction]]: [{ namespaceSelector: is({ ns: 'y' }) }],
    ports: [{ port: 80 }],
  };
  const second = {
    [peersKey[direction]]: [{ podSelector: is({ pod: 'b' }) }],
    ports: [{ protocol: 'UDP' as const, port: 81 }],
  };
  const rows: readonly Named<readonly NetworkPolicyRule[] | undefined>[] = [
    ['absent', undefined],
    ['none', []],
    ['one that is empty', [{}]],
    ['two', [first, second]],
    ['two, the other way round', [second, first]],
    ['the same twice', [first, first]],
    ['a narrow one and an empty one', [first, {}]],
  ];
  return rows.map(([name, list]) =>
    single(`${direction} rules: ${name}`, {
      podSelector: {},
      policyTypes: [typeOf[direction]],
      ...(list === undefined ? {} : { [direction]: list }),
    }),
  );
});

export const shapes: readonly Shape[] = [
  { name: 'no policy at all', write: () => [{ policies: [] }] },
  ...targetShapes,
  ...typeShapes,
  ...peerShapes,
  ...portShapes,
  ...listShapes,
  ...unionShapes,
  ...conflictShapes,
];
