/**
 * @module Shapes of several policies at once, and of policies and labels that change.
 */
import type { LabelSelector, NetworkPolicyObject } from '../oracle/documents.ts';
import type { Shape, Step } from './shapes-types.ts';

type Spec = NetworkPolicyObject['spec'];
/** "namespace/name". */
type Row = readonly [path: string, spec: Spec];

const all: LabelSelector = {};
const pod = (name: string): LabelSelector => ({ matchLabels: { pod: name } });
const ns = (name: string): LabelSelector => ({ matchLabels: { ns: name } });

function policies(rows: readonly Row[]): object[] {
  return rows.map(([path, spec]) => {
    const [namespace, name] = path.split('/');
    return {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name, namespace },
      spec,
    };
  });
}

function several(name: string, ...rows: readonly Row[]): Shape {
  return { name: `several: ${name}`, write: () => [{ policies: policies(rows) }] };
}

function changing(name: string, ...steps: readonly (readonly Row[] | Step)[]): Shape {
  const written = steps.map((step) => ('policies' in step ? step : { policies: policies(step) }));
  return { name: `change: ${name}`, write: () => written };
}

const denyIngress: Spec = { podSelector: all, policyTypes: ['Ingress'] };
const denyEgress: Spec = { podSelector: all, policyTypes: ['Egress'] };
const denyBoth: Spec = { podSelector: all, policyTypes: ['Ingress', 'Egress'] };
const allowIngress: Spec = { podSelector: all, policyTypes: ['Ingress'], ingress: [{}] };
const allowEgress: Spec = { podSelector: all, policyTypes: ['Egress'], egress: [{}] };
const fromNamespace = (name: string, port?: number): Spec => ({
  podSelector: all,
  ingress: [
    {
      from: [{ namespaceSelector: ns(name) }],
      ...(port === undefined ? {} : { ports: [{ port }] }),
    },
  ],
});
const toPod = (name: string): Spec => ({
  podSelector: all,
  policyTypes: ['Egress'],
  egress: [{ to: [{ namespaceSelector: all, podSelector: pod(name) }] }],
});

export const unionShapes: readonly Shape[] = [
  several('deny all and allow all ingress', ['x/a', denyIngress], ['x/b', allowIngress]),
  several('allow all and deny all ingress', ['x/a', allowIngress], ['x/b', denyIngress]),
  several('deny all and allow all egress', ['x/a', denyEgress], ['x/b', allowEgress]),
  several('deny both, allow ingress', ['x/a', denyBoth], ['x/b', allowIngress]),
  several('deny both, allow egress', ['x/a', denyBoth], ['x/b', allowEgress]),
  several('deny both, allow both', ['x/a', denyBoth], ['x/b', allowIngress], ['x/c', allowEgress]),
  several('union of peers', ['x/a', fromNamespace('y')], ['x/b', fromNamespace('z')]),
  several('union of ports', ['x/a', fromNamespace('y', 80)], ['x/b', fromNamespace('y', 81)]),
  several('a port and all', ['x/a', fromNamespace('y', 80)], ['x/b', fromNamespace('y')]),
  several('the same twice', ['x/a', fromNamespace('y', 80)], ['x/b', fromNamespace('y', 80)]),
  several(
    'isolation of one pod only',
    ['x/a', { podSelector: pod('a'), policyTypes: ['Ingress'] }],
    ['x/b', { podSelector: pod('b'), policyTypes: ['Egress'] }],
  ),
  several('one name in two namespaces', ['x/p', denyIngress], ['y/p', allowIngress]),
  several('deny in two namespaces', ['x/p', denyIngress], ['y/p', denyIngress]),
  several('deny in all namespaces', ['x/p', denyBoth], ['y/p', denyBoth], ['z/p', denyBoth]),
  several(
    'egress of one, ingress of the other',
    ['x/out', toPod('b')],
    ['y/in', fromNamespace('x', 80)],
  ),
  several('both ends must agree', ['x/out', toPod('b')], ['y/in', fromNamespace('z')]),
  several('egress here, deny there', ['x/out', toPod('c')], ['y/in', denyIngress]),
  several(
    'different ports at both ends',
    ['x/out', { podSelector: all, policyTypes: ['Egress'], egress: [{ ports: [{ port: 80 }] }] }],
    ['y/in', { podSelector: all, ingress: [{ ports: [{ port: 81 }] }] }],
  ),
  several(
    'allow of another namespace does not help',
    ['x/a', denyIngress],
    ['y/b', { podSelector: all, ingress: [{ from: [{ podSelector: all }] }] }],
  ),
  several(
    'an own namespace in each',
    ...['x', 'y', 'z'].map(
      (name): Row => [
        `${name}/own`,
        { podSelector: all, ingress: [{ from: [{ podSelector: all }] }] },
      ],
    ),
  ),
  several(
    'ranges that meet',
    ['x/a', { podSelector: all, ingress: [{ ports: [{ port: 1, endPort: 80 }] }] }],
    ['x/b', { podSelector: all, ingress: [{ ports: [{ port: 81, endPort: 100 }] }] }],
  ),
  several(
    'a range of one peer inside a range of all',
    ['x/a', { podSelector: all, ingress: [{ ports: [{ port: 80, endPort: 80 }] }] }],
    [
      'x/b',
      {
        podSelector: all,
        ingress: [{ from: [{ podSelector: pod('b') }], ports: [{ port: 80, endPort: 90 }] }],
      },
    ],
  ),
  several(
    'blocks with exceptions that fill each other',
    [
      'x/a',
      {
        podSelector: all,
        ingress: [{ from: [{ ipBlock: { cidr: '10.244.0.0/24', except: ['10.244.0.0/29'] } }] }],
      },
    ],
    ['x/b', { podSelector: all, ingress: [{ from: [{ ipBlock: { cidr: '10.244.0.4/30' } }] }] }],
  ),
];

