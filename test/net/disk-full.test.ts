/**
 * @module A state directory without space: a pod that could not be written down is refused at once
 * and leaves nothing, those that run do not notice, and with space again all is as before.
 */
import { expect, test } from 'bun:test';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MNT_DETACH, mount, unmount } from '../../src/net/libc.ts';
import { eventually, TestNode } from './harness.ts';
import { app, policy, ports } from './policy-fixture.ts';

/** Fills what is left. Returns how to free it again. */
function fill(folder: string): () => void {
  const path = join(folder, 'ballast');
  for (let size = 1024 * 1024; size >= 1; size = Math.floor(size / 2)) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
    } catch {
      // No room for as much as that.
    }
  }
  return () => rmSync(path);
}

test('ADD is refused quickly and clearly; running pods do not notice', async () => {
  await using node = await TestNode.create({ agent: false });
  mount('tmpfs', node.stateFolder, 'tmpfs', 0, 'size=512k,mode=0755');
  using _ = { [Symbol.dispose]: () => unmount(node.stateFolder, MNT_DETACH) };
  await node.startAgent();
  const [server, client] = [await node.addPod('server'), await node.addPod('client')];
  await (await node.traffic(server)).call('udpServe', { port: 7000 });
  const traffic = await node.traffic(client);
  const spec = { kind: 'udp' as const, host: server.address[4], port: 7000, perSecond: 200 };
  await traffic.call('stream', { id: 'beside', spec });
  const links = node.links();
  const { allocations } = (await node.rest('GET', '/healthz')).json.ipam;

  const free = fill(node.stateFolder);
  node.createPodNetns('late');
  const refused = await node.cni('ADD', { name: 'late' });
  expect([refused.exitCode, refused.json.msg]).toEqual([1, expect.stringContaining('ENOSPC')]);
  expect(refused.json.msg).toContain('write the state of endpoint');
  expect(refused.elapsedMs).toBeLessThan(5000);
  await eventually('nothing to be left of it', async () => {
    const now = (await node.rest('GET', '/healthz')).json.ipam.allocations;
    return (
      JSON.stringify(node.links()) === JSON.stringify(links) &&
      Object.keys(now).length === Object.keys(allocations).length
    );
  });
  expect(await node.endpoints()).toHaveLength(2);
  // A policy still comes into force.
  await node.changePolicy(() =>
    node.writePolicy(
      'p.json',
      policy('p', { endpointSelector: app('server'), ingress: [{ toPorts: ports('UDP/7000') }] }),
    ),
  );
  free();
  expect((await node.cni('ADD', { name: 'late' })).exitCode).toBe(0);
  const { lost, received, sent } = await traffic.stopStream('beside');
  expect({ lost, received }).toEqual({ lost: 0, received: sent });
  // What could not be written then has been written since.
  await eventually('the policy to be kept', () => {
    try {
      return readdirSync(join(node.stateFolder, 'last-good-policies')).includes('p.json');
    } catch {
      return false;
    }
  });
  await eventually('health', async () => (await node.health()).state === 'Ok');
}, 60_000);
