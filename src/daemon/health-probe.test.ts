import { afterEach, expect, test } from 'bun:test';
import { healthProbe } from './health-probe.ts';

let state = 'Ok';
let problems: unknown[] = [];
const parts: ReturnType<typeof healthProbe>[] = [];
const start = (port: number) => {
  const part = healthProbe({
    port,
    status: () => ({ cilium: { state, msg: '' }, kvstore: {} }),
    problem: (error) => problems.push(error),
  });
  parts.push(part);
  part.start();
};
afterEach(async () => {
  for (const part of parts.splice(0)) await part.stop();
  state = 'Ok';
  problems = [];
});

/** A port that is free, as far as that can be known. */
async function freePort(): Promise<number> {
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response() });
  const { port = 0 } = server;
  await server.stop(true);
  return port;
}

test('200 while it works, 500 when it does not, brief when asked', async () => {
  const port = await freePort();
  start(port);
  const ask = (headers = {}) => fetch(`http://127.0.0.1:${port}/healthz`, { headers });
  expect((await ask()).status).toBe(200);
  expect(await (await ask({ brief: 'true' })).json()).toEqual({ cilium: { state: 'Ok', msg: '' } });
  state = 'Warning';
  expect((await ask()).status).toBe(200);
  state = 'Failure';
  expect((await ask()).status).toBe(500);
  expect((await fetch(`http://127.0.0.1:${port}/x`)).status).toBe(404);
});

test('a port in use is a problem and nothing more', async () => {
  const port = await freePort();
  start(port);
  start(port);
  expect(problems.length).toBe(1);
  start(0);
  expect(problems.length).toBe(1);
});
