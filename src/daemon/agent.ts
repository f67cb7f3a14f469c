/**
 * @module
 * The wiring of the agent, in the order in which its parts start; stopping is the reverse. An agent
 * that stops leaves the datapath as it is: programs, maps and interfaces go on without it.
 *
 *   static-cnp-path ─▶ policy reflector ─▶ policy-rules ─┐
 *   CNI, REST ─▶ endpoint reflector ─▶ endpoints ────────┼─▶ policy controller ─▶ policies, cookies
 *                                        │   ▲           │        │
 *                 endpoint controller ◀──┘   └─ identities ◀──────┘
 *   netlink ─▶ node reflector ─▶ devices, node-addresses ─▶ ipcache controller ─▶ ipcache
 *
 *   policies, identities ─▶ policy reconciler ─▶ cilium_policy_*, cilium_identity_class, epoch
 *   endpoints ─▶ endpoint reconciler ─▶ programs on lxc…, cilium_endpoints, cilium_lxc
 *   ipcache ─▶ ipcache reconciler ─▶ cilium_ipcache_v2     devices ─▶ cilium_devices
 *
 *   cilium_events ─▶ flow worker (its own thread: parser, ring, Hubble's gRPC)
 */
import { commit, version } from '../version.ts';
import { registerAgentMetrics } from './agent-metrics.ts';
import { CniFile } from './cni-configuration.ts';
import { ConntrackSweeper } from './conntrack/sweeper.ts';
import { type Datapath, openDatapath } from './datapath.ts';
import { mapReader } from './map-reader.ts';
import { policyIdHost } from './policy/table.ts';
import { checkSocketFree } from './rest/server.ts';
import { restContext } from './rest-context.ts';
import type { AgentConfig } from './runtime/config.ts';
import { lockStateDirectory } from './state-lock.ts';
import { statusModel } from './status.ts';
import { type AgentCore, agentCore } from './wiring/core.ts';
import {
  type EndpointControllers,
  type EndpointSources,
  restoreEndpoints,
  wireEndpoints,
} from './wiring/endpoints.ts';
import { spawnAhead, wireFlows } from './wiring/flows.ts';
import { prepareNode, wireNode } from './wiring/node.ts';
import { type PolicyParts, warmUpInPieces, wirePolicy } from './wiring/policy.ts';
import { wireServing } from './wiring/serving.ts';

const sweepIntervalMsDefault = 30_000;

export interface AgentHooks {
  /** Makes the flow worker's thread; it is found beside main. */
  readonly spawnFlowWorker: () => Worker;
}

export interface Agent {
  /** Ends the process's part; packets go on. */
  stop(): Promise<void>;
}

/** Starts everything; resolves when it serves. Throws ConfigError or what the kernel refused. */
export async function startAgent(config: AgentConfig, hooks: AgentHooks): Promise<Agent> {
  await checkSocketFree(config.socketPath);
  const core = agentCore(config);
  const { resources, lifecycle } = core;
  resources.use(await lockStateDirectory(config.stateDir));
  resources.use(catchInternalErrors(core));
  const spawn = config.enableHubble ? spawnAhead(hooks.spawnFlowWorker) : hooks.spawnFlowWorker;

  const parts = wireControlPlane(core);
  readSources(core, parts);
  observe(core, parts, spawn);
  lifecycle.add({
    name: 'background jobs',
    start: () => void core.jobs.once('warm-up', warmUpInPieces),
    stop: (deadline) => core.jobs.stop(deadline),
  });

  await lifecycle.start();
  core.log.info('agent is up', {
    endpoints: core.tables.endpoints.size,
    attach: parts.datapath.attachMode,
    adopted: parts.datapath.adopted,
  });
  return {
    async stop() {
      await lifecycle.stop();
      resources.dispose();
    },
  };
}

/** What turns sources into what the kernel holds. */
interface ControlPlane {
  readonly datapath: Datapath;
  readonly mtu: number;
  readonly sources: EndpointSources;
  readonly controllers: EndpointControllers;
  readonly policy: PolicyParts;
  /** Running connections are judged again. */
  readonly judgeAgain: () => void;
}

