/**
 * @module Garbage wherever something can be written: the REST socket, the plugin's standard input,
 * the state directory, policy files. A clear error, nothing half-applied, and the agent goes on.
 */
import { expect, test } from 'bun:test';
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { eventually, type Json, type Pod, TestNode } from './harness.ts';
import { app, policy, ports } from './policy-fixture.ts';

const garbage = [
  '',
  '\0\0\0',
  '{',
  '[]',
  'null',
  '"text"',
  '{"__proto__": {"a": 1}}',
  `${'['.repeat(20_000)}`,
  '- &a [*a, *a]',
  'a'.repeat(2_000_000),
  '\ufeff{}',
  '{"cniVersion": 7}',
] as const;

async function expectUntouched(node: TestNode, pod: Pod): Promise<void> {
  expect(node.isRunning()).toBe(true);
  const endpoints = await node.endpoints();
  expect(endpoints.map((one: Json) => one.status.state)).toEqual(['ready']);
  const ping = await (await node.traffic('node')).call('ping', { host: pod.address[4] });
  expect(ping.kind).toBe('reply');
}

interface RawAnswer {
  readonly text: string;
  readonly closed: boolean;
}

/** Answered that it was wrong, or the connection closed: nobody is left waiting. */
function expectRefused({ text, closed }: RawAnswer): void {
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1];
  expect({ status, closed, isRefused: status === undefined ? closed : status[0] === '4' }).toEqual({
    ...{ status, closed },
    isRefused: true,
  });
}

/** Bytes to the socket as they are, then its end; resolves with what came back until the agent closed. */
async function sendRaw(path: string, bytes: Uint8Array): Promise<RawAnswer> {
  let text = '';
  let isClosed = false;
  const closed = Promise.withResolvers<void>();
  const close = () => {
    isClosed = true;
    closed.resolve();
  };
  const socket = await Bun.connect({
    unix: path,
    socket: {
      data: (_, chunk) => {
        text += chunk.toString('latin1');
      },
      end: () => close(),
      close: () => close(),
      error: () => close(),
    },
  });
  socket.write(bytes);
  socket.flush();
  socket.shutdown();
  // The deadline is for an agent that leaves its client waiting.
  await Promise.race([closed.promise, Bun.sleep(5000)]);
  const answer = { text, closed: isClosed };
  socket.terminate();
  return answer;
}

test('REST socket', async () => {
  await using node = await TestNode.create();
  const pod = await node.addPod('a');
  const allocations = async () => (await node.rest('GET', '/healthz')).json.ipam.allocations;
  const before = await allocations();
  const paths = [
    '/endpoint/0',
    '/endpoint/1',
    '/endpoint/cni-attachment-id:x',
    '/ipam/10.244.0.900',
    '/config',
    '/policy',
    '/nothing',
    '/endpoint/%ff',
    '/endpoint/0/labels',
  ];
  for (const path of paths) {
    for (const method of ['PUT', 'PATCH', 'POST', 'DELETE']) {
      for (const body of garbage.slice(0, 9)) {
        // An object of unknown fields changes nothing, and that is granted.
        if (path === '/config' && body.startsWith('{"')) continue;
        const { status, text } = await node.rest(method, path, body);
        // The client's fault, or something that this version does not do: never the agent's. Upstream
        // answers 500 to whatever is wrong with an address, and so do we.
        const isAddress = path.startsWith('/ipam/') && status === 500;
        const isRefused = (status >= 400 && status < 500) || status === 501 || isAddress;
        const isExplained = text.trim() !== '' || status === 404 || status === 405;
        expect({ method, path, body: body.slice(0, 20), status, isRefused, isExplained }).toEqual({
          ...{ method, path, body: body.slice(0, 20), status },
          ...{ isRefused: true, isExplained: true },
        });
      }
    }
  }
  const { status } = await node.rest('PUT', '/endpoint/0', garbage[9]);
  expect([400, 413]).toContain(status);
  await fc.assert(
    fc.asyncProperty(fc.json(), async (body) => {
      const { status, text } = await node.rest('PUT', '/endpoint/0', body);
      expect([status >= 400 && status < 500, text !== '']).toEqual([true, true]);
    }),
    { numRuns: 60 },
  );
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
      expectRefused(await sendRaw(node.socketPath, bytes));
      expect((await node.rest('GET', '/healthz')).status).toBe(200);
    }),
    { numRuns: 20 },
  );
  const long = await sendRaw(
    node.socketPath,
    Buffer.from(`GET /v1/healthz HTTP/1.1\r\n${'x: y\r\n'.repeat(50_000)}`),
  );
  expectRefused(long);
  const huge = await sendRaw(
    node.socketPath,
    Buffer.from('PUT /v1/endpoint/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n{'),
  );
  expectRefused(huge);
  expect(await allocations()).toEqual(before);
  await expectUntouched(node, pod);
}, 60_000);

