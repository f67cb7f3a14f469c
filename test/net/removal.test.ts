/**
 * @module Interfaces on their way out: an agent that is killed while it deletes leaves none open, and
 * interfaces of others, or of endpoints whose state cannot be read, are left alone.
 */
import { expect, test } from 'bun:test';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LinkRemover } from '../../src/daemon/endpoint/link-remover.ts';
import { ifIndex } from '../../src/net/if-index.ts';
import { createVeth, dumpLinks, getLink, setLink } from '../../src/net/netlink/link.ts';
import { eventually, type Pod, TestNode } from './harness.ts';

const rounds = 6;
const podsAtOnce = 8;

/** Host sides that are up and belong to no endpoint of the agent. */
async function openLinks(node: TestNode, known: readonly Pod[]): Promise<string[]> {
  const names = new Set(known.map((pod) => pod.hostInterface));
  return node.namespaces.within('node', (socket) =>
    dumpLinks(socket)
      .filter((link) => link.name.startsWith('lxc') && link.up && !names.has(link.name))
      .map((link) => link.name),
  );
}

test(`${rounds} kills during deletions leave nothing open and nothing behind`, async () => {
  await using node = await TestNode.create();
  const stays = await node.addPod('stays');
  const links = node.links();
  for (let round = 0; round < rounds; round++) {
    const names = Array.from({ length: podsAtOnce }, (_, at) => `r${round}-${at}`);
    await Promise.all(names.map((name) => node.addPod(name)));
    // The namespaces stay, as a runtime may leave them for a while: nobody but us ends the links.
    const deletions = names.map((name) => node.cni('DEL', { name }));
    await Promise.all(deletions.slice(0, podsAtOnce / 2));
    await Bun.sleep(round * 25);
    await node.stopAgent('SIGKILL');
    await Promise.all(deletions);
    const answered = new Set(names);
    // What is not in the state directory any more passes nothing, with no agent there.
    const kept = readdirSync(join(node.stateFolder, 'state')).length;
    const open = await openLinks(node, [stays]);
    expect(open.length).toBeLessThanOrEqual(kept - 1);
    await node.startAgent();
    await eventually('all of them to be gone', async () => {
      return JSON.stringify(node.links()) === JSON.stringify(links);
    });
    await eventually('their pins to be gone', () => {
      return readdirSync(join(node.bpfRoot, 'cilium/endpoints')).length === 1;
    });
    for (const name of answered) {
      node.namespaces.delete(`pod-${name}`);
      node.pods.delete(name);
    }
  }
  const ping = await (await node.traffic('node')).call('ping', { host: stays.address[4] });
  expect(ping.kind).toBe('reply');
  expect((await node.health()).state).toBe('Ok');
}, 100_000);

test('interfaces of others are left alone', async () => {
  await using node = await TestNode.create();
  const pod = await node.addPod('a');
  const foreign = ['lxc0123456789ab', 'lxcba9876543210', 'lxc000000000001'];
  node.namespaces.within('node', (socket) => {
    expect(getLink(socket, pod.hostInterface)?.alias).toBe(`cilium:${node.stateFolder}`);
    for (const [at, name] of foreign.entries()) {
      socket.request(createVeth({ name, up: true }, { name: `peer${at}` }));
    }
    socket.request(setLink('lxcba9876543210', { alias: `cilium:${node.stateFolder}-other` }));
    // One that is ours and that no endpoint has.
    socket.request(setLink('lxc000000000001', { alias: `cilium:${node.stateFolder}` }));
  });
  await node.stopAgent('SIGKILL');
  await node.startAgent();
  const links = node.links();
  expect(foreign.map((name) => links.includes(name))).toEqual([true, true, false]);
  expect(links).toContain(pod.hostInterface);
}, 60_000);

test('an endpoint whose state cannot be read keeps its interface, closed', async () => {
  await using node = await TestNode.create();
  const [named, nameless, whole] = await Promise.all(
    ['named', 'nameless', 'whole'].map((name) => node.addPod(name)),
  );
  if (named === undefined || nameless === undefined || whole === undefined) throw new Error();
  const idOf = async (pod: Pod) => {
    const { json } = await node.rest('GET', `/endpoint/cni-attachment-id:${pod.containerId}:eth0`);
    return String(json.id);
  };
  const ids = { named: await idOf(named), nameless: await idOf(nameless) };
  const traffic = await node.traffic(named);
  const outcome = async () => {
    const target = { host: whole.address[4], port: 7000, timeoutMs: 300 };
    return (await traffic.call('connect', target)).result;
  };
  expect(await outcome()).toBe('refused');
  for (const [id, text] of [
    [ids.named, `{"interface-name": "${named.hostInterface}", broken`],
    [ids.nameless, 'nothing'],
  ] as const) {
    await node.stopAgent('SIGKILL');
    writeFileSync(join(node.stateFolder, 'state', id, 'ep_config.json'), text);
    // Twice: what was set aside is remembered.
    for (let start = 0; start < 2; start++) {
      await node.startAgent();
      const links = node.links();
      for (const pod of [named, nameless, whole]) expect(links).toContain(pod.hostInterface);
      expect(await outcome()).toBe('timeout');
      if (start === 0) await node.stopAgent('SIGKILL');
    }
  }
  expect(readdirSync(join(node.bpfRoot, 'cilium/endpoints'))).toContain(ids.named);
}, 60_000);

test('what cannot be deleted stays down and is tried again; the others go', async () => {
  await using node = await TestNode.create({ agent: false });
  node.namespaces.within('node', (socket) => {
    const said: string[] = [];
    const errors: unknown[] = [];
    using remover = new LinkRemover({
      stateDirectory: node.stateFolder,
      spared: new Set(['lxc2']),
      onError: (error) => errors.push(error),
      onTrouble: (message) => said.push(message === undefined ? 'well' : 'trouble'),
    });
    for (const name of ['lxc1', 'lxc2']) {
      socket.request(createVeth({ name, up: true }, { name: `p${name}` }));
      socket.request(setLink(name, { alias: `cilium:${node.stateFolder}` }));
    }
    const link = (name: string) => {
      const found = getLink(socket, name);
      if (found === undefined) throw new Error(name);
      return found;
    };
    const gone: string[] = [];
    const remove = (name: string) =>
      remover.remove({ ifindex: link(name).index, interfaceName: name }, () => gone.push(name));
    remove('lxc1');
    // The kernel refuses, and with it the group.
    remove('lo');
    expect([link('lxc1').up, link('lo').up, remover.waiting]).toEqual([false, false, 2]);
    remover.flush();
    expect([gone, remover.waiting, said]).toEqual([[], 2, ['trouble']]);
    remover.flush();
    expect([gone, remover.waiting, errors.length]).toEqual([['lxc1'], 1, 1]);
    expect(said.at(-1)).toBe('trouble');
    // Spared; another's; gone already.
    expect(remover.discard(link('lxc2').index, () => gone.push('lxc2'))).toBe(false);
    socket.request(setLink('lxc2', { alias: 'another' }));
    expect(remover.discard(link('lxc2').index, () => gone.push('lxc2'))).toBe(false);
    expect(link('lxc2').up).toBe(true);
    expect(remover.discard(ifIndex(4_000_000), () => gone.push('absent'))).toBe(true);
    expect(gone).toEqual(['lxc1', 'absent']);
  });
}, 60_000);
