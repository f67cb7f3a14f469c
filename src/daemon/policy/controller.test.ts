import { describe, expect, test } from 'bun:test';
import { clusterObjects, remotePods } from '../cluster/table.ts';
import { type EndpointRow, endpoints } from '../endpoint/table.ts';
import { endpointRow } from '../endpoint-fixture.ts';
import { type IdentityId, identities, identityId, reservedIdentities } from '../identity/table.ts';
import { ipcache } from '../ipcache/table.ts';
import { identityOf } from './compile/peer.ts';
import { PolicyController } from './controller.ts';
import { ruleRows } from './documents/rule-row.ts';
import { parseDocuments } from './parse/parse.ts';
import { endpointPolicyModel, policyModel, selectorsModel } from './repository.ts';
import {
  addressSets,
  type PeerRow,
  PolicyRevision,
  policies,
  policyCookies,
  policyPeers,
  policyRules,
  policySubject,
} from './table.ts';

const yaml = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web-ingress, namespace: shop, uid: u-1}
spec:
  description: clients <only>
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints:
    - matchLabels: {app: client, "k8s:io.kubernetes.pod.namespace": probe}
    toPorts:
    - ports:
      - {port: "8080", endPort: 8085, protocol: TCP}
  - fromEntities: [world]
`;

function pod(app: string, namespace: string): string[] {
  return [`k8s:app=${app}`, `k8s:io.kubernetes.pod.namespace=${namespace}`];
}

function setUp() {
  const tables = {
    rules: policyRules(),
    identities: identities(),
    endpoints: endpoints(),
    objects: clusterObjects(),
    ipcache: ipcache(),
    remotePods: remotePods(),
    peers: policyPeers(),
    addressSets: addressSets(),
    policies: policies(),
    cookies: policyCookies(),
  };
  const revision = new PolicyRevision();
  const addIdentity = (id: IdentityId, labels: readonly string[]) =>
    tables.identities.upsert({ id, labels, reserved: id < 256, refCount: 1 });
  for (const { id, labels } of reservedIdentities) addIdentity(id, labels);
  const config = {
    enablePolicy: 'default',
    allowLocalhost: true,
    cidrMatchesNodes: false,
    entriesMax: 16_384,
  } as const;
  const controller = new PolicyController(tables, config, revision, undefined, 0);
  let next = 1;
  const attach = (labels: readonly string[]): EndpointRow => {
    const identity = identityId(1000 + next);
    addIdentity(identity, labels);
    const row = endpointRow({ id: next, labels, identity, ipv4: `10.0.0.${next++}` });
    tables.endpoints.upsert(row);
    return row;
  };
  const apply = (text: string) => {
    const result = parseDocuments(text);
    if (result.kind === 'refused') throw new Error(JSON.stringify(result.problems));
    const at = revision.next();
    for (const policy of result.policies) {
      for (const row of ruleRows(policy, 'a.yaml', at)) tables.rules.upsert(row);
    }
  };
  return { tables, controller, attach, apply, revision };
}

const isOf = (id: number) => (row: PeerRow) => identityOf(row.peer) === id;

function subjectOf({ identity, ports }: EndpointRow) {
  return policySubject(identity as IdentityId, ports);
}

const egressToHttp = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: named, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{to: [{podSelector: {}}], ports: [{port: http}]}]
`;

