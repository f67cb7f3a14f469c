import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Observer } from '../../src/hubble/observer/observer.ts';
import { encodeEvent, smallWorld } from '../../src/hubble/parser/event-fixture.ts';
import { HubbleServer } from '../../src/hubble/server/hubble-server.ts';

const dir = mkdtempSync(join(tmpdir(), 'hubble-'));
const script = join(dir, 'main.ts');
const observer = new Observer(smallWorld(), {
  nodeName: 'node-1',
  clusterName: 'default',
  capacity: 255,
  version: 'cilium v0.1.0',
});
let server: HubbleServer;

function feed(times: number): void {
  const bytes = encodeEvent();
  for (let at = 0; at < times; at++) {
    observer.parser.record(new Uint32Array(bytes.buffer), 0, bytes.length);
  }
  observer.settle();
}

function spawn(...argv: string[]) {
  return Bun.spawn([process.execPath, script, ...argv], {
    stdout: 'pipe',
    stderr: 'pipe',
    env: { ...process.env, HUBBLE_SERVER: `unix://${join(dir, 's')}`, NO_COLOR: '1', TZ: 'UTC' },
  });
}

async function hubble(...argv: string[]) {
  const child = spawn(...argv);
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, out, err };
}

beforeAll(async () => {
  const module = join(import.meta.dir, '../../src/cmd/hubble.ts');
  writeFileSync(
    script,
    `import { runHubble } from ${JSON.stringify(module)};\nprocess.exit(await runHubble(process.argv.slice(2)));\n`,
  );
  observer.parser.setClock({ seconds: 1_795_462_000, nanos: 0 });
  server = await HubbleServer.start(observer, { socketPath: join(dir, 's') });
  feed(2);
});

afterAll(() => {
  server.stop();
  rmSync(dir, { recursive: true });
});

test('prints what the server has', async () => {
  const result = await hubble('observe', '--last', '3', '--print-policy-names');
  expect(result.err).toBe('');
  expect(result.code).toBe(0);
  expect(result.out).toBe(
    [
      'Nov 23 19:26:45.000: shop/client:40000 (ID:1001) -> shop/web:8080 (ID:1002) policy-verdict:L3-Only EGRESS ALLOWED BY client-egress (CiliumNetworkPolicy) (TCP Flags: SYN)',
      'Nov 23 19:26:45.000: shop/client:40000 (ID:1001) -> shop/web:8080 (ID:1002) policy-verdict:L3-L4 INGRESS ALLOWED BY web-ingress (CiliumNetworkPolicy) (TCP Flags: SYN)',
      'Nov 23 19:26:45.000: shop/client:40000 (ID:1001) -> shop/web:8080 (ID:1002) to-endpoint FORWARDED (TCP Flags: SYN)',
      '',
    ].join('\n'),
  );
});

test('JSON lines, status, namespaces', async () => {
  const lines = (await hubble('observe', '-ojson', '-t', 'trace')).out.trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line).flow.trace_reason)).toEqual(['NEW', 'NEW']);
  expect((await hubble('status')).out).toContain('Current/Max Flows: 6/255 (2.35%)');
  const listed = await hubble('list', 'nodes');
  expect(listed).toEqual({
    code: 1,
    out: '',
    err: 'hubble: UNIMPLEMENTED: GetNodes not implemented\n',
  });
});

test('what the server refuses is said in one line', async () => {
  const result = await hubble('observe', '--protocol', 'pigeon');
  expect(result).toEqual({
    code: 1,
    out: '',
    err: 'hubble: INVALID_ARGUMENT: unknown protocol "pigeon"\n',
  });
});

test('follows, and ends quietly on Ctrl-C', async () => {
  const child = spawn('observe', '-f', '-o', 'json');
  while (observer.followers === 0) await Bun.sleep(2);
  feed(1);
  const reader = child.stdout.getReader();
  const first = await reader.read();
  expect(new TextDecoder().decode(first.value)).toContain('"node-1"');
  child.kill('SIGINT');
  expect(await child.exited).toBe(0);
  expect(await new Response(child.stderr).text()).toBe('');
});

test('ends quietly when nobody reads any more', async () => {
  const pipeline = Bun.spawn(
    ['sh', '-c', `"$0" "$1" observe -f -o json | head -n 1`, process.execPath, script],
    {
      stdout: 'pipe',
      stderr: 'pipe',
      env: { ...process.env, HUBBLE_SERVER: `unix://${join(dir, 's')}` },
    },
  );
  let ended = false;
  const exited = pipeline.exited.then(() => {
    ended = true;
  });
  while (!ended) {
    feed(20);
    await Bun.sleep(5);
  }
  await exited;
  expect((await new Response(pipeline.stdout).text()).split('\n').length).toBe(2);
  expect(await new Response(pipeline.stderr).text()).toBe('');
});
