/**
 * @module
 * Wires the flow worker: its thread, the tables that it gets, the figures that status shows.
 */
import { mapPath } from '../../bpf/loader/bpffs.ts';
import { FlowWorker } from '../../hubble/flow-worker.ts';
import type { FlowWorkerStatus } from '../../hubble/protocol.ts';
import { checkListenAddress } from '../../hubble/server/listen-address.ts';
import { version } from '../../version.ts';
import { followNotices } from '../agent-notices.ts';
import type { AgentCore } from './core.ts';

const figuresIntervalMs = 1_000;

/** Latest figures; undefined while the worker is down, null when Hubble is off. */
export type HubbleFigures = () => FlowWorkerStatus | undefined | null;

/** Adds the worker to the lifecycle. `spawn` makes its thread. */
export function wireFlows(
  core: AgentCore,
  spawn: () => Worker,
  policyRevision: () => number,
): HubbleFigures {
  if (!core.config.enableHubble) return () => null;
  const worker = flowWorker(core, spawn);
  let figures: FlowWorkerStatus | undefined;
  let noticing: Disposable | undefined;
  core.lifecycle.add({
    name: 'flow worker',
    async start() {
      await worker.start();
      figures = await worker.status();
      worker.notice({ type: 'agent-started' });
      noticing = followNotices(core.tables, policyRevision, (notice) => worker.notice(notice));
      core.jobs.every('hubble-figures', figuresIntervalMs, async () => {
        figures = await worker.status();
      });
    },
    async stop() {
      noticing?.[Symbol.dispose]();
      await worker.stop();
    },
  });
  return () => figures;
}

function flowWorker({ config, tables, health, log }: AgentCore, spawn: () => Worker): FlowWorker {
  const report = health.reporter('hubble.worker');
  const worker = new FlowWorker(
    {
      nodeName: config.nodeName,
      clusterName: config.clusterName,
      capacity: config.hubbleEventBufferCapacity,
      version: `cilium v${version}`,
      socketPath: config.hubbleSocketPath,
      listenAddress: checkListenAddress(config.hubbleListenAddress, config.hubbleDisableTls),
      eventsMapPath: mapPath(config.bpfRoot, 'cilium_events'),
      lostMapPath: mapPath(config.bpfRoot, 'cilium_events_lost'),
    },
    {
      spawn,
      problem: (message) => log.warn('flow worker', { message }),
      healthy: (isServing) => (isServing ? report.ok('serving') : report.degraded('not serving')),
    },
  );
  worker.mirror(tables.endpoints);
  worker.mirror(tables.identities);
  worker.mirror(tables.ipcache);
  worker.mirror(tables.cookies);
  return worker;
}

/** Makes one thread now, which reads its code while programs are loaded, and more when asked again. */
export function spawnAhead(spawn: () => Worker): () => Worker {
  let ahead: Worker | undefined = spawn();
  return () => {
    const worker = ahead ?? spawn();
    ahead = undefined;
    return worker;
  };
}