describe('policy controller', () => {
  test('from rows to rows, and back to empty', () => {
    const { tables, controller, attach, apply } = setUp();
    const web = attach(pod('web', 'shop'));
    const client = attach(pod('client', 'probe'));
    controller.run();
    expect(tables.policies.get(subjectOf(web))).toMatchObject({
      ingressEnforced: false,
      entries: [],
    });
    apply(yaml);
    const run = controller.run();
    expect(run.policies).toEqual([subjectOf(web)]);
    const row = tables.policies.get(subjectOf(web));
    const classOf = (id: number) => [...tables.peers.all()].find(isOf(id))?.classId;
    expect(row).toMatchObject({ ingressEnforced: true, egressEnforced: false, revision: 2 });
    const byClass = (id: number) => row?.entries.filter((entry) => entry.classId === classOf(id));
    expect(byClass(client.identity)).toMatchObject([
      { proto: 6, port: 8080, portPrefix: 14, matchType: 2, deny: false },
      { proto: 6, port: 8084, portPrefix: 15 },
    ]);
    expect(byClass(1)).toMatchObject([{ proto: 0, port: 0, portPrefix: 0, matchType: 1 }]);
    const cookie = byClass(1)?.[0]?.cookie ?? 0;
    expect(tables.cookies.get(cookie)?.policies[0]?.labels).toEqual([
      'reserved:io.cilium.policy.derived-from=allow-localhost-ingress',
    ]);
    expect(tables.cookies.get(row?.denyCookie.ingress ?? 0)?.policies).toMatchObject([
      { name: 'web-ingress', namespace: 'shop', ruleIndex: 0, items: [] },
    ]);
    expect(controller.run().policies).toEqual([]);
    for (const each of [...tables.rules.all()]) tables.rules.delete(each.key);
    controller.run();
    controller.sweep();
    expect(tables.policies.get(subjectOf(web))).toMatchObject({
      ingressEnforced: false,
      entries: [],
    });
    // No selector tells them apart any more.
    const classIds = [web, client].map((each) => classOf(each.identity));
    expect(classIds[0]).toBe(classIds[1]);
    for (const each of [...tables.endpoints.all()]) tables.endpoints.delete(each.id);
    controller.run();
    expect(tables.policies.size).toBe(0);
  });

  test('models for REST', () => {
    const { tables, controller, attach, apply, revision } = setUp();
    const web = attach(pod('web', 'shop'));
    const client = attach(pod('client', 'probe'));
    apply(yaml);
    controller.run();
    const model = policyModel(tables.rules.all(), revision.current);
    expect(model?.policy).toContain('"description": "clients \\u003conly\\u003e"');
    expect(JSON.parse(model?.policy ?? '')).toMatchObject([
      {
        endpointSelector: {
          matchLabels: { 'any:app': 'web', 'k8s:io.kubernetes.pod.namespace': 'shop' },
        },
        ingress: [
          { toPorts: [{ ports: [{ port: '8080', endPort: 8085, protocol: 'TCP' }] }] },
          { fromEntities: ['world'] },
        ],
        labels: [
          { key: 'io.cilium.k8s.policy.derived-from', source: 'k8s' },
          {},
          {},
          { value: 'u-1' },
        ],
        enableDefaultDeny: { ingress: true, egress: false },
      },
    ]);
    expect(policyModel(tables.rules.all(), 2, ['k8s:no=one'])).toBeUndefined();
    const selectors = selectorsModel(controller.compiler);
    expect(selectors).toContainEqual({
      identities: [client.identity],
      labels: expect.anything(),
      selector:
        '&LabelSelector{MatchLabels:map[string]string{any.app: client,k8s.io.kubernetes.pod.namespace: probe,},MatchExpressions:[]LabelSelectorRequirement{},}',
      users: 1,
    });
    expect(endpointPolicyModel(controller.compiler, subjectOf(web), 2)).toMatchObject({
      'policy-enabled': 'ingress',
      'allowed-ingress-identities': [1, 2, 9, 10],
      'allowed-egress-identities': [0],
      'denied-ingress-identities': null,
      l4: {
        ingress: [
          {
            rule: expect.stringContaining(
              '{"port":8080,"endPort":8085,"protocol":"TCP","l7-rules":[{"\\u0026Label',
            ),
          },
          { rule: expect.stringContaining('"protocol":"ANY"') },
        ],
        egress: [],
      },
    });
  });

  test('pods that bring no new number for a name of ports resolve no rule again', () => {
    const { tables, controller, attach, apply } = setUp();
    const web = attach(pod('web', 'shop'));
    apply(egressToHttp);
    const put = (name: string, ports: readonly number[]) =>
      tables.objects.upsert({
        origin: 'test',
        object: {
          ...{ kind: 'Pod', namespace: 'shop', name, uid: undefined, labels: {}, addresses: [] },
          ...{ serviceAccount: undefined, nodeName: 'here', hostNetwork: false, ended: false },
          ports: ports.map((port) => ({ name: 'http', proto: 6, port })),
        },
      });
    const numbers = () => {
      controller.run();
      const selectors = [...controller.compiler.selectors.selectors()];
      return selectors
        .flatMap(({ selector }) => selector.requirements)
        .filter(({ source }) => source === 'port')
        .flatMap(({ values }) => values);
    };
    put('one', [80, 80]);
    expect(numbers()).toEqual(['80']);
    const { by } = tables.objects;
    let looked = 0;
    tables.objects.by = (index, value) => {
      looked++;
      return by.call(tables.objects, index, value);
    };
    const get = tables.rules.get.bind(tables.rules);
    tables.rules.get = (key) => {
      looked++;
      return get(key);
    };
    put('one', [80]);
    put('two', [80]);
    expect(numbers()).toEqual(['80']);
    expect(looked).toBe(0);
    put('two', [8080]);
    expect(numbers()).toEqual(['80', '8080']);
    tables.objects.delete('Pod/shop/one');
    expect(numbers()).toEqual(['8080']);
    expect(tables.policies.get(subjectOf(web))?.egressEnforced).toBe(true);
  });

  test('of an address that several pods have, the ports are those of who has it', () => {
    const { tables, controller, attach, apply } = setUp();
    attach(pod('web', 'shop'));
    apply(egressToHttp);
    tables.objects.upsert({
      origin: 'test',
      object: {
        ...{ kind: 'Pod', namespace: 'shop', name: 'any', uid: undefined, labels: {} },
        ...{ serviceAccount: undefined, nodeName: 'here', hostNetwork: false, ended: false },
        addresses: [],
        ports: [80, 81, 82].map((port) => ({ name: 'http', proto: 6, port })),
      },
    });
    const id = identityId(2000);
    tables.identities.upsert({ id, labels: pod('other', 'shop'), reserved: false, refCount: 1 });
    const remote = (name: string, port: number) =>
      tables.remotePods.upsert({
        ...{ namespace: 'shop', name, identity: id, prefixes: ['10.0.0.9/32'] },
        ports: `http/6=${port}`,
      });
    const ports = () => {
      controller.run();
      const row = tables.addressSets.get('10.0.0.9/32');
      return row === undefined ? [] : controller.compiler.sets.labels(row.inside);
    };
    remote('one', 80);
    remote('two', 81);
    expect(ports()).toEqual(['port:http/6=81']);
    // Written again, as it was.
    remote('one', 80);
    expect(ports()).toEqual(['port:http/6=81']);
    // Or with other ports: the ipcache goes on naming who came last.
    remote('one', 82);
    expect(ports()).toEqual(['port:http/6=81']);
    // Before all others it is that of the node's own pod.
    const own = endpointRow({ id: 9, identity: id, ipv4: '10.0.0.9', ports: 'http/6=82' });
    tables.endpoints.upsert(own);
    expect(ports()).toEqual(['port:http/6=82']);
    remote('one', 81);
    expect(ports()).toEqual(['port:http/6=82']);
    tables.endpoints.delete(own.id);
    expect(ports()).toEqual(['port:http/6=81']);
  });
});