test('standard input of the plugin', async () => {
  await using node = await TestNode.create();
  const pod = await node.addPod('a');
  const links = node.links();
  node.createPodNetns('b');
  for (const stdin of garbage) {
    for (const command of ['ADD', 'DEL', 'CHECK']) {
      const answer = await node.cni(command, { name: 'b', stdin });
      expect([command, stdin.slice(0, 20), answer.exitCode]).toEqual([
        command,
        stdin.slice(0, 20),
        1,
      ]);
      expect(answer.json.code).toBeGreaterThan(0);
      expect(answer.json.msg).not.toBe('');
    }
  }
  expect(node.links()).toEqual(links);
  await expectUntouched(node, pod);
}, 60_000);

test('state directory', async () => {
  await using node = await TestNode.create();
  const pod = await node.addPod('a');
  await node.changePolicy(() =>
    node.writePolicy(
      'p.json',
      policy('p', { endpointSelector: {}, ingress: [{ fromEntities: ['all'] }] }),
    ),
  );
  await node.stopAgent('SIGKILL');
  const state = join(node.stateFolder, 'state');
  for (const [at, text] of garbage.entries()) {
    const folder = join(state, String(60_000 + at));
    mkdirSync(folder);
    writeFileSync(join(folder, 'ep_config.json'), text);
    mkdirSync(join(node.stateFolder, 'deleteQueue'), { recursive: true });
    writeFileSync(join(node.stateFolder, 'deleteQueue', `${at}.delete`), text);
    mkdirSync(join(node.stateFolder, 'last-good-policies'), { recursive: true });
    writeFileSync(join(node.stateFolder, 'last-good-policies', `${at}.yaml`), text);
  }
  mkdirSync(join(state, '61000'));
  mkdirSync(join(state, 'not-a-number'));
  writeFileSync(join(state, '61001'), 'a file');
  for (const file of ['pod-ranges.json', 'sysctl-journal.json']) {
    writeFileSync(join(node.stateFolder, file), '{"a": [');
  }
  await node.startAgent();
  await expectUntouched(node, pod);
  expect(readdirSync(join(node.stateFolder, 'deleteQueue'))).toEqual([]);
  expect(
    readdirSync(state).filter((name) => name.endsWith('.corrupt')).length,
  ).toBeGreaterThanOrEqual(garbage.length);
  // Set aside once, it is no trouble to the next agent, which finds its pod as before.
  await node.stopAgent('SIGKILL');
  await node.startAgent();
  await expectUntouched(node, pod);
  const other = await node.cni('ADD', { name: 'b', netns: node.createPodNetns('b') });
  expect(other.exitCode).toBe(0);
}, 60_000);

/** Gives a policy file another name, and waits until the agent knows it by that alone. */
async function rename(node: TestNode, before: string, after: string): Promise<void> {
  renameSync(join(node.policyFolder, before), join(node.policyFolder, after));
  await eventually(`${before} to be known as ${after}`, async () => {
    const names = (await node.table('policy-files')).map((one: Json) => one.name);
    return names.includes(after) && !names.includes(before);
  });
}

