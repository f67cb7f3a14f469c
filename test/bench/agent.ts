/**
 * @module The agent itself: its memory and its use of a core when nothing happens, and how long a start
 * takes until every endpoint is its own again.
 */
import { readFileSync } from 'node:fs';
import { type Figure, median, spreadOf } from './figures.ts';
import { BenchNode } from './node.ts';

const endpointCount = 100;
const starts = 9;
const settleMs = 15_000;
const idleMs = 20_000;
const startBarMs = 300;
const idleBar = 1;
const kilobytesPerMb = 1024;
/** USER_HZ, which is 100 on every architecture that Bun runs on. */
const msPerTick = 10;

interface Memory {
  readonly residentMb: number;
  readonly anonMb: number;
}

export async function agent(): Promise<Figure[]> {
  await using node = await BenchNode.start();
  await Bun.sleep(settleMs);
  const idle = await measureIdle(node, 'no endpoint');
  const empty = memoryOf(node.agentPid);
  await addEndpoints(node);
  await Bun.sleep(settleMs);
  const full = memoryOf(node.agentPid);
  const busy = await measureIdle(node, `${endpointCount} endpoints`);
  const startFigures = await measureStarts(node);
  await Bun.sleep(settleMs);
  const restarted = memoryOf(node.agentPid);
  return [
    ...startFigures,
    memoryFigure('memory, no endpoint', empty, 120, 45),
    memoryFigure(`memory, ${endpointCount} endpoints added`, full, 130, 55),
    memoryFigure(`memory, ${endpointCount} endpoints adopted`, restarted, 130, 55),
    idle,
    busy,
  ];
}

async function addEndpoints(node: BenchNode): Promise<void> {
  const pods = Array.from({ length: endpointCount }, (_, at) =>
    node.preparePod(`pod-${at}`, { app: `app-${at % 10}` }),
  );
  for (let at = 0; at < pods.length; at += 10) {
    await Promise.all(pods.slice(at, at + 10).map((pod) => node.cni('ADD', pod)));
  }
}

async function measureStarts(node: BenchNode): Promise<Figure[]> {
  const [ready, answered]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < starts; turn++) {
    await node.stopAgent(turn % 3 === 2 ? 'SIGKILL' : 'SIGTERM');
    const started = performance.now();
    node.spawnAgent();
    let first: number | undefined;
    await node.until(async () => {
      const endpoints = await node.endpoints();
      if (endpoints.length > 0) first ??= performance.now() - started;
      return (
        endpoints.length === endpointCount &&
        endpoints.every((endpoint) => endpoint.status.state === 'ready')
      );
    }, 5);
    ready.push(performance.now() - started);
    answered.push(first ?? Number.NaN);
  }
  return [
    {
      name: `start to ${endpointCount} endpoints ready`,
      value: `${median(ready).toFixed(0)} ms`,
      baseline: `first answer ${median(answered).toFixed(0)} ms`,
      spread: `${spreadOf(ready, 0)} ms`,
      bar: `≤ ${startBarMs} ms`,
      met: median(ready) <= startBarMs,
    },
  ];
}

function memoryFigure(name: string, memory: Memory, residentBar: number, anonBar: number): Figure {
  const show = (resident: number, anon: number) => `${resident.toFixed(0)} (${anon.toFixed(0)}) MB`;
  return {
    name: `${name}: resident (private)`,
    value: show(memory.residentMb, memory.anonMb),
    bar: `≤ ${show(residentBar, anonBar)}`,
    met: memory.residentMb <= residentBar && memory.anonMb <= anonBar,
  };
}

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(status)?.[1]) / kilobytesPerMb;
  return { residentMb: field('VmRSS'), anonMb: field('RssAnon') };
}

async function measureIdle(node: BenchNode, what: string): Promise<Figure> {
  const [begun, ticks] = [performance.now(), ticksOf(node.agentPid)];
  await Bun.sleep(idleMs);
  const elapsedMs = performance.now() - begun;
  const share = ((ticksOf(node.agentPid) - ticks) * msPerTick * 100) / elapsedMs;
  return {
    name: `idle for ${idleMs / 1000} s, ${what}`,
    value: `${share.toFixed(2)} % of a core`,
    bar: `≤ ${idleBar} %`,
    met: share <= idleBar,
  };
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name may hold anything; what follows it is numbers.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
