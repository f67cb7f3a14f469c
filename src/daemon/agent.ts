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
import { mapPath } from '../bpf/loader/bpffs.ts';
import { FlowWorker } from '../hubble/flow-worker.ts';
import type { FlowWorkerStatus } from '../hubble/protocol.ts';
import { checkListenAddress } from '../hubble/server/listen-address.ts';
import { dumpLinks } from '../net/netlink/link.ts';
import { NetlinkSocket } from '../net/netlink/socket.ts';
import { commit, version } from '../version.ts';
import { type MetricSources, registerAgentMetrics } from './agent-metrics.ts';
import { followNotices } from './agent-notices.ts';
import { CniFile } from './cni-configuration.ts';
import { ConntrackSweeper } from './conntrack/sweeper.ts';
import { type Datapath, openDatapath } from './datapath.ts';
import { EndpointController } from './endpoint/controller.ts';
import { replayDeleteQueue } from './endpoint/delete-queue.ts';
import { podLabelSource } from './endpoint/label-source.ts';
import { LinkRemover, sweepPodLinks } from './endpoint/link-remover.ts';
import { EndpointStore } from './endpoint/persist.ts';
import { reconcileEndpoints } from './endpoint/reconciler.ts';
import { EndpointReflector } from './endpoint/reflector.ts';
import type { EndpointRow } from './endpoint/table.ts';
import { healthProbe } from './health-probe.ts';
import { IdentityAllocator } from './identity/allocator.ts';
import { labelFilter, podIdentityLabels } from './identity/labels.ts';
import { IpamAllocator } from './ipam/allocator.ts';
import { IpcacheController } from './ipcache/controller.ts';
import { reconcileIpcache } from './ipcache/reconciler.ts';
import { mapReader } from './map-reader.ts';
import { ensureHostNetwork, SysctlJournal } from './node/host-interface.ts';
import { reconcileDevices } from './node/reconciler.ts';
import { NodeReflector, readNodeState, selectDevices } from './node/reflector.ts';
import { choosePodRanges, type PodRange } from './pod-ranges.ts';
import { PolicyController } from './policy/controller.ts';
import { LastGoodPolicies } from './policy/last-good.ts';
import { PolicyReconciler } from './policy/reconciler.ts';
import { PolicyReflector } from './policy/reflector.ts';
import { PolicyRevision } from './policy/table.ts';
import { warmUpPolicy } from './policy/warm-up.ts';
import { checkSocketFree, startRestServer } from './rest/server.ts';
import { restContext } from './rest-context.ts';
import type { AgentConfig } from './runtime/config.ts';
import { Health, type HealthReporter } from './runtime/health.ts';
import { Jobs } from './runtime/jobs.ts';
import { Lifecycle } from './runtime/lifecycle.ts';
import { logger } from './runtime/log.ts';
import { MetricsServer } from './runtime/metrics-server.ts';
import { lockStateDirectory } from './state-lock.ts';
import { statusModel } from './status.ts';
import { type AgentTables, agentTables } from './tables.ts';

const log = logger('agent');