test('policy files, while the agent runs and when it starts', async () => {
  await using node = await TestNode.create();
  const pod = await node.addPod('a');
  const client = await node.traffic('node');
  const inside = await node.traffic(pod);
  for (const port of [7000, 7001]) await inside.call('tcpServe', { port });
  const verdicts = async () => {
    const host = pod.address[4];
    const targets = [7000, 7001].map((port) => ({ host, port, timeoutMs: 300 }));
    return (await client.call('connectMany', { targets })).map(({ result }) => result);
  };
  const good = policy('p', {
    endpointSelector: app('a'),
    ingress: [{ toPorts: ports('TCP/7000') }],
  });
  await node.changePolicy(() => node.writePolicy('p.json', good));
  expect(await verdicts()).toEqual(['echo', 'timeout']);

  const unsound = [
    ...garbage,
    JSON.stringify({ ...good, spec: { endpointSelector: {}, ingress: [], egresss: [] } }),
    JSON.stringify({
      ...good,
      spec: { endpointSelector: {}, egress: [{ toFQDNs: [{ matchName: 'a.b' }] }] },
    }),
    // The second document is what is wrong: the first must not be applied.
    `${JSON.stringify(policy('q', { endpointSelector: app('a'), ingress: [{ toPorts: ports('TCP/7001') }] }))}\n---\n{"kind": "CiliumNetworkPolicy"}`,
  ];
  for (const text of unsound) {
    node.writePolicy('p.json', text);
    await eventually(`${text.slice(0, 30)} to be refused`, async () => {
      const row = (await node.table('policy-files')).find((one: Json) => one.name === 'p.json');
      return row?.status.kind === 'error';
    });
    expect((await node.health()).state).toBe('Warning');
    node.writePolicy('p.json', good);
    await eventually(
      'the good content to be read',
      async () => (await node.health()).state === 'Ok',
    );
  }
  // Read is not yet in force: that takes some milliseconds more.
  await eventually('to be in force', async () =>
    Bun.deepEquals(await verdicts(), ['echo', 'timeout']),
  );

  // At start: what an earlier agent read is in force, and the status says that the file is not.
  node.writePolicy('p.json', unsound.at(-1) ?? '');
  await eventually('to be refused', async () => (await node.health()).state === 'Warning');
  expect(await verdicts()).toEqual(['echo', 'timeout']);
  await node.stopAgent('SIGKILL');
  await node.startAgent();
  expect(await verdicts()).toEqual(['echo', 'timeout']);
  expect((await node.health()).msg).toContain('their last good content is in force: p.json');
  await rename(node, 'p.json', 'q.json');
  expect(await verdicts()).toEqual(['echo', 'timeout']);
  expect((await node.health()).msg).toContain('their last good content is in force: q.json');
  await rename(node, 'q.json', 'p.json');

  // Nothing good was ever read: closed, and status, table and flows say why, until it is mended.
  await node.stopAgent();
  rmSync(join(node.stateFolder, 'last-good-policies'), { recursive: true });
  await node.startAgent();
  expect(await verdicts()).toEqual(['timeout', 'timeout']);
  const health = await node.health();
  expect([health.state, health.msg]).toEqual(['Warning', expect.stringContaining('p.json')]);
  expect(health.msg).toContain('all pods are closed');
  const denied = (await node.flows()).flatMap((flow) => flow.ingress_denied_by);
  expect(denied).toContainEqual(
    expect.objectContaining({
      name: 'p.json',
      kind: 'CiliumNetworkPolicy',
      labels: expect.arrayContaining([
        'reserved:io.cilium.policy.derived-from=unreadable-policy-file',
      ]),
    }),
  );
  await rename(node, 'p.json', 'q.json');
  expect(await verdicts()).toEqual(['timeout', 'timeout']);
  node.writePolicy('q.json', good);
  await eventually('to be in force', async () =>
    Bun.deepEquals(await verdicts(), ['echo', 'timeout']),
  );
  expect((await node.health()).state).toBe('Ok');
  expect(pod.name).toBe('a');
}, 60_000);
