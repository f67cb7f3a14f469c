/**
 * @module A policy file is changed under load, back and forth, and no packet sees half of a version.
 *
 * Three versions of one file are about two pods (and about two dozen others that only take time). In
 * version n the sender may send to port n and to `x`, the receiver takes port n + 1 and `x`: the two
 * never agree but on `x`, which passes in every version, by other rules. So a datagram that arrives
 * at a numbered port was judged by a mixture of two versions, and so was one that does not arrive at
 * `x`. In flows it shows as well: the two rules that allowed `x` are of one version. Three, because a
 * bank that is flipped to unfilled holds the last version but one.
 *
 * That this can fail is proven each time by a build that fills the bank in force.
 */
import { expect, test } from 'bun:test';
import type { Flow } from '../../src/api/gen/flow/flow.ts';
import { type Pod, TestNode } from './harness.ts';
import { app, policy, ports } from './policy-fixture.ts';
import { buildVariant } from './variant.ts';
import { families } from './world.ts';

const numbered = [7100, 7200, 7300] as const;
const x = 7400;
const changes = 60;
const bystanders = 24;

function version(number: number): object[] {
  const [out, into] = [numbered[number % 3] ?? 0, numbered[(number + 1) % 3] ?? 0];
  const rule = (port: number) => ({ toPorts: ports(`UDP/${port}`, `TCP/${port}`) });
  return [
    policy(`v${number}-sender`, { endpointSelector: app('sender'), egress: [rule(out), rule(x)] }),
    policy(`v${number}-receiver`, {
      endpointSelector: app('receiver'),
      ingress: [rule(into), rule(x)],
    }),
    policy(`v${number}-bystanders`, {
      endpointSelector: { matchLabels: { role: 'bystander' } },
      ingress: [rule(into)],
      egress: [rule(out)],
    }),
  ];
}

interface Outcome {
  /** Datagrams that only a mixture lets through. */
  readonly passed: number;
  /** Datagrams and connections that only a mixture stops. */
  readonly stopped: number;
  readonly sent: number;
  readonly flows: readonly Flow[];
}

async function changeUnderLoad(node: TestNode, sender: Pod, receiver: Pod): Promise<Outcome> {
  const [from, to] = [await node.traffic(sender), await node.traffic(receiver)];
  for (const port of numbered) await to.call('udpServe', { port, silent: true });
  await to.call('udpServe', { port: x });
  await to.call('tcpServe', { port: x });
  await node.changePolicy(() => node.writePolicy('both.yaml', version(0)));
  for (const family of families) {
    const host = receiver.address[family];
    await from.call('udpBurst', { id: `burst ${family}`, host, ports: numbered, perTick: 8 });
    const spec = { kind: 'udp', host, port: x, perSecond: 1000 } as const;
    await from.call('stream', { id: `stream ${family}`, spec });
  }
  await from.call('connectLoop', {
    id: 'new',
    targets: families.flatMap((family) => {
      const target = { host: receiver.address[family], port: x, expect: 'allow' as const };
      return [
        { ...target, timeoutMs: 3000 },
        { ...target, timeoutMs: 3000, udp: true },
      ];
    }),
  });
  let current = 0;
  for (let change = 0; change < changes; change++) {
    // Either of the other two.
    current = (current + (Math.random() < 0.5 ? 1 : 2)) % 3;
    await node.changePolicy(() => node.writePolicy('both.yaml', version(current)));
    await Bun.sleep(Math.random() * 20);
  }
  let [stopped, sent] = [0, 0];
  for (const family of families) {
    sent += (await from.stopStream(`burst ${family}`)).sent;
    const stream = await from.stopStream(`stream ${family}`);
    stopped += stream.lost;
    sent += stream.sent;
  }
  const loop = await from.stopLoop('new');
  stopped += loop.wrong.length + loop.slow.length;
  let passed = 0;
  for (const port of numbered) passed += await to.call('udpArrived', { port });
  return { passed, stopped, sent, flows: await node.flows(4000) };
}

async function pair(node: TestNode): Promise<[Pod, Pod]> {
  // Between the two, so that their places in a batch are apart.
  const sender = await node.addPod('sender');
  const names = Array.from({ length: bystanders }, (_, at) => `bystander-${at}`);
  await Promise.all(names.map((app) => node.addPod(app, { app, role: 'bystander' })));
  return [sender, await node.addPod('receiver')];
}

test('no packet sees a mixture', async () => {
  await using node = await TestNode.create({ flags: ['--hubble-event-buffer-capacity=4095'] });
  const { passed, stopped, sent, flows } = await changeUnderLoad(node, ...(await pair(node)));
  console.log(JSON.stringify({ changes, sent, passed, stopped, flows: flows.length }));
  expect(sent).toBeGreaterThan(1000);
  expect({ passed, stopped }).toEqual({ passed: 0, stopped: 0 });

  // A new connection has a verdict of either side; both are of one version.
  const versions = new Map<string, Set<string>>();
  for (const flow of flows) {
    const ends = flow.l4?.TCP ?? flow.l4?.UDP;
    if (ends === undefined || ends.destination_port !== x || flow.event_type?.type !== 5) continue;
    const key = `${flow.IP?.source} ${ends.source_port} ${flow.time?.seconds}.${flow.time?.nanos}`;
    const seen = versions.get(key) ?? new Set();
    for (const { name } of [...flow.ingress_allowed_by, ...flow.egress_allowed_by]) {
      seen.add(name.slice(0, 2));
    }
    versions.set(key, seen);
  }
  expect(versions.size).toBeGreaterThan(10);
  expect([...versions.values()].filter((seen) => seen.size > 1)).toEqual([]);
}, 100_000);

test('a build that fills the bank in force is caught', async () => {
  const broken = await buildVariant('broken-flip', [
    {
      file: 'src/daemon/policy/kernel/reconciler.ts',
      from: 'const other = this.#bank(target.epoch + 1);',
      to: 'const other = active;',
    },
    {
      file: 'src/daemon/policy/kernel/reconciler.ts',
      from: 'target.epoch += 1;',
      to: 'target.epoch += 2;',
    },
    {
      // One policy after the other, so that there is something to see.
      file: 'src/daemon/policy/kernel/bank.ts',
      from: 'const result = await this.#target.install(slots);',
      to: `let result = await this.#target.install([]);
    for (const one of slots) {
      result = await this.#target.install([one]);
      await new Promise((done) => setTimeout(done, 1));
    }`,
    },
  ]);
  await using node = await TestNode.create({ executable: broken });
  const { passed, stopped } = await changeUnderLoad(node, ...(await pair(node)));
  expect(passed + stopped).toBeGreaterThan(0);
}, 100_000);