const sweepIntervalMsDefault = 30_000;
const hubbleFiguresIntervalMs = 1_000;
const cniFileIntervalMs = 10_000;
const warmUpPieces = 40;
const warmUpPauseMs = 25;

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
  const lock = await lockStateDirectory(config.stateDir);
  const tables = agentTables();
  const health = new Health(tables.health);
  const jobs = new Jobs({ health, log, table: tables.jobs });
  const lifecycle = new Lifecycle(log);
  const { signal } = lifecycle;

  const spawn = config.enableHubble ? spawnAhead(hooks.spawnFlowWorker) : hooks.spawnFlowWorker;
  const { ranges, mtu } = prepareNode(config);
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
  const restored = restoreEndpoints(config, tables, ranges);
  const initialized = Promise.withResolvers<void>();
  const policy = wirePolicy(config, tables, datapath, health, initialized.promise);
  const judgeAgain = () => policy.reconciler.advanceEpoch();

  const identities = new IdentityAllocator(tables.identities);
  const endpointController = new EndpointController({
    endpoints: tables.endpoints,
    policies: tables.policies,
    identities,
  });
  const { fromContainer, toContainer, fromNetdev } = datapath.programs;
  const problem = (what: string) => (error: unknown) => log.error(what, { error: String(error) });
  const links = new LinkRemover(problem('remove interface'));
  const endpoints = reconcileEndpoints(
    tables.endpoints,
    {
      endpoints: datapath.maps.endpoints,
      lxc: datapath.maps.lxc,
      attachments: datapath.attachments,
      hooks: [
        { program: fromContainer, direction: 'ingress' },
        { program: toContainer, direction: 'egress' },
      ],
      removeLink: (row, held) => links.remove(row, held),
      onDetached: (id) => restored.reflector.onDetached(id),
      onAddressFreed: judgeAgain,
    },
    { initialized: initialized.promise, signal },
  );
  const node = new NodeReflector(
    { devices: tables.devices, addresses: tables.nodeAddresses },
    config.devices,
    problem('read the state of the node'),
  );
  const deviceReconciler = reconcileDevices(
    tables.devices,
    {
      devices: datapath.maps.devices,
      attachments: datapath.attachments,
      hooks: [{ program: fromNetdev, direction: 'ingress' }],
    },
    { signal },
  );
  const ipcache = new IpcacheController(tables.ipcache, {
    endpoints: tables.endpoints,
    addresses: tables.nodeAddresses,
    ranges: ranges.map((range) => range.range),
    families: ranges.map((range) => range.family),
  });
  const ipcacheReconciler = reconcileIpcache(tables.ipcache, datapath.maps.ipcache, {
    initialized: initialized.promise,
    signal,
    onChangedHands: judgeAgain,
  });

  restored.reflector.restore(restored.rows);
  endpointController.compute();
  policy.reflector?.start();
  policy.controller.run();
  initialized.resolve();

  let conntrackEntries = 0;
  const sweeper = new ConntrackSweeper({
    program: () => datapath.programs.ctSweep,
    map: datapath.maps.conntrack.map,
    intervalMs: config.conntrackGcIntervalMs || sweepIntervalMsDefault,
    onPass: ({ live }) => {
      conntrackEntries = live;
    },
    onError: problem('sweep conntrack'),
  });
  const metrics: MetricSources = {
    tables,
    datapath,
    procfs: config.procfs,
    policyRevision: () => policy.revision.current,
    policyOverflow: () => policy.reconciler.overflow,
    conntrackEntries: () => conntrackEntries,
    hubble: () => figures,
  };
  registerAgentMetrics(metrics);

  let figures: FlowWorkerStatus | undefined;
  let noticing: Disposable | undefined;
  const flows = config.enableHubble ? flowWorker(config, tables, spawn, health) : undefined;
  const cniFile = new CniFile(config);
  const status = () =>
    statusModel({
      config,
      tables,
      datapath,
      ipam: restored.ipam,
      version: `${version} (${commit})`,
      health: () => health.overall(),
      hubble: () => (flows === undefined ? null : figures),
      cniFile: () => cniFile.status,
      conntrackEntries: () => conntrackEntries,
    });
  const context = restContext({
    config,
    tables,
    datapath,
    reflector: restored.reflector,
    ipam: restored.ipam,
    maps: mapReader(config.bpfRoot, datapath.maps),
    compiler: policy.controller.compiler,
    policyRevision: () => policy.revision.current,
    version: `${version} (${commit})`,
    mtu,
    status,
  });

  lifecycle
    .add({
      name: 'flow worker',
      async start() {
        await flows?.start();
        figures = await flows?.status();
        flows?.notice({ type: 'agent-started' });
        if (flows !== undefined) {
          noticing = followNotices(
            tables,
            () => policy.revision.current,
            (notice) => flows.notice(notice),
          );
        }
      },
      async stop() {
        noticing?.[Symbol.dispose]();
        await flows?.stop();
      },
    })
    .add(rest(config, context, restored, problem('answer a request')))
    .add(metricsServer(config))
    .add(
      healthProbe({
        port: config.agentHealthPort,
        status,
        problem: (error) => log.warn('serve agent-health-port', { error: String(error) }),
      }),
    )
    .add({
      name: 'background jobs',
      start() {
        if (flows !== undefined) {
          jobs.every('hubble-figures', hubbleFiguresIntervalMs, async () => {
            figures = await flows.status();
          });
        }
        if (cniFile.wanted) {
          // After the socket: who reads it may call at once.
          cniFile.ensure();
          jobs.every('write-cni-file', cniFileIntervalMs, () => cniFile.ensure());
        }
        jobs.once('warm-up', async (abort) => {
          // In pieces: each holds the thread for some milliseconds.
          for (let piece = 0; piece < warmUpPieces && !abort.aborted; piece++) {
            await Bun.sleep(warmUpPauseMs);
            warmUpPolicy(1);
          }
        });
      },
      stop: (deadline) => jobs.stop(deadline),
    });
  await lifecycle.start();
  log.info('agent is up', {
    endpoints: tables.endpoints.size,
    attach: datapath.attachMode,
    adopted: datapath.adopted,
  });

  return {
    async stop() {
      await lifecycle.stop();
      policy.reflector?.stop();
      for (const part of [sweeper, node, endpoints, deviceReconciler, ipcacheReconciler, ipcache]) {
        part[Symbol.dispose]();
      }
      policy.reconciler[Symbol.dispose]();
      endpointController[Symbol.dispose]();
      restored.following[Symbol.dispose]();
      links[Symbol.dispose]();
      restored.ipam[Symbol.dispose]();
      lock[Symbol.dispose]();
    },
  };
}

