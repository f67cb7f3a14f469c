/**
 * @module
 * How fast flows go: kernel record → ring, ring → bytes, bytes → JSON text, and server →
 * client over a unix socket. Run with `bun test/bench/flows.ts [seconds]`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FlowFilter } from '../../src/api/gen/flow/flow.ts';
import { GetFlowsRequest, GetFlowsResponse } from '../../src/api/gen/observer/observer.ts';
import { messageSchema } from '../../src/api/json/schema.ts';
import { JsonWriter } from '../../src/api/json/write.ts';
import { Observer } from '../../src/hubble/observer/observer.ts';
import { encodeEvent, smallWorld } from '../../src/hubble/parser/event-fixture.ts';
import { eventWords } from '../../src/hubble/parser/event-layout.ts';
import { HubbleServer } from '../../src/hubble/server/hubble-server.ts';

const seconds = Number(process.argv[2] ?? 2);
const records = 1024;
const words = new Uint32Array(records * eventWords);
for (let at = 0; at < records; at++) {
  const bytes = encodeEvent({
    type: [1, 2, 3, 3][at % 4] ?? 1,
    flags: at % 4 === 0 ? 3 : 0,
    sourcePort: 30000 + at,
    tcpFlags: [0x02, 0x12, 0x11, 0x11][at % 4] ?? 2,
    ...(at % 8 === 0 ? { type: 4, reason: 133, flags: 1 | 2 | 64, ingressCookie: 502 } : {}),
  });
  words.set(new Uint32Array(bytes.buffer), at * eventWords);
}

function observer(capacity: number): Observer {
  return new Observer(smallWorld(), {
    nodeName: 'node-1',
    clusterName: 'default',
    capacity,
    version: '',
  });
}

function feed(target: Observer): void {
  for (let at = 0; at < records; at++) target.parser.record(words, at * eventWords, eventWords * 4);
  target.settle();
}

/** Runs a step of known size until the time is over. */
function measure(name: string, unit: string, step: () => number): void {
  for (let warm = 0; warm < 20; warm++) step();
  const start = performance.now();
  let done = 0;
  while (performance.now() - start < seconds * 1000) done += step();
  const perSecond = done / ((performance.now() - start) / 1000);
  console.log(
    `${name.padEnd(44)} ${Math.round(perSecond).toLocaleString('en').padStart(12)} ${unit}/s`,
  );
}

const ring = observer(4095);
measure('kernel record → ring', 'events', () => {
  feed(ring);
  return records;
});
measure('the same, as flows', 'flows', () => {
  const before = ring.ring.head;
  feed(ring);
  return ring.ring.head - before;
});

const all = GetFlowsRequest.fromPartial({});
measure('ring → response bytes', 'flows', () => {
  const query = ring.queryFlows(all);
  let count = 0;
  while (query.next() instanceof Uint8Array) count++;
  return count;
});
const none = GetFlowsRequest.fromPartial({
  whitelist: [FlowFilter.fromPartial({ source_label: ['app=nobody'], source_port: ['1'] })],
});
measure('filter that refuses all', 'flows', () => {
  ring.queryFlows(none).next();
  return ring.ring.size;
});

const samples: Uint8Array[] = [];
const sampling = ring.queryFlows(all);
for (let one = sampling.next(); one instanceof Uint8Array; one = sampling.next())
  samples.push(one.slice());
const bytes = samples.reduce((sum, one) => sum + one.length, 0);
console.log(`a response is ${Math.round(bytes / samples.length)} bytes`);
const schema = messageSchema('observer.GetFlowsResponse');
const writer = new JsonWriter();
measure('response bytes → JSON text', 'flows', () => {
  for (const sample of samples) {
    writer.clear();
    writer.writeMessage(schema, sample);
  }
  return samples.length;
});
measure('response bytes → message (generated)', 'flows', () => {
  for (const sample of samples) GetFlowsResponse.decode(sample);
  return samples.length;
});

/** The real thing: `hubble observe -f -o json` as another process, fed at a given rate. */
async function follow(eventsPerSecond: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'hubble-bench-'));
  const served = observer(4095);
  const server = await HubbleServer.start(served, { socketPath: join(dir, 's') });
  const main = `import { runHubble } from ${JSON.stringify(join(import.meta.dir, '../../src/cmd/hubble.ts'))};
    process.exitCode = await runHubble(process.argv.slice(1));`;
  const script = join(dir, 'main.ts');
  await Bun.write(script, main.replace('slice(1)', 'slice(2)'));
  const child = Bun.spawn(
    [
      process.execPath,
      script,
      'observe',
      '-f',
      '-o',
      'json',
      '--server',
      `unix://${join(dir, 's')}`,
    ],
    { stdout: 'pipe', stderr: 'inherit' },
  );
  let lines = 0;
  let lost = 0;
  const reading = (async () => {
    for await (const chunk of child.stdout) {
      const text = Buffer.from(chunk);
      for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, at + 1)) lines++;
      if (text.includes('num_events_lost')) {
        for (const [, count] of text.toString().matchAll(/"num_events_lost":"(\d+)"/g))
          lost += Number(count);
      }
    }
  })();
  while (served.followers === 0) await Bun.sleep(5);
  const start = performance.now();
  let fed = 0;
  let at = 0;
  while (performance.now() - start < seconds * 1000) {
    await Bun.sleep(5);
    const due = Math.floor(((performance.now() - start) / 1000) * eventsPerSecond);
    for (let batch = 0; fed < due; fed++) {
      served.parser.record(words, (at++ % records) * eventWords, eventWords * 4);
      if (++batch % 512 === 0) served.settle();
    }
    served.settle();
  }
  const took = (performance.now() - start) / 1000;
  while (lines + lost < served.ring.head) {
    const before = lines;
    await Bun.sleep(200);
    if (lines === before) break;
  }
  const rate = Math.round(served.ring.head / took).toLocaleString('en');
  console.log(`observe -f -o json at ${rate} flows/s: ${lines} lines, ${lost} lost`);
  child.kill();
  await child.exited;
  await reading;
  server.stop();
  rmSync(dir, { recursive: true });
}

for (const rate of [10_000, 20_000, 30_000, 50_000]) await follow(rate);
process.exit(0);
