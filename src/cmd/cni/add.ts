/**
 * @module CNI ADD. Two round trips to the agent, each running beside the work in the kernel that does
 * not need its answer: addresses beside making the pair, the endpoint beside configuring the pod.
 * What fails half-way is undone here; what was asked of the agent is undone there.
 */
import { linkAlias } from '../../daemon/endpoint/link-alias.ts';
import { isKernelError } from '../../net/kernel-error.ts';
import { formatMac } from '../../net/mac.ts';
import { NetlinkSocket } from '../../net/netlink/socket.ts';
import type { Netns } from '../../net/netns.ts';
import {
  Agent,
  agentDown,
  connectRetryMs,
  type PodAddress,
  type PodAddresses,
  textOf,
} from './agent.ts';
import type { NetworkConf } from './conf.ts';
import { AgentDownError } from './connection.ts';
import type { CniEnvironment } from './environment.ts';
import { CniError } from './error.ts';
import {
  activateHost,
  configurePod,
  createPodLink,
  hostInterfaceName,
  openPodNetns,
  type PodLink,
  removeHostLink,
  removePodInterface,
} from './pod-interface.ts';
import { type CniResult, formatResult } from './result.ts';

/** What has been made so far, for taking it back. */
interface Progress {
  link?: PodLink;
  addresses?: PodAddresses;
  endpointAsked?: boolean;
}

/** Attaches a pod. Returns what goes to standard output. */
export async function add(environment: CniEnvironment, conf: NetworkConf): Promise<string> {
  // First what needs nothing and can be refused without a trace.
  using netns = openPodNetns(environment.netns);
  const progress: Progress = {};
  try {
    using agent = await Agent.connect(conf.socketPath, connectRetryMs);
    using socket = NetlinkSocket.open();
    try {
      return await attach(environment, conf, { agent, socket, netns, progress });
    } catch (error) {
      await undo(environment, conf, socket, progress);
      throw error;
    }
  } catch (error) {
    throw agentDown(error);
  }
}

interface Tools {
  readonly agent: Agent;
  readonly socket: NetlinkSocket;
  readonly netns: Netns;
  readonly progress: Progress;
}

async function attach(
  environment: CniEnvironment,
  conf: NetworkConf,
  { agent, socket, netns, progress }: Tools,
): Promise<string> {
  const allocation = settled(agent.allocate(`${environment.podNamespace}/${environment.podName}`));
  const made = attempt(() => makeLink(environment, conf, socket, netns));
  if ('value' in made) progress.link = made.value;
  const allocated = await allocation;
  if ('error' in allocated) throw allocated.error;
  const addresses = allocated.value;
  progress.addresses = addresses;
  const link =
    'value' in made
      ? made.value
      : await replaceLeftover(environment, conf, { agent, socket, netns }, made.error);
  progress.link = link;
  progress.endpointAsked = true;
  const creation = settled(agent.create(endpointRequest(environment, conf, link, addresses)));
  const configured = attempt(() => configurePod(netns, link, addresses));
  const created = await creation;
  if ('error' in created) throw created.error;
  // First, because an agent that refuses takes the interface away while the pod is configured.
  if (created.value.status !== 201) {
    const message = `unable to create endpoint: ${textOf(created.value)}`;
    throw new CniError('endpointRefused', message);
  }
  if ('error' in configured) throw configured.error;
  activateHost(socket, link, addresses);
  return formatResult(
    resultOf(environment, conf, link, addresses),
    conf.cniVersion,
    conf.prevResult,
  );
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown };

/** A promise that never rejects, so that it may be left alone while other work throws. */
function settled<T>(promise: Promise<T>): Promise<Outcome<T>> {
  return promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
}

/** Runs work whose failure can wait until another answer is in. */
function attempt<T>(work: () => T): Outcome<T> {
  try {
    return { value: work() };
  } catch (error) {
    return { error };
  }
}

function makeLink(
  { containerId, ifname }: CniEnvironment,
  conf: NetworkConf,
  socket: NetlinkSocket,
  netns: Netns,
): PodLink {
  const alias = linkAlias(conf.stateDirectory);
  return createPodLink(socket, netns, hostInterfaceName(containerId, ifname), ifname, alias);
}

