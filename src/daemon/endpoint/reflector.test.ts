import { afterEach, beforeEach, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PodObject } from '../../k8s/object.ts';
import { done } from '../../kv/status.ts';
import { identityId } from '../identity/table.ts';
import { isRefusal, type Refusal } from '../ipam/table.ts';
import { LabelSource } from './label-source.ts';
import { EndpointStore } from './persist.ts';
import { EndpointReflector } from './reflector.ts';
import { type EndpointRequest, parseEndpointRequest } from './request.ts';
import { type EndpointRow, endpoints } from './table.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cilium-reflector-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function setUp() {
  const table = endpoints();
  const released: string[] = [];
  const claimed: string[] = [];
  const objects = {
    pods: new Map<string, PodObject>(),
    namespaceLabels: {} as Record<string, string>,
  };
  const reflector = new EndpointReflector({
    endpoints: table,
    addresses: {
      checkClaim: (address) =>
        address === '10.0.0.1' ? { refused: 'conflict', message: 'router' } : undefined,
      claim: (address) => {
        claimed.push(address);
        return undefined;
      },
      release: (address) => {
        released.push(address);
        return undefined;
      },
    },
    store: new EndpointStore(directory),
    labels: new LabelSource(
      ({ labels, namespace, namespaceLabels }) => ({
        labels: [
          ...Object.entries(labels).map(([key, value]) => `k8s:${key}=${value}`),
          `ns=${namespace}`,
          ...(namespaceLabels['team'] === undefined ? [] : [`team=${namespaceLabels['team']}`]),
        ],
        refused: [],
      }),
      {
        pod: (_, name) => objects.pods.get(name),
        namespaceLabels: () => objects.namespaceLabels,
      },
    ),
  });
  return { table, reflector, released, claimed, objects };
}

function request(container: string, last: number): EndpointRequest {
  const parsed = parseEndpointRequest({
    'container-id': container,
    'k8s-pod-name': container,
    labels: ['k8s:app=web'],
    addressing: { ipv4: `10.0.0.${last}` },
    'interface-name': `lxc${last}`,
    'interface-index': last,
    mac: '02:00:00:00:00:01',
    'host-mac': '02:00:00:00:00:02',
  });
  if (isRefusal(parsed)) throw new Error(parsed.message);
  return parsed;
}

function created(result: EndpointRow | Refusal): EndpointRow {
  if (isRefusal(result)) throw new Error(result.message);
  return result;
}

test('the same request again is the same endpoint, a different one is refused', () => {
  const { reflector, table } = setUp();
  const row = created(reflector.create(request('a', 5)));
  expect(reflector.create(request('a', 5))).toBe(row);
  expect(reflector.create(request('a', 6))).toMatchObject({ refused: 'invalid' });
  expect(table.size).toBe(1);
});

test('a refusal changes nothing', () => {
  const { reflector, table, claimed } = setUp();
  expect(reflector.create(request('a', 1))).toMatchObject({ message: 'router' });
  expect(reflector.create({ ...request('a', 5), labels: ['reserved:host'] })).toMatchObject({
    refused: 'invalid',
  });
  expect([table.size, claimed, existsSync(join(directory, 'state/1'))]).toEqual([0, [], false]);
});

test('an address comes back only when the datapath has forgotten it', () => {
  const { reflector, released } = setUp();
  const row = created(reflector.create(request('a', 5)));
  expect(existsSync(join(directory, 'state', String(row.id)))).toBe(true);
  expect(reflector.deleteContainer('a')).toEqual([row]);
  expect(existsSync(join(directory, 'state', String(row.id)))).toBe(false);
  expect(reflector.create(request('b', 5))).toMatchObject({ refused: 'invalid' });
  expect(reflector.create({ ...request('b', 6), id: row.id })).toMatchObject({
    refused: 'conflict',
  });
  // The same container may come back at once, with another address.
  const second = created(reflector.create(request('a', 7)));
  expect(second.id).not.toBe(row.id);
  reflector.onDetached(row.id);
  reflector.onDetached(row.id);
  expect(released).toEqual(['10.0.0.5']);
  expect(isRefusal(reflector.create(request('b', 5)))).toBe(false);
});

