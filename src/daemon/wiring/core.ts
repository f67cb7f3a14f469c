/**
 * @module
 * What every part of the agent is wired with: configuration, tables, health, jobs, the order of
 * starting, and the stack of what has to be let go at the end, latest first.
 */
import type { AgentConfig } from '../runtime/config.ts';
import { Health } from '../runtime/health.ts';
import { Jobs } from '../runtime/jobs.ts';
import { Lifecycle } from '../runtime/lifecycle.ts';
import { type Logger, logger } from '../runtime/log.ts';
import { type AgentTables, agentTables } from '../tables.ts';

export interface AgentCore {
  readonly config: AgentConfig;
  readonly tables: AgentTables;
  readonly health: Health;
  readonly jobs: Jobs;
  readonly lifecycle: Lifecycle;
  readonly log: Logger;
  readonly resources: DisposableStack;
  /** Every source has delivered everything once: pruning may begin. */
  readonly initialized: PromiseWithResolvers<void>;
  /** For parts that go on after an error: writes it to the log under these words. */
  readonly problem: (what: string) => (error: unknown) => void;
}

export function agentCore(config: AgentConfig): AgentCore {
  const log = logger('agent');
  const tables = agentTables();
  const health = new Health(tables.health);
  return {
    config,
    tables,
    health,
    jobs: new Jobs({ health, log, table: tables.jobs }),
    lifecycle: new Lifecycle(log),
    log,
    resources: new DisposableStack(),
    initialized: Promise.withResolvers<void>(),
    problem: (what) => (error) => log.error(what, { error: String(error) }),
  };
}
