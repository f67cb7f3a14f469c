/**
 * @module
 * Wires endpoints: what an earlier agent left on disk, IPAM, the reflector that requests go to, the
 * controller that gives identities, and the reconciler that carries rows to the kernel.
 */
import type { Table } from '../../kv/table.ts';
import { dumpLinks } from '../../net/netlink/link.ts';
import { NetlinkSocket } from '../../net/netlink/socket.ts';
import { RemotePodController } from '../cluster/controller.ts';
import { type ClusterObjectRow, clusterObjectKey } from '../cluster/table.ts';
import type { Datapath } from '../datapath.ts';
import { EndpointController } from '../endpoint/controller.ts';
import { LabelSource, type PodObjects } from '../endpoint/label-source.ts';
import { type LinkOwnership, LinkRemover, sweepLinks } from '../endpoint/link-remover.ts';
import { EndpointStore } from '../endpoint/persist.ts';
import { reconcileEndpoints } from '../endpoint/reconciler.ts';
import { EndpointReflector } from '../endpoint/reflector.ts';
import type { EndpointRow } from '../endpoint/table.ts';
import { IdentityAllocator } from '../identity/allocator.ts';
import { labelFilter, podIdentityLabels } from '../identity/labels.ts';
import { NumberLog } from '../identity/number-log.ts';
import type { IdentityId } from '../identity/table.ts';
import { IpamAllocator } from '../ipam/allocator.ts';
import type { PodRange } from '../pod-ranges.ts';
import { endpointPrefixes, type PolicyController } from '../policy/controller.ts';
import type { AgentCore } from './core.ts';

/** Where endpoints come from: restored rows, and requests. */
export interface EndpointSources {
  readonly ipam: IpamAllocator;
  readonly reflector: EndpointReflector;
  readonly rows: readonly EndpointRow[];
  readonly ownership: LinkOwnership;
  readonly labels: LabelSource;
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
  const labels = new LabelSource(
    (pod) => podIdentityLabels({ ...pod, cluster: config.clusterName }, filter),
    podObjects(tables.clusterObjects),
  );
  const reflector = new EndpointReflector({
    endpoints: tables.endpoints,
    addresses: ipam,
    store,
    labels,
  });
  resources.use(followPodObjects(tables.clusterObjects, reflector));
  const disk = health.reporter('endpoint.state');
  resources.use(
    store.follow(
      tables.endpoints,
      (error) => log.error('write the state of an endpoint', { error: String(error) }),
      (message) => (message === undefined ? disk.ok('written') : disk.degraded(message)),
    ),
  );
  resources.use(ipam);
  return { ipam, reflector, rows, ownership, labels };
}

/** To compute at the start. */
export interface EndpointControllers {
  readonly endpoints: EndpointController;
  readonly remotePods: RemotePodController;
  /** To be called when the kernel knows no address by an earlier agent's number any more. */
  readonly endEarlier: () => void;
}

/** Starts the controllers and the reconciler. */
export function wireEndpoints(
  core: AgentCore,
  datapath: Datapath,
  { reflector, ownership, labels }: EndpointSources,
  policy: PolicyController,
  judgeAgain: () => void,
): EndpointControllers {
  const { tables, resources, lifecycle } = core;
  const numbers = resources.use(
    new NumberLog(
      core.config.stateDir,
      tables.identities,
      core.problem('write the numbers of identities'),
    ),
  );
  const identities = new IdentityAllocator(tables.identities, undefined, numbers.read(), (id) =>
    policy.keeps(id),
  );
  const controller = resources.use(
    new EndpointController({
      endpoints: tables.endpoints,
      policies: tables.policies,
      identities,
      peers: tables.policyPeers,
      isKnownPeer: (row, identity) =>
        endpointPrefixes(row).every((prefix) => isKnownPeer(core, policy, identity, prefix)),
    }),
  );
  const remotePods = resources.use(
    new RemotePodController({
      objects: tables.clusterObjects,
      endpoints: tables.endpoints,
      remotePods: tables.remotePods,
      identities,
      labelsOf: (pod) => labels.facts({}, { namespace: pod.namespace, podName: pod.name }).labels,
      nodeName: core.config.nodeName,
      onError: core.problem('number the identity of a remote pod'),
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
  const endEarlier = () => {
    numbers.endEarlier();
    identities.endEarlier();
  };
  return { endpoints: controller, remotePods, endEarlier };
}

/** Whether packets from and to this identity at the prefix are judged rightly. */
export function isKnownPeer(
  { tables }: AgentCore,
  policy: PolicyController,
  identity: IdentityId,
  prefix: string,
): boolean {
  return tables.policyPeers.get(policy.peerAt(identity, prefix))?.status.kind === 'done';
}

function podObjects(table: Table<ClusterObjectRow>): PodObjects {
  return {
    pod(namespace, name) {
      const object = table.get(clusterObjectKey('Pod', namespace, name))?.object;
      return object?.kind === 'Pod' ? object : undefined;
    },
    namespaceLabels(namespace) {
      const object = table.get(clusterObjectKey('Namespace', '', namespace))?.object;
      return object?.kind === 'Namespace' ? object.labels : undefined;
    },
  };
}

/** Endpoints get other labels when the objects of their pods or namespaces change. */
function followPodObjects(
  table: Table<ClusterObjectRow>,
  reflector: EndpointReflector,
): Disposable {
  const reader = table.reader('endpoint labels');
  const follow = () => {
    for (const { key } of reader.next()) {
      const [kind, namespace = '', name = ''] = String(key).split('/');
      if (kind === 'Namespace') reflector.relabel(name);
      else if (kind === 'Pod') reflector.relabel(namespace, name);
    }
  };
  const subscription = table.subscribe(follow);
  return {
    [Symbol.dispose]() {
      subscription[Symbol.dispose]();
      reader.close();
    },
  };
}