test('waiting ends when the endpoint is ready, failing, deleted or late', async () => {
  const { reflector, table } = setUp();
  const row = created(reflector.create(request('a', 5)));
  const never = new AbortController().signal;
  const ready = reflector.waitReady(row.id, never);
  table.upsert({ ...row, status: done });
  await Promise.resolve();
  table.upsert({ ...row, state: 'ready', status: done });
  expect(await ready).toMatchObject({ state: 'ready' });
  expect(await reflector.waitReady(row.id, never)).toMatchObject({ state: 'ready' });

  table.upsert({ ...row, state: 'waiting-for-identity', status: { kind: 'pending' } });
  const failing = reflector.waitReady(row.id, never);
  table.upsert({ ...row, status: { kind: 'error', message: 'map full', attempts: 1 } });
  expect(await failing).toMatchObject({ refused: 'failed' });

  table.upsert({ ...row, status: { kind: 'pending' } });
  const late = new AbortController();
  const timeout = reflector.waitReady(row.id, late.signal);
  late.abort();
  expect(await timeout).toMatchObject({ refused: 'timeout' });

  const deleted = reflector.waitReady(row.id, never);
  reflector.delete({ by: 'id', id: row.id });
  expect(await deleted).toMatchObject({ refused: 'failed' });
});

test('labels and ports are those of the objects, as soon as there are any', () => {
  const { reflector, table, objects } = setUp();
  const made = reflector.create(request('a', 5));
  if (isRefusal(made)) throw new Error(made.message);
  expect([made.labels, made.ports]).toEqual([['k8s:app=web', 'ns=default'], '']);
  table.upsert({ ...made, state: 'ready' });
  reflector.relabel('default');
  expect(table.get(made.id)?.state).toBe('ready');
  objects.pods.set('a', {
    kind: 'Pod',
    namespace: 'default',
    name: 'a',
    uid: undefined,
    labels: { app: 'db' },
    serviceAccount: undefined,
    nodeName: undefined,
    hostNetwork: false,
    addresses: [],
    ports: [{ name: 'sql', port: 5432, proto: 6 }],
    ended: false,
  });
  reflector.relabel('default', 'other');
  expect(table.get(made.id)?.ports).toBe('');
  reflector.relabel('default', 'a');
  expect(table.get(made.id)).toMatchObject({
    labels: ['k8s:app=db', 'ns=default'],
    ports: 'sql/6=5432',
    state: 'waiting-for-identity',
  });
  objects.namespaceLabels = { team: 'red' };
  reflector.relabel('default');
  expect(table.get(made.id)?.labels).toEqual(['k8s:app=db', 'ns=default', 'team=red']);
  objects.pods.clear();
  objects.namespaceLabels = {};
  reflector.relabel('default');
  expect(table.get(made.id)).toMatchObject({ labels: ['k8s:app=web', 'ns=default'], ports: '' });
});

test('labels can be changed, the rest of an endpoint cannot', () => {
  const { reflector, table } = setUp();
  const row = created(reflector.create(request('a', 5)));
  const selector = { by: 'id', id: row.id } as const;
  expect(reflector.patch(selector, {})).toBe(row);
  expect(reflector.patch(selector, { labels: ['k8s:app=web'] })).toBe(row);
  reflector.patch(selector, { labels: ['app=db'] });
  expect(table.get(row.id)).toMatchObject({
    labels: ['k8s:app=db', 'ns=default'],
    state: 'waiting-for-identity',
  });
  expect(reflector.patch({ by: 'nothing' }, {})).toMatchObject({ refused: 'not-found' });
});

test('an endpoint that cannot be written down is refused and taken back', async () => {
  const { reflector, table } = setUp();
  const row = created(reflector.create(request('a', 5)));
  const folder = join(directory, 'state', String(row.id));
  const waiting = reflector.waitReady(row.id, new AbortController().signal);
  rmSync(folder, { recursive: true });
  writeFileSync(folder, 'a file in its way');
  table.upsert({ ...row, identity: identityId(1234), state: 'ready', status: done });
  expect(await waiting).toMatchObject({
    refused: 'failed',
    message: expect.stringContaining(`write the state of endpoint ${row.id}: `),
  });
  expect([table.size, existsSync(folder)]).toEqual([0, false]);
});
