/**
 * @module A pod of another node while the agent is killed and started: what is denied to it does not
 * pass as if it came from the world, and nothing that is allowed is lost.
 */
import { expect, test } from 'bun:test';
import { eventually, TestNode } from './harness.ts';
import { app, policy } from './policy-fixture.ts';
import { addresses, families, routePodsFromWorld } from './world.ts';

const port = 7000;
const restarts = 6;

/** A pod of another node, at the addresses of the world. */
const remotePod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'remote', namespace: 'default', labels: { app: 'remote' } },
  spec: { nodeName: 'elsewhere' },
  status: { podIPs: families.map((family) => ({ ip: addresses.world[family] })) },
};

/** Another node, at the same addresses. */
const remoteNode = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'elsewhere' },
  status: {
    addresses: families.map((family) => ({
      type: 'InternalIP',
      address: addresses.world[family],
    })),
  },
};

/** Blocks around them, which say what addresses are, nodes included. */
const blocks = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'blocks', namespace: 'default' },
  spec: {
    podSelector: { matchLabels: { app: 'server' } },
    ingress: [
      {
        from: families.map((family) => ({
          ipBlock: { cidr: `${addresses.world[family]}/${family === 4 ? 32 : 128}` },
        })),
      },
    ],
  },
};

async function start(rule: object, other: object) {
  const node = await TestNode.create();
  routePodsFromWorld(node.namespaces);
  const server = await node.addPod('server');
  await node.changePolicy(() => {
    node.writePolicy('policy.json', rule);
    node.writePolicy('other.json', other);
  });
  return { node, server };
}

async function restart(node: TestNode): Promise<void> {
  for (let count = 0; count < restarts; count++) {
    await Bun.sleep(200);
    await node.stopAgent('SIGKILL');
    await node.startAgent({ wait: true });
  }
  await node.ready();
}

test('a remote pod that is denied never passes as the world', async () => {
  const rule = policy('policy', {
    endpointSelector: app('server'),
    ingress: [{ fromEntities: ['world'] }],
  });
  const { node, server } = await start(rule, remotePod);
  await using _ = node;
  const receiver = await node.traffic(server);
  const sender = await node.traffic('world');
  await receiver.call('udpServe', { port, silent: true });
  for (const family of families) {
    const target = { host: server.address[family], ports: [port], perTick: 3, everyMs: 1 };
    await sender.call('udpBurst', { id: `burst ${family}`, ...target });
  }
  await eventually('denials', () => node.drops('DROP_POLICY') > 1000);
  await restart(node);
  expect(await receiver.call('udpArrived', { port })).toBe(0);
  await node.changePolicy(() => node.removePolicy('other.json'));
  await eventually(
    'what the world may send',
    async () => (await receiver.call('udpArrived', { port })) > 0,
  );
}, 60_000);

test.each([
  [
    'pod',
    policy('policy', {
      endpointSelector: app('server'),
      ingress: [{ fromEndpoints: [app('remote')] }],
    }),
    remotePod,
  ],
  ['node', blocks, remoteNode],
])(
  'of what a remote %s may send nothing is lost',
  async (_name, rule, other) => {
    const { node, server } = await start(rule, other);
    await using _ = node;
    const receiver = await node.traffic(server);
    const sender = await node.traffic('world');
    await receiver.call('udpServe', { port });
    const hosts = families.map((family) => server.address[family]);
    const stream = (host: string) =>
      sender.call('stream', { id: host, spec: { kind: 'udp', host, port, perSecond: 500 } });
    for (const host of hosts) {
      // Neighbours find one another.
      await eventually(`${host} to answer`, async () => {
        await stream(host);
        await Bun.sleep(100);
        return (await sender.stopStream(host)).lost === 0;
      });
    }
    for (const host of hosts) await stream(host);
    await restart(node);
    for (const host of hosts) {
      const { lost, received, sent } = await sender.stopStream(host);
      expect({ host, lost, received }).toEqual({ host, lost: 0, received: sent });
    }
  },
  60_000,
);
