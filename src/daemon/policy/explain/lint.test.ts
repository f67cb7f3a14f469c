import { describe, expect, test } from 'bun:test';
import { lintPolicies } from './lint.ts';
import {
  ciliumDocument,
  fixtureOptions,
  parsedDocuments,
  podDocument,
  tieredDocument,
} from './manifest-fixture.ts';

function warningsOf(...documents: object[]): string[] {
  const { policies, objects } = parsedDocuments(documents);
  const warnings = lintPolicies(policies, objects, fixtureOptions);
  return warnings.map(({ place, message }) => `${place.text}: ${message}`);
}

const pod = podDocument('web', '10.0.0.1');

function cilium(spec: object) {
  return ciliumDocument('x', { endpointSelector: { matchLabels: { app: 'web' } }, ...spec });
}

function tiered(name: string, app: string, ingress: object[]) {
  return tieredDocument(name, ingress, { priority: 7, app });
}

const everybody = { from: [{ namespaces: {} }] };

describe('warnings', () => {
  test('nothing to say of a policy that means what it says', () => {
    const from = { fromEndpoints: [{ matchLabels: { app: 'web' } }] };
    expect(warningsOf(pod, cilium({ ingress: [from] }))).toEqual([]);
  });

  test('labels that identities never have', () => {
    const from = { fromEndpoints: [{ matchLabels: { 'pod-template-hash': 'x' } }] };
    expect(warningsOf(pod, cilium({ ingress: [from] }))).toEqual([
      'default/x: spec.ingress[0]: label "pod-template-hash" is in no identity (the label filter drops it): matches no pod',
    ]);
  });

  test('peers that are none of the pods, where pods of their namespace are known', () => {
    const rules = (labels: object) => [{ fromEndpoints: [{ matchLabels: labels }] }];
    expect(warningsOf(pod, cilium({ ingress: rules({ app: 'wbe' }) }))).toEqual([
      'default/x: spec.ingress[0]: none of the pods is any:app=["wbe"]&k8s:io.kubernetes.pod.namespace=["default"]: matches nobody yet',
    ]);
    const elsewhere = { app: 'wbe', 'io.kubernetes.pod.namespace': 'shop' };
    expect(warningsOf(pod, cilium({ ingress: rules(elsewhere) }))).toEqual([]);
    expect(warningsOf(pod, cilium({ ingress: rules({ 'reserved:host': '' }) }))).toEqual([]);
  });

  test('an empty list of peers', () => {
    expect(warningsOf(pod, cilium({ ingress: [{ fromEndpoints: [] }] }))).toEqual([
      'default/x: spec.ingress[0]: fromEndpoints is empty: matches nobody',
    ]);
  });

  test('a subject that is none of the pods, if there are pods', () => {
    const idle = cilium({ endpointSelector: { matchLabels: { app: 'gone' } }, ingress: [] });
    expect(warningsOf(pod, idle)).toEqual(['default/x: spec: selects none of the pods']);
    expect(warningsOf(idle)).toEqual([]);
  });

  test('of a namespace whose pods are not among the documents nothing is known', () => {
    const elsewhere = { ...cilium({ ingress: [] }), metadata: { name: 'x', namespace: 'shop' } };
    expect(warningsOf(pod, elsewhere)).toEqual([]);
    const subject = (labels: object) => ({
      ...tieredDocument('by-label', []),
      spec: {
        ...{ tier: 'Admin', priority: 1, ingress: [{ action: 'Deny', ...everybody }] },
        subject: { namespaces: { matchLabels: labels } },
      },
    });
    expect(warningsOf(pod, subject({ team: 'a' }))).toEqual([]);
    const clusterwide = {
      ...cilium({ endpointSelector: { matchLabels: { app: 'gone' } }, ingress: [] }),
      kind: 'CiliumClusterwideNetworkPolicy',
      metadata: { name: 'x' },
    };
    expect(warningsOf(pod, clusterwide)).toEqual(['x: spec: selects none of the pods']);
  });

  test('references to what is not there', () => {
    const from = { fromCIDRSet: [{ cidrGroupRef: 'offices' }] };
    const group = {
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumCIDRGroup',
      metadata: { name: 'offices' },
      spec: { externalCIDRs: ['192.0.2.0/24'] },
    };
    expect(warningsOf(cilium({ ingress: [from] }))).toEqual([
      'default/x: spec.ingress[0]: CiliumCIDRGroup "offices" is not among the documents: matches nobody until it is there',
    ]);
    expect(warningsOf(cilium({ ingress: [from] }), group)).toEqual([]);
  });

  test('a service of any namespace that is not there', () => {
    const to = (k8sService: object) => cilium({ egress: [{ toServices: [{ k8sService }] }] });
    expect(warningsOf(to({ serviceName: 'db' }))).toEqual([
      'default/x: spec.egress[0]: Service "db" of any namespace is not among the documents: matches nobody until it is there',
    ]);
    expect(warningsOf(to({ serviceName: 'db', namespace: 'shop' }))).toEqual([
      'default/x: spec.egress[0]: Service "shop/db" is not among the documents: matches nobody until it is there',
    ]);
  });

  test('a rule behind one that covers it', () => {
    const narrow = { ...everybody, protocols: [{ tcp: { destinationPort: { number: 80 } } }] };
    const covered = tiered('a', 'web', [
      { action: 'Pass', ...everybody },
      { action: 'Deny', ...narrow },
    ]);
    const needed = tiered('a', 'web', [
      { action: 'Deny', ...narrow },
      { action: 'Pass', ...everybody },
    ]);
    expect(warningsOf(covered)).toEqual([
      'a: spec.ingress[1]: is never reached: ingress[0] covers it',
    ]);
    expect(warningsOf(needed)).toEqual([]);
  });

  test('an allow under a deny of the same rule', () => {
    const from = { fromEndpoints: [{ matchLabels: { app: 'web' } }] };
    const both = cilium({ ingress: [from], ingressDeny: [{ fromEndpoints: [{}] }] });
    expect(warningsOf(both)).toEqual([
      'default/x: spec.ingress[0]: is never reached: ingressDeny[0] covers it',
    ]);
  });

  test('equal priorities, where the same pods can be meant', () => {
    const rules = [{ action: 'Deny', ...everybody }];
    expect(warningsOf(tiered('a', 'web', rules), tiered('b', 'web', rules))).toEqual([
      'b: spec.priority: has the tier and priority 7 of a, and selects the same pods: the name decides which comes first',
    ]);
    expect(warningsOf(tiered('a', 'web', rules), tiered('b', 'db', rules))).toEqual([]);
    const many = Array.from({ length: 20 }, (_, at) => tiered(`p${at}`, 'web', rules));
    const warnings = warningsOf(...many);
    expect(warnings).toHaveLength(101);
    expect(warnings.at(-1)).toMatch(/^p\d+: spec.priority: of equal tier and priority: and more$/);
  });
});
