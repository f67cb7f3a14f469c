/**
 * Remote pods and endpoints that change or go: until the address is out of the kernel, packets are
 * judged as before.
 */
import { expect, test } from 'bun:test';
import { type IdentityId, reservedIdentities } from '../../identity/table.ts';
import { identityOf } from '../compile/peer.ts';
import type { Peer } from '../rule.ts';
import { selectorOf } from '../selector.ts';
import type { PolicyRuleRow } from '../table.ts';
import { KernelModel } from './kernel-model.ts';
import { ingressRule, startAgent } from './reconciler-fixture.ts';

const own = 1000 as IdentityId;
const bad = 1001 as IdentityId;
const worse = 1002 as IdentityId;
const graceMs = 150;

const app = (name: string): Peer => ({
  kind: 'labels',
  selector: selectorOf({ 'k8s:app': name }),
});
const block = (cidr: string): Peer => ({ kind: 'cidr', cidr, except: [], scope: 'address' });

const bothDenied = ingressRule([
  { action: 'allow', peers: 'any' },
  { action: 'deny', peers: [app('bad'), app('worse')] },
]);

/** An agent with one pod of its own, which the rule selects. */
function start(row: PolicyRuleRow, lingerMs = 0) {
  const labels = new Map(reservedIdentities.map((each) => [each.id, each.labels]));
  labels.set(own, ['k8s:app=own']).set(bad, ['k8s:app=bad']).set(worse, ['k8s:app=worse']);
  const kernel = new KernelModel();
  const pod = { identity: own, address: '10.0.0.1', ports: '' };
  const agent = startAgent(kernel, labels, [pod], { graceMs, lingerMs });
  const { world, settled } = agent;
  const { identities, remotePods } = world.tables;
  for (const id of [bad, worse]) {
    identities.upsert({ id, labels: labels.get(id) ?? [], reserved: false, refCount: 1 });
  }
  world.setRules([row]);
  let slot: number | undefined;
  const judge = (identity: IdentityId, address: string) => {
    slot ??= world.local()[0]?.slot;
    return kernel.judge(slot ?? 0, 'ingress', { identity, address }, 6, 80);
  };
  return {
    kernel,
    world,
    tables: world.tables,
    settled,
    judge,
    remote: (name: string, identity: IdentityId, address: string) =>
      remotePods.upsert({
        namespace: 'ns',
        name,
        identity,
        prefixes: [`${address}/32`],
        ports: '',
      }),
    /** Every verdict on the way of a change, one letter each. */
    async during(ask: () => string, change: () => unknown): Promise<string> {
      const seen = new Set([ask()]);
      kernel.onWrite = () => seen.add(ask());
      await change();
      await settled();
      seen.add(ask());
      kernel.onWrite = undefined;
      return [...seen].join('');
    },
    [Symbol.dispose]: () => agent[Symbol.dispose](),
  };
}

test('a remote pod with other labels: what it was stays denied', async () => {
  using agent = start(bothDenied);
  agent.remote('one', bad, '10.0.1.1');
  await agent.settled();
  const old = () => agent.judge(bad, '10.0.1.1');
  expect(await agent.during(old, () => agent.remote('one', worse, '10.0.1.1'))).toBe('D');
  expect(agent.judge(worse, '10.0.1.1')).toBe('D');
});

test('a remote pod at another address: the old one is not judged by the new one’s block', async () => {
  using agent = start(
    ingressRule([
      { action: 'allow', peers: [block('10.0.2.0/24')] },
      { action: 'deny', peers: [block('10.0.1.0/24')] },
    ]),
  );
  agent.remote('one', bad, '10.0.1.1');
  agent.remote('two', bad, '10.0.3.1');
  await agent.settled();
  const old = () => agent.judge(bad, '10.0.1.1');
  expect(await agent.during(old, () => agent.remote('one', bad, '10.0.2.1'))).toBe('D');
  expect(agent.judge(bad, '10.0.2.1')).toBe('A');
});

test('a pod that is deleted with its identity is denied until it is gone', async () => {
  using agent = start(bothDenied);
  agent.remote('one', bad, '10.0.1.1');
  await agent.settled();
  const old = () => agent.judge(bad, '10.0.1.1');
  const seen = await agent.during(old, () => {
    agent.tables.remotePods.delete('ns/one');
    agent.tables.identities.delete(bad);
  });
  expect(seen).toBe('D');
  await Bun.sleep(graceMs * 2);
  await agent.settled();
  expect([...agent.tables.peers.all()].map((row) => identityOf(row.peer))).not.toContain(bad);
});

