/**
 * @module
 * `cilium policy`, `status` and `dbg` about the policies of a running agent, which must say what packets
 * see. Runs the built executable, or what CILIUM_EXE says.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { eventually, type Pod, TestNode } from '../net/harness.ts';
import { addresses } from '../net/world.ts';
import { allowsFrontend, ciliumPolicy, command, denyAll, PolicyFolder } from './policy-fixture.ts';

const folder = new PolicyFolder();
let node: TestNode;
let pods: Record<'frontend' | 'backend' | 'intruder', Pod>;
const port = 8080;

beforeAll(async () => {
  node = await TestNode.create();
  pods = {
    frontend: await node.addPod('frontend'),
    backend: await node.addPod('backend'),
    intruder: await node.addPod('intruder'),
  };
  await node.changePolicy(() => node.writePolicy('allow.yaml', allowsFrontend));
  await (await node.traffic(pods.backend)).call('tcpServe', { port });
});
afterAll(async () => {
  folder[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

const live = (...args: string[]) =>
  folder.run([...args, '-H', node.socketPath], '', {
    HUBBLE_SERVER: `unix://${node.hubbleSocket}`,
  });

test('labels pick rules, endpoints and identities', async () => {
  const dbg = async (...args: string[]) =>
    await node.run(['dbg', ...args], 'node', { CILIUM_SOCK: node.socketPath });
  const found = await dbg('endpoint', 'get', '-l', 'k8s:app=frontend');
  expect(found.stdout).toContain('app=frontend');
  // An identity is asked for by all of its labels.
  for (const args of [
    ['identity', 'list', 'k8s:app=frontend'],
    ['policy', 'get', 'nobody=has-it'],
  ]) {
    expect((await dbg(...args)).stderr).toContain('[404]');
  }
});

test('what of the policies is not as it is meant is a problem: two files, equal priorities, nodes without a firewall', async () => {
  const forNodes = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumClusterwideNetworkPolicy',
    metadata: { name: 'nodes' },
    spec: { nodeSelector: {}, ingress: [{ fromEntities: ['cluster'] }] },
  };
  const message = async () => (await node.health()).msg;
  await node.changePolicy(() => node.writePolicy('again.yaml', allowsFrontend));
  const twins = 'CiliumNetworkPolicy default/backend-allows-frontend in again.yaml and allow.yaml';
  await eventually('two files to be told', async () => (await message()).includes(twins));
  await node.changePolicy(() => node.writePolicy('again.yaml', forNodes));
  const idle = 'not carried out without enable-host-firewall: nodes';
  await eventually('a policy for nodes to be told', async () => (await message()).includes(idle));
  const denies = ['one', 'other'].map((name) => ({
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name },
    spec: {
      ...{ tier: 'Admin', priority: 7, subject: { namespaces: {} } },
      ingress: [{ action: 'Deny', from: [{ namespaces: { matchLabels: { of: name } } }] }],
    },
  }));
  await node.changePolicy(() => node.writePolicy('again.yaml', denies));
  const equal = 'comes first: one and other (tier Admin, priority 7)';
  await eventually('equal priorities to be told', async () => (await message()).includes(equal));
  expect((await node.run(['status'], 'node', { CILIUM_SOCK: node.socketPath })).stdout).toContain(
    equal,
  );
  await node.changePolicy(() => node.removePolicy('again.yaml'));
  await eventually('nothing to be told', async () => (await node.health()).state === 'Ok');
});

test('flags that are for files are refused', () => {
  const { code, stderr } = live('why', 'frontend', 'backend:8080', '--enable-policy', 'always');
  expect(stderr).toContain('--enable-policy is for files');
  expect(code).toBe(2);
});

test('why says what packets see', async () => {
  for (const [name, code] of [
    ['frontend', 0],
    ['intruder', 1],
  ] as const) {
    expect(live('why', name, `backend:${port}`).code).toBe(code);
    for (const host of [pods.backend.address[4], pods.backend.address[6]]) {
      const outcome = await (await node.traffic(pods[name])).call('connect', { host, port });
      expect([name, outcome.result === 'echo']).toEqual([name, code === 0]);
    }
  }
});

test('diff against a policy that is not applied', () => {
  folder.write('deny.yaml', denyAll);
  const { stdout, code } = live('diff', '-f', 'deny.yaml');
  expect(stdout).toBe('no difference\n');
  expect(code).toBe(0);
  folder.write(
    'open.yaml',
    ciliumPolicy('backend-allows-frontend', {
      endpointSelector: { matchLabels: { app: 'backend' } },
      ingress: [{ fromEndpoints: [{}] }],
    }),
  );
  const opened = live('diff', '-f', 'open.yaml');
  expect(opened.stdout).toContain('+ default/intruder -> default/backend all traffic denied');
  expect(opened.code).toBe(1);
});

test('the latest flows, suggested and simulated', () => {
  const suggested = folder.run(['suggest', '--last', '500'], '', {
    HUBBLE_SERVER: `unix://${node.hubbleSocket}`,
  });
  expect(suggested.stdout).toContain('app: frontend');
  expect(suggested.stdout).not.toContain('intruder');
  folder.writeText('live.yaml', suggested.stdout);
  expect(live('simulate', '-f', 'live.yaml', '--last', '500').code).toBe(0);
});

test('a denial that is only audited is told as one, by endpoint and by agent', async () => {
  const audit = async (path: string, PolicyAuditMode: string) => {
    const body = JSON.stringify({ options: { PolicyAuditMode } });
    expect((await node.rest('PATCH', path, body)).status).toBe(200);
  };
  const asked = ['why', 'intruder', 'backend:8080'];
  const heading = (name: string) => live('why', name, 'backend:9090').stdout.split('\n')[0];
  const denied = 'denied: default/frontend -> default/backend 9090/TCP';
  expect(live('matrix').stdout).not.toContain('audited');
  const { id } = (await node.endpoints()).find(
    (one) => one.status['external-identifiers']['k8s-pod-name'] === 'backend',
  );
  const expectAudited = async () => {
    const { stdout, code } = live(...asked);
    expect(stdout).toStartWith('audited: would be denied: default/intruder -> default/backend');
    expect(stdout).toContain('; only audited, so it goes on\n');
    expect(code).toBe(1);
    expect(JSON.parse(live(...asked, '-o', 'json').stdout)).toMatchObject({
      ...{ verdict: 'denied', audit: true },
      ...{ egress: { audit: false }, ingress: { verdict: 'denied', audit: true } },
    });
    const pairs = live('matrix', '-p', '8080', '-o', 'list').stdout;
    expect(pairs).toMatch(/intruder +default\/backend +8080\/TCP +audited: would be denied by /);
    expect(live('matrix', '-p', '8080').stdout).toMatch(
      /audited: would be denied, (.|\n)*intruder a /,
    );
    const rows = JSON.parse(live('matrix', '-p', '8080', '-o', 'json').stdout);
    expect(rows).toContainEqual(
      expect.objectContaining({
        ...{ from: 'default/intruder', to: 'default/backend', audit: true },
        egress: { verdict: 'allowed', rules: [], audit: false },
        ingress: expect.objectContaining({ verdict: 'denied', audit: true }),
      }),
    );
    const outcome = await (await node.traffic(pods.intruder)).call('connect', {
      host: pods.backend.address[4],
      port: 8080,
    });
    expect(outcome.result).toBe('echo');
  };
  await audit(`/endpoint/${id}/config`, 'Enabled');
  await eventually('the endpoint to be audited', () => heading('frontend') !== denied);
  await expectAudited();
  await audit(`/endpoint/${id}/config`, 'Disabled');
  await eventually('the endpoint to be enforced', () => heading('frontend') === denied);
  const status = (...more: string[]) =>
    node.run(['status', ...more], 'node', { CILIUM_SOCK: node.socketPath });
  expect((await status()).stdout).toMatch(/^Policy audit mode: +Disabled$/m);
  await audit('/config', 'Enabled');
  await expectAudited();
  const told = 'policy-audit-mode is on: policy denies nothing';
  expect((await status()).stdout).toMatch(/^Policy audit mode: +Enabled$/m);
  expect((await status()).stdout).toContain(`Problems:\n  ! ${told}`);
  const brief = await status('--brief');
  expect(brief.stdout).toMatch(new RegExp(`^warning: .*${told}`));
  expect(brief.exitCode).toBe(0);
  await audit('/config', 'Disabled');
  expect((await status('--brief')).stdout).toBe('OK\n');
  expect(heading('frontend')).toBe(denied);
});

test('dbg bpf policy get shows the blocks behind peers', async () => {
  const fromBlock = ciliumPolicy('block', {
    endpointSelector: { matchLabels: { app: 'backend' } },
    ingress: [{ fromCIDRSet: [{ cidr: '192.0.2.0/24', except: ['192.0.2.128/25'] }] }],
  });
  await node.changePolicy(() => node.writePolicy('block.yaml', fromBlock));
  const { id } = (await node.endpoints()).find(
    (one) => one.status['external-identifiers']['k8s-pod-name'] === 'backend',
  );
  const get = ['dbg', 'bpf', 'policy', 'get', String(id)];
  const environment = { CILIUM_SOCK: node.socketPath };
  const { stdout } = await node.run(get, 'node', environment);
  expect(stdout).toMatch(/in 192\.0\.2\.0\/24 *\n +except 192\.0\.2\.128\/25/);
  const rows = JSON.parse((await node.run([...get, '-o', 'json'], 'node', environment)).stdout);
  expect(rows).toContainEqual(
    expect.objectContaining({
      identity: 9,
      blocks: { in: ['192.0.2.0/24'], except: ['192.0.2.128/25'] },
    }),
  );
  await node.changePolicy(() => node.removePolicy('block.yaml'));
});

test('dbg endpoint config shows and changes the options of one endpoint, dbg config those of all', async () => {
  const dbg = (...args: string[]) =>
    node.run(['dbg', ...args], 'node', { CILIUM_SOCK: node.socketPath });
  const [id = '', other = ''] = (await node.endpoints()).map((one) => String(one.id));
  const auditOf = async (endpoint: string) =>
    JSON.parse((await dbg('endpoint', 'config', endpoint, '-o', 'json')).stdout).realized.options
      .PolicyAuditMode;
  expect((await dbg('endpoint', 'config', id)).stdout).toMatch(/^PolicyAuditMode +: Disabled$/m);
  expect((await dbg('endpoint', 'config', id, 'PolicyAuditMode=Enabled')).stdout).toBe(
    `Endpoint ${id} configuration updated successfully\n`,
  );
  expect([await auditOf(id), await auditOf(other)]).toEqual(['Enabled', 'Disabled']);
  await dbg('endpoint', 'config', id, 'PolicyAuditMode=disable');
  expect(await auditOf(id)).toBe('Disabled');
  for (const [args, reason] of [
    [[id, 'Nothing=Enabled'], 'unknown option "Nothing"'],
    [[id, 'PolicyAuditMode=perhaps'], 'neither enabled nor disabled'],
    [[id, 'PolicyAuditMode'], 'needs a value'],
    [['65000'], '[404]'],
  ] as const) {
    const { stderr, exitCode } = await dbg('endpoint', 'config', ...args);
    expect(stderr).toContain(reason);
    expect(exitCode).toBe(1);
  }
  const fixed = await dbg('config', 'PolicyEnforcement=always');
  expect(fixed.stderr).toContain('"PolicyEnforcement" is read-only');
  expect(fixed.exitCode).toBe(1);
});

test('the node is judged by the address by which it speaks to its pods', async () => {
  const traffic = await node.traffic('node');
  const host = pods.backend.address[4];
  const own = addresses.podGateway[4];
  const except = ['198.51.100.0/24'];
  for (const [from, expected] of [
    [{ cidr: `${own}/32` }, 'allowed'],
    [{ cidr: `${addresses.node[4]}/32` }, 'denied'],
    [{ cidr: '0.0.0.0/0', except: [...except, `${own}/32`] }, 'denied'],
    [{ cidr: '0.0.0.0/0', except: [...except, `${addresses.node[4]}/32`] }, 'allowed'],
  ] as const) {
    const policy = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'by-block', namespace: 'default' },
      spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: from }] }] },
    };
    await node.changePolicy(() => node.writePolicy('by-block.yaml', policy));
    const told = live('why', 'host', `backend:${port}`, '--ipv4');
    expect([from, told.stdout]).toEqual([from, expect.stringContaining(`${expected}: host`)]);
    const row = JSON.parse(
      live('matrix', '--external', 'host', '-p', `${port}`, '--ipv4', '-o', 'json').stdout,
    ).find(
      (each: { from: string; to: string }) => each.from === 'host' && each.to === 'default/backend',
    );
    expect(row.verdict).toBe(expected);
    const outcome = await traffic.call('connect', { host, port });
    expect([from, outcome.result === 'echo']).toEqual([from, expected === 'allowed']);
  }
  await node.changePolicy(() => node.removePolicy('by-block.yaml'));
});

test('what of the files is not in force is said with every answer', async () => {
  expect(live('why', 'frontend', `backend:${port}`).stderr).toBe('');
  node.writePolicy('broken.yaml', { kind: 'Nonsense' });
  await eventually('the refusal', () => live('matrix').stderr !== '');
  const { stderr, code } = live('why', 'frontend', `backend:${port}`);
  expect(stderr).toStartWith('warning: refused');
  expect(stderr).toContain('broken.yaml');
  expect(code).toBe(0);
  node.removePolicy('broken.yaml');
  await eventually('the end of it', () => live('matrix').stderr === '');
});

test('dbg policy wait', async () => {
  const wait = (revision: number, ...more: string[]) =>
    Bun.spawnSync([
      ...[...command, 'dbg', '-H', node.socketPath, 'policy', 'wait', String(revision)],
      ...more,
    ]).exitCode;
  const revision = await node.revision();
  expect(wait(revision)).toBe(0);
  // The line of the README.
  const get = ['dbg', 'policy', 'get', '-o', 'jsonpath={.revision}'];
  const { stdout } = await node.run(get, 'node', { CILIUM_SOCK: node.socketPath });
  expect(stdout.trim()).toBe(String(revision));
  expect(wait(revision + 100, '--max-wait-time', '1', '--sleep-time', '1')).toBe(1);
});