/** An interface of a name that we need is there: an ADD or a DEL that did not come to its end. */
async function replaceLeftover(
  environment: CniEnvironment,
  conf: NetworkConf,
  { agent, socket, netns }: Omit<Tools, 'progress'>,
  error: unknown,
): Promise<PodLink> {
  if (!isKernelError(error, 'EEXIST')) throw error;
  const { containerId, ifname } = environment;
  if (await agent.knows(containerId, ifname)) {
    const message = `endpoint for CNI attachment ID ${containerId}:${ifname} already exists`;
    throw new CniError('endpointRefused', `unable to create endpoint: ${message}`);
  }
  removeHostLink(socket, hostInterfaceName(containerId, ifname));
  removePodInterface(netns, ifname);
  return makeLink(environment, conf, socket, netns);
}

/** REST's EndpointChangeRequest. */
function endpointRequest(
  environment: CniEnvironment,
  conf: NetworkConf,
  link: PodLink,
  { ipv4, ipv6 }: PodAddresses,
): object {
  return {
    'container-id': environment.containerId,
    'container-interface-name': environment.ifname,
    'container-netns-path': environment.netns,
    'k8s-pod-name': environment.podName,
    'k8s-namespace': environment.podNamespace,
    'k8s-uid': environment.podUid,
    labels: conf.labels,
    state: 'waiting-for-identity',
    addressing: { ...addressPair('ipv4', ipv4), ...addressPair('ipv6', ipv6) },
    'interface-name': link.hostName,
    'interface-index': link.hostIndex,
    mac: formatMac(link.podMac),
    'host-mac': formatMac(link.hostMac),
    'sync-build-endpoint': true,
  };
}

function addressPair(family: 'ipv4' | 'ipv6', address: PodAddress | undefined): object {
  if (address === undefined) return {};
  return {
    [family]: address.address,
    [`${family}-pool-name`]: 'default',
    [`${family}-expiration-uuid`]: address.expirationUuid,
  };
}

function resultOf(
  environment: CniEnvironment,
  conf: NetworkConf,
  link: PodLink,
  addresses: PodAddresses,
): CniResult {
  // IPv6 first, as upstream: who takes the first address of a dual stack pod gets the same one.
  const families = [
    { family: 6 as const, bits: 128, anywhere: '::/0', entry: addresses.ipv6 },
    { family: 4 as const, bits: 32, anywhere: '0.0.0.0/0', entry: addresses.ipv4 },
  ].flatMap(({ entry, ...rest }) => (entry === undefined ? [] : [{ ...rest, entry }]));
  return {
    interfaces: [
      { name: link.hostName, mac: formatMac(link.hostMac), sandbox: '' },
      { name: link.podName, mac: formatMac(link.podMac), sandbox: environment.netns },
    ],
    addresses: families.map(({ family, bits, entry }) => ({
      family,
      address: `${entry.address}/${bits}`,
      gateway: entry.router,
      interface: 1,
    })),
    routes: families.flatMap(({ bits, anywhere, entry }) => [
      { destination: `${entry.router}/${bits}`, gateway: '', mtu: 0 },
      { destination: anywhere, gateway: entry.router, mtu: addresses.routeMtu },
    ]),
    dns: conf.dns,
  };
}

/** Takes back what was made. Errors here would hide the one that matters. */
async function undo(
  { containerId, ifname }: CniEnvironment,
  conf: NetworkConf,
  socket: NetlinkSocket,
  progress: Progress,
): Promise<void> {
  const { addresses, link, endpointAsked } = progress;
  if (link !== undefined) {
    try {
      removeHostLink(socket, link.hostIndex);
    } catch {
      // Gone with its namespace, or swept when the agent starts.
    }
  }
  if (addresses === undefined) return;
  try {
    // The connection may be what failed.
    using agent = await Agent.connect(conf.socketPath, 0);
    if (endpointAsked) await agent.deleteAttachment(containerId, ifname);
    for (const family of [addresses.ipv4, addresses.ipv6]) {
      if (family !== undefined) await agent.release(family.address);
    }
  } catch (error) {
    // Addresses come back by themselves; an endpoint that the agent has written down would not.
    if (endpointAsked && error instanceof AgentDownError) await queue(conf, containerId);
  }
}

async function queue(conf: NetworkConf, containerId: string): Promise<void> {
  const { queueDeletion } = await import('../../daemon/endpoint/delete-queue.ts');
  try {
    queueDeletion(conf.stateDirectory, containerId);
  } catch {
    // Without its interface the endpoint is dropped at the agent's next start all the same.
  }
}
