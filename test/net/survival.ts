/**
 * @module Everything at once that must not notice what happens to the agent: a numbered TCP stream,
 * a numbered UDP stream and new connections, allowed and denied, in both families, and to the world.
 */
import { expect } from 'bun:test';
import type { Pod, TestNode } from './harness.ts';
import { app, policy, ports } from './policy-fixture.ts';
import { addresses, families } from './world.ts';

export const openPort = 7000;
export const closedPort = 7001;
const perSecond = 500;
const denyMs = 120;

export interface SurvivalPods {
  readonly server: Pod;
  readonly client: Pod;
  readonly stranger: Pod;
}

/** Three pods, and a policy that lets only the client in, by one port. */
export async function survivalPods(node: TestNode): Promise<SurvivalPods> {
  const [server, client, stranger] = await Promise.all(
    (['server', 'client', 'stranger'] as const).map((name) => node.addPod(name)),
  );
  if (server === undefined || client === undefined || stranger === undefined) throw new Error();
  await node.changePolicy(() =>
    node.writePolicy(
      'server.json',
      policy('server', {
        endpointSelector: app('server'),
        ingress: [
          {
            fromEndpoints: [app('client')],
            toPorts: ports(`TCP/${openPort}`, `UDP/${openPort}`),
          },
        ],
      }),
    ),
  );
  for (const where of [server, 'world'] as const) {
    const traffic = await node.traffic(where);
    for (const port of [openPort, closedPort]) {
      await traffic.call('tcpServe', { port });
      await traffic.call('udpServe', { port });
    }
  }
  return { server, client, stranger };
}

/** Starts all of it; the result ends it and says that nothing was lost, reset or let through. */
export async function underLoad(
  node: TestNode,
  { server, client, stranger }: SurvivalPods,
): Promise<{ finish(): Promise<Record<string, unknown>> }> {
  const [from, denied, to] = await Promise.all(
    [client, stranger, server].map((pod) => node.traffic(pod)),
  );
  if (from === undefined || denied === undefined || to === undefined) throw new Error();
  const streams: string[] = [];
  for (const family of families) {
    for (const [kind, name, host] of [
      ['tcp', 'pod', server.address[family]],
      ['udp', 'pod', server.address[family]],
      ['udp', 'world', addresses.world[family]],
      ['tcp', 'world', addresses.world[family]],
    ] as const) {
      const id = `${kind} ${name} IPv${family}`;
      streams.push(id);
      await from.call('stream', {
        id,
        spec: { kind, host, port: openPort, perSecond: name === 'pod' ? perSecond : 100 },
      });
    }
  }
  const hosts = families.map((family) => server.address[family]);
  await from.call('connectLoop', {
    id: 'allowed',
    pauseMs: 1,
    targets: hosts.flatMap((host) => [
      { host, port: openPort, expect: 'allow' as const, timeoutMs: 4000 },
      { host, port: openPort, expect: 'allow' as const, timeoutMs: 4000, udp: true },
    ]),
  });
  const refused = { expect: 'deny' as const, timeoutMs: denyMs };
  await denied.call('connectLoop', {
    id: 'denied',
    targets: hosts.flatMap((host) => [
      { host, port: openPort, ...refused },
      { host, port: openPort, udp: true, ...refused },
      { host, port: closedPort, ...refused },
    ]),
  });
  const before = await to.call('counters', {});
  return {
    async finish() {
      const reports: Record<string, unknown> = {};
      for (const id of streams) {
        const report = await from.stopStream(id);
        reports[id] = report;
        const { lost, resets, sent, received } = report;
        expect({ id, lost, resets, received }).toEqual({ id, lost: 0, resets: 0, received: sent });
      }
      const allowed = await from.stopLoop('allowed');
      const refusals = await denied.stopLoop('denied');
      const after = await to.call('counters', {});
      const moved = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
      expect({ wrong: allowed.wrong, slow: allowed.slow }).toEqual({ wrong: [], slow: [] });
      expect(refusals.wrong).toEqual([]);
      expect(allowed.allowed).toBeGreaterThan(0);
      expect(refusals.denied).toBeGreaterThan(0);
      return {
        ...reports,
        connections: allowed.allowed,
        denied: refusals.denied,
        retransmitted: moved('Tcp:RetransSegs'),
        receiveBufferErrors: moved('Udp:RcvbufErrors'),
      };
    },
  };
}
