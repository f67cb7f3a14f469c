/**
 * @module Pods come and go while no agent answers: ADD asks to try again later, DEL succeeds and is
 * carried out when an agent is back.
 */
import { expect, test } from 'bun:test';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, TestNode } from './harness.ts';

test('ADD answers 11 and leaves nothing', async () => {
  await using node = await TestNode.create();
  const links = node.links();
  await node.stopAgent('SIGKILL');
  node.createPodNetns('late');
  const answer = await node.cni('ADD', { name: 'late' });
  expect([answer.exitCode, answer.json.code]).toEqual([1, 11]);
  expect(answer.json.details).toContain('Is the agent running?');
  expect(node.links()).toEqual(links);
  const status = await node.cni('STATUS', { name: 'late' });
  expect([status.exitCode, status.json.code]).toEqual([1, 50]);
  await node.startAgent();
  const again = await node.cni('ADD', { name: 'late' });
  expect(again.exitCode).toBe(0);
}, 60_000);

test('DEL succeeds and is carried out by the next agent', async () => {
  await using node = await TestNode.create();
  const links = node.links();
  const pod = await node.addPod('gone');
  await node.addPod('stays');
  await node.stopAgent('SIGKILL');
  const answer = await node.cni('DEL', { name: 'gone' });
  expect([answer.exitCode, answer.stdout]).toEqual([0, '']);
  expect((await node.cni('DEL', { name: 'gone' })).exitCode).toBe(0);
  expect(readdirSync(join(node.stateFolder, 'deleteQueue'))).toHaveLength(1);

  await node.startAgent();
  await eventually('the endpoint to be gone', async () => (await node.endpoints()).length === 1);
  expect((await node.endpoints())[0].status['external-identifiers']['pod-name']).toContain('stays');
  await eventually('its interface to be gone', () => node.links().length === links.length + 1);
  await eventually('its addresses to be free', async () => {
    const { allocations } = (await node.rest('GET', '/healthz')).json.ipam;
    return allocations[pod.address[4]] === undefined && allocations[pod.address[6]] === undefined;
  });
  expect(readdirSync(join(node.stateFolder, 'deleteQueue'))).toHaveLength(0);
  expect(existsSync(join(node.stateFolder, 'state'))).toBe(true);
}, 60_000);
