/**
 * @module `cilium agent`: one a node. Input: flags, `CILIUM_*`, the config directory. It runs until
 * SIGTERM or SIGINT; packets go on without it.
 */
import { readFileSync } from 'node:fs';
import type { Agent } from '../daemon/agent.ts';
import { ConfigError } from '../daemon/runtime/config-error.ts';
import { spawnFlowWorker } from '../spawn-flow-worker.ts';
import { printError, printStyled } from './terminal.ts';

const exitUsage = 2;

/** Flags are upstream's and are checked by the configuration itself. */
export async function runAgent(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    const { agentHelp } = await import('./agent-help.ts');
    printStyled(await agentHelp());
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
      // Still starting: what is in the kernel is as sound as after kill -9.
      if (agent === undefined) process.exit(0);
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
    if (isPrivateMount(config.bpfRoot, config.procfs))
      log.warn(privateMountWarning(config.bpfRoot));
  } catch (error) {
    printError(`Error: ${error instanceof Error ? error.message : String(error)}`);
    if (argv.includes('--debug') && error instanceof Error) printError(error.stack ?? '');
    return error instanceof ConfigError ? exitUsage : 1;
  }
  return await stopped.promise;
}

/**
 * Whether the bpffs at `bpfRoot` is mounted for this process and not for process 1: then it ends with
 * the mount namespace, as below `ip netns exec`. False when that cannot be found out.
 */
export function isPrivateMount(bpfRoot: string, procfs = '/proc'): boolean {
  try {
    const own = mountedBpffs(readFileSync(`${procfs}/self/mountinfo`, 'utf8'));
    const first = mountedBpffs(readFileSync(`${procfs}/1/mountinfo`, 'utf8'));
    const device = own.find(([point]) => point === bpfRoot)?.[1];
    return device !== undefined && !first.some(([, other]) => other === device);
  } catch {
    return false;
  }
}

/** Mount point and device of each bpffs, the last mounted first. proc(5) describes the columns. */
function mountedBpffs(mountinfo: string): [point: string, device: string][] {
  return [...mountinfo.matchAll(/^\d+ \d+ (\S+) \S+ (\S+) .*? - bpf /gm)]
    .map((match): [string, string] => [match[2] ?? '', match[1] ?? ''])
    .reverse();
}

function privateMountWarning(bpfRoot: string): string {
  return (
    `the bpffs ${bpfRoot} is in a mount namespace that is not that of process 1: what is pinned will ` +
    'vanish with this mount namespace, packets will not outlive the agent ' +
    '(in a network namespace start it by nsenter --net=…, not by ip netns exec)'
  );
}
