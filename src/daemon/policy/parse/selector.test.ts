import { describe } from 'bun:test';
import {
  at,
  ccnp,
  egress,
  expression,
  ingress,
  labels,
  testAccepted,
  testRefused,
} from './case-fixture.ts';

describe('accepted', () => {
  testAccepted([
    [
      'another namespace',
      ingress({
        fromEndpoints: [labels({ 'k8s:io.kubernetes.pod.namespace': 'other', app: 'a' })],
      }),
      ['ingress[0] allow {any:app=[a]&k8s:NS=[other]} on all'],
    ],
    [
      'a label of the namespace',
      ingress({ fromEndpoints: [labels({ 'io.cilium.k8s.namespace.labels.team': 'red' })] }),
      ['ingress[0] allow {any:NSL.team=[red]} on all'],
    ],
    [
      'an expression about the namespace',
      ingress({ fromEndpoints: [expression('k8s:io.kubernetes.pod.namespace', 'Exists')] }),
      ['ingress[0] allow {k8s:NS} on all'],
    ],
    [
      'each operator',
      ingress({
        fromEndpoints: [
          expression('a', 'In', 'y', 'x', 'y'),
          expression('a', 'NotIn', 'x'),
          expression('a', 'Exists'),
          expression('a', 'DoesNotExist'),
        ],
      }),
      [
        'ingress[0] allow {any:a=[x,y]&k8s:NS=[ns]} | {any:a!=[x]&k8s:NS=[ns]} | {any:a&k8s:NS=[ns]} | {!any:a&k8s:NS=[ns]} on all',
      ],
    ],
    [
      'pods without a label, of a clusterwide policy',
      ccnp({ endpointSelector: {}, egress: [{ toEndpoints: [expression('a', 'DoesNotExist')] }] }),
      ['egress[0] allow {!any:a&k8s:NS} on all'],
    ],
    [
      'reserved labels have no namespace',
      ingress({ fromEndpoints: [labels({ 'reserved:host': '' })] }),
      ['ingress[0] allow {reserved:host=[]} on all'],
    ],
    [
      'reserved labels in a clusterwide policy',
      ccnp({
        endpointSelector: {},
        ingress: [{ fromEndpoints: [labels({ 'reserved:host': '' })] }],
      }),
      ['ingress[0] allow {reserved:host=[]} on all'],
    ],
    [
      'requires alone allow nobody',
      ingress({ fromRequires: [labels({ env: 'prod' })] }),
      ['ingress[0] allow nobody on all requires {any:env=[prod]&k8s:NS=[ns]}'],
    ],
    [
      'requires beside peers',
      egress({ toRequires: [labels({ env: 'prod' })], toEndpoints: [labels({ a: 'b' })] }),
      ['egress[0] allow {any:a=[b]&k8s:NS=[ns]} on all requires {any:env=[prod]&k8s:NS=[ns]}'],
    ],
  ]);
});

const selector = (fields: object) => ingress({ fromEndpoints: [fields] });

describe('refused', () => {
  testRefused([
    [
      selector({ matchLabel: {} }),
      `${at}.fromEndpoints[0].matchLabel: unknown field (did you mean matchLabels?)`,
    ],
    [selector({ matchLabels: [] }), `${at}.fromEndpoints[0].matchLabels: must be an object, is []`],
    [
      selector({ matchLabels: { a: 1 } }),
      `${at}.fromEndpoints[0].matchLabels["a"]: must be a string: "1"`,
    ],
    [
      selector({ matchLabels: { a: 'x y' } }),
      `${at}.fromEndpoints[0].matchLabels["a"]: not a label value: "x y"`,
    ],
    [
      selector({ matchLabels: { 'a&b': '' } }),
      `${at}.fromEndpoints[0].matchLabels["a&b"]: not a label key: "a&b"`,
    ],
    [
      selector({ matchLabels: { a: '', 'any:a': '' } }),
      `${at}.fromEndpoints[0].matchLabels["any:a"]: the same key twice`,
    ],
    [
      selector({
        matchLabels: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`a${i}`, ''])),
      }),
      `${at}.fromEndpoints[0].matchLabels: has 101 entries, at most 100 are possible`,
    ],
    [
      selector({ matchLabels: { 'k9s:a': 'b' } }),
      `${at}.fromEndpoints[0].matchLabels["k9s:a"]: unknown label source "k9s" (did you mean k8s?)`,
    ],
    [
      selector({ matchLabels: { 'cidrgroup:a': '' } }),
      `${at}.fromEndpoints[0].matchLabels["cidrgroup:a"]: labels of source cidrgroup cannot be selected; use fromCIDRSet or toCIDRSet with cidrGroupRef or cidrGroupSelector`,
    ],
    [
      selector({ matchLabels: { 'fqdn:a': '' } }),
      `${at}.fromEndpoints[0].matchLabels["fqdn:a"]: labels of source fqdn cannot be selected; use toFQDNs`,
    ],
    [
      selector({ matchLabels: { 'node:a': '' } }),
      `${at}.fromEndpoints[0].matchLabels["node:a"]: labels of source node cannot be selected; use fromNodes, toNodes or nodeSelector`,
    ],
    [
      selector({ matchLabels: { 'peer:outside': '' } }),
      `${at}.fromEndpoints[0].matchLabels["peer:outside"]: labels of source peer cannot be selected; no label has this source`,
    ],
    [
      selector({ matchExpressions: [{ key: 'port:http/6', operator: 'Exists' }] }),
      `${at}.fromEndpoints[0].matchExpressions[0].key: labels of source port cannot be selected; use toPorts`,
    ],
    [
      selector({ matchExpressions: [{ key: 'a', operator: 'in', values: ['b'] }] }),
      `${at}.fromEndpoints[0].matchExpressions[0].operator: must be one of In, NotIn, Exists, DoesNotExist, is "in" (did you mean In?)`,
    ],
    [
      selector({ matchExpressions: [{ key: 'a' }] }),
      `${at}.fromEndpoints[0].matchExpressions[0].operator: is missing`,
    ],
    [
      selector({ matchExpressions: [{ operator: 'Exists' }] }),
      `${at}.fromEndpoints[0].matchExpressions[0].key: is missing`,
    ],
    [
      selector({ matchExpressions: [{ key: 'a', operator: 'In' }] }),
      `${at}.fromEndpoints[0].matchExpressions[0].values: In needs at least one`,
    ],
    [
      selector({ matchExpressions: [{ key: 'a', operator: 'NotIn', values: [] }] }),
      `${at}.fromEndpoints[0].matchExpressions[0].values: NotIn needs at least one`,
    ],
    [
      selector({ matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] }),
      `${at}.fromEndpoints[0].matchExpressions[0].values: Exists takes none`,
    ],
    [
      selector({ matchExpressions: [{ key: 'a', operator: 'In', values: ['b', ' '] }] }),
      `${at}.fromEndpoints[0].matchExpressions[0].values[1]: not a label value: " "`,
    ],
  ]);
});
