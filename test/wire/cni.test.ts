import { expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { replayDeleteQueue } from '../../src/daemon/endpoint/delete-queue.ts';
import { formatAddress } from '../../src/net/address.ts';
import { dumpInterfaceAddresses } from '../../src/net/netlink/interface-address.ts';
import { deleteLink, getLink } from '../../src/net/netlink/link.ts';
import { dumpNeighbors } from '../../src/net/netlink/neighbor.ts';
import { dumpRoutes } from '../../src/net/netlink/route.ts';
import { NetlinkSocket } from '../../src/net/netlink/socket.ts';
import { Netns, withNetns } from '../../src/net/netns.ts';
import { formatPrefix } from '../../src/net/prefix.ts';
import { CniNode } from './cni-fixture.ts';

async function node(...options: ConstructorParameters<typeof CniNode>): Promise<CniNode> {
  const made = new CniNode(...options);
  await made.agent.listen();
  return made;
}

function inPod<T>(path: string, body: (socket: NetlinkSocket) => T): T {
  using netns = Netns.open(path);
  return withNetns(netns.fd, () => {
    using socket = NetlinkSocket.open();
    return body(socket) as T extends PromiseLike<unknown> ? never : T;
  }) as T;
}

async function eventually(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition() && tries < 1000; tries++) await Bun.sleep(2);
  expect(condition()).toBe(true);
}

test.each(['0.3.1', '0.4.0', '1.0.0', '1.1.0'])('ADD, CHECK and DEL with %s', async (version) => {
  await using cluster = await node();
  const netns = cluster.pod('a');
  const conf = cluster.conf(version, {
    args: { cni: { labels: [{ key: 'app', value: 'web' }] } },
  });
  const added = await cluster.call({ command: 'ADD', containerId: 'c1', netns, conf });
  expect([added.stderr, added.exitCode]).toEqual(['', 0]);
  const old = version.startsWith('0.');
  expect(added.json).toEqual({
    cniVersion: version,
    interfaces: [
      { name: expect.stringMatching(/^lxc[0-9a-f]{12}$/), mac: expect.any(String) },
      { name: 'eth0', mac: expect.any(String), sandbox: netns },
    ],
    ips: [
      {
        ...(old ? { version: '6' } : {}),
        interface: 1,
        address: 'fd00:10:244::2/128',
        gateway: 'fd00:10:244::1',
      },
      {
        ...(old ? { version: '4' } : {}),
        interface: 1,
        address: '10.244.0.2/32',
        gateway: '10.244.0.1',
      },
    ],
    routes: [
      { dst: 'fd00:10:244::1/128' },
      { dst: '::/0', gw: 'fd00:10:244::1', mtu: 1500 },
      { dst: '10.244.0.1/32' },
      { dst: '0.0.0.0/0', gw: '10.244.0.1', mtu: 1500 },
    ],
    ...(old ? { dns: {} } : {}),
  });
  const [row] = [...cluster.agent.endpoints.all()];
  expect(row).toMatchObject({ podName: 'web-0', namespace: 'shop', state: 'ready' });
  expect(row?.labels).toContain('k8s:app=web');
  expect(cluster.links().length).toBe(1);
  if (version !== '0.3.1') {
    const checked = await cluster.call({
      command: 'CHECK',
      containerId: 'c1',
      netns,
      conf: { ...conf, prevResult: added.json },
    });
    expect([checked.stdout, checked.exitCode]).toEqual(['', 0]);
  }
  const deleted = await cluster.call({ command: 'DEL', containerId: 'c1', netns, conf });
  expect([deleted.stdout, deleted.exitCode]).toEqual(['', 0]);
  await eventually(() => cluster.links().length === 0);
  expect(cluster.agent.endpoints.size).toBe(0);
  expect([...cluster.agent.addresses.all()].map((one) => one.owner)).toEqual(['router', 'router']);
  const again = await cluster.call({ command: 'DEL', containerId: 'c1', netns, conf });
  expect([again.stdout, again.exitCode]).toEqual(['', 0]);
});

