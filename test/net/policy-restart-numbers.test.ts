/**
 * @module Identities whose labels would have the same number, while the agent is killed and started:
 * whichever comes first, none is taken for the other.
 */
import { expect, test } from 'bun:test';
import { firstChoice } from '../../src/daemon/identity/allocator.ts';
import { sortLabels } from '../../src/daemon/identity/table.ts';
import { eventually, TestNode } from './harness.ts';
import { app, policy } from './policy-fixture.ts';
import { addresses, routePodsFromWorld } from './world.ts';

const port = 7000;
const rounds = 4;

function remotePod(label: string, family: 4 | 6): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: label, namespace: 'default', labels: { app: label } },
    spec: { nodeName: 'elsewhere' },
    status: { podIPs: [{ ip: addresses.world[family] }] },
  };
}

test('who had the number of another one before the start is not taken for it', async () => {
  await using node = await TestNode.create();
  routePodsFromWorld(node.namespaces);
  const server = await node.addPod('server');
  await node.changePolicy(() => node.writePolicy('b.json', remotePod('bad', 4)));
  const row = (await node.table('identities')).find((each) => each.labels.includes('k8s:app=bad'));
  const others: readonly string[] = row?.labels.filter((each: string) => each !== 'k8s:app=bad');
  const choiceOf = (name: string) => firstChoice(sortLabels([...others, `k8s:app=${name}`]));
  let good = 'good';
  for (let at = 0; choiceOf(good) !== choiceOf('bad'); at++) good = `good-${at}`;
  await node.changePolicy(() =>
    node.writePolicy(
      'policy.json',
      policy('policy', {
        endpointSelector: app('server'),
        ingress: [{ fromEndpoints: [app(good)] }],
      }),
    ),
  );
  const receiver = await node.traffic(server);
  const sender = await node.traffic('world');
  await receiver.call('udpServe', { port, silent: true });
  const target = { host: server.address[4], ports: [port], perTick: 5, everyMs: 1 };
  await sender.call('udpBurst', { id: 'burst', ...target });
  await eventually('denials', () => node.drops('DROP_POLICY') > 1000);
  const restart = async () => {
    // Time for what is kept on the disk.
    await Bun.sleep(300);
    await node.stopAgent('SIGKILL');
    await node.startAgent({ wait: true });
    await node.policySettled();
  };
  for (let round = 0; round < rounds; round++) {
    // The good one comes last, and after the restart first.
    await node.changePolicy(() => node.writePolicy('a.json', remotePod(good, 6)));
    await restart();
    await node.changePolicy(() => node.removePolicy('a.json'));
    await restart();
  }
  expect(await receiver.call('udpArrived', { port })).toBe(0);
}, 60_000);
