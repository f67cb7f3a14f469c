/**
 * @module A pod's labels change while it runs: its connections go on where the policy of its new
 * identity lets them, and end where it does not.
 */
import { expect, test } from 'bun:test';
import { eventually, type Pod, TestNode } from './harness.ts';
import { app, policy, ports } from './policy-fixture.ts';
import { families } from './world.ts';

const changes = 12;

async function relabel(node: TestNode, pod: Pod, name: string, version: number): Promise<void> {
  const path = `/endpoint/cni-attachment-id:${pod.containerId}:eth0`;
  const labels = [`k8s:app=${name}`, `k8s:version=${version}`];
  const { status, text } = await node.rest('PATCH', path, JSON.stringify({ labels }));
  expect([status, text]).toEqual([200, '']);
  await eventually('the new identity to be in force', async () => {
    const { json } = await node.rest('GET', path);
    const found: string[] = json.status.identity.labels;
    return json.status.state === 'ready' && labels.every((label) => found.includes(label));
  });
}

test(`${changes} changes of labels under UDP streams lose nothing`, async () => {
  await using node = await TestNode.create();
  const [server, client] = [await node.addPod('server'), await node.addPod('client')];
  await node.changePolicy(() =>
    node.writePolicy('p.json', [
      policy('server', {
        endpointSelector: app('server'),
        ingress: [{ fromEndpoints: [app('client')], toPorts: ports('UDP/7000') }],
      }),
      policy('client', { endpointSelector: app('client'), egress: [{ toEntities: ['all'] }] }),
    ]),
  );
  await (await node.traffic(server)).call('udpServe', { port: 7000 });
  const traffic = await node.traffic(client);
  for (const family of families) {
    const spec = { kind: 'udp' as const, host: server.address[family], port: 7000, perSecond: 500 };
    await traffic.call('stream', { id: `IPv${family}`, spec });
  }
  for (let version = 0; version < changes; version++) {
    if (version % 2 === 0) await relabel(node, client, 'client', version);
    else await relabel(node, server, 'server', version);
  }
  for (const family of families) {
    const { lost, received, sent } = await traffic.stopStream(`IPv${family}`);
    expect({ family, lost, received }).toEqual({ family, lost: 0, received: sent });
  }
}, 60_000);

test('labels that the policy does not let in end the connection', async () => {
  await using node = await TestNode.create();
  const [server, client] = [await node.addPod('server'), await node.addPod('client')];
  await node.changePolicy(() =>
    node.writePolicy(
      'p.json',
      policy('server', {
        endpointSelector: app('server'),
        ingress: [{ fromEndpoints: [app('client')], toPorts: ports('UDP/7000') }],
      }),
    ),
  );
  await (await node.traffic(server)).call('udpServe', { port: 7000 });
  const traffic = await node.traffic(client);
  const spec = { kind: 'udp' as const, host: server.address[4], port: 7000, perSecond: 200 };
  await traffic.call('stream', { id: 'cut', spec });
  await relabel(node, client, 'stranger', 1);
  const before = node.drops('DROP_POLICY');
  await eventually('its datagrams to be denied', () => node.drops('DROP_POLICY') > before + 20);
  expect((await traffic.stopStream('cut')).lost).toBeGreaterThan(0);
}, 60_000);
