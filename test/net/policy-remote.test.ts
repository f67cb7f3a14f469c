/**
 * @module Pods of other nodes that are denied: with other labels, and at addresses that another pod
 * has as well. Not one of their packets may arrive on the way.
 */
import { expect, test } from 'bun:test';
import { eventually, TestNode } from './harness.ts';
import { app, policy } from './policy-fixture.ts';
import { addresses, families, routePodsFromWorld } from './world.ts';

const port = 7000;
const relabels = 8;
const restMs = 150;

/** A pod of another node, at the addresses of the world. */
function remotePod(name: string, label: string): object {
  const podIPs = families.map((family) => ({ ip: addresses.world[family] }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { app: label } },
    spec: { nodeName: 'elsewhere' },
    status: { podIP: podIPs[0]?.ip, podIPs },
  };
}

const denial = policy('denial', {
  endpointSelector: {},
  ingress: [{ fromEntities: ['all'] }],
  ingressDeny: [{ fromEndpoints: [app('bad')] }, { fromEndpoints: [app('worse')] }],
});

test('remote pods that change their labels or share an address stay denied', async () => {
  await using node = await TestNode.create();
  routePodsFromWorld(node.namespaces);
  const server = await node.addPod('server');
  const change = (objects: Readonly<Record<string, object>>) =>
    node.changePolicy(() => {
      for (const [name, object] of Object.entries(objects)) node.writePolicy(name, object);
    });
  await change({ 'policy.json': denial, 'one.json': remotePod('one', 'bad') });
  const receiver = await node.traffic(server);
  const sender = await node.traffic('world');
  await receiver.call('udpServe', { port, silent: true });
  for (const family of families) {
    const target = { host: server.address[family], ports: [port], perTick: 5, everyMs: 1 };
    await sender.call('udpBurst', { id: `burst ${family}`, ...target });
  }
  await eventually('denials', () => node.drops('DROP_POLICY_DENY') > 1000);
  for (let round = 0; round < relabels; round++) {
    await change({ 'one.json': remotePod('one', round % 2 === 0 ? 'worse' : 'bad') });
    await Bun.sleep(restMs);
  }
  await change({ 'two.json': remotePod('two', 'bad') });
  await node.changePolicy(() => node.removePolicy('one.json'));
  // The first one is held for a moment after it is gone.
  await Bun.sleep(4_000);
  expect(await receiver.call('udpArrived', { port })).toBe(0);
  await change({ 'two.json': remotePod('two', 'good') });
  await eventually(
    'what is allowed',
    async () => (await receiver.call('udpArrived', { port })) > 0,
  );
}, 60_000);
