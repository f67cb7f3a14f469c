import { describe, expect, test } from 'bun:test';
import { Health } from './health.ts';
import { Jobs } from './jobs.ts';
import { Lifecycle, type Part } from './lifecycle.ts';
import type { Logger } from './log.ts';

const log: Logger = { debug() {}, info() {}, warn() {}, error() {} };

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error('condition never came true');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

describe('health', () => {
  test('levels, their beginning, and the whole', () => {
    const health = new Health();
    const policy = health.reporter('policy');
    policy.ok('2 rules');
    expect(health.overall().level).toBe('ok');
    policy.degraded('read', new Error('outer', { cause: new Error('inner') }));
    const row = health.table.get('policy');
    expect(row?.message).toBe('read: outer: inner');
    const revision = health.table.revision;
    policy.degraded('read', new Error('outer', { cause: new Error('inner') }));
    expect(health.table.revision).toBe(revision);
    policy.degraded('read again');
    expect(health.table.get('policy')?.since).toBe(row!.since);
    health.reporter('other').degraded('x');
    expect(health.overall()).toEqual({
      level: 'degraded',
      message: 'policy: read again (and 1 more)',
    });
    policy.remove();
    health.reporter('other').stopped('end');
    expect(health.overall().level).toBe('ok');
  });
});

describe('jobs', () => {
  test('once: until it succeeds, with what went wrong in its row', async () => {
    const health = new Health();
    const ran: boolean[] = [];
    const jobs = new Jobs({ health, log, ran: (_, __, ok) => ran.push(ok) });
    let left = 2;
    jobs.once(
      'try',
      () => {
        if (left-- > 0) throw new Error('not yet');
      },
      { backoffMinMs: 1, backoffMaxMs: 2 },
    );
    expect(() => jobs.once('try', () => {})).toThrow('runs already');
    await until(() => jobs.table.get('try')?.successes === 1);
    expect(jobs.table.get('try')).toMatchObject({
      failures: 2,
      consecutiveFailures: 0,
      lastFailure: 'not yet',
      running: false,
    });
    expect(ran).toEqual([false, false, true]);
    expect(health.table.get('job.try')?.level).toBe('ok');
    await jobs.stop();
    expect(() => jobs.once('late', () => {})).toThrow('stopped');
  });

  test('every: by interval and when triggered, also while it runs', async () => {
    const jobs = new Jobs({ health: new Health(), log });
    let runs = 0;
    const gate = Promise.withResolvers<void>();
    const job = jobs.every('sweep', 3_600_000, async () => {
      if (++runs === 1) await gate.promise;
    });
    await until(() => runs === 1);
    job.trigger();
    gate.resolve();
    await until(() => runs === 2);
    job.trigger();
    await until(() => jobs.table.get('sweep')?.successes === 3);
    const fast = jobs.every('fast', 0, () => void runs++);
    await until(() => runs > 5);
    await fast.stop();
    expect(jobs.table.get('fast')).toBeUndefined();
    await jobs.stop();
  });

  test('stop aborts, waits, and gives up at its deadline', async () => {
    const health = new Health();
    const jobs = new Jobs({ health, log });
    let seen = false;
    jobs.once('polite', async (signal) => {
      await new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason)),
      );
    });
    jobs.every('idle', 3_600_000, () => {
      seen = true;
    });
    await until(() => seen && jobs.table.get('polite')?.running === true);
    await jobs.stop();
    expect(jobs.table.get('polite')).toMatchObject({ running: false, failures: 0 });
    expect(health.overall().level).toBe('ok');
    const stuck = new Jobs({ health, log });
    stuck.once('stuck', () => new Promise(() => {}));
    await until(() => stuck.table.get('stuck')?.running === true);
    await expect(stuck.stop(AbortSignal.timeout(5))).rejects.toThrow();
  });
});

describe('lifecycle', () => {
  const record = (steps: string[], name: string, more: Partial<Part> = {}): Part => ({
    name,
    start: () => void steps.push(`start ${name}`),
    stop: async () => void steps.push(`stop ${name}`),
    ...more,
  });

  test('in order and back, once', async () => {
    const steps: string[] = [];
    const lifecycle = new Lifecycle(log).add(record(steps, 'a')).add(record(steps, 'b'));
    await lifecycle.start();
    expect(lifecycle.started.map((part) => part.name)).toEqual(['a', 'b']);
    expect(await lifecycle.stop()).toEqual([]);
    await lifecycle.stop();
    expect(steps).toEqual(['start a', 'start b', 'stop b', 'stop a']);
    expect(lifecycle.signal.aborted).toBe(true);
    expect(() => lifecycle.add(record(steps, 'c'))).toThrow('already starting');
  });

  test('a part that fails or hangs undoes those before it', async () => {
    for (const start of [
      () => {
        throw new Error('no');
      },
      () => new Promise<void>(() => {}),
    ]) {
      const steps: string[] = [];
      const lifecycle = new Lifecycle(log)
        .add(record(steps, 'a'))
        .add(record(steps, 'b', { start, startDeadlineMs: 5 }))
        .add(record(steps, 'c'));
      await expect(lifecycle.start()).rejects.toThrow('start b');
      expect(steps).toEqual(['start a', 'stop a']);
    }
  });

  test('a part that does not stop does not keep the others', async () => {
    const steps: string[] = [];
    const lifecycle = new Lifecycle(log)
      .add(record(steps, 'a'))
      .add(record(steps, 'b', { stop: () => new Promise(() => {}), stopDeadlineMs: 5 }));
    await lifecycle.start();
    const errors = await lifecycle.stop();
    expect(errors.map((error) => error.message)).toEqual(['stop b']);
    expect(steps).toEqual(['start a', 'start b', 'stop a']);
  });

  test('asked to stop while starting: what has started is stopped, the rest never starts', async () => {
    const steps: string[] = [];
    const gate = Promise.withResolvers<void>();
    const lifecycle = new Lifecycle(log)
      .add(record(steps, 'a'))
      .add(record(steps, 'slow', { start: () => gate.promise }))
      .add(record(steps, 'never'));
    const starting = lifecycle.start();
    await until(() => steps.length === 1);
    const stopping = lifecycle.stop();
    gate.resolve();
    await expect(starting).rejects.toThrow('stopping');
    expect(await stopping).toEqual([]);
    expect(steps).toEqual(['start a', 'stop slow', 'stop a']);
  });
});
