/**
 * @module
 * Wires endpoints: what an earlier agent left on disk, IPAM, the reflector that requests go to, the
 * controller that gives identities, and the reconciler that carries rows to the kernel.
 */
import { dumpLinks } from '../../net/netlink/link.ts';
import { NetlinkSocket } from '../../net/netlink/socket.ts';
import type { Datapath } from '../datapath.ts';
import { EndpointController } from '../endpoint/controller.ts';
import { podLabelSource } from '../endpoint/label-source.ts';
import { type LinkOwnership, LinkRemover, sweepLinks } from '../endpoint/link-remover.ts';
import { EndpointStore } from '../endpoint/persist.ts';
import { reconcileEndpoints } from '../endpoint/reconciler.ts';
import { EndpointReflector } from '../endpoint/reflector.ts';
import type { EndpointRow } from '../endpoint/table.ts';
import { IdentityAllocator } from '../identity/allocator.ts';
import { labelFilter, podIdentityLabels } from '../identity/labels.ts';
import { IpamAllocator } from '../ipam/allocator.ts';
import type { PodRange } from '../pod-ranges.ts';
import type { AgentCore } from './core.ts';

/** Where endpoints come from: restored rows, and requests. */
export interface EndpointSources {
  readonly ipam: IpamAllocator;
  readonly reflector: EndpointReflector;
  readonly rows: readonly EndpointRow[];
  readonly ownership: LinkOwnership;
}

/** The endpoints of an earlier agent whose interface is still there, and everything that makes new ones. */
export function restoreEndpoints(
  { config, tables, log, health, resources }: AgentCore,
  ranges: readonly PodRange[],
): EndpointSources {
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
  const { rows, corrupt, spared } = store.restore(exists);
  for (const { path, reason } of corrupt) log.warn('endpoint state set aside', { path, reason });
  const ownership = { stateDirectory: config.stateDir, spared };
  const swept = sweepLinks(new Set(rows.map((row) => row.interfaceName)), ownership);
  if (swept.deleted.length > 0)
    log.warn('interfaces without an endpoint deleted', { interfaces: swept.deleted });
  if (swept.spared.length > 0)
    log.warn('interfaces left alone: their endpoint may be one that cannot be read', {
      interfaces: swept.spared,
    });
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
  const disk = health.reporter('endpoint.state');
  resources.use(
    store.follow(
      tables.endpoints,
      (error) => log.error('write the state of an endpoint', { error: String(error) }),
      (message) => (message === undefined ? disk.ok('written') : disk.degraded(message)),
    ),
  );
  resources.use(ipam);
  return { ipam, reflector, rows, ownership };
}

/** Starts the controller and the reconciler; returns the controller, to compute at the start. */
export function wireEndpoints(
  core: AgentCore,
  datapath: Datapath,
  { reflector, ownership }: EndpointSources,
  judgeAgain: () => void,
): EndpointController {
  const { tables, resources, lifecycle } = core;
  const controller = resources.use(
    new EndpointController({
      endpoints: tables.endpoints,
      policies: tables.policies,
      identities: new IdentityAllocator(tables.identities),
    }),
  );
  const removal = core.health.reporter('endpoint.interfaces');
  const links = resources.use(
    new LinkRemover({
      ...ownership,
      onError: core.problem('remove interface'),
      onTrouble: (message) =>
        message === undefined ? removal.ok('deleted') : removal.degraded(message),
    }),
  );
  const { fromContainer, toContainer } = datapath.programs;
  resources.use(
    reconcileEndpoints(
      tables.endpoints,
      {
        endpoints: datapath.maps.endpoints,
        lxc: datapath.maps.lxc,
        attachments: datapath.attachments,
        hooks: [
          { program: fromContainer, direction: 'ingress' },
          { program: toContainer, direction: 'egress' },
        ],
        removeLink: (row, gone) => links.remove(row, gone),
        discardLink: (ifindex, gone) => links.discard(ifindex, gone),
        onDetached: (id) => reflector.onDetached(id),
        onAddressFreed: judgeAgain,
      },
      { initialized: core.initialized.promise, signal: lifecycle.signal },
    ),
  );
  return controller;
}
