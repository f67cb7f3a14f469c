/**
 * @module 200 pods added and deleted in parallel, with deletions that race the additions: at the end
 * the node is as it was.
 */
import { expect, test } from 'bun:test';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  ciliumEndpoints,
  ciliumIdentityClass,
  ciliumIpcacheV2,
  ciliumLxc,
} from '../../src/bpf/gen/maps.ts';
import { openPinnedMap } from '../../src/bpf/loader/objects.ts';
import { dumpNeighbors } from '../../src/net/netlink/neighbor.ts';
import { dumpRoutes } from '../../src/net/netlink/route.ts';
import { eventually, type Json, TestNode } from './harness.ts';

const podCount = 200;
/** Calls of the plugin at a time, as many as a busy kubelet makes. */
const parallel = 40;

test(`${podCount} pods come and go and leave nothing`, async () => {
  await using node = await TestNode.create();
  const before = await remains(node);
  let next = 0;
  const answers = { added: 0, refused: [] as string[], deletions: [] as string[] };
  const worker = async () => {
    for (let at = next++; at < podCount; at = next++) await live(node, at, answers);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  console.log(JSON.stringify({ added: answers.added, refused: answers.refused.slice(0, 5) }));
  expect(answers.deletions).toEqual([]);
  // Only those that a deletion overtook may fail.
  expect(answers.added).toBeGreaterThanOrEqual(podCount / 2);
  expect(answers.refused.filter((text) => !text.startsWith('raced'))).toEqual([]);
  await eventually('the node to be as it was', async () => {
    return JSON.stringify(await remains(node)) === JSON.stringify(before);
  }).catch(async () => expect(await remains(node)).toEqual(before));
  expect((await node.health()).state).toBe('Ok');
  // Nor does the next agent find anything.
  await node.stopAgent('SIGKILL');
  await node.startAgent();
  expect(await remains(node)).toEqual(before);
}, 100_000);

/** One pod's life; every second one is deleted while it is being added. */
async function live(
  node: TestNode,
  at: number,
  answers: { added: number; refused: string[]; deletions: string[] },
): Promise<void> {
  const name = `pod-${at}`;
  const netns = `pod-${name}`;
  node.createPodNetns(name);
  const adding = node.cni('ADD', { name, labels: { app: `app-${at % 20}` } });
  const isRacing = at % 2 === 1;
  if (isRacing) {
    await Bun.sleep(Math.random() * 150);
    note(await node.cni('DEL', { name }));
  }
  const added = await adding;
  if (added.exitCode === 0) answers.added++;
  else
    answers.refused.push(`${isRacing ? 'raced' : 'alone'}: ${added.stdout.replaceAll('\n', ' ')}`);
  // A runtime may take the namespace away before it calls, or after.
  if (at % 4 < 2) node.namespaces.delete(netns);
  note(await node.cni('DEL', { name }));
  if (at % 4 >= 2) node.namespaces.delete(netns);
  function note({ exitCode, stdout }: { exitCode: number; stdout: string }) {
    if (exitCode !== 0) answers.deletions.push(stdout);
  }
}

/** Everything that a pod may leave behind. */
async function remains(node: TestNode) {
  using endpoints = openPinnedMap(node.bpfRoot, ciliumEndpoints);
  using lxc = openPinnedMap(node.bpfRoot, ciliumLxc);
  using classes = openPinnedMap(node.bpfRoot, ciliumIdentityClass);
  using ipcache = openPinnedMap(node.bpfRoot, ciliumIpcacheV2);
  const { ipam } = (await node.rest('GET', '/healthz')).json;
  const list = (path: string) => {
    try {
      return readdirSync(path).sort();
    } catch {
      return [];
    }
  };
  const [neighbors, routes] = node.namespaces.within('node', (socket) => {
    const device = /^lxc/;
    const names = new Map(node.linkIndexes(socket));
    return [
      dumpNeighbors(socket).filter((one) => device.test(names.get(one.device) ?? '')).length,
      dumpRoutes(socket).filter(
        (route) => route.device === undefined || device.test(names.get(route.device) ?? ''),
      ).length,
    ];
  });
  return {
    links: node.links(),
    neighbors,
    routes,
    endpoints: await node.endpoints(),
    endpointMap: [...endpoints.entries()].length,
    lxcMap: [...lxc.entries()].length,
    ipcacheMap: [...ipcache.entries()].length,
    classMap: [...classes.entries()].length,
    pinned: list(join(node.bpfRoot, 'cilium/endpoints')),
    state: list(join(node.stateFolder, 'state')),
    addresses: Object.keys(ipam.allocations).sort(),
    identities: (await node.table('identities')).map((row: Json) => row.id).sort(),
    policies: (await node.table('policies')).length,
    queue: list(join(node.stateFolder, 'deleteQueue')),
  };
}
