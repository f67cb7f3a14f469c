/**
 * @module Labels that come late: a Pod object that is written after its pod was attached, or that is
 * there before. While identities change nothing passes that neither the old nor the new one lets
 * in, and what both let in goes on.
 */
import { expect, test } from 'bun:test';
import { eventually, type Json, type Pod, TestNode } from './harness.ts';
import { app, policy, ports } from './policy-fixture.ts';
import type { TrafficProcess } from './traffic-process.ts';
import { families } from './world.ts';

const port = 7000;
const changes = 16;
const latePods = 4;

function podObject(name: string, labels: Readonly<Record<string, string>>): object {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default', labels } };
}

/** Pods with the label let nobody in, whoever else does. */
const locked = policy('locked', {
  endpointSelector: { matchLabels: { locked: 'yes' } },
  ingressDeny: [{ fromEntities: ['all'] }],
});

async function labelsInForce(
  node: TestNode,
  name: string,
  wanted: readonly string[],
): Promise<void> {
  await eventually(`labels of ${name}`, async () => {
    const one = (await node.endpoints()).find(
      (each: Json) => each.status['external-identifiers']['k8s-pod-name'] === name,
    );
    if (one?.status.state !== 'ready') return false;
    const own: string[] = one.status.identity.labels;
    return (
      wanted.every((label) => own.includes(label)) &&
      own.includes('k8s:locked=yes') === wanted.includes('k8s:locked=yes')
    );
  });
  await node.policySettled();
}

/** Datagrams that reached the pod's stack, with a server or without. */
async function arrivedAt(traffic: TrafficProcess): Promise<number> {
  const counters = await traffic.call('counters', {});
  return ['Udp:InDatagrams', 'Udp:NoPorts', 'Udp6InDatagrams', 'Udp6NoPorts']
    .map((name) => counters[name] ?? 0)
    .reduce((sum, one) => sum + one, 0);
}

async function storm(from: TrafficProcess, id: string, hosts: readonly string[]): Promise<void> {
  for (const host of hosts) {
    await from.call('udpBurst', {
      id: `${id} ${host}`,
      host,
      ports: [port],
      perTick: 1,
      everyMs: 1,
    });
  }
}

async function calm(from: TrafficProcess, id: string, hosts: readonly string[]): Promise<number> {
  let sent = 0;
  for (const host of hosts) sent += (await from.stopStream(`${id} ${host}`)).sent;
  return sent;
}

test('a Pod object that is there first: its policy is in force from the first packet', async () => {
  await using node = await TestNode.create();
  const names = Array.from({ length: latePods }, (_, at) => `late-${at}`);
  const sender = await node.addPod('sender');
  await node.changePolicy(() =>
    node.writePolicy('p.json', [
      locked,
      ...names.map((name) => podObject(name, { locked: 'yes' })),
    ]),
  );
  // Wherever they will be.
  const hosts = Array.from({ length: latePods + 3 }, (_, at) => at + 2).flatMap((last) => [
    `10.244.0.${last}`,
    `fd00:10:244::${last}`,
  ]);
  const from = await node.traffic(sender);
  const others = hosts.filter(
    (host) => !families.some((family) => sender.address[family] === host),
  );
  await storm(from, 'early', others);
  for (const name of names) {
    // The runtime knows nothing of the label.
    const pod = await node.addPod(name, { app: 'late' });
    expect(others).toContain(pod.address[4]);
    expect(others).toContain(pod.address[6]);
    const traffic = await node.traffic(pod);
    const before = node.drops('DROP_POLICY_DENY');
    await eventually('the storm to be denied', () => node.drops('DROP_POLICY_DENY') > before + 50);
    expect([name, await arrivedAt(traffic)]).toEqual([name, 0]);
  }
  // Without an object it is what the runtime says, and the storm is seen.
  const open = await node.addPod('open', { app: 'late' });
  const traffic = await node.traffic(open);
  await eventually('the storm to arrive', async () => (await arrivedAt(traffic)) > 0);
  expect(await calm(from, 'early', others)).toBeGreaterThan(0);
}, 60_000);

