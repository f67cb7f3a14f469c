import { afterEach, expect, test } from 'bun:test';
import { ConfigError } from './config-error.ts';
import { counter, gauge, histogram, registerProcessMetrics, registry } from './metrics.ts';
import { MetricsServer } from './metrics-server.ts';

afterEach(() => registry.clear());

test('asking twice gives the same metric', async () => {
  const drops = counter('cilium_drop_count_total', 'Drops.', ['reason']);
  drops.inc({ reason: 'Policy denied' }, 2);
  expect(counter('cilium_drop_count_total', 'Drops.', ['reason'])).toBe(drops);
  gauge('cilium_identity', 'Identities.', [], (metric) => metric.set(7));
  histogram('cilium_x_seconds', 'X.', ['l'], [1, 2]).observe({ l: 'a' }, 1.5);
  const text = await registry.metrics();
  expect(text).toContain('cilium_drop_count_total{reason="Policy denied"} 2');
  expect(text).toContain('cilium_identity 7');
  expect(text).toContain('cilium_x_seconds_bucket{le="2",l="a"} 1');
});

test('the process', async () => {
  registerProcessMetrics();
  registerProcessMetrics();
  const value = async (name: string) =>
    Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await registry.metrics())?.[1]);
  expect(await value('process_resident_memory_bytes')).toBeGreaterThan(1e6);
  expect(await value('cilium_process_resident_memory_bytes')).toBeGreaterThan(1e6);
  expect(await value('process_open_fds')).toBeGreaterThan(2);
  expect(await value('process_max_fds')).toBeGreaterThan(2);
  const first = await value('process_cpu_seconds_total');
  expect(first).toBeGreaterThan(0);
  expect(await value('process_cpu_seconds_total')).toBeGreaterThanOrEqual(first);
  expect(await value('process_cpu_seconds_total')).toBeLessThan(
    (process.cpuUsage().user + process.cpuUsage().system) / 1e6 + 0.1,
  );
  const started = await value('process_start_time_seconds');
  expect(Math.abs(started - (Date.now() / 1000 - process.uptime()))).toBeLessThan(1);
});

test('/metrics is served, and nothing else', async () => {
  gauge('cilium_identity', 'Identities.').set(3);
  const server = new MetricsServer('127.0.0.1:0');
  const at = `http://127.0.0.1:${server.port}`;
  const answer = await fetch(`${at}/metrics`);
  expect(answer.headers.get('content-type')).toContain('text/plain');
  expect(await answer.text()).toContain('cilium_identity 3');
  expect((await fetch(`${at}/`)).status).toBe(404);
  expect((await fetch(`${at}/metrics`, { method: 'POST' })).status).toBe(405);
  expect(() => new MetricsServer(`127.0.0.1:${server.port}`)).toThrow(ConfigError);
  await server.stop();
  const all = new MetricsServer(':0');
  expect((await fetch(`http://127.0.0.1:${all.port}/metrics`)).status).toBe(200);
  await all.stop();
});