const labelled = (step: Omit<Step, 'policies'>, ...rows: readonly Row[]): Step => ({
  policies: policies(rows),
  ...step,
});

export const conflictShapes: readonly Shape[] = [
  changing('create, then delete', [['x/p', denyIngress]], []),
  changing('deny, then allow under the same name', [['x/p', denyBoth]], [['x/p', allowIngress]]),
  changing(
    'allow, then deny beside it',
    [['x/a', allowIngress]],
    [
      ['x/a', allowIngress],
      ['x/b', denyIngress],
    ],
  ),
  changing(
    'the allowing one is deleted',
    [
      ['x/a', denyIngress],
      ['x/b', allowIngress],
    ],
    [['x/a', denyIngress]],
  ),
  changing('another peer', [['x/p', fromNamespace('y')]], [['x/p', fromNamespace('z')]]),
  changing('another port', [['x/p', fromNamespace('y', 80)]], [['x/p', fromNamespace('y', 81)]]),
  changing('moves to another namespace', [['x/p', denyIngress]], [['y/p', denyIngress]]),
  changing('ingress becomes egress', [['x/p', denyIngress]], [['x/p', denyEgress]]),
  changing(
    'a pod takes a label and gives it back',
    labelled({}, ['x/p', { podSelector: all, ingress: [{ from: [{ podSelector: pod('b') }] }] }]),
    labelled({ podLabels: { 'x/c': { pod: 'b' } } }, [
      'x/p',
      { podSelector: all, ingress: [{ from: [{ podSelector: pod('b') }] }] },
    ]),
    labelled({}, ['x/p', { podSelector: all, ingress: [{ from: [{ podSelector: pod('b') }] }] }]),
  ),
  changing(
    'a pod becomes a subject',
    labelled({}, ['y/p', { podSelector: pod('d'), policyTypes: ['Ingress'] }]),
    labelled({ podLabels: { 'y/a': { pod: 'd' } } }, [
      'y/p',
      { podSelector: pod('d'), policyTypes: ['Ingress'] },
    ]),
  ),
  changing(
    'a namespace takes the label of another',
    labelled({}, ['x/p', fromNamespace('y')]),
    labelled({ namespaceLabels: { z: { ns: 'y' } } }, ['x/p', fromNamespace('y')]),
  ),
  changing(
    'a namespace loses its labels',
    labelled({}, ['x/p', fromNamespace('y')]),
    labelled({ namespaceLabels: { y: {} } }, ['x/p', fromNamespace('y')]),
  ),
];
