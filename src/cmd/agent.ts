/**
 * @module `cilium agent`: one a node. Input: flags, `CILIUM_*`, the config directory. It runs until
 * SIGTERM or SIGINT; packets go on without it.
 */
import type { Agent } from '../daemon/agent.ts';
import { ConfigError } from '../daemon/runtime/config-error.ts';
import { spawnFlowWorker } from '../spawn-flow-worker.ts';
import { printError, printOut } from './terminal.ts';

const exitUsage = 2;

/** Flags are upstream's and are checked by the configuration itself. */
export async function runAgent(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    const { agentHelp } = await import('./agent-help.ts');
    printOut(await agentHelp());
    return 0;
  }
  if (process.geteuid?.() !== 0) {
    printError('Error: cilium agent loads eBPF programs and makes interfaces, which takes root');
    return 1;
  }
  const { loadAgentConfig } = await import('../daemon/runtime/config.ts');
  const { configureLogFrom, logger } = await import('../daemon/runtime/log.ts');
  const { startAgent } = await import('../daemon/agent.ts');
  const stopped = Promise.withResolvers<number>();
  let agent: Agent | undefined;
  try {
    const config = loadAgentConfig(argv, process.env);
    configureLogFrom(config);
    const log = logger('agent');
    for (const warning of config.warnings) log.warn(warning);
    const stop = (name: string) => {
      log.info('stopping', { signal: name });
      void (agent?.stop() ?? Promise.resolve()).then(
        () => stopped.resolve(0),
        (error: unknown) => {
          log.error('stop', { error: String(error) });
          stopped.resolve(1);
        },
      );
    };
    process.once('SIGTERM', () => stop('SIGTERM'));
    process.once('SIGINT', () => stop('SIGINT'));
    agent = await startAgent(config, { spawnFlowWorker });
  } catch (error) {
    printError(`Error: ${error instanceof Error ? error.message : String(error)}`);
    if (argv.includes('--debug') && error instanceof Error) printError(error.stack ?? '');
    return error instanceof ConfigError ? exitUsage : 1;
  }
  return await stopped.promise;
}