/** The node's own interface, addresses, routes and sysctls. */
function prepareNode(config: AgentConfig): { ranges: PodRange[]; mtu: number } {
  using socket = NetlinkSocket.open();
  const state = readNodeState(socket);
  const ranges = choosePodRanges(config, state);
  const mtus = selectDevices(state, config.devices).map((device) => device.mtu);
  const mtu = config.mtu || Math.min(1500, ...mtus);
  ensureHostNetwork(
    socket,
    {
      ranges: ranges.map((range) => range.range),
      routers: ranges.map((range) => range.router),
      mtu,
    },
    new SysctlJournal(config.stateDir),
  );
  return { ranges, mtu };
}

/** The endpoints of an earlier agent whose interface is still there, and everything that makes new ones. */
function restoreEndpoints(config: AgentConfig, tables: AgentTables, ranges: readonly PodRange[]) {
  const family = (wanted: 4 | 6) => ranges.find((range) => range.family === wanted);
  const [ipv4, ipv6] = [family(4), family(6)];
  const ipam = new IpamAllocator({
    table: tables.addresses,
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
  });
  const store = new EndpointStore(config.stateDir);
  using socket = NetlinkSocket.open();
  const present = new Map(dumpLinks(socket).map(({ name, index }) => [name, index]));
  const exists = (row: EndpointRow) => present.get(row.interfaceName) === row.ifindex;
  const { rows, corrupt } = store.restore(exists);
  for (const { path, reason } of corrupt) log.warn('endpoint state set aside', { path, reason });
  const lost = sweepPodLinks(new Set(rows.map((row) => row.interfaceName)));
  if (lost.length > 0) log.warn('interfaces without an endpoint deleted', { interfaces: lost });
  for (const row of rows) {
    for (const address of [row.ipv4, row.ipv6]) {
      if (address !== undefined) ipam.restore(address, `${row.namespace}/${row.podName}`);
    }
  }
  const filter = labelFilter(config.labels);
  const reflector = new EndpointReflector({
    endpoints: tables.endpoints,
    addresses: ipam,
    store,
    labels: podLabelSource((pod) =>
      podIdentityLabels({ ...pod, cluster: config.clusterName }, filter),
    ),
  });
  const following = store.follow(tables.endpoints, (error) =>
    log.error('write the state of an endpoint', { error: String(error) }),
  );
  return { ipam, store, reflector, rows, corrupt, following };
}

