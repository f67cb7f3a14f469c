/**
 * @module
 * The registry behind `/metrics`. Features create their metrics here by upstream's names; figures
 * about the process are read when somebody asks, never by a timer.
 */

import { readdirSync, readFileSync } from 'node:fs';
import type { Counter, Gauge, Histogram } from 'prom-client';
import CounterClass from 'prom-client/lib/counter.js';
import GaugeClass from 'prom-client/lib/gauge.js';
import HistogramClass from 'prom-client/lib/histogram.js';
import Registry from 'prom-client/lib/registry.js';

/** Ours alone; nothing is in it that no module of ours put there. */
export const registry = new Registry();

/**
 * The counter of that name. Asking twice gives the same one. `collect` is for what the kernel
 * counts: it runs at each scrape, resets the counter and adds what it finds.
 */
export function counter<L extends string = never>(
  name: string,
  help: string,
  labels: readonly L[] = [],
  collect?: (metric: Counter<L>) => void,
): Counter<L> {
  const existing = registry.getSingleMetric(name) as Counter<L> | undefined;
  if (existing !== undefined) return existing;
  return new CounterClass<L>({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    ...(collect === undefined
      ? {}
      : {
          collect(this: Counter<L>) {
            collect(this);
          },
        }),
  });
}

/** `collect` runs at each scrape and may set the gauge; it must be quick and must not throw. */
export function gauge<L extends string = never>(
  name: string,
  help: string,
  labels: readonly L[] = [],
  collect?: (metric: Gauge<L>) => void,
): Gauge<L> {
  const existing = registry.getSingleMetric(name) as Gauge<L> | undefined;
  if (existing !== undefined) return existing;
  return new GaugeClass<L>({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    ...(collect === undefined
      ? {}
      : {
          collect(this: Gauge<L>) {
            collect(this);
          },
        }),
  });
}

/** Buckets are Prometheus' own unless given. */
export function histogram<L extends string = never>(
  name: string,
  help: string,
  labels: readonly L[] = [],
  buckets?: readonly number[],
): Histogram<L> {
  const existing = registry.getSingleMetric(name) as Histogram<L> | undefined;
  if (existing !== undefined) return existing;
  return new HistogramClass({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    ...(buckets === undefined ? {} : { buckets: [...buckets] }),
  });
}

/**
 * Registers process_* under its own name, which dashboards want, and with `cilium_` before it, as
 * upstream's agent has it. May be called twice.
 */
export function registerProcessMetrics(procfs = '/proc'): void {
  for (const prefix of ['', 'cilium_']) {
    gauge(
      `${prefix}process_resident_memory_bytes`,
      'Resident memory size in bytes.',
      [],
      (metric) => metric.set(process.memoryUsage.rss()),
    );
    gauge(
      `${prefix}process_start_time_seconds`,
      'Start time of the process since unix epoch in seconds.',
    ).set(startTimeSeconds);
    gauge(`${prefix}process_open_fds`, 'Number of open file descriptors.', [], (metric) =>
      metric.set(openFiles(procfs)),
    );
    gauge(`${prefix}process_max_fds`, 'Maximum number of open file descriptors.').set(
      openFilesMax(procfs),
    );
    cpuSeconds(`${prefix}process_cpu_seconds_total`);
  }
}

const startTimeSeconds = Date.now() / 1000 - process.uptime();

function cpuSeconds(name: string): void {
  if (registry.getSingleMetric(name) !== undefined) return;
  let counted = 0;
  new CounterClass({
    name,
    help: 'Total user and system CPU time spent in seconds.',
    registers: [registry],
    collect(this: Counter) {
      const { user, system } = process.cpuUsage();
      const seconds = (user + system) / 1e6;
      this.inc(Math.max(0, seconds - counted));
      counted = seconds;
    },
  });
}

function openFiles(procfs: string): number {
  try {
    // The listing itself holds one open.
    return readdirSync(`${procfs}/self/fd`).length - 1;
  } catch {
    return 0;
  }
}

function openFilesMax(procfs: string): number {
  try {
    const limits = readFileSync(`${procfs}/self/limits`, 'utf8');
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
