/**
 * @module
 * Wires what others reach the agent by: REST's socket, metrics, the health port, the CNI
 * configuration that tells a runtime that the agent is there.
 */
import type { CniFile } from '../cni-configuration.ts';
import { replayDeleteQueue } from '../endpoint/delete-queue.ts';
import type { EndpointReflector } from '../endpoint/reflector.ts';
import { healthProbe } from '../health-probe.ts';
import type { RestContext } from '../rest/context.ts';
import { type RestServer, startRestServer } from '../rest/server.ts';
import { MetricsServer } from '../runtime/metrics-server.ts';
import type { AgentCore } from './core.ts';

const cniFileIntervalMs = 10_000;

/** Adds them to the lifecycle. The socket is last but one: who can connect finds all in place. */
export function wireServing(core: AgentCore, context: RestContext, cniFile: CniFile): void {
  const { config, lifecycle, jobs, log } = core;
  lifecycle
    .add(rest(core, context))
    .add(metrics(core))
    .add(
      healthProbe({
        port: config.agentHealthPort,
        status: context.status,
        problem: (error) => log.warn('serve agent-health-port', { error: String(error) }),
      }),
    )
    .add({
      name: 'cni configuration',
      start() {
        if (!cniFile.wanted) return;
        // After the socket: who reads it may call at once.
        cniFile.ensure();
        jobs.every('write-cni-file', cniFileIntervalMs, () => cniFile.ensure());
      },
    });
}

function rest(core: AgentCore, context: RestContext) {
  let server: RestServer | undefined;
  return {
    name: 'rest',
    async start() {
      const { socketPath } = core.config;
      server = await startRestServer(socketPath, context, core.problem('answer a request'));
      replay(core, context.reflector);
    },
    stop: () => server?.stop(),
  };
}

/** What plugins asked for while nobody answered. */
function replay({ config, log }: AgentCore, reflector: EndpointReflector): void {
  const { containerIds, ignored } = replayDeleteQueue(config.stateDir, (id) => {
    reflector.deleteContainer(id);
  });
  if (containerIds.length > 0) {
    log.info('queued deletions carried out', { count: containerIds.length });
  }
  for (const { path, reason } of ignored) log.warn('queued deletion ignored', { path, reason });
}

function metrics({ config }: AgentCore) {
  let server: MetricsServer | undefined;
  return {
    name: 'metrics',
    start() {
      if (config.prometheusServeAddr !== '') server = new MetricsServer(config.prometheusServeAddr);
    },
    stop: () => server?.stop(),
  };
}