test('what ADD sets up, on both sides', async () => {
  await using cluster = await node();
  const netns = cluster.pod('a');
  const added = await cluster.call({ command: 'ADD', containerId: 'c1', netns });
  const [host, pod] = added.json.interfaces;
  const inside = inPod(netns, (socket) => {
    const link = getLink(socket, 'eth0');
    return {
      link,
      lo: getLink(socket, 'lo'),
      addresses: dumpInterfaceAddresses(socket, { device: link!.index })
        .filter((one) => one.scope === 0)
        .map((one) => [formatAddress(one.address), one.length, one.tentative]),
      routes: dumpRoutes(socket, { table: 254 }).map((route) => ({
        to: formatPrefix(route.destination),
        via: route.via && formatAddress(route.via),
        mtu: route.mtu,
      })),
      neighbors: dumpNeighbors(socket)
        .filter((one) => one.state === 0x80)
        .map((one) => [formatAddress(one.address), one.mac]),
    };
  });
  expect(inside.link).toMatchObject({ mac: pod.mac, up: true, mtu: 1500 });
  expect(inside.lo?.up).toBe(true);
  expect(inside.addresses).toEqual([
    ['10.244.0.2', 32, false],
    ['fd00:10:244::2', 128, false],
  ]);
  expect(inside.routes).toContainEqual({ to: '0.0.0.0/0', via: '10.244.0.1', mtu: 1500 });
  expect(inside.routes).toContainEqual({ to: '::/0', via: 'fd00:10:244::1', mtu: 1500 });
  expect(inside.neighbors.toSorted()).toEqual([
    ['10.244.0.1', host.mac],
    ['fd00:10:244::1', host.mac],
  ]);
  const outside = cluster.inNode((socket) => {
    const link = getLink(socket, host.name)!;
    return {
      link,
      routes: dumpRoutes(socket, { table: 254, device: link.index }).map((route) => [
        formatPrefix(route.destination),
        route.source && formatAddress(route.source),
      ]),
      neighbors: dumpNeighbors(socket, { device: link.index })
        .filter((one) => one.state === 0x80)
        .map((one) => [formatAddress(one.address), one.mac]),
    };
  });
  expect(outside.link).toMatchObject({ up: true, mac: host.mac });
  expect(outside.routes).toEqual([
    ['10.244.0.2/32', '10.244.0.1'],
    ['fd00:10:244::2/128', 'fd00:10:244::1'],
  ]);
  expect(outside.neighbors.toSorted()).toEqual([
    ['10.244.0.2', pod.mac],
    ['fd00:10:244::2', pod.mac],
  ]);
  for (const target of ['10.244.0.1', 'fd00:10:244::1']) {
    const ping = Bun.spawnSync(['nsenter', `--net=${netns}`, 'ping', '-c1', '-W2', target]);
    expect([target, ping.exitCode]).toEqual([target, 0]);
  }
});

test('the pod has no carrier before the agent has built its endpoint', async () => {
  const seen: boolean[] = [];
  await using cluster = await node({
    build: (row, agent) => {
      const link = cluster.inNode((socket) => getLink(socket, row.ifindex));
      seen.push(link?.up ?? true);
      agent.finish(row);
    },
  });
  const added = await cluster.call({ command: 'ADD', containerId: 'c1', netns: cluster.pod('a') });
  expect(added.exitCode).toBe(0);
  expect(seen).toEqual([false]);
});

test('an ADD that the agent refuses leaves nothing', async () => {
  await using cluster = await node({
    build: (row, agent) =>
      agent.endpoints.upsert({
        ...row,
        status: { kind: 'error', message: 'map full', attempts: 1 },
      }),
  });
  const netns = cluster.pod('a');
  const added = await cluster.call({ command: 'ADD', containerId: 'c1', netns });
  expect(added.exitCode).toBe(1);
  expect(added.json).toMatchObject({ cniVersion: '1.0.0', code: 111 });
  expect(added.json.msg).toContain('map full');
  expect(cluster.links()).toEqual([]);
  expect(inPod(netns, (socket) => getLink(socket, 'eth0'))).toBeUndefined();
  expect(cluster.agent.endpoints.size).toBe(0);
  expect(cluster.agent.addresses.size).toBe(2);
});

