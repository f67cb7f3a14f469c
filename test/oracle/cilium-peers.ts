/**
 * @module The peers of Cilium policies that are not given by pod labels: prefixes and groups of
 * prefixes, entities, nodes and services.
 */
import { parseAddress } from './addresses.ts';
import type { CidrRule, LabelSelector, ServiceObject, ServicePeer } from './documents.ts';
import type { Directory } from './parties.ts';
import { anyPeerOf, inPrefixes, noPeer, type PeerTest } from './rules.ts';
import { selectsObject } from './selectors.ts';

/** Prefixes speak of what is outside the cluster; of nodes only where the agent was told so. */
export function outside(directory: Directory, test: PeerTest): PeerTest {
  const { cidrMatchesNodes } = directory.cluster.config;
  return (peer, family) =>
    (peer.kind === 'world' || (cidrMatchesNodes && peer.kind !== 'pod')) && test(peer, family);
}

export function cidrSetTest(directory: Directory, set: CidrRule): PeerTest {
  return outside(directory, inPrefixes(prefixesOf(directory, set), set.except));
}

/** A reference to a group that does not exist stands for no prefix. */
function prefixesOf(directory: Directory, set: CidrRule): string[] {
  if (set.cidr !== undefined) return [set.cidr];
  const { cidrGroupRef, cidrGroupSelector } = set;
  return directory.groups
    .filter(({ metadata }) =>
      cidrGroupSelector === undefined
        ? metadata.name === cidrGroupRef
        : selectsObject(cidrGroupSelector, metadata.labels ?? {}),
    )
    .flatMap(({ spec }) => spec.externalCIDRs ?? []);
}

/** Every pod that can be asked about is a pod of this cluster. */
const entities: Readonly<Record<string, PeerTest>> = {
  all: () => true,
  world: ({ kind }) => kind === 'world',
  'world-ipv4': ({ kind }, family) => kind === 'world' && family === 4,
  'world-ipv6': ({ kind }, family) => kind === 'world' && family === 6,
  host: ({ kind }) => kind === 'host',
  'remote-node': ({ kind }) => kind === 'remote-node',
  cluster: ({ kind }) => kind !== 'world',
  init: noPeer,
  health: noPeer,
  ingress: noPeer,
  unmanaged: noPeer,
  'kube-apiserver': noPeer,
  none: noPeer,
};

export function entityTest(name: string): PeerTest {
  const test = entities[name];
  if (test === undefined) throw new Error(`entities: "${name}" is unknown`);
  return test;
}

/** By the labels of the Node object that has the address. */
export function nodesTest(selector: LabelSelector): PeerTest {
  return ({ nodeLabels }) => nodeLabels !== undefined && selectsObject(selector, nodeLabels);
}

export function servicesTest(directory: Directory, peer: ServicePeer): PeerTest {
  const services = directory.services.filter((service) => isNamed(service, peer));
  return anyPeerOf(services.map((service) => backendsTest(directory, service)));
}

function isNamed({ metadata }: ServiceObject, peer: ServicePeer): boolean {
  const { k8sService, k8sServiceSelector } = peer;
  if (k8sService !== undefined)
    return metadata.name === k8sService.serviceName && metadata.namespace === k8sService.namespace;
  return (
    k8sServiceSelector !== undefined &&
    metadata.namespace === k8sServiceSelector.namespace &&
    selectsObject(k8sServiceSelector.selector, metadata.labels ?? {})
  );
}

function backendsTest(directory: Directory, { metadata, spec }: ServiceObject): PeerTest {
  const selector = spec?.selector ?? {};
  if (Object.keys(selector).length > 0)
    return ({ pod }) =>
      pod !== undefined &&
      pod.namespace === metadata.namespace &&
      selectsObject({ matchLabels: selector }, pod.labels);
  const addresses = directory.endpoints
    .filter((one) => one.metadata.name === metadata.name)
    .filter((one) => one.metadata.namespace === metadata.namespace)
    .flatMap(({ subsets }) => (subsets ?? []).flatMap((subset) => subset.addresses ?? []))
    .map(({ ip }) => parseAddress(ip));
  return outside(directory, (party, family) => {
    const own = party.addresses.get(family);
    return addresses.some((one) => one?.family === own?.family && one?.value === own?.value);
  });
}
