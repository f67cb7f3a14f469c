/**
 * @module Filters that are gone for a moment: a storm of packets that policy denies, in both
 * directions and families, while the agent is killed and started, and while it is stopped and started. Not
 * one may arrive; of what is allowed not one may be lost.
 */
import { expect, test } from 'bun:test';
import { eventually, type Pod, TestNode } from './harness.ts';
import { app, policy, ports } from './policy-fixture.ts';
import type { TrafficProcess } from './traffic-process.ts';
import { addresses, families } from './world.ts';

const openPort = 7000;
const stormPort = 7001;
const stormPerMs = 3;
const kills = 12;
const stops = 4;

const policies = [
  policy('server', {
    endpointSelector: app('server'),
    ingress: [{ fromEndpoints: [app('client')], toPorts: ports(`UDP/${openPort}`) }],
  }),
  // A deny inside of an allow, and blocks: what is compiled last at a start.
  policy('client', {
    endpointSelector: app('client'),
    egress: [{ toEntities: ['all'] }],
    egressDeny: [
      {
        toCIDR: families.map((family) => `${addresses.world[family]}/${family === 4 ? 32 : 128}`),
        toPorts: ports(`UDP/${stormPort}`),
      },
    ],
  }),
  policy('muted', { endpointSelector: app('muted'), egress: [{}] }),
];

interface Storm {
  readonly name: string;
  readonly from: TrafficProcess;
  readonly hosts: readonly string[];
}

async function startStorm({ name, from, hosts }: Storm): Promise<void> {
  for (const host of hosts) {
    await from.call('udpBurst', {
      id: `${name} ${host}`,
      host,
      ports: [stormPort],
      perTick: stormPerMs,
    });
  }
}

async function endStorm({ name, from, hosts }: Storm): Promise<number> {
  let sent = 0;
  for (const host of hosts) sent += (await from.stopStream(`${name} ${host}`)).sent;
  return sent;
}

test.each([
  ['SIGKILL', kills],
  ['SIGTERM', stops],
] as const)(
  '%s and a start, %d times: no denied packet passes, no allowed one is lost',
  async (signal, times) => {
    await using node = await TestNode.create();
    const [server, client, stranger, muted] = (await Promise.all(
      ['server', 'client', 'stranger', 'muted'].map((name) => node.addPod(name)),
    )) as [Pod, Pod, Pod, Pod];
    await node.changePolicy(() => node.writePolicy('p.json', policies));
    const receivers = await Promise.all([node.traffic(server), node.traffic('world')]);
    for (const receiver of receivers) {
      await receiver.call('udpServe', { port: openPort });
      await receiver.call('udpServe', { port: stormPort, silent: true });
    }
    const arrived = async () =>
      (
        await Promise.all(receivers.map((one) => one.call('udpArrived', { port: stormPort })))
      ).reduce((sum, one) => sum + one);
    const own = families.map((family) => server.address[family]);
    const outside = families.map((family) => addresses.world[family]);
    const storms: Storm[] = [
      { name: 'ingress', from: await node.traffic(stranger), hosts: own },
      { name: 'port', from: await node.traffic(client), hosts: [...own, ...outside] },
      { name: 'egress', from: await node.traffic(muted), hosts: [...own, ...outside] },
    ];
    const allowed = await node.traffic(client);
    for (const host of [...own, ...outside]) {
      await allowed.call('stream', {
        id: host,
        spec: { kind: 'udp', host, port: openPort, perSecond: 300 },
      });
    }
    for (const storm of storms) await startStorm(storm);
    for (let count = 0; count < times; count++) {
      // Some of them hit an agent that is still starting.
      await Bun.sleep(Math.random() * (count % 3 === 0 ? 60 : 350));
      await node.stopAgent(signal);
      await Bun.sleep(Math.random() * 60);
      await node.startAgent({ wait: signal === 'SIGTERM' || count % 2 === 1 });
    }
    await node.ready();
    let sent = 0;
    for (const storm of storms) sent += await endStorm(storm);
    expect(await arrived()).toBe(0);
    expect(sent).toBeGreaterThan(5000);
    for (const host of [...own, ...outside]) {
      const { lost, received, sent: streamed } = await allowed.stopStream(host);
      expect({ host, lost, received }).toEqual({ host, lost: 0, received: streamed });
    }
    console.log(`${signal}: ${sent} denied packets, none arrived`);

    // The same storm without the policies: it would have been seen.
    await node.changePolicy(() => node.removePolicy('p.json'));
    for (const storm of storms) {
      const before = await arrived();
      await startStorm(storm);
      await eventually(`${storm.name} to arrive`, async () => (await arrived()) > before);
      await endStorm(storm);
    }
  },
  110_000,
);