test('an ADD without addresses left says so', async () => {
  await using cluster = await node({ ipv4: '10.9.0.0/30' });
  const first = cluster.pod('a');
  expect((await cluster.call({ command: 'ADD', containerId: 'c1', netns: first })).exitCode).toBe(
    0,
  );
  const second = cluster.pod('b');
  const added = await cluster.call({ command: 'ADD', containerId: 'c2', netns: second });
  expect(added.json).toMatchObject({ code: 110 });
  expect(added.json.msg).toContain('10.9.0.0/30');
  expect(cluster.links().length).toBe(1);
  expect(inPod(second, (socket) => getLink(socket, 'eth0'))).toBeUndefined();
});

test('a killed ADD is cleaned up by DEL, and a second ADD replaces what it left', async () => {
  const built = Promise.withResolvers<void>();
  let hold = true;
  await using cluster = await node({
    build: (row, agent) => (hold ? built.resolve() : agent.finish(row)),
  });
  const netns = cluster.pod('a');
  const child = cluster.call({
    command: 'ADD',
    containerId: 'c1',
    netns,
    environment: { CNI_TEST_TAG: cluster.name },
  });
  await built.promise;
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
      if (environment.includes(`CNI_TEST_TAG=${cluster.name}`))
        process.kill(Number(pid), 'SIGKILL');
    } catch {
      // Gone already.
    }
  }
  expect((await child).exitCode).not.toBe(0);
  await eventually(() => cluster.agent.endpoints.size === 0);
  hold = false;
  const second = await cluster.call({ command: 'ADD', containerId: 'c1', netns });
  expect([second.stderr, second.exitCode]).toEqual(['', 0]);
  expect(cluster.links().length).toBe(1);
  const third = await cluster.call({ command: 'ADD', containerId: 'c1', netns });
  expect(third.json.msg).toContain('already exists');
  expect(cluster.links().length).toBe(1);
});

test('DEL with the agent down is queued, removes the interface, and is carried out later', async () => {
  await using cluster = await node();
  const netns = cluster.pod('a');
  expect((await cluster.call({ command: 'ADD', containerId: 'c1', netns })).exitCode).toBe(0);
  await cluster.agent.stopListening();
  const deleted = await cluster.call({ command: 'DEL', containerId: 'c1', netns });
  expect([deleted.stdout, deleted.exitCode]).toEqual(['', 0]);
  expect(cluster.links()).toEqual([]);
  const queue = `${cluster.agent.directory}/deleteQueue`;
  expect(readdirSync(queue).length).toBe(1);
  writeFileSync(`${queue}/bad.delete`, 'garbage garbage');
  const replayed = replayDeleteQueue(cluster.agent.directory, (id) =>
    cluster.agent.reflector.deleteContainer(id),
  );
  expect(replayed.containerIds).toEqual(['c1']);
  expect(replayed.ignored.length).toBe(1);
  expect(readdirSync(queue)).toEqual([]);
  expect(cluster.agent.endpoints.size).toBe(0);
});

test('what needs the agent fails quickly without it', async () => {
  await using cluster = await node();
  await cluster.agent.stopListening();
  const netns = cluster.pod('a');
  const conf = cluster.conf('1.1.0');
  const added = await cluster.call({ command: 'ADD', containerId: 'c1', netns, conf });
  expect(added.json).toMatchObject({ code: 11, msg: 'DaemonDown', cniVersion: '1.1.0' });
  expect(cluster.links()).toEqual([]);
  const status = await cluster.call({ command: 'STATUS', conf });
  expect(status.json).toMatchObject({ code: 50 });
  const prevResult = { interfaces: [{ name: 'eth0', sandbox: netns }], ips: [] };
  const checked = await cluster.call({
    command: 'CHECK',
    containerId: 'c1',
    netns,
    conf: { ...conf, prevResult },
  });
  expect(checked.json).toMatchObject({ code: 11 });
});

test('DEL succeeds without a namespace, with a vanished one, and for what never was', async () => {
  await using cluster = await node();
  const netns = cluster.pod('a');
  expect((await cluster.call({ command: 'ADD', containerId: 'c1', netns })).exitCode).toBe(0);
  cluster.deletePod(netns);
  for (const path of ['', netns, '/run/netns/nonexistent']) {
    const deleted = await cluster.call({ command: 'DEL', containerId: 'c1', netns: path });
    expect([path, deleted.exitCode, deleted.stdout]).toEqual([path, 0, '']);
  }
  expect(cluster.agent.endpoints.size).toBe(0);
});