test(`${changes} changes under a storm: what no identity lets in never passes, what all do never stops`, async () => {
  await using node = await TestNode.create();
  const [server, friend, stranger] = (await Promise.all(
    ['server', 'friend', 'stranger'].map((name) => node.addPod(name)),
  )) as [Pod, Pod, Pod];
  const base = policy('base', {
    endpointSelector: {},
    ingress: [{ fromEndpoints: [app('friend')], toPorts: ports(`UDP/${port}`) }],
  });
  const phase = (name: string) =>
    policy(`phase-${name}`, {
      endpointSelector: { matchLabels: { phase: name } },
      ingress: [{ fromEndpoints: [app('friend')], toPorts: ports(`UDP/${port}`) }],
      ingressDeny: [{ fromEndpoints: [app('stranger')] }],
    });
  await node.changePolicy(() =>
    node.writePolicy('p.json', [base, locked, phase('odd'), phase('even')]),
  );
  const receiver = await node.traffic(server);
  await receiver.call('udpServe', { port });
  const hosts = families.map((family) => server.address[family]);
  const [good, bad] = [await node.traffic(friend), await node.traffic(stranger)];
  for (const host of hosts) {
    await good.call('stream', { id: host, spec: { kind: 'udp', host, port, perSecond: 300 } });
  }
  await storm(bad, 'bad', hosts);
  for (let count = 0; count < changes; count++) {
    const name = count % 2 === 0 ? 'even' : 'odd';
    const isGone = count % 4 === 3;
    await node.changePolicy(() =>
      node.writePolicy(
        'o.json',
        isGone
          ? [podObject('elsewhere', {})]
          : [podObject('server', { app: 'server', phase: name })],
      ),
    );
    await labelsInForce(node, 'server', isGone ? ['k8s:app=server'] : [`k8s:phase=${name}`]);
  }
  expect(await calm(bad, 'bad', hosts)).toBeGreaterThan(200);
  let received = 0;
  for (const host of hosts) {
    const report = await good.stopStream(host);
    expect({ host, lost: report.lost, received: report.received }).toEqual({
      host,
      lost: 0,
      received: report.sent,
    });
    received += report.received;
  }
  // All that came were the friend's.
  expect(await receiver.call('udpArrived', { port })).toBe(received);
}, 90_000);

test('a label that locks, late: once it is in force nothing passes, until it goes', async () => {
  await using node = await TestNode.create();
  const [server, friend] = (await Promise.all(
    ['server', 'friend'].map((name) => node.addPod(name)),
  )) as [Pod, Pod];
  await node.changePolicy(() => node.writePolicy('p.json', [locked]));
  const receiver = await node.traffic(server);
  await receiver.call('udpServe', { port, silent: true });
  const from = await node.traffic(friend);
  const hosts = families.map((family) => server.address[family]);
  await storm(from, 'on', hosts);
  for (let count = 0; count < 4; count++) {
    const before = await receiver.call('udpArrived', { port });
    await eventually(
      'the storm to arrive',
      async () => (await receiver.call('udpArrived', { port })) > before + 20,
    );
    await node.changePolicy(() =>
      node.writePolicy('o.json', [podObject('server', { app: 'server', locked: 'yes' })]),
    );
    await labelsInForce(node, 'server', ['k8s:locked=yes']);
    // What was in the socket's queue is counted first: two answers that agree, and denials in between.
    let counted = await receiver.call('udpArrived', { port });
    await eventually('the queue to be empty', async () => {
      const last = counted;
      counted = await receiver.call('udpArrived', { port });
      return counted === last;
    });
    const denied = node.drops('DROP_POLICY_DENY');
    await eventually('the storm to be denied', () => node.drops('DROP_POLICY_DENY') > denied + 100);
    expect(await receiver.call('udpArrived', { port })).toBe(counted);
    await node.changePolicy(() => node.removePolicy('o.json'));
    await labelsInForce(node, 'server', ['k8s:app=server']);
  }
  await calm(from, 'on', hosts);
}, 60_000);
