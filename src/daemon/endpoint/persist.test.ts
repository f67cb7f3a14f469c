import { afterEach, beforeEach, expect, test } from 'bun:test';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { done } from '../../kv/status.ts';
import { ifIndex } from '../../net/if-index.ts';
import { identityId } from '../identity/table.ts';
import { EndpointStore } from './persist.ts';
import { type EndpointRow, endpointId, endpoints } from './table.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cilium-store-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function rowOf(id: number): EndpointRow {
  return {
    id: endpointId(id),
    containerId: `c${id}`,
    containerInterfaceName: 'eth0',
    netnsPath: `/run/netns/c${id}`,
    podName: `web-${id}`,
    namespace: 'shop',
    podUid: '',
    labels: ['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop'],
    ownLabels: { app: 'web' },
    ports: 'http/6=8080',
    audit: false,
    identity: identityId(1234),
    policyId: 7,
    ifindex: ifIndex(id + 10),
    interfaceName: `lxc${id}`,
    mac: '02:00:00:00:00:01',
    hostMac: '02:00:00:00:00:02',
    ipv4: `10.0.${id >> 8}.${id & 255}`,
    ipv6: `fd00::${id.toString(16)}`,
    state: 'ready',
    policyRevision: 3,
    ingressEnforced: true,
    egressEnforced: false,
    createdAt: '2026-11-23T19:43:15.000Z',
    status: done,
    log: [],
  };
}

const always = () => true;

test('what was saved is restored, as far as it outlives the agent', () => {
  const row = rowOf(1);
  new EndpointStore(directory).save(row);
  const { rows, corrupt } = new EndpointStore(directory).restore(always, new Date(0));
  expect(corrupt).toEqual([]);
  expect(rows).toEqual([
    {
      ...row,
      state: 'restoring',
      status: { kind: 'pending' },
      policyRevision: 0,
      ingressEnforced: false,
      log: [
        {
          timestamp: '1970-01-01T00:00:00.000Z',
          code: 'OK',
          message: 'Restoring endpoint from previous cilium instance',
          state: 'restoring',
        },
      ],
    },
  ]);
});

test('500 endpoints are restored', () => {
  const store = new EndpointStore(directory);
  for (let id = 1; id <= 500; id++) store.save(rowOf(id));
  expect(new EndpointStore(directory).restore(always).rows.length).toBe(500);
});

test('without its interface an endpoint is gone, directory and all', () => {
  const store = new EndpointStore(directory);
  store.save(rowOf(1));
  store.save(rowOf(2));
  const { rows } = new EndpointStore(directory).restore((row) => row.id === 2);
  expect(rows.map((row) => row.id)).toEqual([endpointId(2)]);
  expect(readdirSync(join(directory, 'state'))).toEqual(['2']);
});

test('later changes of the table reach the disk, other rows do not', async () => {
  const store = new EndpointStore(directory);
  const table = endpoints();
  using _ = store.follow(table, (error) => {
    throw error;
  });
  store.save({ ...rowOf(1), identity: 0 });
  table.upsert(rowOf(1));
  table.upsert(rowOf(2));
  await Promise.resolve();
  await Promise.resolve();
  const { rows } = new EndpointStore(directory).restore(always);
  expect(rows.map((row) => [row.id, row.identity])).toEqual([[endpointId(1), identityId(1234)]]);
});

test('two files that claim the same thing: one is set aside', () => {
  const store = new EndpointStore(directory);
  store.save(rowOf(1));
  store.save({ ...rowOf(2), ipv4: '10.0.0.1' });
  const { rows, corrupt } = new EndpointStore(directory).restore(always);
  expect(rows.length).toBe(1);
  expect(corrupt[0]?.reason).toContain('address 10.0.0.1 belongs to another');
  expect(existsSync(corrupt[0]?.path ?? '')).toBe(true);
});

test('an unfinished directory is removed, a pipe and a huge file are set aside', () => {
  const state = join(directory, 'state');
  for (const id of [1, 2, 3]) mkdirSync(join(state, String(id)), { recursive: true });
  Bun.spawnSync(['mkfifo', join(state, '2/ep_config.json')]);
  writeFileSync(join(state, '3/ep_config.json'), ' '.repeat(2 * 1024 * 1024));
  const { rows, corrupt } = new EndpointStore(directory).restore(always);
  expect(rows).toEqual([]);
  expect(corrupt.map((one) => one.reason)).toEqual([
    'not a regular file',
    expect.stringContaining('bytes are more than'),
  ]);
  expect(readdirSync(state).sort()).toEqual(['2.corrupt', '3.corrupt']);
});

test('garbage is set aside and never restored, whatever it is', () => {
  const store = new EndpointStore(directory);
  store.save(rowOf(1));
  const good = JSON.parse(readFileSync(join(directory, 'state/1/ep_config.json'), 'utf8'));
  const content = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record({ key: fc.constantFrom(...Object.keys(good)), value: fc.jsonValue() })
      .map(({ key, value }) => JSON.stringify({ ...good, id: 5, [key]: value })),
  );
  fc.assert(
    fc.property(content, (text) => {
      mkdirSync(join(directory, 'state/5'), { recursive: true });
      writeFileSync(join(directory, 'state/5/ep_config.json'), text);
      const { rows, corrupt } = new EndpointStore(directory).restore((row) => row.id === 5);
      expect(rows.length + corrupt.length).toBe(1);
      for (const row of rows) expect(row.ipv4 ?? row.ipv6).toBeDefined();
      rmSync(join(directory, 'state'), { recursive: true });
    }),
    { numRuns: 300 },
  );
});

test('interfaces that unreadable files name are spared, at every later start as well', () => {
  const write = (id: number, text: string) => {
    mkdirSync(join(directory, 'state', String(id)), { recursive: true });
    writeFileSync(join(directory, 'state', String(id), 'ep_config.json'), text);
  };
  expect(new EndpointStore(directory).restore(always).spared).toEqual(new Set());
  write(7, '{"interface-name":"lxc0123456789ab","broken');
  expect(new EndpointStore(directory).restore(always).spared).toEqual(new Set(['lxc0123456789ab']));
  expect(new EndpointStore(directory).restore(always).spared).toEqual(new Set(['lxc0123456789ab']));
  write(8, 'nothing');
  expect(new EndpointStore(directory).restore(always).spared).toBe('all');
  expect(new EndpointStore(directory).restore(always).spared).toBe('all');
});

test('what the disk refuses is written when it can be again', async () => {
  const store = new EndpointStore(directory);
  const table = endpoints();
  const said: (string | undefined)[] = [];
  const errors: unknown[] = [];
  using _ = store.follow(
    table,
    (error) => errors.push(error),
    (message) => said.push(message),
  );
  store.save({ ...rowOf(1), identity: 0 });
  const folder = join(directory, 'state/1');
  rmSync(folder, { recursive: true });
  writeFileSync(folder, 'a file in its way');
  table.upsert(rowOf(1));
  while (said.length === 0) await Bun.sleep(1);
  expect(said[0]).toContain('write the state of 1 endpoints');
  rmSync(folder);
  while (said.length === 1) await Bun.sleep(5);
  expect([said[1], errors.length]).toEqual([undefined, 1]);
  expect(new EndpointStore(directory).restore(always).rows[0]?.identity).toBe(identityId(1234));
});