function wirePolicy(
  config: AgentConfig,
  tables: AgentTables,
  datapath: Datapath,
  health: Health,
  initialized: Promise<unknown>,
) {
  const revision = new PolicyRevision();
  const controller = new PolicyController(
    {
      rules: tables.policyRules,
      identities: tables.identities,
      endpoints: tables.endpoints,
      policies: tables.policies,
      cookies: tables.cookies,
    },
    {
      enablePolicy: config.enablePolicy,
      // `auto` means always under Kubernetes, where the kubelet probes pods.
      allowLocalhost:
        config.allowLocalhost === 'always' ||
        (config.allowLocalhost === 'auto' && config.enableK8s),
    },
    revision,
  );
  const run = () => void controller.run();
  tables.endpoints.subscribe(run);
  tables.identities.subscribe(run);
  const directory = health.reporter('policy.directory');
  const files = health.reporter('policy.files');
  const lastGood = new LastGoodPolicies(config.stateDir, (error) =>
    log.error('keep the last good content of a policy file', { error: String(error) }),
  );
  const reflector =
    config.staticCnpPath === ''
      ? undefined
      : new PolicyReflector({
          directory: config.staticCnpPath,
          cluster: config.clusterName,
          rules: tables.policyRules,
          files: tables.policyFiles,
          revision,
          lastGood,
          onApplied: (names) => {
            run();
            reportFiles(files, tables);
            for (const name of names) {
              const row = tables.policyFiles.get(name);
              if (row?.status.kind === 'error')
                log.error('policy file refused', { name, reason: row.status.message });
            }
          },
          onTrouble: (message) =>
            message === undefined ? directory.ok('watched') : directory.degraded(message),
        });
  const report = health.reporter('policy.reconciler');
  const reconciler = new PolicyReconciler({
    policies: tables.policies,
    identities: tables.identities,
    maps: datapath.maps,
    runtime: datapath.runtime,
    entriesMax: config.bpfPolicyMapMax,
    initialized,
    onError: (error) => {
      report.degraded('write policy maps', error);
      log.error('write policy maps', { error: String(error) });
    },
    onWritten: (left) => {
      const option = `bpf-policy-map-max=${config.bpfPolicyMapMax}`;
      if (left === 0) report.ok('in force');
      else
        report.degraded(
          `${left} policy entries do not fit into ${option}: denied is what they allow`,
        );
    },
  });
  return { revision, controller, reflector, reconciler };
}

/** Pods whose file was never good go without it: that must be seen. */
function reportFiles(report: HealthReporter, { policyFiles }: AgentTables): void {
  const refused = [...policyFiles.all()].filter((row) => row.status.kind === 'error');
  const without = refused.filter((row) => row.revision === 0);
  const names = (rows: typeof refused) => rows.map((row) => row.name).join(', ');
  if (without.length > 0) {
    report.degraded(`refused, and nothing of it is in force: ${names(without)}`);
  } else if (refused.length > 0) {
    report.degraded(`refused, their last good content is in force: ${names(refused)}`);
  } else report.ok('all in force');
}

/** Makes one thread now, which reads its code while programs are loaded, and more when asked again. */
function spawnAhead(spawn: () => Worker): () => Worker {
  let ahead: Worker | undefined = spawn();
  return () => {
    const worker = ahead ?? spawn();
    ahead = undefined;
    return worker;
  };
}

function flowWorker(
  config: AgentConfig,
  tables: AgentTables,
  spawn: () => Worker,
  health: Health,
): FlowWorker {
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

/** The socket is last: who can connect finds everything in place. */
function rest(
  config: AgentConfig,
  context: Parameters<typeof startRestServer>[1],
  restored: ReturnType<typeof restoreEndpoints>,
  onError: (error: unknown) => void,
) {
  let server: Awaited<ReturnType<typeof startRestServer>> | undefined;
  return {
    name: 'rest',
    async start() {
      server = await startRestServer(config.socketPath, context, onError);
      const { containerIds, ignored } = replayDeleteQueue(config.stateDir, (id) => {
        restored.reflector.deleteContainer(id);
      });
      if (containerIds.length > 0)
        log.info('queued deletions carried out', { count: containerIds.length });
      for (const { path, reason } of ignored) log.warn('queued deletion ignored', { path, reason });
    },
    stop: () => server?.stop(),
  };
}

function metricsServer(config: AgentConfig) {
  let server: MetricsServer | undefined;
  return {
    name: 'metrics',
    start() {
      if (config.prometheusServeAddr !== '') server = new MetricsServer(config.prometheusServeAddr);
    },
    stop: () => server?.stop(),
  };
}
