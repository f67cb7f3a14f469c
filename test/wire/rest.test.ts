import { afterEach, expect, test } from 'bun:test';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { startRestServer } from '../../src/daemon/rest/server.ts';
import { AgentFixture, type AgentFixtureOptions } from './agent-fixture.ts';

const open: AgentFixture[] = [];

async function agentWith(options: AgentFixtureOptions = {}): Promise<AgentFixture> {
  const agent = new AgentFixture(options);
  open.push(agent);
  await agent.listen();
  return agent;
}

afterEach(async () => {
  for (const agent of open.splice(0)) await agent.close();
});

interface Said {
  readonly status: number;
  readonly body: unknown;
  readonly text: string;
  readonly headers: Headers;
}

async function call(
  agent: AgentFixture,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Said> {
  const response = await fetch(`http://localhost${path}`, {
    unix: agent.socketPath,
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  return { status: response.status, body: parsed, text, headers: response.headers };
}

/** Bytes in, whatever comes back until the server closes or answers. */
async function raw(agent: AgentFixture, bytes: string | Uint8Array): Promise<string> {
  return await new Promise((resolve) => {
    let text = '';
    const timer = setTimeout(() => resolve(text), 300);
    const done = () => {
      clearTimeout(timer);
      resolve(text);
    };
    Bun.connect({
      unix: agent.socketPath,
      socket: {
        open(socket) {
          socket.write(bytes);
          socket.flush();
        },
        data(socket, chunk) {
          text += chunk.toString('latin1');
          if (text.includes('\r\n\r\n')) {
            socket.end();
            done();
          }
        },
        close: done,
        error: done,
      },
    }).catch(done);
  });
}

const request = {
  'container-id': 'c1',
  'container-interface-name': 'eth0',
  'k8s-pod-name': 'web-0',
  'k8s-namespace': 'shop',
  labels: ['k8s:app=web'],
  state: 'waiting-for-identity',
  addressing: { ipv4: '10.244.0.9', ipv6: 'fd00:10:244::9' },
  'interface-name': 'lxc0123456789ab',
  'interface-index': 7,
  mac: '06:48:B9:AC:B9:7E',
  'host-mac': '5a:1a:40:b9:25:15',
  'sync-build-endpoint': true,
};

test('the layer in front of the operations answers as upstream', async () => {
  const agent = await agentWith();
  expect((await call(agent, 'GET', '/')).body).toEqual({
    code: 404,
    message: 'path / was not found',
  });
  expect((await call(agent, 'GET', '/v1/nosuch')).status).toBe(404);
  const notAllowed = await call(agent, 'PUT', '/v1/healthz');
  expect(notAllowed.status).toBe(405);
  expect(notAllowed.headers.get('allow')).toBe('GET');
  expect(notAllowed.body).toEqual({
    code: 405,
    message: 'method PUT is not allowed, but [GET] are',
  });
  const media = await call(agent, 'PUT', '/v1/endpoint/0', 'x', { 'content-type': 'text/plain' });
  expect(media.body).toEqual({
    code: 415,
    message: 'unsupported media type "text/plain", only [application/json] are allowed',
  });
  const accept = await call(agent, 'GET', '/v1/healthz', undefined, { accept: 'text/plain' });
  expect(accept.status).toBe(406);
  expect((await call(agent, 'PUT', '/v1/endpoint/0', '{bad')).status).toBe(400);
  expect((await call(agent, 'PUT', '/v1/endpoint/0')).status).toBe(422);
});

test('the socket is for root and its group, and a stale one is replaced', async () => {
  const agent = new AgentFixture();
  open.push(agent);
  mkdirSync(dirname(agent.socketPath), { recursive: true });
  const stale = Bun.listen({ unix: agent.socketPath, socket: { data() {} } });
  await expect(agent.listen()).rejects.toThrow('another agent');
  stale.stop(true);
  if (!existsSync(agent.socketPath)) {
    // The file of a process that was killed.
    const child = Bun.spawn([
      'bun',
      '-e',
      `Bun.listen({unix:${JSON.stringify(agent.socketPath)},socket:{data(){}}});console.log('up')`,
    ]);
    for await (const _ of child.stdout) break;
    child.kill(9);
    await child.exited;
  }
  expect(existsSync(agent.socketPath)).toBe(true);
  await agent.listen();
  expect(statSync(agent.socketPath).mode & 0o777).toBe(0o660);
  expect((await call(agent, 'GET', '/v1/healthz')).status).toBe(200);
});

test('what is no socket is not removed', async () => {
  const agent = new AgentFixture();
  open.push(agent);
  writeFileSync(agent.socketPath, 'precious');
  const started = startRestServer(agent.socketPath, agent.context, () => {});
  await expect(started).rejects.toThrow('no socket');
  expect(existsSync(agent.socketPath)).toBe(true);
});

test('status in full and in brief', async () => {
  const agent = await agentWith();
  expect((await call(agent, 'GET', '/v1/healthz')).body).toHaveProperty('kubernetes');
  const brief = await call(agent, 'GET', '/v1/healthz', undefined, { brief: 'true' });
  expect(brief.body).toEqual({
    cilium: { state: 'Ok', msg: '0.1.0 (v0.1.0-test)' },
    cluster: { ciliumHealth: { state: 'Ok' }, nodes: null },
  });
  const wrong = await call(agent, 'GET', '/v1/healthz', undefined, { brief: 'maybe' });
  expect(wrong.status).toBe(422);
});

test('configuration is shown and changed by known options only', async () => {
  const agent = await agentWith();
  expect((await call(agent, 'GET', '/v1/config')).body).toMatchObject({
    spec: { options: { Debug: 'Disabled' }, 'policy-enforcement': 'default' },
    status: {
      addressing: { ipv4: { 'alloc-range': '10.244.0.0/24', enabled: true, ip: '10.244.0.1' } },
      deviceMTU: 1500,
      routeMTU: 1500,
      datapathMode: 'veth',
    },
  });
  const unknown = await call(agent, 'PATCH', '/v1/config', { options: { Bogus: 'x' } });
  expect(unknown.status).toBe(400);
  expect(unknown.body).toBe('invalid configuration option: unknown option "Bogus"');
  // One bad option: none is taken.
  const mixed = { options: { Debug: 'true', DropNotification: 'perhaps' } };
  expect((await call(agent, 'PATCH', '/v1/config', mixed)).status).toBe(400);
  expect(agent.changed).toEqual([]);
  const good = { options: { DropNotification: 'false', MonitorAggregationLevel: 'none' } };
  expect((await call(agent, 'PATCH', '/v1/config', good)).status).toBe(200);
  expect(agent.changed).toEqual([
    { DropNotification: 'Disabled', MonitorAggregationLevel: 'None' },
  ]);
});

test('an endpoint is created, found by every name, and deleted', async () => {
  const agent = await agentWith();
  const created = await call(agent, 'PUT', '/v1/endpoint/0', request);
  expect(created.status).toBe(201);
  expect(created.body).toMatchObject({
    status: {
      state: 'ready',
      'external-identifiers': { 'cni-attachment-id': 'c1:eth0', 'pod-name': 'shop/web-0' },
      health: { bpf: 'OK', connected: true, overallHealth: 'OK', policy: 'OK' },
      identity: {
        labels: [
          'k8s:app=web',
          'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop',
          'k8s:io.cilium.k8s.policy.cluster=default',
          'k8s:io.kubernetes.pod.namespace=shop',
        ],
      },
      networking: { mac: '06:48:b9:ac:b9:7e', 'interface-index': 7 },
    },
  });
  const { id } = created.body as { id: number };
  for (const name of [
    `${id}`,
    `cilium-local:${id}`,
    'container-id:c1',
    'cni-attachment-id:c1:eth0',
    'pod-name:shop%2Fweb-0',
    'cep-name:shop%2Fweb-0',
    'ipv4:10.244.0.9',
    'ipv6:fd00:10:244::9',
  ]) {
    const found = await call(agent, 'GET', `/v1/endpoint/${name}`);
    expect([name, found.status]).toEqual([name, 200]);
  }
  for (const part of ['config', 'labels', 'log', 'healthz']) {
    expect((await call(agent, 'GET', `/v1/endpoint/${id}/${part}`)).status).toBe(200);
  }
  const filtered = await call(agent, 'GET', '/v1/endpoint', ['k8s:app=web']).catch(() => undefined);
  expect(filtered === undefined || filtered.status === 200).toBe(true);
  expect((await call(agent, 'DELETE', '/v1/endpoint', { 'container-id': 'c1' })).status).toBe(200);
  expect((await call(agent, 'GET', `/v1/endpoint/${id}`)).status).toBe(404);
  expect(agent.addresses.get('10.244.0.9')).toBeUndefined();
});

test('labels in the body of a GET are a filter', async () => {
  const agent = await agentWith();
  await call(agent, 'PUT', '/v1/endpoint/0', request);
  const body = '["k8s:app=zzz"]';
  const head = `GET /v1/endpoint HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
  expect(await raw(agent, head + body)).toStartWith('HTTP/1.1 404');
  const good = body.replace('zzz', 'web');
  expect(await raw(agent, head + good)).toStartWith('HTTP/1.1 200');
});

test('refusals about endpoints say why, as upstream', async () => {
  const agent = await agentWith();
  await call(agent, 'PUT', '/v1/endpoint/0', request);
  const cases: [string, string, unknown, number, unknown][] = [
    ['GET', '/v1/endpoint/foo:bar', undefined, 400, 'unknown endpoint ID prefix "foo"'],
    [
      'GET',
      '/v1/endpoint/abc',
      undefined,
      400,
      'invalid numeric cilium id: strconv.ParseInt: parsing "abc": invalid syntax',
    ],
    ['GET', '/v1/endpoint/54321', undefined, 404, undefined],
    ['DELETE', '/v1/endpoint/54321', undefined, 404, undefined],
    ['GET', '/v1/endpoint/54321/labels', undefined, 404, undefined],
    ['DELETE', '/v1/endpoint', {}, 400, 'invalid container id'],
    ['DELETE', '/v1/endpoint', { 'container-id': 'nope' }, 404, 'endpoints not found'],
    [
      'PUT',
      '/v1/endpoint/0',
      { ...request, 'container-id': 'c2', 'interface-index': 8 },
      400,
      'IP ipv4:10.244.0.9 is already in use',
    ],
    [
      'PUT',
      '/v1/endpoint/0',
      { ...request, 'interface-index': 8 },
      400,
      'endpoint for CNI attachment ID c1:eth0 already exists',
    ],
    [
      'PUT',
      '/v1/endpoint/0',
      { ...request, 'container-id': 'c2', addressing: { ipv4: '10.244.0.10' } },
      409,
      expect.stringContaining('interface-index'),
    ],
    ['PUT', '/v1/endpoint/0', { ...request, mac: 'zz' }, 400, 'mac: "zz" is not a MAC address'],
    [
      'PUT',
      '/v1/endpoint/0',
      { ...request, 'container-id': 'c3', labels: ['reserved:host'] },
      400,
      expect.stringContaining('reserved:host'),
    ],
  ];
  for (const [method, path, body, status, message] of cases) {
    const said = await call(agent, method, path, body);
    expect([path, said.status]).toEqual([path, status]);
    if (message !== undefined) expect(said.body).toEqual(message);
  }
  expect(agent.endpoints.size).toBe(1);
});

test('an endpoint that cannot be built is undone', async () => {
  const agent = await agentWith({
    build: (row, self) =>
      self.endpoints.upsert({
        ...row,
        status: { kind: 'error', message: 'map full', attempts: 1 },
      }),
  });
  const said = await call(agent, 'PUT', '/v1/endpoint/0', request);
  expect(said.status).toBe(500);
  expect(said.text).toContain('map full');
  expect(agent.endpoints.size).toBe(0);
  expect(agent.addresses.get('10.244.0.9')).toBeUndefined();
  expect(existsSync(`${agent.directory}/state/1`)).toBe(false);
});

test('a client that goes away before its endpoint is ready leaves none', async () => {
  const built = Promise.withResolvers<void>();
  const agent = await agentWith({ build: () => built.resolve() });
  const gone = new AbortController();
  const pending = fetch('http://localhost/v1/endpoint/0', {
    unix: agent.socketPath,
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
    signal: gone.signal,
  }).catch(() => 'aborted');
  await built.promise;
  gone.abort();
  expect(await pending).toBe('aborted');
  for (let tries = 0; agent.endpoints.size > 0 && tries < 500; tries++) await Bun.sleep(2);
  expect(agent.endpoints.size).toBe(0);
});

test('addresses are allocated and released as upstream says it', async () => {
  const agent = await agentWith();
  const both = await call(agent, 'POST', '/v1/ipam?owner=shop%2Fdemo');
  expect(both.status).toBe(201);
  expect(both.body).toEqual({
    address: {
      ipv4: '10.244.0.2',
      'ipv4-pool-name': 'default',
      ipv6: 'fd00:10:244::2',
      'ipv6-pool-name': 'default',
    },
    'host-addressing': {
      ipv4: { 'alloc-range': '10.244.0.0/24', enabled: true, ip: '10.244.0.1' },
      ipv6: { 'alloc-range': 'fd00:10:244::/120', enabled: true, ip: 'fd00:10:244::1' },
    },
    ipv4: { cidrs: null, ip: '10.244.0.2' },
    ipv6: { cidrs: null, ip: 'fd00:10:244::2' },
  });
  const one = await call(agent, 'POST', '/v1/ipam?owner=a&family=ipv4', undefined, {
    expiration: 'true',
    'with-configuration': 'true',
  });
  expect(one.body).toMatchObject({
    address: { ipv4: '10.244.0.3' },
    ipv4: { 'expiration-uuid': expect.stringMatching(/^[0-9a-f-]{36}$/) },
    configuration: { deviceMTU: 1500 },
  });
  const cases: [string, string, number, unknown][] = [
    [
      'POST',
      '/v1/ipam?family=ipx',
      422,
      { code: 606, message: 'family in query should be one of [ipv4 ipv6]' },
    ],
    ['POST', '/v1/ipam/10.244.0.200?owner=a&pool=default', 200, undefined],
    ['POST', '/v1/ipam/10.244.0.200?owner=b&pool=default', 500, 'provided IP is already allocated'],
    ['POST', '/v1/ipam/notanip?owner=x&pool=default', 500, 'Invalid IP address: notanip'],
    [
      'POST',
      '/v1/ipam/10.244.0.201?owner=shop%2Fdemo5',
      500,
      'unable to restore IP 10.244.0.201 for "shop/demo5": pool name must be provided',
    ],
    [
      'POST',
      '/v1/ipam/10.99.0.200?owner=a&pool=default',
      500,
      'provided IP is not in the valid range. The range of valid IPs is 10.244.0.0/24',
    ],
    ['DELETE', '/v1/ipam/10.244.0.200?pool=default', 200, undefined],
    ['DELETE', '/v1/ipam/10.244.0.200?pool=default', 200, undefined],
    ['DELETE', '/v1/ipam/notanip?pool=default', 400, 'Invalid IP address: notanip'],
    [
      'DELETE',
      '/v1/ipam/10.244.0.201',
      500,
      'no IPAM pool provided for IP release of 10.244.0.201',
    ],
  ];
  for (const [method, path, status, body] of cases) {
    const said = await call(agent, method, path);
    expect([path, said.status]).toEqual([path, status]);
    if (body !== undefined) expect(said.body).toEqual(body);
  }
  const { id } = (await call(agent, 'PUT', '/v1/endpoint/0', request)).body as { id: number };
  const inUse = await call(agent, 'DELETE', '/v1/ipam/10.244.0.9?pool=default');
  expect([inUse.status, inUse.body]).toEqual([500, `IP is in use by endpoint ${id}`]);
});

test('an exhausted range is said with its size', async () => {
  const agent = await agentWith({ ipv4: '10.9.0.0/30' });
  expect((await call(agent, 'POST', '/v1/ipam?owner=a')).status).toBe(201);
  const used = [...agent.addresses.all()].length;
  const said = await call(agent, 'POST', '/v1/ipam?owner=b');
  expect(said.status).toBe(502);
  expect(said.body).toBe('no more IPv4 addresses: all 2 of 10.9.0.0/30 are in use');
  expect([...agent.addresses.all()].length).toBe(used);
});

test('operations can be closed by name', async () => {
  const agent = await agentWith({ settings: { apiAccess: ['Get*', 'PatchConfig'] } });
  expect((await call(agent, 'GET', '/v1/healthz')).status).toBe(200);
  expect((await call(agent, 'PATCH', '/v1/config', { options: {} })).status).toBe(200);
  expect((await call(agent, 'PUT', '/v1/endpoint/0', request)).status).toBe(403);
  expect(agent.endpoints.size).toBe(0);
});

test('the rest of the API has its shape', async () => {
  const agent = await agentWith();
  await call(agent, 'PUT', '/v1/endpoint/0', request);
  const cases: [string, string, number, unknown][] = [
    ['GET', '/v1/identity/1', 200, { id: 1, labels: ['reserved:host'] }],
    ['GET', '/v1/identity/abc', 400, undefined],
    ['GET', '/v1/identity/65000', 404, undefined],
    ['GET', '/v1/identity/endpoints', 200, [expect.objectContaining({ refCount: 1 })]],
    ['GET', '/v1/policy', 200, { policy: '[\n  {\n    "a": 1\n  }\n]', revision: 3 }],
    ['PUT', '/v1/policy', 501, expect.stringContaining('static-cnp-path')],
    ['GET', '/v1/map/nope', 404, undefined],
    [
      'GET',
      '/v1/map/cilium_lxc',
      200,
      expect.objectContaining({ cache: [{ key: 'k', value: 'v' }] }),
    ],
    ['GET', '/v1/ip?cidr=xyz', 400, 'invalid CIDR address: xyz'],
    ['GET', '/v1/ip?cidr=192.0.2.1/32', 404, undefined],
    ['GET', '/v1/service', 200, []],
    ['GET', '/v1/bgp/peers', 501, 'BGP control plane is disabled'],
    ['GET', '/v1/fqdn/names', 200, { DNSPollNames: null, FQDNPolicySelectors: [] }],
    [
      'GET',
      '/v1/statedb',
      200,
      expect.arrayContaining([
        { name: 'endpoints', objects: 1, zombies: 0, revision: expect.any(Number) },
      ]),
    ],
    [
      'GET',
      '/v1/statedb/endpoints',
      200,
      expect.objectContaining({
        name: 'endpoints',
        columns: expect.arrayContaining(['id']),
        cells: [expect.arrayContaining([expect.any(String)])],
        rows: [expect.objectContaining({ state: 'ready' })],
      }),
    ],
    ['GET', '/v1/statedb/nope', 404, undefined],
    ['GET', '/v1/node/ids', 200, []],
    [
      'GET',
      '/v1/debuginfo',
      200,
      expect.objectContaining({ 'cilium-version': expect.any(String) }),
    ],
  ];
  for (const [method, path, status, body] of cases) {
    const said = await call(agent, method, path);
    expect([path, said.status]).toEqual([path, status]);
    if (body !== undefined) expect(said.body).toEqual(body as never);
  }
  const nodes = await call(agent, 'GET', '/v1/cluster/nodes', undefined, { 'client-id': '7' });
  const { 'client-id': client } = nodes.body as { 'client-id': number };
  const again = await call(agent, 'GET', '/v1/cluster/nodes', undefined, {
    'client-id': `${client}`,
  });
  expect(again.body).toMatchObject({ 'nodes-added': null });
});

test('a body that is too large is refused and the server goes on', async () => {
  const agent = await agentWith();
  const said = await call(agent, 'PUT', '/v1/endpoint/0', 'x'.repeat(1024 * 1024 + 1));
  expect(said.status).toBe(413);
  expect((await call(agent, 'GET', '/v1/healthz')).status).toBe(200);
});

test('any JSON in any request gets an answer and changes nothing unless it is right', async () => {
  const agent = await agentWith();
  const mutation = fc.oneof(
    fc.jsonValue(),
    fc
      .record({ key: fc.constantFrom(...Object.keys(request), 'id'), value: fc.jsonValue() })
      .map(({ key, value }) => ({ ...request, [key]: value })),
  );
  const target = fc.constantFrom(
    ['PUT', '/v1/endpoint/0'],
    ['PATCH', '/v1/endpoint/1'],
    ['DELETE', '/v1/endpoint'],
    ['PATCH', '/v1/config'],
    ['PATCH', '/v1/endpoint/1/config'],
    ['PUT', '/v1/policy'],
    ['GET', '/v1/identity'],
  );
  await fc.assert(
    fc.asyncProperty(mutation, target, async (body, [method = '', path = '']) => {
      const answer =
        (await agent.context) && (await call(agent, method === 'GET' ? 'PUT' : method, path, body));
      expect(answer.status).toBeLessThan(502);
      for (const row of [...agent.endpoints.all()])
        agent.reflector.delete({ by: 'id', id: row.id });
    }),
    { numRuns: 300 },
  );
  expect(agent.errors).toEqual([]);
  expect((await call(agent, 'GET', '/v1/healthz')).status).toBe(200);
});

test('random bytes on the socket do no harm', async () => {
  const agent = await agentWith();
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 1, maxLength: 400 }),
      fc.constantFrom(
        '',
        'PUT /v1/endpoint/0 HTTP/1.1\r\nContent-Length: 5\r\n\r\n',
        'GET /v1/%zz HTTP/1.1\r\n',
      ),
      async (bytes, head) => {
        await raw(agent, Buffer.concat([Buffer.from(head), bytes, Buffer.from('\r\n\r\n')]));
      },
    ),
    { numRuns: 40 },
  );
  expect(agent.endpoints.size).toBe(0);
  expect((await call(agent, 'GET', '/v1/healthz')).status).toBe(200);
}, 60_000);