test('an identity that comes back and goes again is kept from its last going on', async () => {
  using agent = start(bothDenied);
  const { identities } = agent.tables;
  const row = identities.get(bad);
  if (row === undefined) throw new Error('no identity');
  agent.remote('one', bad, '10.0.1.1');
  await agent.settled();
  const relabel = (identity: IdentityId) => {
    if (identity === worse) identities.delete(bad);
    else identities.upsert(row);
    agent.remote('one', identity, '10.0.1.1');
  };
  const old = () => agent.judge(bad, '10.0.1.1');
  const seen = await agent.during(old, async () => {
    relabel(worse);
    await agent.settled();
    await Bun.sleep(graceMs / 2);
    relabel(bad);
    await agent.settled();
    await Bun.sleep(graceMs / 3);
    relabel(worse);
    // Past the end of the first going, before that of the second.
    await Bun.sleep(graceMs / 2);
  });
  expect(seen).toBe('D');
});

test('an address that two remote pods have stays the other’s when one goes', async () => {
  using agent = start(bothDenied);
  agent.remote('one', bad, '10.0.1.1');
  agent.remote('two', bad, '10.0.1.1');
  await agent.settled();
  agent.tables.remotePods.delete('ns/one');
  await agent.settled();
  await Bun.sleep(graceMs * 2);
  await agent.settled();
  expect(agent.judge(bad, '10.0.1.1')).toBe('D');
});

test('while the kernel cannot be written who changes is kept as it was, however long that takes', async () => {
  using agent = start(bothDenied, 3_000);
  agent.remote('one', bad, '10.0.1.1');
  await agent.settled();
  expect(agent.judge(bad, '10.0.1.1')).toBe('D');
  const { kernel, tables } = agent;
  const install = kernel.install.bind(kernel);
  let isBroken = true;
  kernel.install = async (slots) => {
    if (isBroken) throw new Error('no memory');
    return await install(slots);
  };
  const seen: string[] = [];
  // Until the new identity is in force the address is announced as the old one's.
  kernel.onWrite = () => {
    const isNew = [...tables.peers.all()].some(
      ({ peer, status }) => identityOf(peer) === worse && status.kind === 'done',
    );
    if (!isNew) seen.push(agent.judge(bad, '10.0.1.1'));
  };
  agent.remote('one', worse, '10.0.1.1');
  agent.world.run();
  await Bun.sleep(graceMs * 2.5);
  isBroken = false;
  await agent.settled();
  kernel.onWrite = undefined;
  expect(agent.judge(worse, '10.0.1.1')).toBe('D');
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.filter((letter) => letter !== 'D' && letter !== 'N')).toEqual([]);
});

test('while the kernel cannot be written nobody gets the number of who is still announced by it', async () => {
  using agent = start(bothDenied, 3_000);
  const { kernel, world, tables } = agent;
  agent.remote('one', bad, '10.0.1.1');
  await agent.settled();
  expect(agent.judge(bad, '10.0.1.1')).toBe('D');
  const install = kernel.install.bind(kernel);
  let isBroken = true;
  kernel.install = async (slots) => {
    if (isBroken) throw new Error('no memory');
    return await install(slots);
  };
  agent.remote('one', worse, '10.0.1.1');
  tables.identities.delete(bad);
  world.run();
  await Bun.sleep(graceMs * 2.5);
  // The allocator gives no number to others that is kept.
  const other = world.keeps(bad) ? (1003 as IdentityId) : bad;
  tables.identities.upsert({ id: other, labels: ['k8s:app=good'], reserved: false, refCount: 1 });
  agent.remote('two', other, '10.0.1.2');
  const seen = new Set<string>();
  kernel.onWrite = () => seen.add(agent.judge(bad, '10.0.1.1'));
  world.run();
  isBroken = false;
  while (agent.judge(worse, '10.0.1.1') !== 'D') await Bun.sleep(1);
  kernel.onWrite = undefined;
  expect(seen.size).toBeGreaterThan(0);
  expect([...seen].filter((letter) => letter !== 'D' && letter !== 'N')).toEqual([]);
  await agent.settled();
  expect(agent.judge(other, '10.0.1.2')).not.toBe('D');
});