/** Nothing is read yet, and nothing written but the node's own interface and the programs. */
function wireControlPlane(core: AgentCore): ControlPlane {
  const { ranges, mtu } = prepareNode(core.config);
  const datapath = startDatapath(core, ranges);
  const sources = restoreEndpoints(core, ranges);
  const policy = wirePolicy(core, datapath);
  const judgeAgain = () => policy.reconciler.advanceEpoch();
  const controllers = wireEndpoints(core, datapath, sources, policy.controller, judgeAgain);
  const onPruned = controllers.endEarlier;
  wireNode(core, datapath, ranges, policy, { judgeAgain, onPruned });
  return { datapath, mtu, sources, controllers, policy, judgeAgain };
}

/** Everything that is known at the start gets into the tables; then reconcilers may prune. */
function readSources(
  { initialized }: AgentCore,
  { sources, controllers, policy }: ControlPlane,
): void {
  sources.reflector.restore(sources.rows);
  controllers.endpoints.compute();
  policy.reflector?.start();
  // Before the policy: its first fill has to know of them.
  controllers.remotePods.compute();
  policy.controller.run();
  initialized.resolve();
}

/** Flows, metrics, status, and the sockets by which others ask for them. */
function observe(core: AgentCore, parts: ControlPlane, spawn: () => Worker): void {
  const { config, tables } = core;
  const { datapath, sources, policy } = parts;
  const policyRevision = () => policy.revision.current;
  const hubble = wireFlows(core, spawn, policyRevision);
  const conntrackEntries = sweepConntrack(core, datapath);
  const cniFile = new CniFile(config);
  registerAgentMetrics({
    tables,
    datapath,
    procfs: config.procfs,
    policyRevision,
    policyMaps: () => policy.reconciler.entryMaps,
    conntrackEntries,
    hubble,
  });
  const shared = {
    config,
    tables,
    datapath,
    ipam: sources.ipam,
    version: `${version} (${commit})`,
  };
  const status = () =>
    statusModel({
      ...shared,
      health: () => core.health.overall(),
      hubble,
      cniFile: () => cniFile.status,
      conntrackEntries,
    });
  const context = restContext({
    ...shared,
    reflector: sources.reflector,
    maps: mapReader(config.bpfRoot, datapath.maps),
    compiler: policy.controller.compiler,
    policyRevision,
    judgeAgain: parts.judgeAgain,
    mtu: parts.mtu,
    status,
  });
  wireServing(core, context, cniFile);
}

/** A mistake of ours in one place must not take the others along; it must be seen, though. */
function catchInternalErrors(core: AgentCore): Disposable {
  const report = core.health.reporter('agent');
  const caught = (error: unknown) => {
    core.log.error('internal error', {
      error: error instanceof Error ? error.stack : String(error),
    });
    report.degraded('internal error', error);
  };
  process.on('uncaughtException', caught);
  process.on('unhandledRejection', caught);
  return {
    [Symbol.dispose]() {
      process.off('uncaughtException', caught);
      process.off('unhandledRejection', caught);
    },
  };
}

function startDatapath(
  { config, log }: AgentCore,
  ranges: ReturnType<typeof prepareNode>['ranges'],
): Datapath {
  const datapath = openDatapath(
    config,
    ranges.map((range) => range.router),
  );
  for (const map of datapath.replaced) {
    log.warn('pinned map has another layout: made anew', { map });
  }
  datapath.runtime.events = {
    drop: config.bpfEventsDropEnabled,
    trace: config.bpfEventsTraceEnabled,
    verdict: config.bpfEventsPolicyVerdictEnabled,
  };
  datapath.runtime.policyAudit = config.policyAuditMode;
  datapath.runtime.hostPolicyId = config.enableHostFirewall ? policyIdHost : 0;
  return datapath;
}

/** Returns how many entries the latest sweep has found alive. */
function sweepConntrack(core: AgentCore, datapath: Datapath): () => number {
  let entries = 0;
  core.resources.use(
    new ConntrackSweeper({
      program: () => datapath.programs.ctSweep,
      map: datapath.maps.conntrack.map,
      intervalMs: core.config.conntrackGcIntervalMs || sweepIntervalMsDefault,
      onPass: ({ live }) => {
        entries = live;
      },
      onError: core.problem('sweep conntrack'),
    }),
  );
  return () => entries;
}