test('CHECK says what is wrong', async () => {
  await using cluster = await node();
  const netns = cluster.pod('a');
  const conf = cluster.conf('1.1.0');
  const added = await cluster.call({ command: 'ADD', containerId: 'c1', netns, conf });
  const check = (prevResult: unknown) =>
    cluster.call({ command: 'CHECK', containerId: 'c1', netns, conf: { ...conf, prevResult } });
  expect((await check(undefined)).json).toMatchObject({ code: 7 });
  const wrongIp = structuredClone(added.json);
  wrongIp.ips[1].address = '10.244.0.77/32';
  expect((await check(wrongIp)).json.msg).toBe('expected ip 10.244.0.77/32 on interface eth0');
  inPod(netns, (socket) => socket.request(deleteLink('eth0')));
  expect((await check(added.json)).json.msg).toBe('cannot find container link eth0');
  cluster.agent.reflector.deleteContainer('c1');
  expect((await check(added.json)).json).toMatchObject({ code: 100 });
});

test('STATUS and GC', async () => {
  await using cluster = await node();
  const conf = cluster.conf('1.1.0');
  expect((await cluster.call({ command: 'STATUS', conf })).exitCode).toBe(0);
  expect(
    (await cluster.call({ command: 'STATUS', conf: cluster.conf('0.3.1') })).json,
  ).toMatchObject({
    code: 1,
    msg: 'config version does not allow STATUS',
  });
  for (const name of ['a', 'b']) {
    const netns = cluster.pod(name);
    const added = await cluster.call({ command: 'ADD', containerId: name, netns, podName: name });
    expect(added.exitCode).toBe(0);
  }
  expect((await cluster.call({ command: 'GC', conf })).exitCode).toBe(0);
  expect(cluster.agent.endpoints.size).toBe(2);
  const valid = { ...conf, 'cni.dev/valid-attachments': [{ containerID: 'b', ifname: 'eth0' }] };
  expect((await cluster.call({ command: 'GC', conf: valid })).exitCode).toBe(0);
  expect([...cluster.agent.endpoints.all()].map((row) => row.containerId)).toEqual(['b']);
});

test('a previous result is kept and ours comes behind it', async () => {
  await using cluster = await node();
  const netns = cluster.pod('a');
  const prevResult = {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'net0', sandbox: netns }],
    ips: [{ address: '192.0.2.5/24', interface: 0 }],
    routes: [{ dst: '198.51.100.0/24' }],
    dns: { nameservers: ['192.0.2.1'] },
  };
  const conf = cluster.conf('1.0.0', { prevResult });
  const added = await cluster.call({ command: 'ADD', containerId: 'c1', netns, conf });
  expect(added.json.interfaces.map((one: { name: string }) => one.name)).toEqual([
    'net0',
    expect.stringMatching(/^lxc/),
    'eth0',
  ]);
  expect(added.json.ips.map((one: { interface: number }) => one.interface)).toEqual([0, 2, 2]);
  expect(added.json.dns).toEqual({ nameservers: ['192.0.2.1'] });
});

test('eight pods at once get different addresses, and all go', async () => {
  await using cluster = await node();
  const pods = Array.from({ length: 8 }, (_, index) => ({
    containerId: `c${index}`,
    podName: `pod-${index}`,
    netns: cluster.pod(`p${index}`),
  }));
  const added = await Promise.all(pods.map((pod) => cluster.call({ command: 'ADD', ...pod })));
  expect(added.map((one) => one.exitCode)).toEqual(pods.map(() => 0));
  expect(new Set(added.map((one) => one.json.ips[1].address)).size).toBe(8);
  await Promise.all(pods.map((pod) => cluster.call({ command: 'DEL', ...pod })));
  await eventually(() => cluster.links().length === 0);
  expect(cluster.agent.addresses.size).toBe(2);
  expect(cluster.agent.reflector.detaching).toBe(0);
  expect(existsSync(`${cluster.agent.directory}/deleteQueue`)).toBe(false);
}, 30_000);
