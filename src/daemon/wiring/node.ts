/**
 * @module
 * Wires the node: its own interface and ranges before the datapath is loaded, then netlink → tables
 * `devices`, `node-addresses` → native devices and `ipcache`.
 */
import type { Hook } from '../../bpf/loader/attachment.ts';
import { NetlinkSocket } from '../../net/netlink/socket.ts';
import type { Datapath } from '../datapath.ts';
import { LocalIdentities } from '../identity/local-allocator.ts';
import { IpcacheController } from '../ipcache/controller.ts';
import { reconcileIpcache } from '../ipcache/reconciler.ts';
import { ensureHostNetwork, SysctlJournal } from '../node/host-interface.ts';
import { reconcileDevices } from '../node/reconciler.ts';
import { NodeReflector, readNodeState, selectDevices } from '../node/reflector.ts';
import { choosePodRanges, type PodRange } from '../pod-ranges.ts';
import type { AgentConfig } from '../runtime/config.ts';
import type { AgentCore } from './core.ts';
import { isKnownPeer } from './endpoints.ts';
import type { PolicyParts } from './policy.ts';

/** The node's own interface, addresses, routes and sysctls. */
export function prepareNode(config: AgentConfig): { ranges: PodRange[]; mtu: number } {
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

/** What the node sends is only looked at for a host firewall. */
function deviceHooks({ enableHostFirewall }: AgentConfig, { programs }: Datapath): Hook[] {
  const incoming: Hook = { program: programs.fromNetdev, direction: 'ingress' };
  if (!enableHostFirewall) return [incoming];
  return [incoming, { program: programs.toNetdev, direction: 'egress' }];
}

/** Starts following the node. `judgeAgain` is called when an address changes hands, `onPruned` when earlier agents' are gone. */
export function wireNode(
  core: AgentCore,
  datapath: Datapath,
  ranges: readonly PodRange[],
  policy: Pick<PolicyParts, 'controller' | 'reconciler'>,
  { judgeAgain, onPruned }: { readonly judgeAgain: () => void; readonly onPruned: () => void },
): void {
  const { config, tables, resources, lifecycle } = core;
  const { signal } = lifecycle;
  resources.use(
    new NodeReflector(
      { devices: tables.devices, addresses: tables.nodeAddresses },
      config.devices,
      core.problem('read the state of the node'),
    ),
  );
  resources.use(
    reconcileDevices(
      tables.devices,
      {
        devices: datapath.maps.devices,
        attachments: datapath.attachments,
        hooks: deviceHooks(config, datapath),
        // Before that the node itself would be cut off.
        ready: config.enableHostFirewall ? policy.reconciler.inForce : undefined,
      },
      { signal },
    ),
  );
  const controller = resources.use(
    new IpcacheController(tables.ipcache, {
      endpoints: tables.endpoints,
      addresses: tables.nodeAddresses,
      objects: tables.clusterObjects,
      blocks: tables.addressSets,
      remotePods: tables.remotePods,
      peers: tables.policyPeers,
      isKnownPeer: (identity, prefix) => isKnownPeer(core, policy.controller, identity, prefix),
      identities: new LocalIdentities(tables.identities, (family) =>
        ranges.length === 2 ? `reserved:world-ipv${family}` : 'reserved:world',
      ),
      nodeName: config.nodeName,
      ranges: ranges.map((range) => range.range),
      families: ranges.map((range) => range.family),
    }),
  );
  resources.use(
    reconcileIpcache(tables.ipcache, datapath.maps.ipcache, {
      // Addresses of an earlier agent stay until this one has announced its own.
      initialized: core.initialized.promise.then(() => controller.announced()),
      signal,
      onChangedHands: judgeAgain,
      onPruned,
    }),
  );
}
