import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import {
  GetAgentEventsRequest,
  type GetAgentEventsResponse,
  ObserverClient,
} from '../../src/api/gen/observer/observer.ts';
import { endpoints } from '../../src/daemon/endpoint/table.ts';
import { identities } from '../../src/daemon/identity/table.ts';
import { ipcache } from '../../src/daemon/ipcache/table.ts';
import { policyCookies } from '../../src/daemon/policy/table.ts';
import { FlowWorker, FlowWorkerError } from '../../src/hubble/flow-worker.ts';

const dir = mkdtempSync(join(tmpdir(), 'hubble-'));
afterAll(() => rmSync(dir, { recursive: true }));

function options(name: string) {
  return {
    nodeName: 'node-1',
    clusterName: 'default',
    capacity: 255,
    version: 'cilium v1',
    socketPath: join(dir, name),
  };
}

const spawn = () => new Worker(new URL('../../src/worker-hubble.ts', import.meta.url));

describe('flow worker', () => {
  test('serves, mirrors tables, tells agent events, comes back after its death, stops', async () => {
    const spawned: Worker[] = [];
    const problems: string[] = [];
    const worker = new FlowWorker(options('a.sock'), {
      spawn: () => {
        const made = spawn();
        spawned.push(made);
        return made;
      },
      problem: (message) => problems.push(message),
    });
    worker.mirror(endpoints());
    worker.mirror(identities());
    worker.mirror(ipcache());
    worker.mirror(policyCookies());
    await worker.start();
    worker.notice({ type: 'agent-started' });
    const events = async (): Promise<number> => {
      const client = new ObserverClient(
        `unix:${join(dir, 'a.sock')}`,
        credentials.createInsecure(),
      );
      const { promise, resolve } = Promise.withResolvers<number>();
      let count = 0;
      client
        .getAgentEvents(GetAgentEventsRequest.fromPartial({}))
        .on('data', (response: GetAgentEventsResponse) => {
          count += response.agent_event?.agent_start === undefined ? 0 : 1;
        })
        .on('error', () => resolve(-1))
        .on('end', () => resolve(count));
      const result = await promise;
      client.close();
      return result;
    };
    while ((await events()) !== 1) await Bun.sleep(5);
    expect(await worker.status()).toMatchObject({ capacity: 255, seenFlows: 0, events: 0 });
    expect(problems).toEqual([]);

    spawned[0]?.terminate();
    while (spawned.length < 2) await Bun.sleep(5);
    while ((await events()) !== 1) await Bun.sleep(5);
    expect(problems[0]).toContain('flow worker');

    await worker.stop();
    await worker.stop();
    expect(await worker.status()).toBeUndefined();
    expect(existsSync(join(dir, 'a.sock'))).toBe(false);
  });

  test('says why it cannot start', async () => {
    const bad = new FlowWorker(
      { ...options('b.sock'), eventsMapPath: join(dir, 'no-such-map') },
      { spawn, problem: () => {} },
    );
    const error = await bad.start().catch((one: unknown) => one);
    expect(error).toBeInstanceOf(FlowWorkerError);
    expect(String(error)).toContain('no-such-map');
  });
});
